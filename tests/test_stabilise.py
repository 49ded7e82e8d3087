"""Promise 3, with the flicker filter: no seam between parts, however they came to be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests import judge
from tests.conftest import tiny_weights
from vsr.errors import Stopped
from vsr.options import Stabilise
from vsr.runners.local import several


class After:
    """Asks to stop after so many parts."""

    def __init__(self, parts: int) -> None:
        self._left = parts

    def __call__(self) -> bool:
        self._left -= 1
        return self._left <= 0


def options(stabilise: Stabilise, **others: Any) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        temporal=vsr.TemporalOptions(stabilise=stabilise),
        **{
            "model": vsr.ModelOptions(name="bicubic"),
            "size": vsr.SizeOptions(scale=Fraction(2)),
            "encode": vsr.EncodeOptions(codec="ffv1"),
            "jobs": vsr.JobOptions(part=0.5),
            **others,
        },
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pan with noise, uneven times, B-frames, a cut; keyframes every half second."""
    return judge.make(
        tmp_path_factory.mktemp("film") / "film.mkv",
        "mandelbrot=s=176x120:r=24:start_scale=0.4",
        "-t", "2.5", "-vf",
        "noise=alls=12:allf=t,select='not(eq(mod(n,7),3))',hue=h='if(gt(t,1.2),90,0)'",
        "-fps_mode", "vfr", "-c:v", "libx264", "-g", "12", "-bf", "2", "-crf", "16",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip


@pytest.mark.parametrize("stabilise", ["light", "strong"])
def test_parts_cannot_be_seen(film: Path, tmp_path: Path, stabilise: Stabilise) -> None:
    """In one go, in parts, taken up again at every part, by several processes: bit for bit."""
    whole = options(stabilise, jobs=vsr.JobOptions(part=100))
    one = vsr.upscale(film, tmp_path / "one.mkv", whole)
    expected = judge.frames(one.output)
    assert len(expected) > 40
    assert expected != judge.frames(vsr.upscale(film, tmp_path / "off.mkv", options("off")).output)

    parts = vsr.upscale(film, tmp_path / "parts.mkv", options(stabilise))
    assert judge.frames(parts.output) == expected

    again, stops = tmp_path / "again.mkv", 0
    while True:
        try:
            vsr.upscale(film, again, options(stabilise), stop=After(1))
        except Stopped:
            stops += 1
            continue
        break
    assert stops >= 3
    assert judge.frames(again) == expected

    device = vsr.DeviceOptions(workers=2)
    crew = vsr.upscale(
        film, tmp_path / "crew.mkv", options(stabilise, device=device), runner=several
    )
    assert judge.frames(crew.output) == expected


def test_clips_do_not_look_into_each_other(film: Path, tmp_path: Path) -> None:
    """Joined ones are as each alone."""
    clips = [vsr.Clip.parse(text) for text in ("12f-30f", "4f-10f", "30f-44f")]

    def made(name: str, *chosen: vsr.Clip) -> list[Any]:
        source = vsr.SourceOptions(clips=chosen)
        result = vsr.upscale(film, tmp_path / name, options("light", source=source))
        return [frame.digest for frame in judge.frames(result.output)]

    alone = [made(f"{n}.mkv", clip) for n, clip in enumerate(clips)]
    assert made("joined.mkv", *clips) == [*alone[0], *alone[1], *alone[2]]


@pytest.mark.parametrize("scan", ["bwdif", "ivtc"])
def test_filters_and_parts_and_this_one(tmp_path: Path, scan: Any) -> None:
    fields = "telecine" if scan == "ivtc" else "interlace"
    source = judge.make(
        tmp_path / "fields.mkv", "testsrc2=s=160x96:r=24000/1001:d=2",
        "-vf", f"{fields}", "-c:v", "libx264", "-crf", "10", "-flags", "+ildct", "-g", "12",
    )  # fmt: skip
    chosen = vsr.SourceOptions(deinterlace=scan)
    whole = options("strong", source=chosen, jobs=vsr.JobOptions(part=100))
    one = vsr.upscale(source, tmp_path / "one.mkv", whole)
    output = tmp_path / "many.mkv"
    with pytest.raises(Stopped):
        vsr.upscale(source, output, options("strong", source=chosen), stop=After(2))
    vsr.upscale(source, output, options("strong", source=chosen))
    assert judge.frames(output) == judge.frames(one.output)


def test_with_reuse_each_part_is_its_own(film: Path, tmp_path: Path) -> None:
    model = vsr.ModelOptions(name=str(tiny_weights(tmp_path)))
    chosen = options("light", model=model, device=vsr.DeviceOptions(reuse="safe"))
    one = vsr.upscale(film, tmp_path / "one.mkv", chosen)
    output = tmp_path / "again.mkv"
    with pytest.raises(Stopped):
        vsr.upscale(film, output, chosen, stop=After(2))
    vsr.upscale(film, output, chosen)
    assert judge.frames(output) == judge.frames(one.output)


def test_transparency_and_times_are_kept(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "seen-through.mov",
        "testsrc2=s=64x48:r=10:d=1,format=argb,colorchannelmixer=aa=0.5",
        "-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le",
    )  # fmt: skip
    steady = vsr.upscale(source, tmp_path / "a.mkv", options("strong"))
    plain = vsr.upscale(source, tmp_path / "b.mkv", options("off"))
    assert [f.pts for f in judge.frames(steady.output)] == [
        f.pts for f in judge.frames(plain.output)
    ]
    assert steady.frames == plain.frames == 10
