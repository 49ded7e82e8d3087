"""Promises of the options tree: one object in several ways of writing; no bad value inside."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vsr.errors import UsageError
from vsr.options import (
    DeviceOptions,
    EncodeOptions,
    MetricsOptions,
    ModelOptions,
    SizeOptions,
    UpscaleOptions,
    from_dict,
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
        EncodeOptions(bits=9)
