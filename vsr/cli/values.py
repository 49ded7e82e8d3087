"""The kinds of value that options take on the command line, and how a word is completed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from vsr.config import preset_names
from vsr.errors import UsageError, VsrError, worded
from vsr.nets.catalogue import catalogue


class ParsedValue(click.ParamType[Any]):
    """What a function reads from text, or has read already."""

    def __init__(
        self, name: str, parse: Callable[[str], Any], worded: Callable[[str], str] = worded
    ) -> None:
        """Take how errors are `worded`: with the flags of the options that they name."""
        self.name = name
        self._parse = parse
        self._worded = worded

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a value from text; hand on what is none."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(self._worded(error.text), param, ctx)


class Choices(click.Choice[str]):
    """One of some words, in any case, also by the names that other programs have for it."""

    def __init__(self, words: Sequence[str], also: Mapping[str, str]) -> None:
        super().__init__(words, case_sensitive=False)
        self._also = also

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word that is meant; fail with the one that is nearest."""
        given = str(value).casefold()
        word = self._also.get(given, given)
        if word in self.choices:
            return word
        near = difflib.get_close_matches(word, [*self.choices, *self._also], n=1)
        hint = f"did you mean {self._also.get(near[0], near[0])}? " if near else ""
        return self.fail(f"{value!r}: {hint}It is one of {', '.join(self.choices)}.", param, ctx)


class ModelName(click.ParamType[str]):
    """A name of the catalogue, or a file; completed by both."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take any text: files are looked for when the model is loaded."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the models whose name begins so; where none does, let the shell offer files."""
        begun = incomplete.casefold()
        names = [
            CompletionItem(name, help=model.title)
            for model in catalogue()
            for name in (model.name, *model.aliases)
            if name.casefold().startswith(begun)
        ]
        return names or [CompletionItem(incomplete, type="file")]


class PresetName(click.ParamType[str]):
    """A name of `vsr presets`, completed by them."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take any text: a preset is looked for when all options are known."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the presets whose name begins so."""
        try:
            names = preset_names()
        except VsrError:
            return []
        return [
            CompletionItem(name, help=layer.about)
            for name, layer in names.items()
            if name.startswith(incomplete)
        ]
