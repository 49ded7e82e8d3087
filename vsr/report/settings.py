"""Settings beside each other, and the command line that each of them is."""

from __future__ import annotations

import dataclasses
import difflib
import os
import shlex
import typing
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from vsr.errors import UnknownModel, UsageError
from vsr.nets.catalogue import find
from vsr.options import (
    OptionField,
    UpscaleOptions,
    flags,
    keyword,
    leaves,
    with_keywords,
)

_MOST = 8  # settings on a page
_SIZES = ("size.scale", "size.fit", "size.height")  # which take each other's place


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Options under a short name."""

    label: str
    options: UpscaleOptions


def rivals(options: UpscaleOptions, comparisons: Sequence[str]) -> list[Setting]:
    """Return the given settings, and for each value of each comparison those with that instead.

    A comparison is `OPTION=VALUE,VALUE`; an option is named as on the command line, in Python or
    by its place: `temporal-filter`, `temporal_filter`, `temporal.filter`. Raises UsageError.
    """
    found = [Setting(label=options.model.name, options=options)]
    same = list[str]()  # comparisons with what is given anyway, which name it
    for text in comparisons:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise UsageError(f"--compare {text}: is not of the form OPTION=VALUE,VALUE")
        leaf = _option(name.strip())
        for value in values.split(","):
            changed = _with(options, leaf, value.strip())
            label = f"{keyword(leaf)}={value.strip()}"
            if _named(changed) == _named(options):
                same.append(label)
            elif all(_named(changed) != _named(other.options) for other in found):
                found.append(Setting(label=label, options=changed))
    if same:
        found[0] = dataclasses.replace(found[0], label=", ".join(dict.fromkeys(same)))
    if len(found) > _MOST:
        raise UsageError(f"--compare: {len(found)} settings; {_MOST} fit on a page")
    return found


def _named(options: UpscaleOptions) -> UpscaleOptions:
    """Return the options with the model by its own name, not by one of its others."""
    try:
        name = find(options.model.name).name
    except UnknownModel:  # a file; or nothing, which the run will say
        return options
    return dataclasses.replace(options, model=dataclasses.replace(options.model, name=name))


def _option(name: str) -> OptionField:
    known: dict[str, OptionField] = {}
    for leaf in leaves(UpscaleOptions):
        group, _, own = leaf.path.partition(".")
        short = keyword(leaf)
        names = (short, short.replace("_", "-"), leaf.path, own, f"{group}.{short}")
        known |= {name: leaf for name in names if name not in known or name == short}
    found = known.get(name.removeprefix("--"))
    if found is None:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"--compare {name}: no option is called so{hint}")
    if found.default == ():
        raise UsageError(f"--compare {name}: can be given several times; it cannot be compared")
    if found.path.startswith("source.") and found.path != "source.deinterlace":
        raise UsageError(f"--compare {name}: says what is read; that cannot be compared")
    return found


def _with(options: UpscaleOptions, leaf: OptionField, text: str) -> UpscaleOptions:
    """Return the options with one of them read from text."""
    if leaf.path in _SIZES:
        cleared = dataclasses.replace(options.size, scale=None, fit=None, height=None)
        options = dataclasses.replace(options, size=cleared)
    return with_keywords(options, {keyword(leaf): _read(leaf, text)})


_SWITCHES = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def _read(leaf: OptionField, text: str) -> Any:
    kind = leaf.inner_type
    try:
        if kind is bool:
            return _SWITCHES[text.lower()]
        if leaf.option.parse is None and kind in (int, float):
            return kind(text)
    except (KeyError, ValueError):
        raise UsageError(f"--compare {keyword(leaf)}={text}: is no value of that option") from None
    if typing.get_origin(kind) is Literal:
        return {str(value): value for value in typing.get_args(kind)}.get(text, text)
    return text


# --- the command line of a setting ---


def command(source: Path | str, options: UpscaleOptions, output: Path | str | None = None) -> str:
    """Return the line for a shell that upscales `source` with these options."""
    words = ["vsr", "upscale", _positional(os.fspath(source))]
    if output is not None:
        words += ["-o", os.fspath(output)]
    words += arguments(options)
    return shlex.join(words)


def resume_command(output: Path | str) -> str:
    """Return the line for a shell that goes on with the job of `output`."""
    return shlex.join(["vsr", "jobs", "resume", _positional(os.fspath(output))])


def arguments(options: UpscaleOptions, given: Collection[str] = ()) -> list[str]:
    """Return the arguments of `vsr upscale` that say what is other than by default.

    `given`: paths of options that are said in any case, where there is something to say.
    """
    words = (_words(leaf, options, leaf.path in given) for leaf in leaves(UpscaleOptions))
    return list(chain.from_iterable(words))


def _positional(name: str) -> str:
    return f"./{name}" if name.startswith("-") and name != "-" else name


def _words(leaf: OptionField, options: UpscaleOptions, is_given: bool) -> Iterator[str]:
    value: Any = options
    for name in leaf.path.split("."):
        value = getattr(value, name)
    if value is None or (value == leaf.default and not is_given):
        return
    if leaf.inner_type is bool:
        if (word := leaf.flag if value else leaf.switch) is not None:
            yield word
        return
    several = isinstance(leaf.default, tuple)
    for one in value if several else (value,):
        yield leaf.flag
        yield _text(one)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        joint = "x" if all(isinstance(part, int) for part in value) else "="
        return joint.join(map(str, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def shown_names() -> dict[str, str]:
    """Return the names by which messages show options, as the command line has them."""
    return {"output": "-o", **flags(UpscaleOptions)}
