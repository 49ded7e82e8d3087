"""What is told of a job that is not done: how far it is, and how fast each segment went."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from vsr.jobs.store.job_status import JobStatus
from vsr.jobs.store.job_store import unsealed
from vsr.options import UpscaleOptions, from_dict
from vsr.report.page import bytes_in_words, command_block, document, table, text
from vsr.report.settings import command, resume_command


@dataclass(frozen=True, kw_only=True)
class DoneSegment:
    """A finished segment, by its record."""

    number: int
    frames: int
    bytes: int
    finished: float  # seconds since 1970


def segments_of(store: Path) -> list[DoneSegment]:
    """Return the finished segments of a job's store; none of them is verified."""
    found = []
    for path in sorted(store.glob("[0-9]*.json")):
        told = unsealed(path)
        if told is not None and told.keys() >= {"frames", "bytes"}:
            found.append(
                DoneSegment(
                    number=int(path.stem),
                    frames=told["frames"],
                    bytes=told["bytes"],
                    finished=path.stat().st_mtime,
                )
            )
    return found


def job_json(job: JobStatus) -> dict[str, Any]:
    """Return it as plain JSON types, as docs/report.schema.json describes."""
    segments = segments_of(job.store)
    return {
        "schema": "vsr.report.job",
        "version": 1,
        "source": str(job.source),
        "output": str(job.output),
        "state": "stopped" if job.process is None else "running",
        "segments": job.segments,
        "options": dict(job.given),
        "command": _command(job),
        "done": [
            {"number": s.number, "frames": s.frames, "bytes": s.bytes, "finished": s.finished}
            for s in segments
        ],
    }


def job_page(job: JobStatus) -> str:
    """Return the page. Raises UsageError for a job of another version of vsr."""
    segments = segments_of(job.store)
    state = "stopped" if job.process is None else f"running, process {job.process}"
    frames = sum(segment.frames for segment in segments)
    size = bytes_in_words(sum(segment.bytes for segment in segments))
    paces = _paces(segments)
    rows = [
        [f"{s.number + 1}", str(s.frames), bytes_in_words(s.bytes), paces.get(s.number, "—")]
        for s in segments
    ]
    body = [
        f"<p>{text(state)}: {len(segments)} of {job.segments} segments are finished, "
        f"{frames} frames, {size}.</p>",
        "<h2>To go on with it</h2>",
        command_block(resume_command(job.output)),
        "<p>or the command that began it:</p>",
        command_block(_command(job)),
        "<h2>Segments</h2>",
        table(("Segment", "Frames", "Size", "Time"), rows, name="segments",
              caption="Finished segments"),
    ]  # fmt: skip
    heading = f"{text(Path(job.source).name)} → {text(job.output.name)}"
    return document(f"Report on {job.output.name}", heading, body, scripts=("copy.js",))


def _paces(segments: list[DoneSegment]) -> dict[int, str]:
    """Return in words how long segments took that were finished right after the one before."""
    pairs = pairwise(segments)
    return {
        now.number: f"{(now.finished - before.finished) / now.frames:.3g} s a frame"
        for before, now in pairs
        if now.frames and now.number == before.number + 1 and now.finished > before.finished
    }


def _command(job: JobStatus) -> str:
    return command(job.source, from_dict(UpscaleOptions, job.given), job.output)
