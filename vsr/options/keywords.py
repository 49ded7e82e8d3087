"""Options by their short names, for callers from Python: `upscale(film, height=1080)`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from vsr.errors import UsageError
from vsr.options.plain import read_value, to_dict
from vsr.options.table import OptionField, leaves, renamed

T = TypeVar("T")


def keyword(leaf: OptionField) -> str:
    """Return the name of an option in Python: its long flag's, with underscores."""
    return _word(leaf.flag)


def _word(flag: str) -> str:
    return flag[2:].replace("-", "_")


def keywords_of(kind: type[Any]) -> dict[str, OptionField]:
    """Return the options of a tree by their names in Python, former names included."""
    table = {keyword(leaf): leaf for leaf in leaves(kind)}
    former = {_word(flag): leaf for leaf in table.values() for flag in leaf.option.former_flags}
    return former | table


def with_keywords(options: T, given: Mapping[str, Any]) -> T:
    """Return the tree `options` with some of its values replaced.

    `given`: values by the names that `keyword` makes: `height=1080`, `model="x4plus"`,
    `size=(1920, 1080)`. Text is read as on the command line: `size="1920x1080"`,
    `clip=["1:20-1:30"]`.

    A former name is understood, with a warning that says how the option is called now.

    Raises UsageError for a name that no option has, and for a value of another type.
    """
    table = keywords_of(type(options))
    for name, value in given.items():
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{name}: no option is called so{hint}")
        if name != (present := keyword(table[name])):
            renamed(name, present, 3)
        options = _replaced(options, table[name], value)
    return options


def _replaced(options: T, leaf: OptionField, value: Any) -> T:
    *groups, name = leaf.path.split(".")
    inner: Any = getattr(options, groups[0]) if groups else options
    inner = replace(inner, **{name: option_value(leaf, value)})
    return replace(options, **{groups[0]: inner}) if groups else inner  # type: ignore[type-var]


def option_value(leaf: OptionField, value: Any) -> Any:
    """Return the value as the option holds it: text is read as on the command line.

    Raises UsageError, which says the option's name.
    """
    return read_value(leaf.type, _plain(leaf, value), keyword(leaf))


def _plain(leaf: OptionField, value: Any) -> Any:
    """Return the value as plain types, as `read_value` takes it."""
    if leaf.default == ():  # may hold several
        several = value if isinstance(value, list | tuple) else [value]
        return [_plain_one(leaf, one) for one in several]
    return _plain_one(leaf, value)


def _plain_one(leaf: OptionField, value: Any) -> Any:
    if isinstance(value, str):
        value = leaf.option.also.get(value.casefold(), value)
    if isinstance(value, str) and leaf.option.parse is not None:
        try:
            value = leaf.option.parse(value)
        except UsageError as error:
            raise UsageError(f"{keyword(leaf)}: {error.text}") from error
    if isinstance(value, float) and leaf.inner_type is Fraction:
        return str(value)  # as it is written: 1.1 is 11/10
    return to_dict(value) if is_dataclass(value) else value
