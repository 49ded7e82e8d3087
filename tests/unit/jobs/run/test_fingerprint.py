"""No work that was begun with other options is joined to a job: all that changes pixels counts."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from vsr.engine.cache import EngineCache
from vsr.events import silent
from vsr.jobs.plan.segments import cut_at_keyframes
from vsr.jobs.plan.source import OpenedSource
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.fingerprint import differences, fingerprint, taken_over_from
from vsr.jobs.run.upscale import prepare
from vsr.media.read.keyframes import keyframes
from vsr.options import Clip, Moment

# Another value of each option, and whether the same job may go on with it.
_GOES_ON, _OTHER_PIXELS = True, False
_OPTIONS: dict[str, tuple[Any, bool]] = {
    "model.name": ("bicubic", _OTHER_PIXELS),
    "model.then": ("animevideov3", _OTHER_PIXELS),
    "model.denoise": (0.5, _OTHER_PIXELS),
    "model.activation": ("leakyrelu", _OTHER_PIXELS),
    "model.folder": (Path("elsewhere"), _GOES_ON),
    "model.mirror": ("https://mirror.example", _GOES_ON),
    "model.offline": (True, _GOES_ON),
    "model.keep_colours": (False, _OTHER_PIXELS),
    "model.consistent": ("2", _OTHER_PIXELS),
    "model.strength": (0.5, _OTHER_PIXELS),
    "size.scale": (Fraction(3), _OTHER_PIXELS),
    "size.fit": ((400, 300), _OTHER_PIXELS),
    "size.height": (300, _OTHER_PIXELS),
    "size.square": (True, _OTHER_PIXELS),
    "device.device": ("auto", _GOES_ON),
    "device.precision": ("bf16", _OTHER_PIXELS),
    "device.engine": ("ncnn", _OTHER_PIXELS),
    "device.reuse": ("exact", _OTHER_PIXELS),
    "device.batch": (3, _GOES_ON),
    "device.tile": (64, _OTHER_PIXELS),
    "device.overlap": (4, _OTHER_PIXELS),
    "device.threads": (2, _GOES_ON),
    "device.workers": (2, _GOES_ON),
    "device.cluster": ("auto", _GOES_ON),
    "device.label": (("kind", "a"), _GOES_ON),
    "temporal.filter": ("strong", _OTHER_PIXELS),
    "temporal.deflicker": (True, _OTHER_PIXELS),
    "temporal.grain": (0.5, _OTHER_PIXELS),
    "source.clips": ((Clip(end=Moment(frame=20)),), _OTHER_PIXELS),
    "source.follow": (2.0, _GOES_ON),
    "source.patience": (5.0, _GOES_ON),
    "source.crop": ("auto", _OTHER_PIXELS),
    "source.deinterlace": ("off", _OTHER_PIXELS),
    "source.strict": (True, _GOES_ON),
    "source.stream": (0, _OTHER_PIXELS),
    "source.fps": (Fraction(12), _OTHER_PIXELS),
    "colour.matrix": ("bt709", _OTHER_PIXELS),
    "colour.range": ("full", _OTHER_PIXELS),
    "encode.codec": ("h265", _OTHER_PIXELS),
    "encode.crf": (30.0, _OTHER_PIXELS),
    "encode.preset": ("veryfast", _OTHER_PIXELS),
    "encode.bits": (10, _OTHER_PIXELS),
    "encode.chroma": ("420", _OTHER_PIXELS),
    "encode.colours": (16, _OTHER_PIXELS),
    "encode.encoder_options": ((("tune", "film"),), _OTHER_PIXELS),
    "encode.pipe_format": ("y4m", _GOES_ON),
    "encode.audio": (False, _GOES_ON),  # parts are of pictures alone
    "encode.overwrite": (True, _GOES_ON),
    "jobs.segment": (0.4, _OTHER_PIXELS),  # an encoder begins anew in each
    "jobs.restart": (True, _GOES_ON),
}
_SETTLED = {
    "model.name",
    "model.then",
    "device.precision",
    "device.engine",
    "jobs.segment",
}  # by the plan


def test_the_list_is_complete() -> None:
    tree = vsr.UpscaleOptions()
    named = {
        f"{group.name}.{option.name}"
        for group in dataclasses.fields(tree)
        for option in dataclasses.fields(getattr(tree, group.name))
    }
    assert named == set(_OPTIONS)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judge.talkie(tmp_path_factory.mktemp("film") / "film.mkv", 2)


@pytest.fixture
def base(tmp_path: Path) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=str(tiny_weights(tmp_path))),
        device=vsr.DeviceOptions(device="cpu", precision="fp32", engine="torch"),
        jobs=vsr.JobOptions(segment=1.0),
    )


def of(film: Path, planned: vsr.UpscaleOptions, asked: vsr.UpscaleOptions) -> dict[str, Any]:
    taken = OpenedSource(path=film, output=film.with_name("out.mkv"))
    run = prepare(taken, planned, EngineCache(), Hooks(sink=silent))
    job = run.plan
    index = keyframes(job.source)
    parts = cut_at_keyframes(job.spans, index, job.source.video.time_base, planned.jobs.segment)
    return fingerprint(job, parts, run.model, run.engine, asked)


@pytest.mark.parametrize("name", _OPTIONS)
def test_each_option_that_changes_pixels_makes_another_job(
    film: Path, base: vsr.UpscaleOptions, name: str
) -> None:
    value, goes_on = _OPTIONS[name]
    group, option = name.split(".")
    changed = dataclasses.replace(getattr(base, group), **{option: value})
    other = dataclasses.replace(base, **{group: changed})
    assert getattr(changed, option) != getattr(getattr(base, group), option)
    planned = other if name in _SETTLED else base
    found = differences(of(film, base, base), of(film, planned, other))
    assert (found == []) is goes_on, found


def test_a_job_begun_before_an_option_was_renamed_is_the_same_job(
    film: Path, base: vsr.UpscaleOptions
) -> None:
    before = of(film, base, base)
    assert before["options"]["temporal"] == {"stabilise": "off", "deflicker": False, "grain": 0.0}
    other = dataclasses.replace(base, temporal=vsr.TemporalOptions(filter="light"))
    assert differences(before, of(film, base, other)) == ["temporal.filter: off -> light"]


@pytest.mark.parametrize(
    ("codec", "chosen", "found"),
    [
        ("libx264", {}, []),
        ("libx264", {"consistent": "off"}, []),
        ("libx264", {"consistent": "2"}, ["model.consistent: None -> 2"]),
        ("libx264", {"strength": 0.5}, ["model.strength: None -> 0.5"]),
        ("ffv1", {}, ["model.consistent: None -> auto"]),
        ("ffv1", {"consistent": "off"}, []),
        ("ffv1", {"keep_colours": False}, ["model.keep_colours: True -> False"]),
    ],
)
def test_a_job_begun_before_consistency_goes_on_where_its_pixels_are_the_same(
    tmp_path: Path, base: vsr.UpscaleOptions, codec: str, chosen: dict[str, Any], found: list[str]
) -> None:
    film = judge.make(tmp_path / "film.mkv", "testsrc2=s=32x24:d=0.4", "-c:v", codec)
    asked = dataclasses.replace(base, model=dataclasses.replace(base.model, **chosen))
    before, after = of(film, base, base), of(film, base, asked)
    for name in ("consistent", "strength"):
        before["options"]["model"].pop(name, None)
    assert differences(before, after) == found


@pytest.mark.parametrize(("codec", "goes_on"), [("libx264", True), ("ffv1", False)])
def test_a_job_of_the_networks_own_goes_on_where_auto_is_that(
    tmp_path: Path, base: vsr.UpscaleOptions, codec: str, goes_on: bool
) -> None:
    film = judge.make(tmp_path / "film.mkv", "testsrc2=s=32x24:d=0.4", "-c:v", codec)
    off = dataclasses.replace(base, model=dataclasses.replace(base.model, consistent="off"))
    before, after = of(film, base, off), of(film, base, base)
    assert (differences(before, after) == []) is goes_on
    before["options"]["model"]["consistent"] = "auto"  # as it was written down at first
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        ("cuda fp16", "torch fp16", True),
        ("cuda-fp16-sums fp16", "torch fp16", True),
        ("cuda fp16", "torch bf16", False),
        ("cuda fp16", "torch fp32", False),
        ("torch fp16", "cuda fp16", False),
        ("cuda fp16", "cuda-fp16-sums fp16", False),
        ("ncnn fp32", "torch fp32", False),
        ("vulkan fp16", "torch bf16", True),
        ("vulkan fp16", "ncnn fp32", True),
        ("vulkan fp32", "torch fp32", True),
        ("vulkan fp32", "torch bf16", False),
        ("vulkan fp16", "vulkan fp32", False),
        ("torch fp32", "vulkan fp32", False),
    ],
)
def test_another_engine_goes_on_where_a_gpu_has_failed_and_the_precision_is_alike(
    before: str, after: str, goes_on: bool
) -> None:
    old, new = (
        {"engine": told.split(), "ncnn": "1" if told[0] in "nv" else None}
        for told in (before, after)
    )
    assert (differences(old, new) == []) is goes_on
    assert (taken_over_from(old["engine"], new["engine"]) is not None) is goes_on
    assert taken_over_from(old["engine"], old["engine"]) is None
