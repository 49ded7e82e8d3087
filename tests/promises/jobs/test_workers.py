"""Several processes that share a film make the same film."""

from __future__ import annotations

import os
import signal
import time
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from tests.support.jobs import After
from vsr.errors import OutputError, Stopped, VsrError
from vsr.events import Event, Note, Progress
from vsr.jobs.store.job_store import folder_of
from vsr.runners.local import runner_for


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return judge.talkie(tmp_path / "film.mkv", 4)


def options(workers: int) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        size=vsr.SizeOptions(scale=Fraction(1)),
        encode=vsr.EncodeOptions(codec="ffv1"),
        jobs=vsr.JobOptions(segment=0.4),
        device=vsr.DeviceOptions(workers=workers),
    )


def test_two_processes_make_the_same_film(film: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.mkv", tmp_path / "two.mkv"
    vsr.upscale(film, one, options(1))
    seen: list[int] = []

    def sink(event: Event) -> None:
        if isinstance(event, Progress):
            seen.append(event.frames)

    shared = options(2)
    result = vsr.upscale(film, two, shared, sink=sink, runner=runner_for(shared.device))
    assert result.frames == max(seen) == 100
    assert judge.frames(one) == judge.frames(two)  # bit for bit, on the CPU
    assert judge.packets(one, "a:0") == judge.packets(two, "a:0")


def test_workers_run_nothing_that_lies_where_the_user_is(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "torch", "vsr"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    shared = options(2)
    result = vsr.upscale(film, tmp_path / "o.mkv", shared, runner=runner_for(shared.device))
    assert result.frames == 100
    assert not (tmp_path / "ran").exists()


def test_what_the_disk_refuses_a_worker_is_told_in_a_line(film: Path, tmp_path: Path) -> None:
    output, shared = tmp_path / "out.mkv", options(2)
    with pytest.raises(Stopped):
        vsr.upscale(film, output, options(1), stop=After(1))
    (made,) = folder_of(output).glob("000000.m*")
    made.with_stem("000007").mkdir()  # in the way of a part
    with pytest.raises(OutputError, match="cannot be written to"):
        vsr.upscale(film, output, shared, runner=runner_for(shared.device))


def test_a_worker_that_dies_costs_only_its_part(film: Path, tmp_path: Path) -> None:
    output, shared = tmp_path / "out.mkv", options(2)
    killed: list[int] = []

    def sink(event: Event) -> None:
        if isinstance(event, Progress) and event.frames > 25 and not killed:
            killed.append(_a_worker())
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(VsrError, match="a worker ended unexpectedly"):
        vsr.upscale(film, output, shared, sink=sink, runner=runner_for(shared.device))
    assert list(folder_of(output).glob("[0-9]*.json"))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _alive(killed[0]):
        time.sleep(0.05)
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    assert vsr.upscale(film, output, options(1), sink=listen).frames == 100
    assert any(note.startswith("resuming") for note in notes)


def _a_worker() -> int:
    """A process of ours that runs the worker."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it ended
        if parent == os.getpid() and b"vsr.runners.worker" in command:
            return int(process.name)
    raise AssertionError("no worker runs")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
