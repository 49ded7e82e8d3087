"""A TOML file of options, read: `scale = 2`, `temporal-filter = "auto"`, `for = "anime"`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsr.config.layers import Layer
from vsr.errors import UsageError, cause
from vsr.options import OptionField, UpscaleOptions, keyword, leaves, with_keywords
from vsr.options.keywords import option_value

# What is not settled beforehand: parts of one film, and what throws something away.
_NEVER = frozenset({"source.clips", "encode.overwrite", "jobs.restart"})
# A film's folder may come from a stranger, who says nothing of where things are fetched from.
_NOT_BESIDE = frozenset({"model.folder", "model.mirror", "model.offline"})
_PRESET, _ABOUT = "for", "about"


def options_by_key(*, is_beside: bool = False) -> Mapping[str, OptionField]:
    """Return the options that a file may settle, by their keys: the long flags' names.

    `is_beside`: for the file beside a film.
    """
    refused = _NEVER | _NOT_BESIDE if is_beside else _NEVER
    return {leaf.flag[2:]: leaf for leaf in leaves(UpscaleOptions) if leaf.path not in refused}


def read_layer(path: Path, name: str, *, is_beside: bool = False, is_preset: bool = False) -> Layer:
    """Read a file. Raises UsageError, which names the file, the key and what may be meant.

    `name`: what the file is called where an origin is shown. A preset names no other preset.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({cause(error)})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no TOML ({error})") from error
    table = options_by_key(is_beside=is_beside)
    values: dict[str, Any] = {}
    words = {key: _word(path, key, data.pop(key)) for key in (_PRESET, _ABOUT) if key in data}
    if is_preset and _PRESET in words:
        raise UsageError(f"{path}: for: a preset is made of no other; write its options out")
    for given, value in data.items():
        key = given.replace("_", "-")
        if key not in table:
            raise UsageError(f"{path}: {given}: {_meant(key, table, is_beside=is_beside)}")
        leaf = table[key]
        try:
            values[leaf.path] = option_value(leaf, _located(leaf, value, path))
            with_keywords(UpscaleOptions(), {keyword(leaf): values[leaf.path]})  # its range, too
        except UsageError as error:
            raise UsageError(f"{path}: {error.text}") from error
    return Layer(name=name, values=values, preset=words.get(_PRESET), about=words.get(_ABOUT, ""))


def _word(path: Path, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{path}: {key} {value!r}: must be text")
    return value


def _located(leaf: OptionField, value: Any, path: Path) -> Any:
    """Return the value; a weight file that lies beside the TOML file by its full name."""
    if (
        leaf.path in ("model.name", "model.then")
        and isinstance(value, str)
        and (path.parent / value).is_file()
    ):
        return str((path.parent / value).absolute())
    if leaf.path == "model.folder" and isinstance(value, str):
        return Path(value).expanduser()
    return value


def _meant(key: str, table: Mapping[str, OptionField], *, is_beside: bool) -> str:
    anywhere = {leaf.flag[2:]: leaf for leaf in leaves(UpscaleOptions)}
    if key in anywhere:
        where = "beside a film, only in the user's own settings" if is_beside else "in a file"
        if anywhere[key].path in _NEVER:
            where = "in a file, only on the command line"
        return f"is not settled {where}"
    former = {flag[2:]: leaf for leaf in table.values() for flag in leaf.option.former_flags}
    if key in former:
        return f"is called {former[key].flag[2:]} now"
    known = [*table, _PRESET, _ABOUT]
    near = difflib.get_close_matches(key, known, n=1)
    return "no option is called so" + (f"; did you mean {near[0]}?" if near else "")
