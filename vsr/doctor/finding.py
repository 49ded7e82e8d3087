"""What was found out, and how it is told without names of people and folders."""

from __future__ import annotations

import getpass
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import platformdirs

State = Literal["good", "advice", "broken"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing, whether it works, and what to do."""

    area: str  # "memory"
    state: State
    text: str
    advice: str | None = None  # in a line
    facts: Mapping[str, Any] = field(default_factory=dict)  # plain JSON types; for programs

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types, without folders and the user's name."""
        advice = None if self.advice is None else without_names(self.advice)
        return {
            "area": self.area,
            "state": self.state,
            "text": without_names(self.text),
            "advice": advice,
            "facts": {name: _plain(value) for name, value in self.facts.items()},
        }


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return without_names(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def without_names(text: str) -> str:
    """Return the text without the folders of paths, and without the user's name."""
    for folder in sorted(_known(), key=len, reverse=True):
        text = text.replace(folder, "…")
    text = re.sub(r"(?<![\w.…])(?:[A-Za-z]:)?(?:[/\\][^/\\\s:;,'\"()]+)+(?=[/\\])", "…", text)
    with suppress(Exception):  # there may be no account of that number
        if len(name := getpass.getuser()) > 2 and name != "root":
            text = re.sub(rf"\b{re.escape(name)}\b", "…", text)
    return text


def _known() -> set[str]:
    """Return folders as they stand in messages, also with spaces in them."""
    places = [
        platformdirs.user_cache_dir("vsr", appauthor=False),
        platformdirs.user_state_dir("vsr", appauthor=False),
        platformdirs.user_config_dir("vsr", appauthor=False),
        tempfile.gettempdir(),
        str(Path.home()),
        str(Path(os.environ.get("VSR_FFMPEG") or "/").absolute().parent),
        os.environ.get("VSR_CONFIG") or "/",
        os.environ.get("VSR_MODELS_DIR") or "/",
    ]
    with suppress(OSError):
        places.append(str(Path.cwd()))
    return {place for place in places if len(place) > 1}
