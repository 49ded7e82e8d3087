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

import vsr
from vsr.cli.main import cli
from vsr.cli.options import for_people, upscale_options, upscale_tree
from vsr.errors import UsageError, worded
from vsr.options import (
    Clip,
    DeviceOptions,
    EncodeOptions,
    JobOptions,
    MetricsOptions,
    ModelOptions,
    Moment,
    SizeOptions,
    SourceOptions,
    TemporalOptions,
    UpscaleOptions,
    from_dict,
    leaves,
    to_dict,
    with_keywords,
)
from vsr.train.options import FinetuneOptions, TrainOptions

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


TREES: list[type[Any]] = [UpscaleOptions, MetricsOptions, TrainOptions, FinetuneOptions]
NO_OPTIONS = {TrainOptions: {"clean", "damage"}}  # what training learns from, and a file


@pytest.mark.parametrize("tree", TREES)
def test_every_option_is_in_the_table_once(tree: type[Any]) -> None:
    """No field is without its flag and its help, and no flag or variable is given twice."""
    left_out = NO_OPTIONS.get(tree, set())

    def fields(kind: type[Any]) -> int:
        hints = typing.get_type_hints(kind)
        inner = [hint for name, hint in hints.items() if name not in left_out]
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


def test_what_trains_reads_no_variables_but_says_its_flags() -> None:
    """`VSR_CLIP=1:20-1:30` and `VSR_SCALE=2` are for films; a training takes neither."""
    words = ["train", "film.mkv", "-o", "x.pth", "--patch", "8"]
    told = CliRunner().invoke(cli, words, env={"VSR_CLIP": "1:20-1:30", "VSR_STEPS": "many"})
    assert isinstance(told.exception, UsageError)
    assert for_people(told.exception.text).startswith("--patch 8: from 16 pixels to --area")
    assert str(told.exception).startswith("patch 8: from 16 pixels to area")
    assert for_people("<train.start>, <finetune.minutes>, <like>") == "--from, --minutes, --like"


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


@pytest.mark.parametrize(
    ("group", "former", "name", "keyword", "value"),
    [
        ("temporal", "stabilise", "filter", "temporal_filter", "light"),
        ("jobs", "part", "segment", "segment", 2.5),
    ],
)
def test_former_names_are_understood_with_a_warning_in_calls_and_in_json(
    group: str, former: str, name: str, keyword: str, value: Any
) -> None:
    kind: Any = {"temporal": TemporalOptions, "jobs": JobOptions}[group]
    tree = UpscaleOptions(**{group: kind(**{name: value})})
    with pytest.warns(DeprecationWarning, match=f"^{former} is called {name} now") as warned:
        assert kind(**{former: value}) == getattr(tree, group)
    assert warned[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=f"^{former} is called {name} now"):
        assert from_dict(UpscaleOptions, {group: {former: value}}) == tree
    with pytest.warns(DeprecationWarning, match=f"^{former} is called {keyword} now"):
        assert with_keywords(UpscaleOptions(), {former: value}) == tree
    assert former not in to_dict(tree)[group]


def test_options_by_name_are_those_of_the_tree() -> None:
    given = {
        "model": "x4plus", "size": "1920x1080", "grain": "keep", "fps": 1.1, "bits": 10,
        "clip": ["1:20-1:30", Clip(start=Moment(frame=3))], "encoder_option": [("a", "b")],
        "temporal_filter": "light", "models_dir": Path("/w"), "overwrite": True,
    }  # fmt: skip
    tree = UpscaleOptions(
        model=ModelOptions(name="x4plus", folder=Path("/w")),
        size=SizeOptions(fit=(1920, 1080)),
        temporal=TemporalOptions(filter="light", grain=1.0),
        source=SourceOptions(
            clips=(Clip.parse("80-90"), Clip(start=Moment(frame=3))), fps=Fraction(11, 10)
        ),
        encode=EncodeOptions(bits=10, encoder_options=(("a", "b"),), overwrite=True),
    )
    assert with_keywords(UpscaleOptions(), given) == tree
    assert with_keywords(tree, {"model": "x2plus"}).size == tree.size


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"heigth": 2}, "heigth: no option is called so; did you mean height?"),
        ({"height": "big"}, "height: 'big' is no height such as 1080, 1080p or 4k"),
        ({"height": 1}, "height 1: must lie between 2 and 32768 pixels"),
        ({"scale": "wide"}, "scale: 'wide' is no number such as 2, 1.5 or 4/3"),
        ({"model": 3}, "model 3: must be text"),
        ({"bits": 9}, "bits 9: must be one of 8, 10"),
        ({"codec": None, "crf": "low"}, "crf 'low': must be a number"),
    ],
)
def test_a_wrong_option_by_name_is_refused_by_its_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        vsr.upscale("film.mkv", **given)
    assert str(caught.value) == said


def test_the_package_shows_its_public_names() -> None:
    assert {"upscale", "UpscaleOptions", "probe", "metrics", "errors"} <= set(dir(vsr))
    assert all(getattr(vsr, name) is not None for name in dir(vsr))
