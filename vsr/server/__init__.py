"""`vsr serve`: the same jobs over HTTP.

    settings, tokens, refusals  what a server is told, who may do what, what is answered
    inputs, schema              an input by the table of options, and that as JSON Schema
    store/                      on the disk: jobs, their events, uploads, the folders of sources
    work/                       who works: processes, the queue, webhooks, guarded addresses
    web/                        the HTTP of it (Starlette, uvicorn)
    client                      what `vsr submit` speaks

The disk is the only truth: a job is a folder, its work a process of its own that goes on without
the server, and what it tells goes into the job's own event file.
"""
