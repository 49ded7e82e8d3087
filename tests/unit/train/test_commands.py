"""The commands: a damaged film is a film, what was taught is used, and what is wrong is a line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from tests.support.judge import frames, make, size_of
from vsr.cli.main import main
from vsr.cli.signals import signals
from vsr.frame import Frame
from vsr.media.source.kinds.base import Source
from vsr.train import worse
from vsr.train.data import TrainingBatch
from vsr.train.film import stacked
from vsr.train.learner import Learner


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two still scenes of a second each; sides that 8 does not divide."""
    return make(
        tmp_path / "film.mkv",
        "testsrc2=s=164x132:r=12:d=1[a];testsrc=s=164x132:r=12:d=1[b];[a][b]concat",
        "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p",
    )  # fmt: skip


_SMALL = "[first.resize]\nrange = [0.5, 1.0]\n[video.codec]\nshare = 1.0\n"


def test_a_damaged_film_keeps_its_times(tmp_path: Path, film: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(_SMALL)
    out = tmp_path / "bad.mkv"
    arguments = ["degrade", str(film), str(out), "--damage", str(own), "-s", "2", "-q"]
    assert main(arguments) == 0
    assert size_of(out) == (82, 66)
    assert [f.pts for f in frames(out)] == [f.pts for f in frames(film)]
    first = [f.digest for f in frames(out)]
    assert main([*arguments, "--overwrite"]) == 0
    assert [f.digest for f in frames(out)] == first
    assert main([*arguments, "--overwrite", "--seed", "1"]) == 0
    assert [f.digest for f in frames(out)] != first


_ALL = _SMALL + "".join(
    f"[video.{name}]\nshare = 1.0\n" for name in ("halo", "chroma", "interlace", "tape")
)


def test_how_a_film_is_cut_to_be_damaged_is_not_seen(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own := tmp_path / "own.toml").write_text(_ALL)
    found = []
    for length in (3, 48):
        monkeypatch.setattr(worse, "_FRAMES", length)
        out = tmp_path / f"{length}.mkv"
        assert main(["degrade", str(film), str(out), "--damage", str(own), "-s", "2", "-q"]) == 0
        found.append(frames(out))
    assert found[0] == found[1]
    assert len(found[0]) == 24


@pytest.mark.parametrize("codec", ["x264", "x265", "mpeg2", "mpeg4", "vp9"])
def test_a_film_of_one_frame_is_damaged(tmp_path: Path, codec: str) -> None:
    film = make(tmp_path / "one.mkv", "testsrc2=s=164x132:r=12", "-frames:v", "1", "-c:v", "ffv1")
    (own := tmp_path / "own.toml").write_text(_ALL + f"[video.codec.kinds]\n{codec} = 1.0\n")
    out = tmp_path / "out.mkv"
    assert main(["degrade", str(film), str(out), "--damage", str(own), "-s", "2", "-q"]) == 0
    assert len(frames(out)) == 1


def test_a_film_that_changes_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it does so between two runs."""
    film = tmp_path / "film.h264"
    sizes = ("164x132", "196x164")
    parts = [
        make(tmp_path / f"{n}.h264", f"testsrc2=s={size}:r=12:d=0.5", "-c:v", "libx264", "-bf", "0")
        for n, size in enumerate(sizes)
    ]
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    monkeypatch.setattr(worse, "_FRAMES", 3)
    out = tmp_path / "out" / "out.mkv"
    out.parent.mkdir()
    assert main(["degrade", str(film), str(out), "-s", "2", "-q"]) == 3
    assert "change their size" in capsys.readouterr().err
    assert not list(out.parent.iterdir())


def test_an_interrupted_film_leaves_nothing(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own := tmp_path / "own.toml").write_text(_ALL)
    out = tmp_path / "out" / "out.mkv"
    out.parent.mkdir()
    left = iter(range(3))

    def interrupted(run: Sequence[Frame], source: Source) -> Tensor:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return stacked(run, source)

    monkeypatch.setattr(worse, "_FRAMES", 3)
    monkeypatch.setattr(worse, "stacked", interrupted)
    assert main(["degrade", str(film), str(out), "--damage", str(own), "-s", "2", "-q"]) == 130
    assert not list(out.parent.iterdir())


def test_a_sheet_has_many_in_a_picture(tmp_path: Path, film: Path) -> None:
    out = tmp_path / "sheet.png"
    assert main(["degrade", str(film), str(out), "--sheet", "6", "-s", "2", "-q"]) == 0
    with Image.open(out) as sheet:
        assert sheet.size == (4 * 82, 2 * 66)
        tiles = np.asarray(sheet).reshape(2, 66, 4, 82, 3).swapaxes(1, 2)
    assert not np.array_equal(tiles[0, 0], tiles[0, 1])
    assert not tiles[1, 2:].any()


def test_what_was_taught_is_used(
    tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing, whatever it looks like: the file is a model like any other."""
    my = tmp_path / "my.safetensors"
    train = [
        "train", str(film), "-o", str(my), "--num-feat", "4", "--num-block", "1", "--steps", "4",
        "--patch", "48", "--area", "96", "--window", "128", "--batch", "2", "--clips", "4",
        "-s", "2", "--licence", "CC0-1.0",
    ]  # fmt: skip
    assert main(train) == 0
    assert "4 steps" in capsys.readouterr().out
    big = tmp_path / "big.mkv"
    assert main(["upscale", str(film), "-o", str(big), "--model", str(my), "-q"]) == 0
    assert size_of(big) == (328, 264)
    assert len(frames(big)) == 24
    assert main(["models", "show", str(my)]) == 0
    shown = capsys.readouterr().out
    for words in ("srvgg", "x2", "4 steps", "CC0-1.0", "film.mkv"):
        assert words in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_at_a_step_and_is_told(
    tmp_path: Path, film: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals,
) -> None:  # fmt: skip
    my = tmp_path / "my.safetensors"
    train = [
        "train", str(film), "-o", str(my), "--num-feat", "4", "--num-block", "1", "--steps", "6",
        "--patch", "48", "--area", "96", "--window", "128", "--batch", "2", "--clips", "4", "-q",
    ]  # fmt: skip
    real = Learner.step

    def signalled(self: Learner, batch: TrainingBatch, step: int) -> dict[str, float]:
        if step == 2:
            os.kill(os.getpid(), number)
        return real(self, batch, step)

    before = {kind: signal.getsignal(kind) for kind in signals()}
    monkeypatch.setattr(Learner, "step", signalled)
    try:
        assert main(train) == 6
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    monkeypatch.undo()
    said = capfd.readouterr().err
    assert "stopped at step 3; the same command goes on" in said
    assert not my.exists()
    assert main([word for word in train if word != "-q"]) == 0
    assert "goes on at step 3" in capfd.readouterr().err


def test_no_better_is_said_and_not_written(
    tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate of nothing cannot make it better."""
    own = tmp_path / "own.toml"
    own.write_text(_SMALL)
    my = tmp_path / "my.safetensors"
    start = tmp_path / "start.safetensors"
    begun = ["train", str(film), "-o", str(start), "--num-feat", "4", "--num-block", "1"]
    small = ["--patch", "48", "--batch", "2", "--clips", "4", "--steps", "2"]
    assert main([*begun, *small, "--area", "96", "--window", "128", "-q"]) == 0
    teach = [
        "finetune", str(film), "--damage", str(own), "-o", str(my), "--from", str(start),
        "--rate", "1e-12", *small,
    ]  # fmt: skip
    assert main([*teach, "-q"]) == 1
    assert "not written, as it did not get better (--keep writes it)" in capsys.readouterr().err
    assert not my.exists()
    assert (tmp_path / "my.train" / "before_after.png").is_file()
    assert main([*teach, "--keep", "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert my.exists()
    assert told["steps"] == 2
    assert abs(told["after"]["psnr"] - told["before"]["psnr"]) < 0.01


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["degrade", "{bad}", "{out}.mkv"], 3, "bad.mkv"),
        (["degrade", "{film}", "{film}"], 2, "already"),
        (["degrade", "{film}", "{out}.mkv", "--sheet", "4", "-s", "2"], 2, "sheet"),
        (["degrade", "{film}", "{out}.txt", "-s", "1"], 2, "must end in"),
        (["degrade", "{film}", "{out}.jpg", "--sheet", "2"], 2, "written as .png"),
        (["degrade", "{film}", "{out}/none/x.mkv"], 1, "there is no folder"),
        (["degrade", "{film}", "/dev/null/x.mkv"], 1, "cannot be written"),
        (["degrade", "{film}", "{folder}", "--overwrite"], 1, "folder.mkv: is a folder"),
        (["degrade", "{film}", "{out}.mkv", "--like", "{film}"], 3, "256 pixels a side"),
        (["train", "{bad}", "-o", "{out}.safetensors"], 3, "bad.mkv"),
        (
            ["train", "{film}", "-o", "{out}.safetensors"],
            3,
            "164x132; samples take 400 pixels a side (--area and --patch make",
        ),
        (["train", "{film}", "-o", "{out}.pth"], 2, ".safetensors"),
        (["train", "{film}", "-o", "{out}.safetensors", "--patch", "8"], 2, "--patch 8"),
        (["train", "{film}", "-o", "{none}/a.safetensors"], 1, "none"),
        (["finetune", "{film}", "-o", "{out}.safetensors"], 2, "--like"),
        (
            ["finetune", "{film}", "--like", "{bad}", "-o", "{out}.safetensors", "--patch", "64"],
            3,
            "bad.mkv",
        ),
        (["finetune", "{bad}", "--like", "{film}", "-o", "{out}.safetensors"], 3, "bad.mkv"),
    ],
)
def test_what_is_wrong_is_one_line(  # noqa: PLR0917
    tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, words: str,
) -> None:  # fmt: skip
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(b"no film at all")
    none = tmp_path / "none"
    none.write_text("a file where a folder should be")
    (folder := tmp_path / "folder.mkv").mkdir()
    names = {"bad": bad, "film": film, "out": tmp_path / "out", "none": none, "folder": folder}
    filled = [a.format(**names) for a in arguments]
    assert main(filled) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert words in said[-1]
    assert said[-1].startswith("vsr: ")
    assert not list(tmp_path.glob("out.*[!n]"))


def test_film_times_stay_exact(tmp_path: Path) -> None:
    """At a rate that is no whole number."""
    film = make(tmp_path / "f.mkv", "testsrc2=s=160x128:r=24000/1001:d=0.5", "-c:v", "ffv1")
    out = tmp_path / "out.mp4"
    assert main(["degrade", str(film), str(out), "-s", "2", "-q"]) == 0
    steps = {b.pts - a.pts for a, b in zip(frames(film), frames(film)[1:], strict=False)}
    found = {b.pts - a.pts for a, b in zip(frames(out), frames(out)[1:], strict=False)}
    assert {round(step * 1000) for step in found} <= {round(step * 1000) for step in steps}
    assert Fraction(1, 25) < max(found)


@pytest.mark.parametrize("option", ["--sheet", "--seed"])
def test_numbers_below_nothing_are_refused(
    tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["degrade", str(film), str(tmp_path / "out.png"), option, "-1"]) == 2
    assert "-1 is not in the range" in capsys.readouterr().err
