"""Promises of the options tree: one object in several ways of writing; no bad value inside."""

from __future__ import annotations

import dataclasses
import json
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from vsr.cli.options import for_people, upscale_options, upscale_tree
from vsr.errors import UsageError, worded
from vsr.options import (
    DeviceOptions,
    EncodeOptions,
    MetricsOptions,
    ModelOptions,
    SizeOptions,
    UpscaleOptions,
    from_dict,
    leaves,
    to_dict,
)

FULL = UpscaleOptions(
    model=ModelOptions(name="x.pth", denoise=0.25, folder=Path("/w"), mirror="http://m"),
    size=SizeOptions(fit=(1920, 1080)),
    device=DeviceOptions(device="cuda:1", precision="fp32", batch=3, tile=128, overlap=20),
    encode=EncodeOptions(codec="av1", crf=20.5, bits=10, encoder_options=(("a", "b"), ("c", "d"))),
)


@pytest.mark.parametrize(
    "options", [UpscaleOptions(), FULL, UpscaleOptions(size=SizeOptions(scale=Fraction(4, 3)))]
)
def test_json_round_trip(options: UpscaleOptions) -> None:
    assert from_dict(UpscaleOptions, json.loads(json.dumps(to_dict(options)))) == options


def test_metrics_options_go_through_json_too() -> None:
    options = MetricsOptions(metrics=("ssim", "vmaf"), resize="lanczos", fps=Fraction(24000, 1001))
    for tree in (options, MetricsOptions()):
        assert from_dict(MetricsOptions, json.loads(json.dumps(to_dict(tree)))) == tree
    bad: list[dict[str, Any]] = [
        {"metrics": ["lpips"]}, {"metrics": []}, {"resize": "area"}, {"fps": "0"},
    ]  # fmt: skip
    for wrong in bad:
        with pytest.raises(UsageError):
            from_dict(MetricsOptions, wrong)


@pytest.mark.parametrize(
    "data",
    [
        {"modle": {}},
        {"model": {"nmae": "x"}},
        {"encode": {"codec": "h266"}},
        {"encode": {"overwrite": "yes"}},
        {"device": {"batch": "many"}},
        {"size": {"scale": "0/0"}},
    ],
)
def test_what_does_not_belong_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        from_dict(UpscaleOptions, data)


def test_bad_values_are_refused_when_the_tree_is_built() -> None:
    with pytest.raises(UsageError):
        ModelOptions(denoise=1.5)
    with pytest.raises(UsageError):
        SizeOptions(scale=Fraction(2), height=720)
    with pytest.raises(UsageError):
        SizeOptions(scale=Fraction(0))
    with pytest.raises(UsageError):
        SizeOptions(height=-1)
    with pytest.raises(UsageError):
        DeviceOptions(tile=3)
    with pytest.raises(UsageError):
        DeviceOptions(batch=0)
    with pytest.raises(UsageError):
        EncodeOptions(bits=9)  # type: ignore[arg-type]


TREES: list[type[Any]] = [UpscaleOptions, MetricsOptions]


@pytest.mark.parametrize("tree", TREES)
def test_every_option_is_in_the_table_once(tree: type[Any]) -> None:
    """No field is without its flag and its help, and no flag or variable is given twice."""

    def fields(kind: type[Any]) -> int:
        inner = list(typing.get_type_hints(kind).values())
        groups = [hint for hint in inner if dataclasses.is_dataclass(hint)]
        return len(inner) - len(groups) + sum(fields(typing.cast("Any", g)) for g in groups)

    table = list(leaves(tree))
    assert len(table) == fields(tree)
    assert all(leaf.option.help for leaf in table)
    said = [flag for leaf in table for flag in (*leaf.option.flags, *leaf.option.former_flags)]
    assert len(said) == len(set(said))
    assert len({leaf.environment for leaf in table}) == len(table)


def test_an_error_names_its_option_as_each_front_end_does() -> None:
    with pytest.raises(UsageError) as caught:
        SizeOptions(scale=Fraction(99))
    assert caught.value.options == ("size.scale",)
    assert str(caught.value) == "scale 99: must lie between 1/16 and 64"
    assert for_people(caught.value.text) == "--scale 99: must lie between 1/16 and 64"
    assert worded("<x.mkv>: is <size.scale>", {"size.scale": "s"}) == "<x.mkv>: is s"


@pytest.mark.parametrize(
    ("former", "now", "value"),
    [("--stabilise", "--temporal-filter", "light"), ("--part", "--segment", "2.5")],
)
def test_former_flags_are_understood_and_say_what_they_are_called_now(
    former: str, now: str, value: str
) -> None:
    built: list[UpscaleOptions] = []

    @click.command()
    @upscale_options
    def command(**values: Any) -> None:
        built.append(upscale_tree(values))

    for flag in (former, now):
        done = CliRunner().invoke(command, [flag, value])
        assert done.exit_code == 0, done.output
        assert (f"{former} is called {now} now" in done.stderr) == (flag == former)
    variable = "VSR" + former[1:].replace("-", "_").upper()
    CliRunner().invoke(command, [], env={variable: value})
    assert built[0] == built[1] == built[2] != UpscaleOptions()
