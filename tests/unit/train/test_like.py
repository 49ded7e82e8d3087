"""Estimates: planted damage comes back, within bounds; the quantiser is the encoder's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.judge import make
from vsr.errors import InputError
from vsr.media.read.quantiser import mean_quantiser
from vsr.media.source.probe import probe
from vsr.train.degrade.settings import read_damage
from vsr.train.like import DamageEstimate, described, estimate


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
