"""One process that finishes segments of a film in its job's store.

Its standard input is a line of JSON that says what the job is, then a line for each run of
segments. It answers with lines of JSON: frames that are encoded, segments that are done, an error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

from vsr.errors import VsrError, cause
from vsr.events import Event, Note, Progress, WarningNote
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.encode import into_store
from vsr.jobs.store.job_store import JobStore
from vsr.jobs.store.object_store import ObjectJobStore
from vsr.runners.job import run_of, segment_of
from vsr.runners.process import answers_alone


def serve(requests: TextIO, answers: TextIO) -> None:
    """Work until `requests` ends, or one of them fails."""

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def sink(event: Event) -> None:
        if isinstance(event, Progress):
            say(frames=event.frames)
        elif isinstance(event, Note):
            say(note=event.text, lost=isinstance(event, WarningNote))

    if not (line := requests.readline()):
        return  # nobody asks any more
    job = json.loads(line)
    folder = Path(job["store"])
    store = ObjectJobStore(folder, job["objects"]) if job["objects"] else JobStore(folder)
    try:
        run = run_of(job, Hooks(sink=sink))
        say(ready=True)
        for line in requests:
            into_store(run, store, [segment_of(given) for given in json.loads(line)], 0)
            say(done=True)
    except VsrError as error:
        say(error=type(error).__name__, text=getattr(error, "text", str(error)))
    except OSError as error:  # of the store; what a source does is a VsrError
        text = f"{store.folder.parent}: cannot be written to ({cause(error)})"
        say(error="OutputError", text=text)


def main() -> None:
    """Run a worker's process."""
    serve(sys.stdin, answers_alone())
