"""What video suffers: each kind does what it says, on real pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from tests.support.judge import ffmpeg, ffmpeg_log
from vsr.media.write.reencode import written
from vsr.train.degrade.draws import SampledCodec, SampledTape
from vsr.train.degrade.video import coded, combed, halo, tape, thinned, to_rgb, to_ycc

_STILL = SampledTape(luma=0.05, bleed=0.05, delay=0.0, jitter=0.0, switching=0, crawl=0.0)


@pytest.fixture
def clip(bunny: Path) -> Tensor:
    """(6, 3, 90, 160) of the sample."""
    return _read(bunny, 6)


def _read(film: Path, count: int) -> Tensor:
    with av.open(str(film)) as container:
        frames = [
            f.to_ndarray(format="rgb24")
            for f, _ in zip(container.decode(video=0), range(count), strict=False)
        ]
    return (
        torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[:, :, 40:130, 80:240].float() / 255
    )


def _coded(clip: Tensor, codec: str, quality: float) -> Tensor:
    drawn = SampledCodec(codec=codec, quality=quality, profile=None)
    return torch.cat(list(coded((clip,), drawn, rate=25)))


def _psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


@pytest.mark.parametrize("codec", ["x264", "x265", "mpeg2", "mpeg4", "vp9"])
def test_real_encoders_lose_more_at_lower_quality(clip: Tensor, codec: str) -> None:
    steps = (3, 20) if codec.startswith("mpeg") else (20, 40)
    good, bad = (_coded(clip, codec, quality) for quality in steps)
    assert good.shape == clip.shape
    assert _psnr(good, clip) > 26
    assert _psnr(bad, clip) < _psnr(good, clip) - 3
    assert torch.equal(_coded(clip, codec, steps[1]), bad)


@pytest.mark.parametrize(
    ("codec", "quality", "keys"),
    [("x264", 28, 1), ("x265", 28, 1), ("mpeg2", 8, 3), ("mpeg4", 8, 3), ("vp9", 45, 1)],
)
def test_a_film_has_the_key_frames_of_its_codec_and_not_of_its_runs(
    tmp_path: Path, bunny: Path, codec: str, quality: int, keys: int
) -> None:
    """It is what ffmpeg reads in one file with few key frames: those of the MPEGs' groups of 12."""
    film = _read(bunny, 30)
    drawn = SampledCodec(codec=codec, quality=quality, profile=None)
    found = torch.cat(list(coded((film[n : n + 3] for n in range(0, 30, 3)), drawn, rate=25)))
    file = tmp_path / "one.nut"
    pictures = (film * 255).round().byte().permute(0, 2, 3, 1).numpy()
    file.write_bytes(written(pictures, codec, quality=quality))
    raw = ffmpeg("-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    want = torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(30, 96, 160, 3).copy())
    want = want[:, :90].permute(0, 3, 1, 2) / 255
    # With an encoder for each run 3 to 8 code values, in the worst frame.
    assert ((found - want).abs().mean((1, 2, 3)) < 0.5 / 255).all()
    shown = ffmpeg_log("-i", str(file), "-vf", "showinfo", "-f", "null", "-")
    assert shown.count("iskey:1") == keys


@pytest.mark.parametrize("codec", ["x264", "x265", "mpeg2", "mpeg4", "vp9"])
def test_an_encoder_holds_back_no_more_than_it_looks_ahead(clip: Tensor, codec: str) -> None:
    """So that a film of any length needs no more memory."""
    read = made = 0

    def endless() -> Iterator[Tensor]:
        nonlocal read
        while True:
            read += 2
            yield clip[:2, :, :64, :64]

    drawn = SampledCodec(codec=codec, quality=20, profile=None)
    for run in itertools.islice(coded(endless(), drawn, rate=25), 100):
        made += len(run)
        assert read - made <= 60


def test_a_tape_that_is_new_changes_nothing(clip: Tensor) -> None:
    assert (tape(clip, _STILL, seed=0, start=0) - clip).abs().max() < 1e-5
    assert (to_rgb(to_ycc(clip)) - clip).abs().max() < 1e-5


def test_chroma_bleeds_and_comes_late_while_luma_stays(clip: Tensor) -> None:
    worn = SampledTape(luma=0.05, bleed=2.0, delay=3.0, jitter=0.0, switching=0, crawl=0.0)
    before, after = to_ycc(clip), to_ycc(tape(clip, worn, seed=0, start=0))
    assert (after[:, 0] - before[:, 0]).abs().max() < 1e-5
    want = scipy.ndimage.gaussian_filter1d(
        before[:, 1:].numpy(), 2.0, axis=3, mode="nearest", truncate=3
    )
    assert np.abs(after[:, 1:, :, 8:].numpy() - want[..., 5:-3]).max() < 1e-4


def test_heads_tear_the_last_lines_alone(clip: Tensor) -> None:
    worn = SampledTape(luma=0.05, bleed=0.05, delay=0.0, jitter=0.0, switching=6, crawl=0.0)
    off = (tape(clip, worn, seed=0, start=0) - clip).abs().amax((0, 1, 3))
    assert off[:-6].max() < 1e-5
    assert off[-6:].min() > 0.02


def test_dots_crawl_where_colour_is(clip: Tensor) -> None:
    worn = SampledTape(luma=0.05, bleed=0.05, delay=0.0, jitter=0.0, switching=0, crawl=0.08)
    grey = to_ycc(clip)[:, :1].expand(-1, 3, -1, -1)
    assert (tape(grey, worn, seed=0, start=0) - grey).abs().max() < 1e-5
    dots = to_ycc(tape(clip, worn, seed=0, start=0))[:, 0] - to_ycc(clip)[:, 0]
    strength = to_ycc(clip)[:, 1:].norm(dim=1)
    assert dots.abs().max() <= 0.08 * strength.max() + 1e-5
    # On a still picture each is opposite in the next frame.
    still = clip[:1].expand(2, -1, -1, -1)
    found = to_ycc(tape(still, worn, seed=0, start=0) - still)[:, 0]
    assert (found[0] + found[1]).abs().max() < 1e-5


def test_combs_are_lines_of_the_next_frame(clip: Tensor) -> None:
    found = combed(clip, 1.0)
    assert torch.equal(found[:, :, ::2], clip[:, :, ::2])
    assert torch.equal(found[:-1, :, 1::2], clip[1:, :, 1::2])


def test_combs_of_a_run_reach_into_the_next(clip: Tensor) -> None:
    found = combed(clip[:3], 1.0, ahead=clip[3:4])
    assert torch.equal(found[2:, :, 1::2], clip[3:4, :, 1::2])


@pytest.mark.parametrize("kind", ["c420", "c422", "c411"])
def test_thinned_chroma_keeps_luma(clip: Tensor, kind: str) -> None:
    found = thinned(clip, kind, misplaced=False)
    assert (to_ycc(found)[:, 0] - to_ycc(clip)[:, 0]).abs().max() < 1e-5
    assert (
        thinned(found, kind, misplaced=False) - found
    ).abs().max() < 1e-4  # nothing more to lose
    assert _psnr(thinned(clip, kind, misplaced=True), clip) < _psnr(found, clip)


def test_a_halo_overshoots_by_its_strength() -> None:
    edge = torch.zeros(1, 3, 40, 40)
    edge[..., 20:] = 0.5
    found = halo(edge, 0.6, 2.0)
    soft = scipy.ndimage.gaussian_filter1d(edge.numpy(), 2.0, axis=3, mode="nearest", truncate=3)
    assert np.abs(found.numpy() - (edge.numpy() + 0.6 * (edge.numpy() - soft))).max() < 1e-5
