"""What is said of an option once, on its field, for everybody who shows or reads it.

The command line, the environment (`VSR_...`), the fingerprint of a job, the documentation and
whatever else offers options derive their own form from the fields of the options tree:
`leaves` walks them.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, UnionType
from typing import Any, TypeVar

T = TypeVar("T")

_KEY = "vsr"


@dataclass(frozen=True, kw_only=True)
class Option:
    """What people are told of a field, and what the field decides."""

    flags: tuple[str, ...]  # "-s", "--scale"; "--keep-x/--leave-x" for a switch that is on
    help: str
    changes_result: bool = True  # False: it decides where and how fast, not what is made
    parse: Callable[[str], Any] | None = None  # reads it from text; None: by the field's type
    metavar: str | None = None  # of the value, in help
    default_text: str | None = None  # what stands for the default there
    former_flags: tuple[str, ...] = ()  # are still understood, for one version
    former_name: str | None = None  # of the field, likewise
    also: Mapping[str, str] = field(
        default_factory=dict
    )  # other names of its values, in lower case
    common: bool = False  # it is in the short help
    one_of: str | None = None  # options that exclude each other have the same word here
    belongs_to: str | None = None  # the path of the option whose value it goes with


@dataclass(frozen=True, kw_only=True)
class OptionField:
    """One option of a tree: where it stands, what it may be, and what is said of it."""

    path: str  # "size.scale"
    type: Any  # as annotated
    default: Any
    option: Option

    @property
    def first_path(self) -> str:
        """Return the path by its former name, if it has one: jobs know it by that."""
        group, dot, name = self.path.rpartition(".")
        return group + dot + (self.option.former_name or name)

    @property
    def flag(self) -> str:
        """The long flag, such as `--scale`."""
        return next(name for name in self.option.flags if name.startswith("--")).split("/")[0]

    @property
    def switch(self) -> str | None:
        """The flag that turns off what is on by default, such as `--no-audio`."""
        return next((flag.split("/")[1] for flag in self.option.flags if "/" in flag), None)

    @property
    def environment(self) -> str:
        """The variable that sets it, such as `VSR_SCALE`."""
        return variable(self.flag)

    @property
    def inner_type(self) -> Any:
        """The type without None."""
        if typing.get_origin(self.type) in (typing.Union, UnionType):
            return next(a for a in typing.get_args(self.type) if a is not type(None))
        return self.type


def option(default: Any, *flags: str, help: str, **more: Any) -> Any:
    """Define a field of an options dataclass, with its `default` and an `Option` of `more`."""
    about = Option(flags=flags, help=help, **more)
    return field(default=default, metadata={_KEY: about})


def present_names(kind: type[Any], given: Mapping[str, Any], stack: int = 2) -> dict[str, Any]:
    """Return `given` with the fields of `kind` by their present names, and warn of former ones.

    `stack`: how many calls up the warning is shown.
    """
    former = {
        told.former_name: one.name
        for one in dataclasses.fields(kind)
        if (told := one.metadata.get(_KEY)) is not None and told.former_name is not None
    }
    named = {name: value for name, value in given.items() if name not in former}
    for name in former.keys() & given.keys():
        renamed(name, former[name], stack + 1)
        named[former[name]] = given[name]
    return named


def renamed(former: str, name: str, stack: int) -> None:
    """Warn that what was given as `former` is called `name` now."""
    warnings.warn(f"{former} is called {name} now", DeprecationWarning, stacklevel=stack + 1)


def takes_former_names(kind: type[T]) -> type[T]:
    """Let an options dataclass be built with the former names of its fields, too."""
    build = kind.__init__

    @functools.wraps(build)
    def init(self: T, **given: Any) -> None:
        build(self, **present_names(kind, given, 2))

    kind.__init__ = init  # type: ignore[assignment, method-assign]
    return kind


def leaves(kind: type[Any], path: str = "") -> Iterator[OptionField]:
    """Walk the options of the dataclass `kind` and of those within it, in their order."""
    hints = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        name, told = f"{path}{one.name}", one.metadata.get(_KEY)
        if dataclasses.is_dataclass(hints[one.name]):
            yield from leaves(typing.cast("type[Any]", hints[one.name]), f"{name}.")
        elif told is not None:
            yield OptionField(path=name, type=hints[one.name], default=one.default, option=told)


def flags(kind: type[Any]) -> Mapping[str, str]:
    """Return the long flag of each option of a tree by its path; of a switch, what turns it off."""
    return MappingProxyType({leaf.path: leaf.switch or leaf.flag for leaf in leaves(kind)})


def variable(flag: str) -> str:
    """Return the environment's name of a long flag: `--models-dir` is `VSR_MODELS_DIR`."""
    return "VSR" + flag[1:].replace("-", "_").upper()
