"""Estimates: planted damage comes back, within bounds; the quantiser is the encoder's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.judge import ffmpeg, make
from vsr.errors import InputError
from vsr.media.read.quantiser import mean_quantiser
from vsr.media.source.probe import probe
from vsr.train.degrade.pipeline import degrade
from vsr.train.degrade.settings import read_damage
from vsr.train.film import opened
from vsr.train.like import (
    DamageEstimate,
    _clips,
    _small,
    _worse,
    described,
    distance,
    estimate,
    traits,
)


@pytest.mark.parametrize("qp", [20, 35])
def test_the_quantiser_is_read(tmp_path: Path, bunny: Path, qp: int) -> None:
    film = make(
        tmp_path / "film.mkv", f"movie={bunny},trim=duration=1", "-c:v", "libx264", "-qp", str(qp),
        "-bf", "0",
    )  # fmt: skip
    assert mean_quantiser(probe(film)) == pytest.approx(qp, abs=0.5)


def test_no_quantiser_where_there_is_none(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mkv", "testsrc2=s=64x64:d=0.2", "-c:v", "ffv1")
    assert mean_quantiser(probe(film)) is None


def test_planted_damage_is_found(tmp_path: Path, bunny: Path) -> None:
    """Of the second half of the sample, with the first half as what is clean."""
    clean = make(
        tmp_path / "clean.mkv", f"movie={bunny},trim=duration=2,scale=640:360:flags=lanczos",
        "-c:v", "ffv1",
    )  # fmt: skip
    source = f"movie={bunny},trim=start=2,setpts=PTS-STARTPTS,scale=320:180"
    soft, noisy = (
        make(tmp_path / f"{name}.mkv", f"{source},{filters}", "-c:v", "libx264", "-qp", "18")
        for name, filters in (("soft", "gblur=sigma=1.5"), ("noisy", "noise=alls=14:allf=t"))
    )
    first, second = estimate(soft, clean, 2), estimate(noisy, clean, 2)
    assert first.codec == second.codec == "x264"
    assert first.blur == pytest.approx(1.5, abs=0.6)
    assert first.noise < 3
    assert second.blur < 0.6
    # ffmpeg's has a sigma of s / sqrt(3) in codes of luma; three channels' own make 0.67 of theirs.
    planted = 14 / 3**0.5 * 255 / 219 / (0.299**2 + 0.587**2 + 0.114**2) ** 0.5
    assert second.noise == pytest.approx(planted, abs=3)


def test_what_was_found_is_a_damage_that_can_be_kept(tmp_path: Path) -> None:
    found = DamageEstimate(
        codec="vp9", quality=40.0, blur=0.7, noise=3.0, distance=0.5, chroma="4:2:0 8 bit"
    )
    kept = tmp_path / "kept.toml"
    kept.write_text(described(found.changes(4)))
    damage = read_damage(kept)
    assert damage == read_damage(changes=found.changes(4))
    assert damage.video.codec.kinds.vp9 == 1
    low, high = damage.second.noise.sigma
    assert low < 3 < high


def test_nothing_to_compare_is_named(tmp_path: Path, bunny: Path) -> None:
    black = make(tmp_path / "black.mkv", "color=s=320x240:d=1", "-c:v", "libx264")
    with pytest.raises(InputError, match=r"black\.mkv: nothing to estimate"):
        estimate(black, bunny, 4)


def test_what_is_applied_is_what_was_measured(tmp_path: Path, bunny: Path) -> None:
    """By training's own pipeline: no further from the estimate's own picture than noise allows."""
    clean = make(
        tmp_path / "clean.mkv", f"movie={bunny},trim=duration=2,scale=640:360:flags=lanczos",
        "-c:v", "ffv1",
    )  # fmt: skip
    clips = _clips(opened(clean), 320, 64)
    found = DamageEstimate(
        codec=None, quality=0.0, blur=0.1, noise=2.0, distance=0.5, chroma="4:2:0 8 bit"
    )
    changes = found.changes(2)
    changes["second"]["blur"]["share"] = 0.0
    changes["second"]["noise"]["sigma"] = [2.0, 2.0]
    damage = read_damage(changes=changes)
    assert damage.second.noise.grey == 0
    applied = [degrade(clip[None].float() / 255, [0], damage)[0] for clip in clips]
    lows = [_small(clip.float() / 255, 2) for clip in clips]
    assert distance(traits(_worse(lows, 0.0, 2.0, None, 0)), traits(applied)) < 0.4


@pytest.mark.parametrize(
    ("arguments", "codec", "words"),
    [
        (["-c:v", "mjpeg", "-q:v", "6", "-pix_fmt", "yuvj420p"], "jpeg", "jpeg at"),
        (["-c:v", "wmv2", "-q:v", "6"], "mpeg4", "codec wmv2, which cannot be imitated"),
    ],
)
def test_codecs_that_none_writes_have_their_nearest(
    tmp_path: Path, bunny: Path, arguments: list[str], codec: str, words: str
) -> None:
    film = make(tmp_path / "film.avi", f"movie={bunny},trim=duration=0.3", *arguments)
    found = estimate(film, bunny, 1)
    assert found.codec == codec
    assert words in str(found)
    jpeg = read_damage(changes=found.changes(1)).second.jpeg
    assert jpeg.share == (codec == "jpeg")


def test_the_quantiser_is_of_the_whole_film(tmp_path: Path, bunny: Path) -> None:
    """Two seconds at qp 40 behind two at 12: the first pictures alone would be 12."""
    parts = [
        make(
            tmp_path / f"{qp}.ts", f"movie={bunny},trim=duration=2.5", "-c:v", "libx264", "-qp",
            str(qp), "-bf", "0", "-g", "12",
        )
        for qp in (12, 40)
    ]  # fmt: skip
    mkv = tmp_path / "film.mkv"
    ffmpeg("-i", f"concat:{parts[0]}|{parts[1]}", "-c", "copy", str(mkv))
    assert 18 < (mean_quantiser(probe(mkv)) or 0) < 34


def test_an_estimate_that_does_not_fit_says_so() -> None:
    bad, good = (
        DamageEstimate(codec=None, quality=0, blur=0, noise=0, distance=apart, chroma="4:2:0")
        for apart in (5.4, 0.8)
    )
    assert "DOES NOT FIT" in str(bad)
    assert "FIT" not in str(good)
