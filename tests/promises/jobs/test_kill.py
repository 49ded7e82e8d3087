"""Promise 5: a job can be killed at any moment, and goes on as if nothing had been."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import judge
from tests.support.jobs import Run
from vsr.nets.families.srvgg import SRVGGNetCompact

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


def test_two_networks_in_a_row_with_reuse_are_the_same_after_a_kill(
    run: Run, tmp_path: Path
) -> None:
    film = judge.make(
        tmp_path / "film.mkv", "testsrc2=s=48x32:r=10,trim=end_frame=20", "-c:v", "ffv1",
        "-g", "2", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    torch.manual_seed(0)
    paths = []
    for scale in (1, 2):
        paths.append(tmp_path / f"{scale}x.pth")
        torch.save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=scale).state_dict(), paths[-1])
    how = {"model": str(paths[0]), "then": str(paths[1]), "scale": "2", "reuse": "safe"}
    whole = run(film, tmp_path / "whole.mkv", **how)
    assert whole.get("frames") == 20, whole
    assert judge.size_of(tmp_path / "whole.mkv") == (96, 64)
    output = tmp_path / "killed.mkv"
    assert "killed" in run(film, output, at=whole["calls"] // 2, kind="after", **how)
    assert finished_parts(output)
    swapped = run(film, output, **how | {"model": how["then"], "then": how["model"]})
    assert "the weights" in swapped.get("error", ""), swapped
    resumed = run(film, output, **how)
    assert resumed.get("frames") == 20, resumed
    assert told(output) == told(tmp_path / "whole.mkv")
