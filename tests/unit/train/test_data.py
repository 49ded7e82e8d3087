"""Data: no cut inside a clip, no scene on both sides, and samples that hang on nothing else."""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.judge import make
from vsr.errors import InputError
from vsr.events import Event, Note, silent
from vsr.train.data import Samples, StoredClip, TrainingBatch, batches, gather, halves, split
from vsr.train.degrade.settings import read_damage
from vsr.train.judge import held_pairs
from vsr.train.options import DataOptions
from vsr.train.sources import listed

# Four still scenes of different colours and patterns, two seconds each.
_SCENES = (
    "testsrc2=s=160x128:r=12:d=2[a];smptebars=s=160x128:r=12:d=2[b];"
    "mandelbrot=s=160x128:r=12:end_pts=20000,trim=duration=2[c];testsrc=s=160x128:r=12:d=2,"
    "hue=h=90[d];[a][b][c][d]concat=n=4"
)


def _film(folder: Path) -> Path:
    return make(folder / "scenes.mkv", _SCENES, "-c:v", "ffv1", "-pix_fmt", "bgr0")


def _options(*paths: Path, **values: object) -> DataOptions:
    settings = {"clips": 8, "frames": 2, "window": 128, "area": 96, "patch": 64, "workers": 1}
    return DataOptions(clean=paths, **(settings | values))  # type: ignore[arg-type]


def _some(samples: Samples, workers: int, count: int = 3) -> list[TrainingBatch]:
    with closing(batches(samples, start=0, size=2, workers=workers)) as found:
        return list(itertools.islice(found, count))


def test_clips_lie_within_scenes_and_scenes_on_one_side(tmp_path: Path) -> None:
    damage = read_damage()
    clips = gather(tmp_path / "store", _options(_film(tmp_path)), damage, 0, silent)
    by_scene: dict[int, list[np.ndarray]] = {}
    for clip in clips:
        by_scene.setdefault(clip.scene, []).append(np.load(tmp_path / "store" / clip.name))
    assert len(by_scene) == 4  # the film has so many
    for stored in by_scene.values():
        assert {array.shape for array in stored} == {(2, 3, 128, 128)}
        for array in stored:  # within a clip nothing jumps
            assert np.abs(array[0].astype(int) - array[1]).mean() < 35
    learnt, held = split(clips, 0.25)
    assert {c.scene for c in learnt} & {c.scene for c in held} == set()
    assert len({c.scene for c in held}) == 1
    assert len(learnt) + len(held) == len(clips)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_about_the_share_of_the_clips_is_held_out_in_whole_scenes(share: float) -> None:
    chance = np.random.default_rng(3)
    films = [[4, 2], [2, 4], [1, 100], [5] * 12, [60, 1, 1, 1, 1]]
    films += [chance.integers(1, 30, chance.integers(2, 20)).tolist() for _ in range(50)]
    for sizes in films:
        clips = [
            StoredClip(name=f"{scene}.{n}", scene=scene)
            for scene, size in enumerate(sizes)
            for n in range(size)
        ]
        learnt, held = split(clips, share)
        assert {c.scene for c in learnt} & {c.scene for c in held} == set()
        assert sorted(c.name for c in learnt + held) == sorted(c.name for c in clips)
        assert 0 < len(held) <= len(clips) / 2
        assert abs(len(held) - min(share, 0.5) * len(clips)) <= max(sizes)


