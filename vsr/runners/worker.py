"""One process that finishes segments of a film in its job's store.

Its standard input is a line of JSON that says what the job is, then a line for each run of
segments. It answers with lines of JSON: frames that are encoded, segments that are done, an error.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from vsr.engine.cache import EngineCache
from vsr.errors import VsrError, cause
from vsr.events import Event, Note, Progress, WarningNote
from vsr.jobs.plan.segments import Segment
from vsr.jobs.plan.source import OpenedSource
from vsr.jobs.run.context import Hooks, RunContext
from vsr.jobs.run.encode import into_store
from vsr.jobs.run.upscale import prepare
from vsr.jobs.store.job_store import JobStore
from vsr.media.source.probe import probe
from vsr.media.source.spans import Span
from vsr.options import UpscaleOptions, from_dict


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
    store = JobStore(Path(job["store"]))
    try:
        run = _run_of(job, sink)
        say(ready=True)
        for line in requests:
            into_store(run, store, [_segment(given) for given in json.loads(line)], 0)
            say(done=True)
    except VsrError as error:
        say(error=type(error).__name__, text=getattr(error, "text", str(error)))
    except OSError as error:  # of the store; what a source does is a VsrError
        text = f"{store.folder.parent}: cannot be written to ({cause(error)})"
        say(error="OutputError", text=text)


def _run_of(job: Mapping[str, Any], sink: Any) -> RunContext:
    options = from_dict(UpscaleOptions, job["options"])
    opened = OpenedSource(path=Path(job["source"]), output=Path(job["output"]))
    run = prepare(opened, options, EngineCache(), Hooks(sink=sink))
    return run.on(probe(Path(job["copy"]), options.colour, 0)) if job["copy"] else run


def _segment(given: Mapping[str, Any]) -> Segment:
    span = Span(start=given["start"], end=given["end"], at=given["at"])
    return Segment(number=given["number"], span=span)


def _end_with_parent() -> None:
    """Ask to be killed with the process that drives this one, or it would go on beside the next
    run.
    """
    death_signal = 1  # PR_SET_PDEATHSIG, of Linux
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def main() -> None:
    """Run a worker's process. Its parent may have ended while this one was loaded: then it is
    done.
    """
    _end_with_parent()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody hears any more: no words either
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
