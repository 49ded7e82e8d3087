"""The options tree as plain JSON types, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from vsr.errors import UsageError
from vsr.options.table import present_names

O = TypeVar("O")  # noqa: E741  (an options dataclass)


def to_dict(options: object) -> dict[str, Any]:
    """Return plain JSON types: fractions become "3/2", paths become strings, tuples lists."""

    def plain(value: object) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Fraction | Path):
            return str(value)
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return value

    return typing.cast("dict[str, Any]", plain(options))


def from_dict(kind: type[O], data: Mapping[str, Any]) -> O:
    """Read what `to_dict` wrote; former names of options are understood, with a warning.

    Raises UsageError for a name or value that does not belong.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{kind.__name__}: {data!r} is no table of options")
    hints = typing.get_type_hints(kind)
    data = present_names(kind, data)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise UsageError(f"{kind.__name__}: no option is called {', '.join(unknown)}")
    return kind(**{name: read_value(hints[name], value, name) for name, value in data.items()})


_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "the name of a file",
    Fraction: "a number or a fraction such as 4/3",
}
# What JSON may hold where an option of that type is wanted.
_PLAIN: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    bool: (bool,),
    str: (str,),
    Path: (str, Path),
    Fraction: (int, str, Fraction),
}


def read_value(hint: Any, value: Any, name: str) -> Any:
    """Read what plain types hold as the type `hint`. Raises UsageError, which says `name`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return read_value(inner, value, name)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast("type[Any]", hint), value)
    if origin is Literal:
        if value not in arguments:
            raise UsageError(f"{name} {value!r}: must be one of {', '.join(map(str, arguments))}")
        return value
    wrong = UsageError(f"{name} {value!r}: must be {_WORDS.get(hint, 'a list')}")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise wrong
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            raise wrong
        return tuple(read_value(h, v, name) for h, v in zip(inner, value, strict=True))
    if not isinstance(value, _PLAIN[hint]) or (isinstance(value, bool) and hint is not bool):
        raise wrong
    try:
        return hint(value)
    except (ArithmeticError, ValueError):
        raise wrong from None