def test_half_of_the_scenes_chooses_and_half_judges() -> None:
    held = [StoredClip(name=f"{n}", scene=n // 3) for n in range(15)]
    chosen_by, judged_by = halves(held)
    assert {c.scene for c in chosen_by} & {c.scene for c in judged_by} == set()
    assert sorted(c.name for c in chosen_by + judged_by) == sorted(c.name for c in held)
    assert len(chosen_by) == 9
    assert halves(held[:3]) == (held[:3], held[:3])


def test_what_is_held_out_is_damaged_as_what_is_learnt_from(tmp_path: Path) -> None:
    """With `--sharpen` both are sharpened first, whenever they were damaged."""
    film = make(tmp_path / "f.mkv", "testsrc2=s=164x132:r=12:d=1", "-c:v", "ffv1")
    changes = {"scale": 2, "first": {"blur": {"share": 0.0}}}
    found = []
    for variants in (0, 1):
        options = DataOptions(
            clean=(film,), clips=2, patch=48, area=96, window=96, sharpen=True, variants=variants
        )
        folder = tmp_path / str(variants)
        clips = gather(folder, options, read_damage(changes=changes), 0, silent)
        pairs = held_pairs(folder, clips, read_damage(changes=changes), 0, sharpen=True)
        plain = np.load(folder / clips[0].name)
        assert not np.array_equal(pairs[0].high.numpy(), plain)
        found.append(pairs[0].high)
    assert torch.equal(*found)


def test_what_was_gathered_stays(tmp_path: Path) -> None:
    film, damage = _film(tmp_path), read_damage()
    before = gather(tmp_path / "store", _options(film), damage, 0, silent)
    film.unlink()
    assert gather(tmp_path / "store", _options(film), damage, 0, silent) == before


def test_the_same_seed_gives_the_same_on_one_and_on_four_workers(tmp_path: Path) -> None:
    damage = read_damage(changes={"video": {"codec": {"share": 0.5}}})
    options = _options(_film(tmp_path))
    clips = gather(tmp_path / "store", options, damage, 0, silent)
    samples = Samples(tmp_path / "store", clips, options, damage, 7)
    one, four, none = (_some(samples, workers) for workers in (1, 4, 0))
    for a, b, c in zip(one, four, none, strict=True):
        assert a.low is not None
        assert b.low is not None
        assert c.low is not None
        assert a.high.shape == (2, 2, 3, 64, 64)
        assert a.low.shape == (2, 2, 3, 16, 16)
        assert torch.equal(a.low, b.low)
        assert torch.equal(a.low, c.low)
        assert torch.equal(a.high, b.high)
    other = _some(Samples(tmp_path / "store", clips, options, damage, 8), 1)
    assert not torch.equal(one[0].high, other[0].high)


def test_two_processes_share_what_one_would_take(tmp_path: Path) -> None:
    options, damage = _options(_film(tmp_path)), read_damage()
    samples = Samples(tmp_path, gather(tmp_path, options, damage, 0, silent), options, damage, 7)
    with closing(batches(samples, start=3, size=4, workers=0)) as found:
        whole = next(found)
    parts = []
    for rank in range(2):
        with closing(batches(samples, start=3, size=2, rank=rank, world=2, workers=0)) as found:
            parts.append(next(found))
    assert torch.equal(whole.high, torch.cat([part.high for part in parts]))


@pytest.mark.parametrize(("variants", "sharpen"), [(0, False), (2, False), (0, True), (2, True)])
def test_partners_lie_at_the_same_place(tmp_path: Path, variants: int, sharpen: bool) -> None:
    """Without any damage but the reduction a partner is its clip made smaller."""
    none = {"share": 0.0}
    stage = {"blur": none, "noise": none, "jpeg": none}
    modes = {"modes": {"area": 1.0}}
    damage = read_damage(changes={
        "first": stage | {"resize": {"up": 0.0, "down": 0.0, "keep": 1.0}},
        "second": stage | {"resize": {"up": 0.0, "down": 0.0, "keep": 1.0} | modes},
        "last": {"sinc": 0.0} | modes,
    })  # fmt: skip
    options = _options(_film(tmp_path), variants=variants, sharpen=sharpen)
    samples = Samples(tmp_path, gather(tmp_path, options, damage, 0, silent), options, damage, 1)
    for batch in _some(samples, 0):
        assert batch.low is not None
        small = torch.nn.functional.avg_pool2d(batch.high.flatten(0, 1), 4)
        assert (small - batch.low.flatten(0, 1)).abs().max() < 0.6 / 255


def test_pairs_are_read_as_they_are(tmp_path: Path) -> None:
    film = _film(tmp_path)
    low = make(tmp_path / "low.mkv", f"movie={film},scale=40:32:flags=area,hue=s=0", "-c:v", "ffv1")
    options = _options(film, paired=low)
    damage = read_damage()
    samples = Samples(tmp_path, gather(tmp_path, options, damage, 0, silent), options, damage, 1)
    for batch in _some(samples, 0):
        assert batch.low is not None
        grey = batch.low.std(2)
        assert grey.max() < 0.02  # the partner's own look
        small = torch.nn.functional.avg_pool2d(batch.high.flatten(0, 1), 4).mean(1)
        rest = small - batch.low.flatten(0, 1).mean(1)
        assert rest.std() < small.std()


def test_pictures_and_lists_and_folders(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    for n in range(3):
        picture = chance.integers(0, 255, (5, 6, 3), np.uint8).repeat(20, 0).repeat(20, 1)
        Image.fromarray(picture).save(tmp_path / f"{n}.png")
    (tmp_path / "notes.md").write_text("no picture")
    names = [path.name for path in listed([tmp_path])]
    assert names == ["0.png", "1.png", "2.png"]
    (tmp_path / "list.txt").write_text("2.png\n\n0.png\n")
    assert [path.name for path in listed([tmp_path / "list.txt"])] == ["2.png", "0.png"]
    clips = gather(tmp_path / "s", _options(tmp_path, frames=1), read_damage(), 0, silent)
    assert [clip.scene for clip in clips] == [0, 1, 2]


def test_what_cannot_be_read_is_passed_over_and_told(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(b"no film")
    said: list[Event] = []
    gather(tmp_path / "s", _options(_film(tmp_path), bad), read_damage(), 0, said.append)
    (note,) = said
    assert isinstance(note, Note)
    assert "bad.mkv" in note.text
    with pytest.raises(InputError, match=r"bad\.mkv"):
        gather(tmp_path / "t", _options(bad), read_damage(), 0, silent)


def test_what_is_too_small_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="160x128; samples take 400"):
        gather(tmp_path / "s", DataOptions(clean=(_film(tmp_path),)), read_damage(), 0, silent)


def test_nothing_to_see_is_nothing_to_learn(tmp_path: Path) -> None:
    black = make(tmp_path / "black.mkv", "color=s=160x128:r=12:d=3", "-c:v", "ffv1")
    with pytest.raises(InputError, match="nothing to learn from"):
        gather(tmp_path / "s", _options(black), read_damage(), 0, silent)


@pytest.mark.parametrize("paired", [True, False])
def test_what_was_damaged_beforehand_is_not_mirrored(paired: bool, tmp_path: Path) -> None:
    """Chroma of a tape comes late, from the left: of both sides nothing could be learnt."""
    for name, side in (("clean", 128), ("worse", 32)):
        picture = np.random.default_rng(0).integers(0, 100, (side, side, 3), np.uint8)
        picture[:, : side // 2] += 100
        (tmp_path / name).mkdir()
        Image.fromarray(picture).save(tmp_path / name / "a.png")
    options = _options(
        tmp_path / "clean", frames=1, area=128, patch=128,
        paired=tmp_path / "worse" if paired else None,
    )  # fmt: skip
    damage = read_damage()
    clips = gather(tmp_path / "store", options, damage, 0, silent)
    samples = Samples(tmp_path / "store", clips, options, damage, 0)
    brighter = {
        bool(high[..., :64].mean() > high[..., 64:].mean())
        for high, _, _ in map(samples.__getitem__, range(12))
    }
    assert brighter == ({True} if paired else {True, False})


def test_one_thread_at_a_time_parses_the_header_of_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two end in a SystemError now and then, on Python 3.11."""
    options = _options(_film(tmp_path))
    clips = gather(tmp_path / "store", options, read_damage(), 0, silent)
    samples = Samples(tmp_path / "store", clips, options, read_damage(), 0)
    real, inside, most = np.load, [0], [0]

    def load(*given: Any, **named: Any) -> Any:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        try:
            return real(*given, **named)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(np, "load", load)
    _some(samples, 4)
    assert most == [1]
