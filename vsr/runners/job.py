"""What a worker is told of a job, as plain JSON, and what it makes of that."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsr.engine.cache import EngineCache
from vsr.jobs.plan.segments import Segment
from vsr.jobs.plan.source import OpenedSource, copied
from vsr.jobs.run.context import Hooks, RunContext
from vsr.jobs.run.upscale import prepare
from vsr.jobs.store.job_store import JobStore
from vsr.jobs.store.object_store import ObjectJobStore
from vsr.media.source.probe import probe
from vsr.media.source.spans import Span
from vsr.nets.store import from_anywhere
from vsr.object_copies import keep
from vsr.objects import is_object
from vsr.options import DeviceOptions, UpscaleOptions, from_dict, to_dict


def job_of(run: RunContext, store: JobStore, device: DeviceOptions) -> dict[str, Any]:
    """Return what a worker is told of a job, which is to run on `device`."""
    # One choice for all of them: where nothing can be remembered, each would try for itself.
    own = dataclasses.replace(device, workers=None, engine=run.engine.pinned_name)
    encode = dataclasses.replace(run.options.encode, overwrite=True)  # that was settled before
    source = dataclasses.replace(run.options.source, strict=False)  # so was that
    options = dataclasses.replace(
        run.options,
        model=from_anywhere(run.options.model),
        device=own,
        source=source,
        encode=encode,
    )
    copy = run.plan.source.path
    return {
        "source": run.address or os.fsdecode(run.path.absolute()),
        "output": os.fsdecode(run.plan.output.path.absolute()),
        "options": to_dict(options),
        "store": os.fsdecode(store.folder),
        "objects": store.objects.address if isinstance(store, ObjectJobStore) else None,
        "copy": os.fsdecode(copy) if copy.parent.parent == store.folder else None,
    }


def run_of(job: Mapping[str, Any], hooks: Hooks) -> RunContext:
    """Return a job as a worker carries it out. Raises the errors of `vsr.errors`."""
    options = from_dict(UpscaleOptions, job["options"])
    source, output = job["source"], Path(job["output"])
    if is_object(source):
        opened = copied(source, output, hooks.sink)
        keep(opened.path)  # a worker lives as long as its job
    else:
        opened = OpenedSource(path=Path(source), output=output)
    run = prepare(opened, options, EngineCache(), hooks)
    return run.on(probe(Path(job["copy"]), options.colour, 0)) if job["copy"] else run


def told(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Return segments as a worker is told of them."""
    return [{"number": p.number, **dataclasses.asdict(p.span)} for p in segments]


def segment_of(given: Mapping[str, Any]) -> Segment:
    """Return a segment as its number and `told` describe it."""
    fields = {field.name for field in dataclasses.fields(Span)}
    span = Span(**{name: value for name, value in given.items() if name in fields})
    return Segment(number=given["number"], span=span)
