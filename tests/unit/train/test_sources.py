"""Sources of training: scenes are the film's own, whatever it is read from and however often."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.judge import ffmpeg
from vsr.errors import InputError, OutputError
from vsr.events import Event, Note, silent
from vsr.train.data import StoredClip, gather
from vsr.train.degrade.settings import read_damage
from vsr.train.film import opened
from vsr.train.options import DataOptions
from vsr.train.scenes import take
from vsr.train.sources import listed

_WIDTH, _HEIGHT = 160, 128
_STEP = 16  # code values between the marks of two shots


def _shots(*lengths: int, size: tuple[int, int] = (_WIDTH, _HEIGHT)) -> list[NDArray[np.uint8]]:
    """(H, W, 3) frames of shots that move a little; the corner of each tells its shot."""
    width, height = size
    made = []
    for shot, length in enumerate(lengths):
        chance = np.random.default_rng(shot)
        coarse = np.where(chance.random((4, 5)) < 0.5, 220, 40).astype(np.uint8)
        large = Image.fromarray(coarse).resize((width + 80, height), Image.Resampling.BICUBIC)
        fine = np.clip(np.array(large) + chance.normal(0, 8, (height, width + 80)), 0, 255)
        whole = np.repeat(fine.astype(np.uint8)[..., None], 3, axis=2)
        for n in range(length):
            picture = whole[:, n % 80 : n % 80 + width].copy()
            picture[:32, :32] = shot * _STEP + _STEP // 2
            made.append(picture)
    return made


def _film(path: Path, frames: list[NDArray[np.uint8]], rate: int = 24) -> Path:
    height, width = frames[0].shape[:2]
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate),
        "-i", "-", "-c:v", "ffv1", "-pix_fmt", "bgr0", str(path),
        stdin=b"".join(frame.tobytes() for frame in frames),
    )  # fmt: skip
    return path


def _options(*paths: Path, **values: object) -> DataOptions:
    settings = {"clips": 8, "frames": 1, "length": 3, "window": 160, "area": 96, "patch": 64,
                "workers": 1}  # fmt: skip
    return DataOptions(clean=paths, **(settings | values))  # type: ignore[arg-type]


def _pairs(store: Path, clips: list[StoredClip]) -> set[tuple[int, int]]:
    """(shot, scene) of all clips; within a clip the shot is the same."""
    found = set()
    for clip in clips:
        marks = {int(m) // _STEP for m in np.load(store / clip.name)[:, 0, 4, 4]}
        assert len(marks) == 1
        found.add((marks.pop(), clip.scene))
    return found


def _texts(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Note)]


@pytest.mark.parametrize("lengths", [(23, 70, 27), (9, 1, 30, 2, 14, 4, 5, 40, 3)])
@pytest.mark.parametrize("count", [2, 3, 6, 13, 24, 48])
def test_a_shot_is_a_scene_however_many_places_are_looked_at(
    lengths: tuple[int, ...], count: int, tmp_path: Path
) -> None:
    film = _film(tmp_path / "film.mkv", _shots(*lengths))
    clips = gather(tmp_path / "s", _options(film, clips=count), read_damage(), 0, silent)
    pairs = _pairs(tmp_path / "s", clips)
    shots, scenes = ({pair[side] for pair in pairs} for side in (0, 1))
    assert len(pairs) == len(shots) == len(scenes)
    assert len(shots) >= min(count, 3) - 1


@pytest.mark.parametrize(
    ("first", "end"), [(0, 8), (0, 9), (8, 9), (9, 10), (5, 12), (10, 12), (12, 39), (38, 40)]
)
def test_a_cut_is_seen_up_to_where_the_next_place_begins(
    first: int, end: int, tmp_path: Path
) -> None:
    source = opened(_film(tmp_path / "film.mkv", _shots(9, 1, 30, 2)))
    place = take(source, first / 24, end / 24, length=50, window=160)
    assert place.clip is None
    assert place.cut_before == any(first < cut <= end for cut in (9, 10, 40))


def test_frames_in_a_folder_are_parted_where_the_film_is_cut(tmp_path: Path) -> None:
    (tmp_path / "fr").mkdir()
    for n, frame in enumerate(_shots(8, 12, 5)):
        Image.fromarray(frame).save(tmp_path / "fr" / f"{n}.png")
    options = _options(tmp_path / "fr", length=None)
    pairs = _pairs(tmp_path / "s", gather(tmp_path / "s", options, read_damage(), 0, silent))
    assert len(pairs) == 3
    assert len({scene for _, scene in pairs}) == 3


def test_folders_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.png", "9.png", "1.png"):
        (tmp_path / name).touch()
    assert [path.name for path in listed([tmp_path])] == ["1.png", "9.png", "10.png"]


@pytest.mark.parametrize("frames", [3, 4, 12, 24])
def test_a_short_film_gives_as_many_clips_as_fit(frames: int, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mkv", _shots(frames))
    options = _options(film, clips=48)
    clips = gather(tmp_path / "s", options, read_damage(), 0, silent)
    assert len(clips) == max(frames // 4, 1)  # a clip has 3, and begins anywhere


def test_too_short_a_film_is_told_what_a_clip_takes(tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mkv", _shots(2))
    with pytest.raises(InputError, match="a clip takes 3 frames"):
        gather(tmp_path / "s", _options(film), read_damage(), 0, silent)


def test_the_partner_has_the_same_name_brackets_and_all(tmp_path: Path) -> None:
    frames = _shots(12)
    (tmp_path / "hi").mkdir()
    (tmp_path / "lo").mkdir()
    _film(tmp_path / "hi" / "ep [01].mkv", frames)
    small = [np.full((_HEIGHT // 4, _WIDTH // 4, 3), value, np.uint8) for value in (10, 200)]
    _film(tmp_path / "lo" / "ep 0.avi", [small[0]] * 12)
    _film(tmp_path / "lo" / "ep [01].avi", [small[1]] * 12)
    (tmp_path / "lo" / "ep [01].srt").write_text("no film")
    options = _options(tmp_path / "hi", paired=tmp_path / "lo", clips=2)
    clips = gather(tmp_path / "s", options, read_damage(), 0, silent)
    assert np.load(tmp_path / "s" / clips[0].lows[0]).min() == 200
    _film(tmp_path / "lo" / "ep [01].nut", [small[0]] * 12)
    with pytest.raises(InputError, match=r"which of ep \[01\]\.avi, ep \[01\]\.nut"):
        gather(tmp_path / "t", options, read_damage(), 0, silent)


def test_one_picture_among_films_is_passed_over_where_clips_have_frames(tmp_path: Path) -> None:
    Image.fromarray(_shots(1)[0]).save(tmp_path / "a.png")
    Image.fromarray(_shots(1)[0]).save(tmp_path / "b.png")
    film = _film(tmp_path / "film.mkv", _shots(24))
    heard: list[Event] = []
    options = _options(tmp_path / "a.png", tmp_path / "b.png", film, frames=3)
    clips = gather(tmp_path / "s", options, read_damage(), 0, heard.append)
    assert {len(np.load(tmp_path / "s" / clip.name)) for clip in clips} == {3}
    (text,) = _texts(heard)
    assert "a.png: is one picture, and <data.frames> 3 takes films" in text
    assert "2 pictures" in text


def test_a_film_that_becomes_too_small_gives_what_is_large(tmp_path: Path) -> None:
    """Two sizes in one stream, as broadcasts change: MPEG-TS keeps them."""
    for name, size in (("a", (_WIDTH, _HEIGHT)), ("b", (64, 48))):
        raw = _film(tmp_path / f"{name}.mkv", _shots(48, size=size))
        ffmpeg("-i", str(raw), "-c:v", "mpeg2video", "-q:v", "2", "-f", "mpegts",
               *(() if name == "a" else ("-output_ts_offset", "2")),
               str(tmp_path / f"{name}.ts"))  # fmt: skip
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join((tmp_path / f"{n}.ts").read_bytes() for n in "ab"))
    heard: list[Event] = []
    clips = gather(tmp_path / "s", _options(both), read_damage(), 0, heard.append)
    assert {np.load(tmp_path / "s" / c.name).shape[2:] for c in clips} == {(_HEIGHT, _WIDTH)}
    assert any("changes its size" in text for text in _texts(heard))


def test_a_film_that_breaks_off_gives_what_came_before_and_ends_its_scene(tmp_path: Path) -> None:
    """Its partner ends early: clips from there on have none."""
    first = _film(tmp_path / "a.mkv", _shots(48))
    (tmp_path / "lo").mkdir()
    small = [frame[::4, ::4] for frame in _shots(48)]
    _film(tmp_path / "lo" / "a.mkv", small[:24])
    heard: list[Event] = []
    options = _options(first, paired=tmp_path / "lo", clips=4)
    alone = gather(tmp_path / "s", options, read_damage(), 0, heard.append)
    assert len(alone) == 2
    (text,) = _texts(heard)
    assert "the 2 clips before that are kept" in text
    second = _film(tmp_path / "b.mkv", _shots(48))
    _film(tmp_path / "lo" / "b.mkv", small)
    options = _options(first, second, paired=tmp_path / "lo", clips=4)
    both = gather(tmp_path / "t", options, read_damage(), 0, silent)
    assert {clip.scene for clip in both[:2]}.isdisjoint({clip.scene for clip in both[2:]})
    assert len(both) == 6


def test_damage_of_a_film_is_said(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    raw = _film(tmp_path / "raw.mkv", _shots(96))
    ffmpeg("-i", str(raw), "-c:v", "libx264", "-g", "12", str(film))
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    film.write_bytes(data)
    heard: list[Event] = []
    clips = gather(tmp_path / "s", _options(film), read_damage(), 0, heard.append)
    assert clips
    assert any("film.mkv" in text for text in _texts(heard))


def test_a_list_in_another_encoding_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("caf\xe9.mp4\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"list\.txt: a list of files is text in UTF-8"):
        list(listed([tmp_path / "list.txt"]))


@pytest.mark.parametrize("fault", ["index cut short", "index of something", "no clip", "cut clip"])
def test_a_store_that_is_not_whole_is_gathered_anew(fault: str, tmp_path: Path) -> None:
    film, store = _film(tmp_path / "film.mkv", _shots(24, 24)), tmp_path / "s"
    before = gather(store, _options(film), read_damage(), 0, silent)
    clip = store / before[1].name
    kept = clip.read_bytes()
    index = store / "clips.json"
    match fault:
        case "index cut short":
            index.write_text(index.read_text()[:100])
        case "index of something":
            index.write_text(json.dumps([1, 2]))
        case "no clip":
            clip.unlink()
        case "cut clip":
            clip.write_bytes(kept[:-100])
    heard: list[Event] = []
    assert gather(store, _options(film), read_damage(), 0, heard.append) == before
    assert clip.read_bytes() == kept
    assert any("taken anew" in text for text in _texts(heard))


def test_a_picture_too_small_for_the_damage_is_passed_over(tmp_path: Path) -> None:
    for name, side in (("small", 70), ("large", 128)):
        Image.fromarray(_shots(1, size=(side, side))[0]).save(tmp_path / f"{name}.png")
    heard: list[Event] = []
    options = _options(tmp_path, length=None, area=64, variants=1)
    clips = gather(tmp_path / "s", options, read_damage(), 0, heard.append)
    assert len(clips) == 1
    (text,) = _texts(heard)
    assert "small.png" in text
    assert "too small for this damage" in text


def test_what_cannot_be_read_is_no_fault_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails names what was read from it; one that is full, what was written to it."""
    film = _film(tmp_path / "film.mkv", _shots(24))

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("vsr.train.sources.opened", fails)
        with pytest.raises(InputError, match=r"film\.mkv: cannot be read \(Input/output error\)"):
            gather(tmp_path / "s", _options(film), read_damage(), 0, silent)
    monkeypatch.setattr("numpy.save", fails)
    with pytest.raises(OutputError, match="s: cannot be written"):
        gather(tmp_path / "s", _options(film), read_damage(), 0, silent)
