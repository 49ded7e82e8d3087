"""What clients are shown: jobs as Replicate's objects, refusals, and no path of the server's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import Response

from vsr.options import UpscaleOptions, keyword, leaves
from vsr.server.refusals import Refused
from vsr.server.store.events import JobEvent
from vsr.server.store.records import Job
from vsr.server.work.queue import Progress

_FOLDERS = re.compile(r"(?<![\w/.:])(?:/[^\s/'\":,;()<>]+)+/")  # of a path that begins at the root
_FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_SAID = frozenset({"note", "warning", "log", "error"})
_BAR = 20  # characters


class Json(Response):
    """An answer in JSON, in ASCII, so that it can hold whatever a client has sent."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of it."""
        return json.dumps(content, separators=(",", ":")).encode()


def problem(error: Refused) -> Response:
    """Return the answer that says why something was refused."""
    said = {"title": "Refused", "status": error.status, "detail": error.text}
    return Json(said, status_code=error.status, headers=error.headers)


class Shown:
    """How things are shown: what lies in `folders` by its name alone."""

    def __init__(self, folders: Iterable[Path]) -> None:
        names = {f"{path}/" for folder in folders for path in (folder, folder.resolve())}
        self._known = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))

    def text(self, text: str) -> str:
        """Return a text with no folder of the server's in it, and options by their names here."""
        text = _FOLDERS.sub("", self._known.sub("", text))
        return _FLAG.sub(lambda found: _names().get(found[0], found[0]), text)

    def event(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return an event's data, likewise."""
        found: dict[str, Any] = {}
        for name, value in data.items():
            if name == "store":
                continue  # is no client's
            if name in ("source", "output") and isinstance(value, str):
                found[name] = Path(value).name
            elif isinstance(value, str):
                found[name] = self.text(value)
            elif isinstance(value, list):
                found[name] = [self.text(v) if isinstance(v, str) else v for v in value]
            else:
                found[name] = value
        return found

    def logs(self, events: Sequence[JobEvent], progress: Progress | None) -> str:
        """Return what was said, a line each; last of all how far it is, as tqdm has it."""
        lines = [self.text(str(e.data.get("text", ""))) for e in events if e.name in _SAID]
        if progress is not None and progress.frames is not None and progress.total:
            lines.append(bar(progress.frames, progress.total))
        return "\n".join(lines)


@cache
def _names() -> Mapping[str, str]:
    """Return the names of options here, by their flags."""
    found = {"-o": "output", "--for": "for"}
    for leaf in leaves(UpscaleOptions):
        flags = (flag for told in leaf.option.flags for flag in told.split("/"))
        found |= dict.fromkeys(flags, keyword(leaf))
    return found


def bar(frames: int, total: int) -> str:
    """Return progress as a line that clients of Replicate's read."""
    share = min(frames / total, 1.0)
    return f"{int(share * 100)}%|{('#' * int(share * _BAR)).ljust(_BAR)}| {frames}/{total}"


def job_object(job: Job, base: str, progress: Progress | None, logs: str | None) -> dict[str, Any]:
    """Return a job as Replicate's prediction. `base`: the address, with no / at its end."""
    asked, state = job.request, job.state
    own = f"{base}/v1/jobs/{job.id}"
    output = f"{own}/output"
    has_output = state.status == "succeeded"
    metrics: dict[str, Any] = {}
    if state.is_ended and state.started is not None:
        metrics["predict_time"] = round(state.seconds, 3)
        metrics["total_time"] = round((state.completed or 0) - asked.created, 3)
    if has_output:
        metrics |= {"frames": state.frames, "bytes": state.bytes}
    if progress is not None:
        metrics |= {
            "frames": progress.frames, "total_frames": progress.total,
            "seconds_left": progress.seconds_left,
        }  # fmt: skip
    return {
        "id": job.id,
        "status": state.status,
        "task": asked.task,
        "model": str(asked.input.get("model") or "vsr"),
        "version": "vsr",
        "input": asked.input,
        "output": output if has_output else None,
        "output_name": state.output if has_output else None,
        "error": state.error,
        "logs": logs,
        "metrics": metrics,
        "priority": asked.priority,
        "deadline": when(asked.deadline),
        "created_at": when(asked.created),
        "started_at": when(state.started),
        "completed_at": when(state.completed),
        "urls": {
            "get": own,
            "cancel": f"{own}/cancel",
            "events": f"{own}/events",
            "stream": f"{own}/stream",
            "output": output,
            "source": f"{own}/source",
            "preview": f"{own}/preview",
        },
    }


def when(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 has it, UTC."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
