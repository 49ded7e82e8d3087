"""Several processes of this machine share a film: one for each GPU, or some on the CPU."""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Sequence

from vsr.errors import Stopped, UsageError, VsrError
from vsr.events import Progress
from vsr.jobs.plan.segments import Segment
from vsr.jobs.run.context import RunContext, Runner
from vsr.jobs.store.job_store import JobStore
from vsr.machine import cores
from vsr.options import DeviceOptions
from vsr.runners.job import job_of, told
from vsr.runners.process import Answer, WorkerProcess, pass_on

_SHARES = 4  # that each worker gets of a film, about; a share is read and piped in one go


def runner_for(options: DeviceOptions) -> Runner | None:
    """Return the runner that the options ask for: this process, several, or a cluster.

    Raises UsageError where the cluster's library is not installed, or a label is given without one.
    """
    if options.cluster is not None:
        from vsr.runners.ray.runner import RayRunner

        return RayRunner(options)
    if options.label is not None:
        raise UsageError("<device.label>: is for the nodes of a <device.cluster>")
    return several if _workers(options) > 1 else None


def _workers(options: DeviceOptions) -> int:
    return options.workers or len(options.device.split(","))


def several(run: RunContext, store: JobStore, segments: Sequence[Segment], done: int) -> None:
    """Finish `segments` in `store` with several processes.

    Raises what a worker raised, or VsrError for one that died; what is finished stays so.
    """
    options = run.options.device
    count = min(_workers(options), len(segments))
    size = max(1, -(-len(segments) // (count * _SHARES)))
    shares = [segments[at : at + size] for at in range(0, len(segments), size)]
    devices = options.device.split(",")
    threads = options.threads or max(cores() // count, 1)
    crew: list[WorkerProcess] = []
    try:
        for n in range(count):
            worker = WorkerProcess("vsr.runners.worker")
            crew.append(worker)
            device = devices[n % len(devices)]
            own = dataclasses.replace(options, device=device, threads=threads)
            worker.send(job_of(run, store, own))
        _drive(crew, shares, run, store, done)
    finally:
        for worker in crew:
            worker.end()


def _drive(
    crew: Sequence[WorkerProcess],
    shares: list[Sequence[Segment]],
    run: RunContext,
    store: JobStore,
    done: int,
) -> None:
    heard: queue.Queue[tuple[WorkerProcess, Answer]] = queue.Queue()
    for worker in crew:
        worker.listen(heard)
    waiting, busy = list(shares), len(crew)  # each until it is ready
    while busy:
        worker, answer = heard.get()
        if "frames" in answer:
            worker.frames = answer["frames"]
            run.sink(Progress(frames=done + sum(w.total for w in crew)))
        elif "died" in answer:
            raise VsrError(f"a worker ended unexpectedly (exit code {answer['died']})")
        elif not pass_on(answer, run.sink):  # ready, or a share is done
            busy -= 1
            worker.settle()
            store.check_lease()
            if run.hooks.stop():
                raise Stopped("stopped")
            if waiting:
                worker.send(told(waiting.pop(0)))
                busy += 1
