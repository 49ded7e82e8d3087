"""Promise 3, with the flicker filter: no seam between parts, however they came to be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.jobs import After
from vsr.errors import Stopped
from vsr.options import FilterStrength
from vsr.runners.local import several


def options(
    strength: FilterStrength, *, deflicker: bool = False, **others: Any
) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        temporal=vsr.TemporalOptions(filter=strength, deflicker=deflicker),
        **{
            "model": vsr.ModelOptions(name="bicubic"),
            "size": vsr.SizeOptions(scale=Fraction(2)),
            "encode": vsr.EncodeOptions(codec="ffv1"),
            "jobs": vsr.JobOptions(segment=0.5),
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
        "noise=alls=12:allf=t,eq=brightness='0.03*sin(9*n)':eval=frame,select='not(eq(mod(n,7),3))',hue=h='if(gt(t,1.2),90,0)'",
        "-fps_mode", "vfr", "-c:v", "libx264", "-g", "12", "-bf", "2", "-crf", "16",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip


@pytest.mark.parametrize(("strength", "deflicker"), [("strong", False), ("light", True)])
def test_parts_cannot_be_seen(
    film: Path, tmp_path: Path, strength: FilterStrength, deflicker: bool
) -> None:
    """In one go, in parts, taken up again at every part, by several processes: bit for bit."""

    def chosen(**others: Any) -> vsr.UpscaleOptions:
        return options(strength, deflicker=deflicker, **others)

    whole = chosen(jobs=vsr.JobOptions(segment=100))
    one = vsr.upscale(film, tmp_path / "one.mkv", whole)
    expected = judge.frames(one.output)
    assert len(expected) > 40
    assert expected != judge.frames(vsr.upscale(film, tmp_path / "off.mkv", options("off")).output)

    parts = vsr.upscale(film, tmp_path / "parts.mkv", chosen())
    assert judge.frames(parts.output) == expected

    again, stops = tmp_path / "again.mkv", 0
    while True:
        try:
            vsr.upscale(film, again, chosen(), stop=After(1))
        except Stopped:
            stops += 1
            continue
        break
    assert stops >= 3
    assert judge.frames(again) == expected

    device = vsr.DeviceOptions(workers=2)
    crew = vsr.upscale(film, tmp_path / "crew.mkv", chosen(device=device), runner=several)
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
    whole = options("strong", source=chosen, jobs=vsr.JobOptions(segment=100))
    one = vsr.upscale(source, tmp_path / "one.mkv", whole)
    output = tmp_path / "many.mkv"
    with pytest.raises(Stopped):
        vsr.upscale(source, output, options("strong", source=chosen), stop=After(2))
    vsr.upscale(source, output, options("strong", source=chosen))
    assert judge.frames(output) == judge.frames(one.output)


def assert_same_when_stopped(film: Path, folder: Path, chosen: vsr.UpscaleOptions) -> None:
    """Stopped after its second part and gone on with, it has the frames of one go."""
    one = vsr.upscale(film, folder / "one.mkv", chosen)
    output = folder / "again.mkv"
    with pytest.raises(Stopped):
        vsr.upscale(film, output, chosen, stop=After(2))
    vsr.upscale(film, output, chosen)
    assert judge.frames(output) == judge.frames(one.output)


@pytest.mark.parametrize("deflicker", [False, True])
def test_with_reuse_each_part_is_its_own(film: Path, tmp_path: Path, deflicker: bool) -> None:
    model, device = str(tiny_weights(tmp_path)), vsr.DeviceOptions(reuse="safe")
    chosen = options(
        "light", deflicker=deflicker, model=vsr.ModelOptions(name=model), device=device
    )
    assert_same_when_stopped(film, tmp_path, chosen)


def test_reuse_means_nothing_where_nothing_is_drawn(film: Path, tmp_path: Path) -> None:
    """A resizer keeps nothing; so the filter looks across parts, whoever worked on them."""
    chosen = options("light", device=vsr.DeviceOptions(reuse="exact"))
    assert_same_when_stopped(film, tmp_path, chosen)


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


def test_pumping_light_goes(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "pumping.mkv", "color=gray:s=96x64:r=24:d=2,noise=alls=20:all_seed=1",
        "-vf", "lutyuv=y='val*1',eq=brightness='0.05*sin(11*n)':eval=frame",
        "-c:v", "ffv1", "-pix_fmt", "yuv420p",
    )  # fmt: skip

    def unrest(name: str, deflicker: bool) -> float:
        result = vsr.upscale(source, tmp_path / name, options("off", deflicker=deflicker))
        frames = judge.rgb(result.output, size=(192, 128))
        return float(frames.mean(axis=(1, 2, 3))[6:-6].std())

    assert unrest("b.mkv", True) < 0.4 * unrest("a.mkv", False)


def test_the_light_of_hdr_is_left_as_it_is(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "hdr.mkv", "color=gray:s=96x64:r=24:d=0.5",
        "-vf", "eq=brightness='0.05*sin(11*n)':eval=frame,format=yuv420p10le,"
        "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
        "-c:v", "ffv1",
    )  # fmt: skip
    told = vsr.upscale(source, tmp_path / "a.mkv", options("off", deflicker=True))
    assert any("deflicker leaves" in note for note in told.notes)
    plain = vsr.upscale(source, tmp_path / "b.mkv", options("off"))
    assert judge.frames(told.output) == judge.frames(plain.output)
