"""Promises: every option can be compared, and the command of a setting is that setting."""

from __future__ import annotations

import dataclasses
import shlex
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import pytest

from vsr.cli.commands.upscale import upscale
from vsr.cli.main import cli
from vsr.cli.options import upscale_tree
from vsr.errors import UsageError
from vsr.options import Clip, OptionField, UpscaleOptions, leaves, with_keywords
from vsr.options.keywords import keyword
from vsr.report.settings import arguments, command, rivals

SAMPLES: dict[Any, Any] = {str: "a b'c", Path: Path("/srv/my models"), Fraction: Fraction(4, 3)}
# Where not every value will do.
VALID = {
    "model.denoise": 0.25, "model.strength": 0.5, "size.fit": (1920, 1080),
    "device.batch": 3, "device.tile": 128, "device.label": ("rack", "3"),
    "device.overlap": 5, "device.workers": 2, "device.threads": 3, "temporal.grain": 0.5,
    "source.clips": (Clip.parse("1:20-1:30"), Clip.parse("80f+48f")), "source.follow": 2.5,
    "source.patience": 7.0, "source.stream": 2, "encode.crf": 20.5, "encode.colours": 64,
    "encode.encoder_options": (("tune", "animation"), ("x", "a=b")), "jobs.segment": 3.0,
    "size.height": 720, "source.crop": "704:480:8:0",
}  # fmt: skip


def other_value(leaf: OptionField) -> Any:
    kind = leaf.inner_type
    if leaf.path in VALID:
        return VALID[leaf.path]
    if kind is bool:
        return not leaf.default
    if typing.get_origin(kind) is Literal:
        return next(value for value in typing.get_args(kind) if value != leaf.default)
    return SAMPLES[kind]


def changed(leaf: OptionField) -> UpscaleOptions:
    group, name = leaf.path.split(".")
    options = UpscaleOptions()
    inner = dataclasses.replace(getattr(options, group), **{name: other_value(leaf)})
    return dataclasses.replace(options, **{group: inner})


def parsed(words: list[str]) -> UpscaleOptions:
    """What `vsr upscale` makes of its arguments."""
    # click keeps what its first context made of a command, for all that come later.
    with upscale.make_context("upscale", words, **cli.context_settings) as context:
        return upscale_tree(context.params)


@pytest.mark.parametrize("leaf", list(leaves(UpscaleOptions)), ids=lambda leaf: leaf.path)
def test_a_command_says_every_option(leaf: OptionField) -> None:
    options = changed(leaf)
    words = shlex.split(command("-odd name's.mkv", options))
    assert words[:3] == ["vsr", "upscale", "./-odd name's.mkv"]
    assert parsed(words[2:]) == options


def test_a_command_says_nothing_that_goes_without_saying() -> None:
    assert arguments(UpscaleOptions()) == []
    assert command("a b.mkv", UpscaleOptions(), "c.mkv") == "vsr upscale 'a b.mkv' -o c.mkv"


def test_rivals_differ_from_what_is_given_in_one_option_each() -> None:
    given = with_keywords(UpscaleOptions(), {"height": 720})
    found = rivals(given, ["model=animevideov3,x4plus", "temporal.filter=off,strong", "scale=2"])
    assert [setting.label for setting in found] == [
        "model=animevideov3, temporal_filter=off", "model=x4plus", "temporal_filter=strong",
        "scale=2",
    ]  # fmt: skip
    assert found[1].options == with_keywords(given, {"model": "x4plus"})
    assert found[3].options.size == with_keywords(UpscaleOptions(), {"scale": "2"}).size


@pytest.mark.parametrize(
    ("name", "value"),
    [("temporal-filter", "light"), ("--temporal-filter", "light"), ("temporal_filter", "light"),
     ("crf", "20"), ("encode.crf", "20"), ("deflicker", "on"), ("bits", "10"), ("grain", "keep"),
     ("keep-colours", "off"), ("tile", "128"), ("square", "yes"), ("size", "640x360")],
)  # fmt: skip
def test_options_are_named_as_anywhere(name: str, value: str) -> None:
    assert len(rivals(UpscaleOptions(), [f"{name}={value}"])) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle=x4plus", "did you mean model"),
        ("model", "OPTION=VALUE"),
        ("crf=low", "no value"),
        ("reuse=sometimes", "must be one of"),
        ("clip=1-2", "cannot be compared"),
        ("stream=2", "cannot be compared"),
        ("crf=" + ",".join(map(str, range(12, 30))), "fit on a page"),
    ],
)
def test_a_comparison_that_cannot_be_is_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rivals(UpscaleOptions(), [text])


def test_every_option_has_a_name_to_compare_by() -> None:
    for leaf in leaves(UpscaleOptions):
        group, name = leaf.path.split(".")
        if leaf.default != () and (group != "source" or name == "deinterlace"):
            value = other_value(leaf)
            joint = "=" if leaf.path == "device.label" else "x"
            text = joint.join(map(str, value)) if isinstance(value, tuple) else str(value)
            found = rivals(UpscaleOptions(), [f"{keyword(leaf)}={text}"])
            assert len(found) == 2, leaf.path
            assert found[1].options == changed(leaf), leaf.path
