"""Promise: what is expected of a film is measured on it, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

import vsr
from tests.support import judge
from vsr.events import silent
from vsr.jobs.plan.plan import Plan, plan
from vsr.jobs.run import estimate as module
from vsr.jobs.run import short_run
from vsr.jobs.run.estimate import estimate
from vsr.jobs.run.upscale import upscale_one
from vsr.media.read.keyframes import keyframes
from vsr.media.source.probe import probe
from vsr.options import Clip, EncodeOptions, ModelOptions, SourceOptions, UpscaleOptions

BICUBIC = ModelOptions(name="bicubic")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds that move, in 60 frames, with a keyframe every ten."""
    return judge.make(
        tmp_path_factory.mktemp("film") / "film.mkv", "testsrc2=s=96x64:r=10:d=6",
        "-c:v", "libx264", "-g", "10", "-sc_threshold", "0", "-pix_fmt", "yuv420p",
    )  # fmt: skip


def _planned(film: Path, options: UpscaleOptions, output: Path | None = None) -> Plan:
    return plan(probe(film), output, options, default_scale=4)


@pytest.mark.parametrize("suffix", [".mkv", ".gif"])
def test_the_size_is_that_of_the_film(film: Path, tmp_path: Path, suffix: str) -> None:
    options = UpscaleOptions(model=BICUBIC, encode=EncodeOptions(overwrite=True))
    output = tmp_path / f"big{suffix}"
    found = estimate(_planned(film, options, output), options, silent, seconds=10)
    assert list(tmp_path.iterdir()) == []
    vsr.upscale(film, output, options)
    with av.open(str(output)) as container:
        size = sum(packet.size for packet in container.demux(video=0))
    assert found.bytes == pytest.approx(size, rel=0.25)
    assert found.frames > 20
    assert found.seconds is not None


def test_a_frame_that_takes_long_is_tried_in_parts(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = UpscaleOptions(model=BICUBIC)
    whole = estimate(_planned(film, options), options, silent, seconds=10).bytes
    monkeypatch.setattr(module, "seconds_per_pixel", lambda engine: 0.5 / (96 * 64))
    made: list[UpscaleOptions] = []
    run = upscale_one

    def watched(*arguments: object, **named: object) -> object:
        made.append(arguments[2])  # type: ignore[arg-type]
        return run(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(short_run, "upscale_one", watched)
    found = estimate(_planned(film, options), options, silent, seconds=10)
    parts, plain, wholes = made[:3], made[3:6], made[6:]
    assert len({one.source.crop for one in parts} - {None}) == 3
    assert [one.source.crop for one in plain] == [one.source.crop for one in parts]
    assert [one.source.crop for one in wholes] == [None] * 3
    assert {one.size.scale for one in made} == {4}
    assert found.bytes == pytest.approx(whole, rel=0.25)


def test_pieces_begin_with_keyframes_inside_what_is_wanted(film: Path) -> None:
    for clips in ((), (Clip.parse("2-5"),)):
        options = UpscaleOptions(model=BICUBIC, source=SourceOptions(clips=clips))
        planned = _planned(film, options)
        starts = module._starts(planned, keyframes(planned.source), 8)
        assert len(starts) == 3
        assert all(start % 10 == 0 for start in starts)
        low, high = (20, 42) if clips else (0, 52)
        assert all(low <= start <= high for start in starts)


def test_without_time_only_a_rule_of_thumb(film: Path) -> None:
    options = UpscaleOptions(model=BICUBIC)
    found = estimate(_planned(film, options), options, silent, seconds=0)
    assert (found.seconds, found.frames) == (None, 0)
    assert found.bytes
