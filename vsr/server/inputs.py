"""The `input` of a job, read: options by their names in Python, checked by the one table of them.

Some options are not a client's to set: where the server computes, what it fetches from where,
what it writes over. What is wrong is said by the names of the API.
"""

from __future__ import annotations

import itertools
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from vsr.config import Layer, settle
from vsr.config.places import preset
from vsr.errors import UnknownModel, VsrError, worded
from vsr.nets.catalogue import find
from vsr.nets.weight_files import SUFFIXES
from vsr.options import (
    Moment,
    OptionField,
    UpscaleOptions,
    keyword,
    keywords_of,
    leaves,
    with_keywords,
)
from vsr.options.keywords import option_value
from vsr.report.settings import arguments, rivals
from vsr.server.refusals import Refused
from vsr.server.store.records import SourceKind

# The server's own: devices, its disk, what is fetched. An encoder's own options name files.
_NOT_A_CLIENTS = frozenset({
    "model.folder", "model.mirror", "model.offline",
    "device.device", "device.workers", "device.threads", "device.cluster", "device.label",
    "source.follow", "source.patience",
    "encode.encoder_options", "encode.pipe_format", "encode.overwrite",
    "jobs.restart",
})  # fmt: skip
# Text that names no file. Any other that an option takes is the server's until it stands here.
_TEXTS = frozenset({"source.crop", "encode.preset"})
_MODELS = frozenset({"model.name", "model.then"})
_PRESET = "for"
BESIDES = ("source", "output", _PRESET)  # what an input has besides options
OF_PREVIEWS = ("compare", "at", "seconds")  # ... of a preview, too
_NAME = re.compile(r"[\w][\w .()\[\]-]{0,119}")
_MOST_SECONDS = 600.0  # that each setting of a preview may take
_NO_WORD = "is too long, or has characters that no command line takes"
_LONGEST = 4096  # bytes of a word of the command line; systems take 128 KiB


class Finder(Protocol):
    """Who knows where sources are."""

    def source(self, given: str) -> tuple[SourceKind, str]:
        """Return what `given` names. Raises Refused."""

    def weights(self, given: str) -> Path:
        """Return the weight file that `given` names. Raises Refused."""


@dataclass(frozen=True, kw_only=True)
class JobInput:
    """What a job is made of."""

    kind: SourceKind
    source: str
    words: tuple[str, ...]  # of the command line, without the names of files
    output: str | None = None


@cache
def fields() -> Mapping[str, OptionField]:
    """Return the options that a client may give, by their names."""
    return {keyword(leaf): leaf for leaf in leaves(UpscaleOptions) if _is_a_clients(leaf)}


def _is_a_clients(leaf: OptionField) -> bool:
    if leaf.path in _NOT_A_CLIENTS:
        return False
    kind = leaf.inner_type
    inner = () if typing.get_origin(kind) is Literal else typing.get_args(kind)
    is_text = not {str, Path}.isdisjoint({kind, *inner, *(typing.get_args(i) for i in inner)})
    return not is_text or leaf.path in _TEXTS | _MODELS


def shown(error: VsrError) -> str:
    """Return what an error says, with options by their names here."""
    names = {leaf.path: keyword(leaf) for leaf in leaves(UpscaleOptions)}
    return worded(error.text, {"output": "output", **names})


def read_input(data: Mapping[str, Any], task: str, finder: Finder) -> JobInput:
    """Read the input of a job. Raises Refused, with what is wrong and a name that may be meant."""
    try:
        return _read(data, task, finder)
    except Refused:
        raise
    except VsrError as error:
        raise Refused(422, shown(error)) from error


