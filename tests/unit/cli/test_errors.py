"""Promise 7: a mistake or a broken file is one line, the right exit code, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support import judge
from vsr.cli.main import main

Refused = Callable[..., None]
VSR = [sys.executable, str(Path(__file__).parents[3] / "vsr_cli.py")]


def run(
    *arguments: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VSR, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """A command, run in `tmp_path`, has to end with a code and one line that has a word in it.

    And the folder is to be as it was. In this process, which has loaded everything.
    """
    monkeypatch.chdir(tmp_path)

    def check(code: int, word: str, *arguments: str | Path) -> None:
        was = sorted(tmp_path.rglob("*"))
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.getsignal(number) for number in numbers]
        try:
            ended = main([str(argument) for argument in arguments])
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
        out, err = capfd.readouterr()
        is_one_line(ended, out, err, code, word)
        assert sorted(tmp_path.rglob("*")) == was

    return check


def is_one_line(ended: int, out: str, err: str, code: int, word: str) -> None:
    """Whether a command said what it should, and nothing else."""
    problems = [line for line in err.strip().splitlines() if line.startswith(("vsr:", "Error:"))]
    assert ended == code, err
    assert len(problems) == 1, err
    assert word in problems[0]
    assert "Traceback" not in err
    assert out == ""


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = run("upscale", "missing.mp4", cwd=tmp_path)
    is_one_line(done.returncode, done.stdout, done.stderr, 3, "no such file")


def test_inputs(refused: Refused, tmp_path: Path, bunny: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no film")
    (tmp_path / "empty.mkv").write_bytes(b"")
    (tmp_path / "torn.mp4").write_bytes(bunny.read_bytes()[:9000])
    judge.ffmpeg("-f", "lavfi", "-i", "sine=d=1", str(tmp_path / "sound.wav"))
    refused(3, "no such file", "upscale", "missing.mp4")
    refused(3, "not a media file", "upscale", "text.mp4")
    refused(3, "empty.mkv", "upscale", "empty.mkv")
    refused(3, "torn.mp4", "upscale", "torn.mp4")
    refused(3, "no video", "upscale", "sound.wav")
    (tmp_path / "empty").mkdir()
    refused(3, "holds no pictures or films", "upscale", "empty")
    refused(3, "no file has a name", "upscale", "empty/%05d.png")
    refused(3, "no such folder", "upscale", "nowhere/%05d.png")
    refused(2, "two numbers", "upscale", "empty/%d_%05d.png")
    refused(3, "no such file", "probe", "missing.mp4")
    refused(2, "too long", "upscale", f"{'x' * 300}.mkv")
    refused(2, "too long", "probe", f"{'x' * 300}.mkv")


def test_what_probe_cannot_look_at(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for name in ("shots/1.png", "shots/2.png", "e1.mkv", "e2.mkv"):
        (tmp_path / name).touch()
    refused(2, "probe one of them, or name the film", "probe", "shots")
    refused(2, "films (2); probe one", "probe", "e%d.mkv")
    refused(2, "save it to a file", "probe", "-")
    refused(2, "save it to a file", "probe", "-", "-o", "x.mkv")


def test_models(refused: Refused, tmp_path: Path, bunny: Path) -> None:
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    refused(4, "did you mean", "upscale", bunny, "-o", "o.mp4", "-m", "animevideo3")
    refused(4, "no such weight file", "upscale", bunny, "-o", "o.mp4", "-m", "x.pth")
    refused(4, "broken.pth", "upscale", bunny, "-o", "o.mp4", "-m", "broken.pth")
    refused(4, "kind of network", "upscale", bunny, "-o", "o.mp4", "-m", "other.pth")
    refused(4, "offline", "upscale", bunny, "-o", "o.mp4", "-m", "general", "--offline",
            "--models-dir", "none")  # fmt: skip


def test_options(refused: Refused, tmp_path: Path, bunny: Path) -> None:
    common = ("upscale", bunny, "-o", "o.mp4", "-m", "nearest")
    refused(2, "only one", *common, "--scale", "2", "--height", "720")
    refused(2, "--scale", *common, "--scale", "much")
    refused(2, "--size", *common, "--size", "1920")
    refused(2, "--crf", *common, "--crf", "99")
    refused(2, "did you mean tune", *common, "--encoder-option", "tuen=film")
    refused(2, "--codec", *common, "--codec", "h264_nvenc") if not _nvenc() else None
    refused(2, "CUDA", *common, "--device", "cuda:77")
    refused(2, "No such option", *common, "--fast")
    refused(2, "must end in", "upscale", bunny, "-o", "o.xyz", "-m", "nearest")
    refused(2, "cannot hold", "upscale", bunny, "-o", "o.webm", "--codec", "h264")


def _nvenc() -> bool:
    return Path("/dev/nvidia0").exists()


def test_outputs(refused: Refused, tmp_path: Path, bunny: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "folder.mp4").mkdir()
    refused(2, "--overwrite", "upscale", bunny, "-o", "there.mp4", "-m", "nearest")
    (tmp_path / "folder.mp4" / "bunny_4x.mp4").mkdir()
    refused(2, "is a folder", "upscale", bunny, "-o", "folder.mp4", "-m", "nearest")
    refused(2, "too long", "upscale", bunny, "-o", f"{'x' * 300}.mp4")
    (tmp_path / f"{'x' * 250}.mp4").symlink_to(bunny)
    refused(2, "with -o", "upscale", f"{'x' * 250}.mp4", "-m", "nearest")
    refused(1, "no such folder", "upscale", bunny, "-o", "no/where.mp4", "-m", "nearest")
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_no_ffmpeg_at_all(tmp_path: Path, bunny: Path) -> None:
    hidden = tmp_path / "site" / "imageio_ffmpeg"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError")
    env = {"PATH": str(tmp_path), "PYTHONPATH": str(hidden.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    nowhere = {"VSR_FFMPEG": "/nowhere/ffmpeg"}
    for said, variables in (("pip install imageio-ffmpeg", env), ("no such program", nowhere)):
        done = run("upscale", bunny, "-o", "o.mp4", env=variables, cwd=tmp_path)
        is_one_line(done.returncode, done.stdout, done.stderr, 1, said)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_clip_that_is_not_there_names_film_and_clip(refused: Refused, bunny: Path) -> None:
    common = ("upscale", bunny, "-o", "o.mp4", "-m", "nearest")
    for said, how in (
        ("the clip 300-end starts behind the film's last frame", ("--start", "5:00")),
        ("the clip 3-2 ends before it starts", ("--clip", "3-2")),
    ):
        refused(2, f"{bunny}: {said}", *common, *how)
    refused(2, "end and duration", *common, "--end", "2", "--duration", "1")


def test_a_limit_of_file_sizes_is_called_one(tmp_path: Path, bunny: Path) -> None:
    command = [*VSR, "upscale", bunny, "-o", "o.mp4", "-m", "nearest", "--preset", "ultrafast"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 20; exec "$@"', "sh", *map(str, command)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    is_one_line(done.returncode, done.stdout, done.stderr, 1, "allows no file of that size")
    assert str(tmp_path) in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_the_ffmpeg_program_fails_at_is_named(tmp_path: Path, bunny: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *joined*) kill -XFSZ $$;; esac\nexec "{judge.PROGRAM}" "$@"\n'
    )
    program.chmod(0o755)
    done = run(
        "upscale", bunny, "-o", "o.mp4", "-m", "nearest", "-s", "1", "--preset", "ultrafast",
        "--segment", "60", env={"VSR_FFMPEG": str(program)}, cwd=tmp_path,
    )  # fmt: skip
    is_one_line(done.returncode, done.stdout, done.stderr, 1, "o.mp4: ffmpeg failed")
    assert "ulimit -f" in done.stderr


def _mounted(folder: Path) -> bool:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def test_a_really_full_folder(refused: Refused, tmp_path: Path, bunny: Path) -> None:
    if not _mounted(tmp_path):
        pytest.skip("a small file system cannot be mounted here; the injected one stands for it")
    try:
        refused(1, "the disk is full", "upscale", bunny, "-o", tmp_path / "o.mp4", "-m", "nearest")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(tmp_path: Path, bunny: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*VSR, "upscale", str(bunny), "-o", str(tmp_path / "o.mp4"), "--preset", "ultrafast"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".o.mp4.vsr/000000.part.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_lost_is_said_however_quiet(tmp_path: Path, bunny: Path) -> None:
    """Damage in the pictures, which the processes that share the work pass over."""
    data = bytearray(bunny.read_bytes())
    for place in range(4000, len(data) // 2, 2000):
        data[place] ^= 0xFF
    source = tmp_path / "s.mp4"
    source.write_bytes(data)
    done = run("upscale", source, "-o", "o.mkv", "-m", "nearest", "--height", "36", "-q",
               "--segment", "2", "--workers", "2", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert any("mended by guessing" in line for line in said)
    assert all(line.startswith("warning: s.mp4: ") for line in said)


def test_success_is_quiet_where_nobody_watches(tmp_path: Path, bunny: Path) -> None:
    source = tmp_path / "s.mp4"
    judge.ffmpeg("-i", str(bunny), "-t", "0.2", "-c", "copy", str(source))
    done = run("upscale", source, "-m", "nearest", "--scale", "1", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 's_1x.mp4'}\n"
    assert Path(done.stdout.strip()).is_file()
