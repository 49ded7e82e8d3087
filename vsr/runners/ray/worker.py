"""What an actor on a cluster's node does: it has one loaded network, and is given shares."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vsr.engine.device import hardware
from vsr.errors import Stopped, VsrError, cause
from vsr.events import Event, Note, Progress, WarningNote
from vsr.jobs.run.context import Hooks, RunContext
from vsr.jobs.run.encode import into_store
from vsr.jobs.run.fingerprint import differences, fingerprint
from vsr.jobs.store.job_store import SegmentRecord
from vsr.jobs.store.object_store import worker_store
from vsr.jobs.store.shared_store import SharedJobStore
from vsr.runners.job import run_of, segment_of

Answer = dict[str, Any]


class SegmentWorker:
    """Finishes segments of one job in its store. What it hands out are small records."""

    def __init__(self) -> None:
        self._heard: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._run: RunContext | None = None
        self._store: SharedJobStore | None = None

    def prepare(self, job: Mapping[str, Any]) -> Answer:
        """Load what the job needs. Answers `host` and `process`; `refused`, in words, where this
        node would make something else of it, or nothing.
        """
        host = socket.gethostname()
        try:
            store = worker_store(job, self._committed)
            if (begun := store.job()) is None:
                place = job["objects"] or job["store"]
                return {"host": host, "refused": f"sees no job in {place}; is it shared?"}
            run = run_of(job, Hooks(sink=self._hear, stop=self._stop.is_set))
            if (other := _other(run, begun, job)) is not None:
                return {"host": host, "refused": other}
        except VsrError as error:
            return {"host": host, "refused": str(error)}
        except OSError as error:
            return {"host": host, "refused": cause(error)}
        self._run, self._store = run, store
        return {"host": host, "process": os.getpid()}

    def stop(self) -> None:
        """Ask to stop after the segment that is being made."""
        self._stop.set()

    def work(self, share: Sequence[Mapping[str, Any]], every: float) -> Iterator[Answer]:
        """Finish a share of the segments; yields `frames` every so many seconds, `segment` for
        each, and at last `done`, `failed` (here, and perhaps not elsewhere) or `error`.
        """
        while not self._heard.empty():  # of an earlier share that was given up
            self._heard.get()
        thread = threading.Thread(target=self._finish, args=(share,), name="vsr-share")
        thread.start()
        told = 0.0
        while True:
            answer = self._heard.get()
            if "frames" in answer and time.monotonic() - told < every:
                continue
            told = time.monotonic() if "frames" in answer else told
            yield answer
            if not {"done", "failed", "error"}.isdisjoint(answer):
                break
        thread.join()

    def _finish(self, share: Sequence[Mapping[str, Any]]) -> None:
        assert self._run is not None
        assert self._store is not None
        try:
            self._store.begin_share()
            into_store(self._run, self._store, [segment_of(given) for given in share], 0)
            self._heard.put({"done": True})
        except Stopped as error:
            kind = "done" if self._stop.is_set() else "error"
            self._heard.put({kind: "Stopped", "text": error.text})
        except VsrError as error:
            # Of the store, which another node may reach; else of the film, whoever works on it.
            kind = "failed" if isinstance(error, OSError) else "error"
            self._heard.put({kind: type(error).__name__, "text": error.text})
        except OSError as error:
            text = f"{self._store.folder.parent}: cannot be written to ({cause(error)})"
            self._heard.put({"failed": "OutputError", "text": text})
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            self._heard.put({"error": "VsrError", "text": f"internal error of a worker: {text}"})

    def _hear(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._heard.put({"frames": event.frames})
        elif isinstance(event, Note):
            self._heard.put({"note": event.text, "lost": isinstance(event, WarningNote)})

    def _committed(self, number: int, record: SegmentRecord, first: bool) -> None:
        self._heard.put({
            "segment": number, "made": record.frames, "span": [record.first, record.last],
            "sha256": record.sha256, "seconds": record.seconds, "host": record.host,
            "first": first,
        })  # fmt: skip


def _other(run: RunContext, begun: Mapping[str, Any], job: Mapping[str, Any]) -> str | None:
    """Return in words what this node would do otherwise than the job was planned."""
    own = fingerprint(run.plan, (), run.model, run.engine, run.options)
    del own["parts"]  # those it is told
    if changed := differences({name: begun.get(name) for name in own}, own):
        return f"would do something else ({'; '.join(changed)})"
    # A job may go on without our kernels; its nodes do all with them or all without.
    if (engine := [run.engine.name, run.engine.precision]) != job["engine"]:
        return f"would run {' in '.join(engine)}, not {' in '.join(job['engine'])}"
    here = hardware(run.engine.device, network=run.engine.receptive_radius > 0)
    if here != job["hardware"]:
        return f"has another processor ({here}, not {job['hardware']}), which rounds otherwise"
    return None