def _read(data: Mapping[str, Any], task: str, finder: Finder) -> JobInput:
    source = _text(data, "source")
    if source is None:
        raise Refused(422, "source: is missing: a path, an upload, or an address")
    output = _text(data, "output")
    if output is not None and (_NAME.fullmatch(output) is None or not Path(output).suffix):
        raise Refused(422, "output: must be a file's name such as film_4x.mkv, without a folder")
    besides = (*BESIDES, *(OF_PREVIEWS if task == "preview" else ()))
    given = {name: value for name, value in data.items() if name not in besides}
    options, words = _options(given, _text(data, _PRESET), finder)
    if task == "preview":
        words += _of_preview(data, options)
    for flag, word in itertools.pairwise(("", *words)):
        if not _is_word(word):
            name = flag.removeprefix("--").replace("-", "_")
            raise Refused(422, f"{name}: {_NO_WORD}")
    kind, place = finder.source(source)
    return JobInput(kind=kind, source=place, words=tuple(words), output=output)


def _is_word(text: str) -> bool:
    """Return whether a process can be given it."""
    try:
        return "\0" not in text and len(text.encode()) <= _LONGEST
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can spell
        return False


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise Refused(422, f"{name}: must be text")
    return value


def _options(
    given: Mapping[str, Any], preset_name: str | None, finder: Finder
) -> tuple[UpscaleOptions, list[str]]:
    """Return the options with those of the preset, and the words that say so."""
    taken = {name: value for name, value in given.items() if value is not None}
    known = keywords_of(UpscaleOptions)
    for name in taken:
        if name in known and not _is_a_clients(known[name]):
            raise Refused(422, f"{name}: is set by the server, not by a job")
    own = with_keywords(UpscaleOptions(), taken)  # says of a name that nobody knows what is meant
    values = {known[name].path: option_value(known[name], taken[name]) for name in taken}
    for name, leaf in fields().items():
        if leaf.path in _MODELS & values.keys():
            values[leaf.path] = _model(name, values[leaf.path], finder)
            own = with_keywords(own, {name: values[leaf.path]})
    words = arguments(own, values)
    if preset_name is None:
        return own, words
    layer = Layer(name="the input", values=values, preset=preset_name, is_typed=True)
    settled = settle([layer], preset)
    names = {leaf.path: keyword(leaf) for leaf in leaves(UpscaleOptions)}
    named = {names[path]: value for path, value in settled.values.items()}
    return with_keywords(UpscaleOptions(), named), ["--for", preset_name, *words]


def _model(option: str, name: str, finder: Finder) -> str:
    """Return the model's own name, or the file in a source folder that it is."""
    try:
        return find(name).name
    except UnknownModel as error:
        if Path(name).suffix.lower() in SUFFIXES:
            return str(finder.weights(name))
        raise Refused(
            422, f"{option}: {error.text.replace('`vsr models`', '/v1/models')}"
        ) from error


def _of_preview(data: Mapping[str, Any], options: UpscaleOptions) -> list[str]:
    words = []
    comparisons = _list(data, "compare")
    for text in comparisons:
        name, _, values = text.partition("=")
        word = name.strip().removeprefix("--").rpartition(".")[2].replace("-", "_")
        if word not in fields():
            raise Refused(422, f"compare: {word}: is no option of a job that can be compared")
        if fields()[word].path in _MODELS:
            for one in values.split(","):
                find(one.strip())
        words += ["--compare", f"{word}={values}"]
    rivals(options, [word for word in words if word != "--compare"])
    for text in _list(data, "at"):
        Moment.parse(text)
        words += ["--at", text]
    seconds = data.get("seconds")
    if seconds is not None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Refused(422, "seconds: must be a number")
        if not 0 <= seconds <= _MOST_SECONDS:
            raise Refused(422, f"seconds: must lie between 0 and {_MOST_SECONDS:g}")
        words += ["--seconds", f"{seconds:g}"]
    return words


def _list(data: Mapping[str, Any], name: str) -> list[str]:
    value = data.get(name)
    several = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, str) and one for one in several):
        raise Refused(422, f"{name}: must be a list of texts")
    if not _is_word("".join(several)):  # before each value is looked at, which takes a while
        raise Refused(422, f"{name}: {_NO_WORD}")
    return several
