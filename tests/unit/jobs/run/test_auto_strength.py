"""`--temporal-filter auto`: the level that the film asks for, the same in every run of a job."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vsr
from tests.support import judge
from tests.support.jobs import After
from vsr.engine.torch_engine import TorchEngine
from vsr.errors import Stopped
from vsr.events import Event, Note
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.options import FilterStrength
from vsr.stages.device.tiles import infer

SCENE = "mandelbrot=s=128x96:r=12:start_scale=0.4:end_scale=0.4"


def options(strength: FilterStrength = "auto", model: str = "animevideov3") -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        temporal=vsr.TemporalOptions(filter=strength),
        size=vsr.SizeOptions(scale=Fraction(2)),
        encode=vsr.EncodeOptions(codec="ffv1"),
        jobs=vsr.JobOptions(segment=0.5),
    )


def made(folder: Path, noise: int) -> Path:
    return judge.make(
        folder / f"noise {noise}.mkv", SCENE, "-t", "1.5", "-vf",
        f"noise=all_seed=3:alls={noise}:allf=t", "-c:v", "libx264", "-qp", "4", "-g", "6",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip


def level(source: Path, output: Path, chosen: vsr.UpscaleOptions) -> str:
    """Which one was taken, as it was told; "" if nothing was."""
    heard: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, Note) and "temporal filter: " in event.text:
            heard.append(event.text.split("temporal filter: ")[1].split(",")[0])

    vsr.upscale(source, output, chosen, sink=sink)
    return " ".join(heard)


@pytest.mark.parametrize(("noise", "expected"), [(0, "off"), (4, "light"), (30, "strong")])
def test_a_film_gets_the_level_that_it_asks_for(
    tmp_path: Path, noise: int, expected: FilterStrength
) -> None:
    source = made(tmp_path, noise)
    assert level(source, tmp_path / "auto.mkv", options()) == expected
    assert level(source, tmp_path / "named.mkv", options(expected)) == ""
    assert judge.frames(tmp_path / "auto.mkv") == judge.frames(tmp_path / "named.mkv")


def test_a_job_keeps_the_level_that_it_was_begun_with(tmp_path: Path) -> None:
    source, output = made(tmp_path, 0), tmp_path / "out.mkv"
    with pytest.raises(Stopped):
        vsr.upscale(source, output, options("strong"), stop=After(1))
    told = JobStore(folder_of(output)).job()
    assert told is not None
    assert level(source, output, options()) == ""  # it is not looked at again
    named = vsr.upscale(source, tmp_path / "named.mkv", options("strong")).output
    assert judge.frames(output) == judge.frames(named)


def test_what_invents_nothing_is_left_alone(tmp_path: Path) -> None:
    assert level(made(tmp_path, 30), tmp_path / "out.mkv", options(model="bicubic")) == ""


@pytest.mark.parametrize(("frames", "told"), [(1, ""), (2, "off")])
def test_too_short_to_look_at(tmp_path: Path, frames: int, told: str) -> None:
    source = judge.make(tmp_path / "short.mkv", SCENE, "-frames:v", str(frames), "-c:v", "ffv1")
    assert level(source, tmp_path / "out.mkv", options()) == told


def test_only_what_is_wanted_of_the_film_is_looked_at(tmp_path: Path) -> None:
    """Noise in its second half alone; with uneven clips that are shorter than they are many."""
    source = judge.make(
        tmp_path / "half.mkv", SCENE, "-t", "2", "-vf",
        "noise=all_seed=3:alls=30:allf=t:enable='gte(t,1)'", "-c:v", "ffv1", "-g", "1",
    )  # fmt: skip

    def of(*clips: str) -> str:
        chosen = options()
        wanted = vsr.SourceOptions(clips=tuple(vsr.Clip.parse(clip) for clip in clips))
        output = tmp_path / f"{len(list(tmp_path.iterdir()))}.mkv"
        return level(
            source, output,
            vsr.UpscaleOptions(
                model=chosen.model, temporal=chosen.temporal, size=chosen.size,
                encode=chosen.encode, source=wanted,
            ),
        )  # fmt: skip

    assert of("0f-10f") == "off"
    assert of("0f-2f", "22f-24f") == "off"  # what lies between them is not wanted
    assert of("13f-20f") == "strong"
    assert of("20f-24f", "14f-18f") == "strong"


def test_what_another_film_was_begun_with_is_forgotten(tmp_path: Path) -> None:
    """Killed before its first part was finished, it will be begun anew."""
    output = tmp_path / "out.mkv"
    with JobStore(folder_of(output)) as store:
        store.begin({"options": {"temporal": {"stabilise": "strong"}}})
    assert level(made(tmp_path, 0), output, options()) == "off"


def test_telecined_film_is_looked_at_as_it_is_restored(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "telecined.mkv", SCENE.replace("r=12", "r=24000/1001"), "-t", "1.5", "-vf",
        "noise=all_seed=3:alls=30:allf=t,telecine", "-c:v", "mpeg2video", "-q:v", "2", "-g", "6",
        "-flags", "+ildct+ilme", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    chosen = dataclasses.replace(options(), source=vsr.SourceOptions(deinterlace="ivtc"))
    assert level(source, tmp_path / "out.mkv", chosen) in {"light", "strong"}


def test_numbers_too_large_for_16_bits_are_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widened: list[TorchEngine] = []

    def overflows(engine: Any, rgb: Tensor, **how: Any) -> Tensor:
        drawn = infer(engine, rgb, **how)
        return drawn if widened else drawn + torch.inf

    monkeypatch.setattr("vsr.stages.device.stage.infer", overflows)

    def fall_back_to_fp32(engine: TorchEngine) -> bool:
        widened.append(engine)
        return True

    monkeypatch.setattr(TorchEngine, "fall_back_to_fp32", fall_back_to_fp32)
    chosen = dataclasses.replace(options(), device=vsr.DeviceOptions(engine="torch"))
    assert level(made(tmp_path, 0), tmp_path / "out.mkv", chosen) == "off"
    assert len(widened) == 1


def test_without_the_memory_to_look_the_film_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*given: Any, **how: Any) -> Tensor:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("vsr.jobs.run.auto_strength._upscaled", exhausted)
    assert level(made(tmp_path, 0), tmp_path / "out.mkv", options()) == "light"
