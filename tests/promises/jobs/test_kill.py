"""Promise 5: a job can be killed at any moment, and goes on as if nothing had been."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support import judge
from tests.support.jobs import Run

KILLS = int(os.environ.get("VSR_KILLS", "6"))  # at random moments, over all kinds of film


def told(path: Path) -> list[Any]:
    """Pictures, sound, and all times, as ffmpeg decodes them."""
    streams = ["v:0"] + ["a:0"] * ("Audio" in judge.describe(path))
    return [(judge.frames(path, s), judge.packets(path, s)) for s in streams]


def finished_parts(output: Path) -> set[str]:
    return {p.name for p in output.parent.glob(f".{output.name}.vsr/[0-9]*.json")}


@pytest.mark.parametrize("kind", ["cfr", "vfr", "gif"])
def test_killed_at_any_moment(
    films: dict[str, tuple[Path, str]], run: Run, tmp_path: Path, kind: str
) -> None:
    source, suffix = films[kind]
    reference = tmp_path / f"reference{suffix}"
    whole = run(source, reference)
    assert whole["frames"] == len(judge.frames(source))
    expected = told(reference)
    dice = random.Random(kind)
    killed = 0
    while killed < KILLS // 3:
        output = tmp_path / f"out{killed}{suffix}"
        for _ in range(40):
            before = finished_parts(output)
            answer = run(source, output, kill_after=dice.uniform(0.02, 0.6))
            if "killed" not in answer:
                break
            killed += 1
            if output.exists():  # the kill came when all was done, or nearly
                again = run(source, output)
                assert "frames" in again or "is there already" in again["error"]
            assert before <= finished_parts(output) or output.exists()  # nothing is lost again
        else:
            run(source, output)
        assert output.exists(), answer
        assert told(output) == expected
        assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []
        output.unlink()


def steps(run: Run, source: Path, folder: Path) -> list[str]:
    """Every call that changes the disk, in a run that nothing disturbs."""
    answer = run(source, folder / "counted.mp4", part=1.0)
    assert answer["calls"] > 60
    trace: list[str] = answer["trace"]
    return trace


@pytest.mark.parametrize("kind", ["before", "after", "full"])
def test_every_call_that_changes_the_disk(
    films: dict[str, tuple[Path, str]], run: Run, tmp_path: Path, kind: str
) -> None:
    source, _ = films["cfr"]
    trace = steps(run, source, tmp_path)
    expected = told(tmp_path / "counted.mp4")
    every = 1 if os.environ.get("VSR_KILLS") else 8  # all of them take minutes
    done: list[dict[str, Any]] = []
    for at in range(0, len(trace), every):
        output = tmp_path / f"{kind}{at}.mp4"
        hurt = run(source, output, part=1.0, at=at, kind=kind)
        if kind != "full":
            assert "killed" in hurt, (at, trace[at])
        elif "error" in hurt:
            assert "No space left" in hurt["error"] or "space" in hurt["error"], hurt
        if "frames" not in hurt:
            again = run(source, output, part=1.0)
            complete = "is there already" in again.get("error", "")  # the last call of all
            assert again.get("frames") == 75 or complete, (kind, at, trace[at], again)
        assert told(output) == expected, (kind, at, trace[at])
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
        output.unlink()
        done.append(hurt)
    assert len(done) == len(range(0, len(trace), every))
