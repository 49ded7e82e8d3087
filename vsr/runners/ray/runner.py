"""A film's segments, finished by the nodes of a Ray cluster: the run's side of it."""

from __future__ import annotations

import dataclasses
import os
import queue
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from vsr.engine.device import hardware
from vsr.errors import Stopped, UsageError
from vsr.events import Progress
from vsr.jobs.plan.segments import Segment
from vsr.jobs.run.context import RunContext, segment_suffix
from vsr.jobs.store.job_store import JobStore
from vsr.media.format.repeatable import unrepeatable
from vsr.options import DeviceOptions
from vsr.options.values import Precision
from vsr.runners.installed import check_ray
from vsr.runners.job import job_of, told
from vsr.runners.process import Answer, WorkerProcess, pass_on

_OF_A_GPU = 0.9  # that a worker asks for: a second one does not fit, the planning run does
_LOOK = 5.0  # seconds after which the lease is looked at, if nobody says anything
_SEEN = 60.0  # seconds after which what another machine wrote is seen here, also through NFS


class RayRunner:
    """Hands the segments of a run to a cluster. Raises UsageError where Ray is not installed."""

    def __init__(self, options: DeviceOptions) -> None:
        check_ray()
        if "," in options.device:
            raise UsageError(f"<device.device> {options.device}: a cluster's GPUs are all taken")
        self._options = options

    def __call__(
        self, run: RunContext, store: JobStore, segments: Sequence[Segment], done: int
    ) -> None:
        """Finish `segments` in `store`. Raises the errors of `vsr.errors`; what is finished stays
        so.
        """
        store.hold_lease()
        suffix = segment_suffix(run.segment_encoder())
        store.discard([segment.number for segment in segments], suffix)
        self._check_copy(run, store)
        worker = WorkerProcess("vsr.runners.ray.driver")
        try:
            worker.send(self._request(run, store, segments))
            heard: queue.Queue[tuple[WorkerProcess, Answer]] = queue.Queue()
            worker.listen(heard)
            ended = False
            while not ended:
                store.check_lease()
                with suppress(queue.Empty):
                    ended = self._is_done(heard.get(timeout=_LOOK)[1], run, worker, done)
        finally:
            worker.end()
        _await(store, segments, suffix)

    def _check_copy(self, run: RunContext, store: JobStore) -> None:
        """Refuse what only this machine would see. Raises UsageError."""
        source = run.plan.source.path
        if run.hooks.remote is None and run.address is not None:
            raise UsageError("<output>: give an s3:// address too; other machines see no file here")
        if run.hooks.remote is not None and source.is_relative_to(store.folder):
            text = f"{source.name}: is mended in a copy, which other machines do not see"
            raise UsageError(f"{text}; put source and result into a folder that all share")

    def _request(
        self, run: RunContext, store: JobStore, segments: Sequence[Segment]
    ) -> dict[str, Any]:
        given, engine = run.options.device, run.engine
        vulkan = engine.name == "vulkan"
        device = given.device if vulkan else engine.device.type
        precision = given.precision if vulkan else cast("Precision", engine.precision)
        own = dataclasses.replace(given, device=device, precision=precision, cluster=None)
        plan = run.plan
        certain = engine.device.type == "cpu" and not vulkan
        certain = certain and unrepeatable(plan.encoder, plan.target.width) is None
        return {
            "address": self._options.cluster,
            "label": self._options.label,
            "cpus": given.threads,
            "gpus": _OF_A_GPU if vulkan or engine.device.type == "cuda" else 0,
            "workers": given.workers,
            "suffix": segment_suffix(run.segment_encoder()),
            "segments": told(segments),
            "job": {
                **job_of(run, store, own),
                "engine": [engine.name, engine.precision],
                "hardware": hardware(engine.device, network=engine.receptive_radius > 0),
                "repeatable": certain,
            },
        }

    def _is_done(self, answer: Answer, run: RunContext, worker: WorkerProcess, done: int) -> bool:
        """Take an answer; returns whether it is the last."""
        if "frames" in answer:
            run.sink(Progress(frames=done + answer["frames"]))
        elif "segment" in answer:
            if run.hooks.stop():
                worker.send({"stop": True})
        elif "stopped" in answer:
            raise Stopped("stopped")
        elif "died" in answer:
            code = answer["died"]
            raise Stopped(f"the cluster was lost (its driver ended with exit code {code})")
        else:
            return not pass_on(answer, run.sink)
        return False


def _await(store: JobStore, segments: Sequence[Segment], suffix: str) -> None:
    """Wait until this machine sees what others have written.

    A client of NFS remembers for a while that a name was not there; a change of its own to the
    folder makes it look again.
    """
    end = time.monotonic() + _SEEN
    for segment in segments:
        pause = 0.1
        while store.finished(segment.number, suffix) is None and time.monotonic() < end:
            with suppress(OSError):
                trial = store.folder / "0.part"
                os.close(os.open(trial, os.O_CREAT | os.O_WRONLY, 0o600))
                os.unlink(trial)  # noqa: PTH108
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
