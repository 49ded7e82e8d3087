"""Promise: an input says what the command line says, and nothing that is not a client's to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vsr.options import UpscaleOptions, leaves
from vsr.server.inputs import fields, read_input
from vsr.server.refusals import Refused
from vsr.server.schema import input_schema, openapi
from vsr.server.store.records import SourceKind
from vsr.server.store.uploads import safe_name

# What a server decides. A new option is looked at before it stands here, or is a client's.
_THE_SERVERS = {
    "model.folder", "model.mirror", "model.offline",
    "device.device", "device.workers", "device.threads", "device.cluster", "device.label",
    "source.follow", "source.patience",
    "encode.encoder_options", "encode.pipe_format", "encode.overwrite",
    "jobs.restart",
}  # fmt: skip
_TEXTS = {"model", "then", "crop", "preset"}


class _Finder:
    def source(self, given: str) -> tuple[SourceKind, str]:
        return "path", f"/films/{given}"

    def weights(self, given: str) -> Path:
        raise Refused(422, f"model: {given} is looked for in the folders")


def _words(**input: Any) -> list[str]:
    return list(read_input({"source": "a.mkv", **input}, "upscale", _Finder()).words)


def test_each_option_is_a_clients_or_the_servers() -> None:
    clients = {leaf.path for leaf in fields().values()}
    assert {leaf.path for leaf in leaves(UpscaleOptions)} - clients == _THE_SERVERS
    assert {name for name, leaf in fields().items() if leaf.inner_type is str} == _TEXTS


def test_what_is_given_is_said_though_it_is_the_default() -> None:
    """Or the settings of the machine would count instead."""
    assert _words(audio=True, crf=18, clip=["0-1", "2-3"], size="640x480") == [
        "--size", "640x480", "--clip", "0-1", "--clip", "2-3", "--crf", "18", "--audio",
    ]  # fmt: skip
    assert _words(reuse="off", scale=1.5) == ["--scale", "3/2", "--reuse", "off"]
    assert _words(keep_colours=False, square=False) == ["--network-colours"]
    assert _words(model="animevideov3", denoise=None) == ["--model", "realesr-animevideov3"]
    assert _words(**{"for": "anime", "height": 720}) == ["--for", "anime", "--height", "720"]


def test_models_are_named_or_lie_in_the_folders() -> None:
    for option in ("model", "then"):
        with pytest.raises(Refused, match="looked for in the folders"):
            _words(**{option: "/etc/a.safetensors"})
        with pytest.raises(Refused, match=f"{option}: nix: no model"):
            _words(**{option: "nix"})


def test_words_that_no_process_can_be_given_are_refused() -> None:
    for text in ("a\0b", "\ud800", "x" * 5000):
        with pytest.raises(Refused, match="preset: is too long, or has characters"):
            _words(preset=text)
    long = {"source": "a.mkv", "compare": ["height=" + ",".join(["240"] * 50_000)]}
    with pytest.raises(Refused, match="compare: is too long"):
        read_input(long, "preview", _Finder())
    assert _words(preset="x" * 4000)


def test_the_schema_has_what_an_input_may_have() -> None:
    schema = input_schema()
    assert set(schema["properties"]) == {
        *fields(), "source", "output", "for", "compare", "at", "seconds",
    }  # fmt: skip
    for name, one in schema["properties"].items():
        assert one["description"], name
        assert {"type", "enum", "anyOf"} & set(one), name
    document = openapi("http://x")
    assert set(document["components"]["schemas"]["Input"]["properties"]) == set(
        schema["properties"]
    )


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("film.mkv", "film.mkv"), ("../../etc/passwd", "passwd"), ("a\\b.mp4", "b.mp4"),
        ("x.m3u8", "x"), ("x.m3u8.m3u8", "x"), (".hidden", "hidden"), ("", "film"), ("..", "film"),
        ("a%05d.png", "a_05d.png"), ("upload.json", "upload.json_"), ("sha256", "sha256_"),
        ("<b>\0.mp4", "_b__.mp4"), ("-x.mp4", "-x.mp4"), ("å" * 300 + ".mp4", "å" * 60 + ".mp4"),
    ],
)  # fmt: skip
def test_names_of_uploads_are_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
