"""A server over HTTP: the one room that knows Starlette and uvicorn."""
