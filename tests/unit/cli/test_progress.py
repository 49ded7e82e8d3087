"""Promise: a run tells of itself as docs/progress.md says, to people, to programs and to a log."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from tests.support import judge
from vsr.cli import main
from vsr.cli.progress.json_lines import JsonLines
from vsr.cli.terminal import Terminal
from vsr.events import Note, Progress, Started, Step, Timed

ROOT = Path(__file__).parents[3]
_QUICK = ("-m", "nearest", "-s", "1", "--segment", "0.2", "--threads", "1")

Event = dict[str, Any]
Run = Callable[..., tuple[int, list[Event]]]


@pytest.fixture(scope="module")
def check() -> Callable[[Event], Event]:
    """The schema of the page, by a library of its own."""
    text = (ROOT / "docs" / "progress.md").read_text(encoding="utf-8")
    (schema,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    checked: Callable[[Event], Event] = fastjsonschema.compile(json.loads(schema))
    return checked


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], check: Callable[[Event], Event]) -> Run:
    """A command line with `--progress json`: its exit code, and its events, which are valid."""

    def command(*arguments: str | Path) -> tuple[int, list[Event]]:
        code = main([*map(str, arguments), "--progress", "json"])
        return code, [check(json.loads(line)) for line in capfd.readouterr().err.splitlines()]

    return command


def _kinds(events: list[Event]) -> list[str]:
    """Without notes, of which there may be some."""
    return [event["event"] for event in events if event["event"] != "note"]


def _film(path: Path) -> Path:
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=d=1:s=64x48:r=25", "-g", "5", str(path))
    return path


def test_a_film(run: Run, tmp_path: Path) -> None:
    film, output = _film(tmp_path / "film.mkv"), tmp_path / "out.mkv"
    code, events = run("upscale", film, "-o", output, *_QUICK)
    assert code == 0
    kinds = _kinds(events)
    assert kinds[0] == "run"
    assert kinds[-2:] == ["finished", "ended"]
    assert set(kinds) == {"run", "started", "progress", "finished", "ended"}
    (started,) = [event for event in events if event["event"] == "started"]
    assert (started["source"], started["output"]) == (str(film), str(output))
    assert (started["frames"], started["width"], started["height"]) == (25, 64, 48)
    frames = [event["frames"] for event in events if event["event"] == "progress"]
    assert frames == sorted(frames)
    assert frames[-1] == events[-2]["frames"] == len(judge.frames(output)) == 25
    assert (events[-1]["exit_code"], events[-1]["text"]) == (0, None)
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_a_preview_tells_of_each_setting(run: Run, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mkv")
    code, events = run("preview", film, "-m", "bicubic", "--compare", "model=nearest",
                       "--at", "3f", "--seconds", "1")  # fmt: skip
    assert code == 0
    kinds = [kind for kind in _kinds(events) if kind != "progress"]
    # Of one frame first, and of more where the second is not over.
    rounds = kinds.count("started") // 2
    assert rounds in (1, 2)
    assert kinds == ["run", *["started", "finished"] * 2 * rounds, "ended"]


def test_a_report_tells_how_far_it_has_measured(run: Run, tmp_path: Path) -> None:
    film, output = _film(tmp_path / "film.mkv"), tmp_path / "out.mkv"
    assert run("upscale", film, "-o", output, *_QUICK)[0] == 0
    code, events = run("report", film, output, "--metric", "psnr")
    assert code == 0
    assert [kind for kind in _kinds(events) if kind != "progress"] == [
        "run", "started", "finished", "ended",
    ]  # fmt: skip
    assert [e["frames"] for e in events if e["event"] == "progress"][-1] == 25


def test_a_benchmark_tells_of_its_rounds(run: Run, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mkv")
    code, events = run("bench", film, "-m", "bicubic", "--frames", "3", "--rounds", "2")
    assert code == 0
    steps = [(e["step"], e["total"]) for e in events if e["event"] == "step"]
    assert steps[-1] == (2, 2)
    assert _kinds(events)[-1] == "ended"


def test_a_training_tells_of_its_steps(run: Run, tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=d=1:s=128x128:r=12", str(film))
    code, events = run(
        "train", film, "-o", tmp_path / "my.safetensors", "--num-feat", "4", "--num-block", "1",
        "--steps", "3", "--patch", "48", "--area", "96", "--window", "128", "--batch", "1",
        "--clips", "2", "-s", "2", "--check-every", "9",
    )  # fmt: skip
    assert code == 0
    steps = [event for event in events if event["event"] == "step"]
    assert [(event["step"], event["total"]) for event in steps][-1] == (3, 3)
    assert "l1" in steps[0]["numbers"]


def test_a_failure_is_the_text_of_the_last_event(run: Run, tmp_path: Path) -> None:
    code, events = run("upscale", tmp_path / "missing.mkv")
    assert code == 3
    assert _kinds(events) == ["run", "ended"]
    assert events[-1]["exit_code"] == 3
    assert "no such file" in events[-1]["text"]


def test_a_damaged_film_among_others(run: Run, tmp_path: Path) -> None:
    good, bad = _film(tmp_path / "good.mkv"), tmp_path / "bad.mkv"
    bad.write_text("no film")
    code, events = run("upscale", bad, good, "-o", f"{tmp_path / 'out'}/", *_QUICK)
    assert code == 3
    assert [kind for kind in _kinds(events) if kind != "progress"] == [
        "run", "error", "started", "finished", "ended",
    ]  # fmt: skip
    (error,) = [event for event in events if event["event"] == "error"]
    assert "bad.mkv" in error["text"]


def test_pictures_together(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=d=0.12:s=32x32:r=25", str(folder / "%02d.png"))
    code, events = run("upscale", folder, *_QUICK)
    assert code == 0
    batch = [(event["done"], event["total"]) for event in events if event["event"] == "batch"]
    assert batch == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_warnings_are_events(run: Run, bunny: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.ts"
    judge.ffmpeg("-i", str(bunny), "-c", "copy", str(torn))
    torn.write_bytes(torn.read_bytes()[:-30_000])
    code, events = run("upscale", torn, "-o", tmp_path / "o.mkv", *_QUICK, "-q")
    assert code == 0
    assert "warning" in _kinds(events)


def test_a_log_has_the_same_events(
    tmp_path: Path,
    check: Callable[[Event], Event],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "runs.log"
    monkeypatch.setenv("VSR_LOG", str(log))
    film = _film(tmp_path / "film.mkv")
    line = ["upscale", str(film), "-o", str(tmp_path / "out.mkv"), *_QUICK, "-q"]
    assert (main(line), main(line)) == (0, 2)
    kinds = _kinds([check(json.loads(text)) for text in log.read_text().splitlines()])
    assert kinds == ["run", "started", "progress", "progress", "finished", "ended", "run", "ended"]
    (said,) = capfd.readouterr().err.splitlines()
    assert "is there already" in said


def test_a_log_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VSR_LOG", str(tmp_path))
    assert main(["upscale", str(tmp_path / "x.mkv")]) == 2
    assert f"vsr: VSR_LOG={tmp_path}: cannot be written" in capfd.readouterr().err


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _started(frames: int | None) -> Started:
    path = Path("film.mkv")
    return Started(
        source=path, output=path, frames=frames, width=4, height=4, store=None, description="x4"
    )


def test_a_plain_line_every_thirty_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    clock = _Clock()
    with Terminal(quiet=False, progress="plain", clock=clock) as terminal:
        terminal(_started(1000))
        for frames in range(400, 500):  # an earlier run did 399
            terminal(Progress(frames=frames))
            clock.now += 1.0
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "x4",
        "430 of about 1000 frames, 43 %, 1 a second, about 9:30 left",
        "460 of about 1000 frames, 46 %, 1 a second, about 9:00 left",
        "490 of about 1000 frames, 49 %, 1 a second, about 8:30 left",
    ]


@pytest.mark.parametrize(("progress", "quiet"), [("none", False), ("plain", True)])
def test_who_wants_no_progress_gets_none(
    progress: str, quiet: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = _Clock()
    with Terminal(quiet=quiet, progress=progress, clock=clock) as terminal:
        terminal(_started(None))
        for frames in range(100):
            terminal(Progress(frames=frames))
            clock.now += 10.0
    assert capfd.readouterr().err.splitlines() == ([] if quiet else ["x4"])


def test_steps_have_lines_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    clock = _Clock()
    lines = list[str]()
    with Terminal(quiet=False, progress="plain", clock=clock) as terminal:
        sink = Timed(terminal, clock)
        written = JsonLines(lines.append, 0.0, clock)
        for step in range(11, 51):  # an earlier run did ten
            sink(Step(step=step, total=100, numbers={"l1": 0.5}))
            clock.now += 1.0
        written(Step(step=51, total=100, numbers={"l1": math.inf, "psnr": 30.0}))
    assert capfd.readouterr().err.splitlines() == [
        "41 of about 100 steps, 41 %, 1 a second, about 0:59 left"
    ]
    assert json.loads(lines[0])["numbers"] == {"psnr": 30.0}


def test_progress_is_written_now_and_then_and_its_end_always() -> None:
    clock, lines = _Clock(), list[str]()
    sink = JsonLines(lines.append, 1.0, clock)
    for frames in range(1, 11):
        sink(Progress(frames=frames))
        clock.now += 0.25
    sink(Note(text="<size.scale> is odd"))
    sink(_started(None))
    told = [json.loads(line) for line in lines]
    assert [event.get("frames") for event in told] == [1, 5, 9, None, 10, None]
    assert told[3]["text"] == "--scale is odd"
