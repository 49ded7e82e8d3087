"""What `vsr probe` finds out, in words and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vsr.cli.terminal import size
from vsr.errors import UsageError
from vsr.events import Sink
from vsr.frame import Range
from vsr.jobs.plan.label import default_scale
from vsr.jobs.plan.plan import Plan, plan
from vsr.jobs.plan.source import intake
from vsr.jobs.run.estimate import estimate
from vsr.jobs.run.short_run import Estimate
from vsr.jobs.run.upscale import read_source
from vsr.media.format.colour_tags import name_of
from vsr.media.read.interlace import ScanMode
from vsr.media.source.image_list import is_many, list_files
from vsr.media.source.local_name import local_output, local_source, names_folder
from vsr.media.source.remote import is_address
from vsr.options import UpscaleOptions
from vsr.timing import clock


def look(
    source: str,
    output: str | None,
    options: UpscaleOptions,
    sink: Sink,
    *,
    seconds: float,
    loading: float,
    planned: Callable[[Plan], None] = lambda job: None,
) -> tuple[Plan, Estimate]:
    """Return what would be done with `source`, and how long it would take, as `estimate` does.

    `planned` is told of the plan before frames are made.
    """
    into = local_output(output) if output is not None else None
    _check_one(source, into)
    new = into if names_folder(output) and into is not None and not into.is_dir() else None
    if new is not None:  # `vsr upscale` makes it
        into = None
    with intake(source, into, options, probing=True, sink=sink) as taken:
        info = read_source(taken, options)  # a bad source before a bad model
        job = plan(info, taken.output, options, default_scale=default_scale(options))
        if new is not None:
            moved = dataclasses.replace(job.output, path=new / job.output.path.name)
            job = dataclasses.replace(job, output=moved)
        planned(job)
        guess = estimate(job, options, sink, seconds=seconds, loading=loading)
    return job, guess


def _check_one(source: str, output: Path | None) -> None:
    """Check that the source is one film; raises UsageError for what stands for many files."""
    if is_address(source) or not is_many(local_source(source)):
        return
    listing = list_files(local_source(source))
    if not listing.pictures:
        raise UsageError(f"{source}: stands for films ({len(listing.films)}); probe one of them")
    if output is None:
        raise UsageError(
            f"{source}: stands for {len(listing.names)} files; probe one of them, "
            f"or name the film that the pictures are to become with -o"
        )


def lines(job: Plan) -> list[str]:
    """Return the plan as people read it."""
    source, video = job.source, job.source.video
    lasts = f", {clock(source.duration)}" if source.duration is not None else ""
    lines = [f"{source.path}: {source.format}{lasts}, {size(source.size)}"]
    colour = video.colour
    range_ = "full range" if colour.range is Range.FULL else "limited range"
    rate = f"{float(video.rate):.3f} fps" if video.rate else "variable rate"
    count = f"about {video.frames} frames" if video.frames else "unknown number of frames"
    lines.append(
        f"  #{video.index} video: {video.codec}, {video.width}x{video.height}, "
        f"{video.layout.name}, {name_of(colour.matrix)} {range_}, {rate}, {count}"
    )
    if video.sample_aspect_ratio not in (None, 1):
        shape = "kept" if job.target.aspect == 1 else "made square"
        lines.append(f"     pixels are {video.sample_aspect_ratio} as wide as high; {shape}")
    if video.rotation:
        lines.append(f"     shown turned by {video.rotation} degrees; kept")
    if job.scan is not ScanMode.PROGRESSIVE:
        lines.append(f"     {job.scan.value}; undone")
    lines += [f"     {guessed}" for guessed in (*video.guesses, *video.beside)]
    for stream in source.streams:
        if stream.index != video.index:
            words = [stream.codec, stream.language or "", stream.title or ""]
            lines.append(
                f"  #{stream.index} {stream.kind}: {', '.join(w for w in words if w)}".rstrip(": ")
            )
    if source.chapters:
        lines.append(f"  {source.chapters} chapters")
    lines.append(
        f"-> {job.output.path}: {job.target.width}x{job.target.height} "
        f"(x{float(job.target.scale):g}), {job.encoder.description}"
    )
    return lines


def lines_of_estimate(guess: Estimate) -> list[str]:
    """Return the estimate as people read it."""
    lines = []
    if guess.seconds is not None:
        lines.append(f"   takes about {clock(guess.seconds)} here")
    if guess.bytes is not None:
        how = f"by {guess.frames} frames of it" if guess.frames else "by rule of thumb"
        lines.append(f"   picture about {size(guess.bytes)}, {how}")
    return lines


def as_dict(job: Plan, guess: Estimate) -> dict[str, Any]:
    """Return it as `--json` prints it."""
    source, video = job.source, job.source.video
    return {
        "path": str(source.path),
        "format": source.format,
        "bytes": source.size,
        "duration": source.duration,
        "chapters": source.chapters,
        "video": {
            "index": video.index,
            "codec": video.codec,
            "width": video.width,
            "height": video.height,
            "pix_fmt": video.pix_fmt,
            "matrix": name_of(video.colour.matrix),
            "range": video.colour.range.name.lower(),
            "siting": video.colour.siting.name.lower(),
            "guesses": video.guesses,
            "sample_aspect_ratio": str(video.sample_aspect_ratio or 1),
            "rate": str(video.rate) if video.rate else None,
            "frames": video.frames,
            "rotation": video.rotation,
            "scan": job.scan.value,
        },
        "streams": [
            {
                "index": s.index,
                "kind": s.kind,
                "codec": s.codec,
                "language": s.language,
                "title": s.title,
            }
            for s in source.streams
        ],
        "output": {
            "path": str(job.output.path),
            "width": job.target.width,
            "height": job.target.height,
            "scale": str(job.target.scale),
            "encoder": job.encoder.description,
            "seconds": guess.seconds,
            "bytes": guess.bytes,
            "tried_frames": guess.frames,
        },
    }
