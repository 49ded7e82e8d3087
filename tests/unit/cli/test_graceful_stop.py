"""Promise: a run that is told to end, and then ends at once, says what is true at that moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsr.cli.graceful_stop import GracefulStop
from vsr.events import Started
from vsr.jobs.store.job_store import JobStore, SegmentRecord, folder_of


class Left(Exception):
    """The process would have ended, with this code."""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mkv"


@pytest.fixture(autouse=True)
def _this_process_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    # Those of this process are other tests'.
    monkeypatch.setattr("vsr.cli.graceful_stop.end_children", lambda: None)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def begun(output: Path, address: str | None = None) -> GracefulStop:
    """A run that was told to end once, whose work has begun."""
    stop = GracefulStop(lambda event: None, address)
    stop(
        Started(
            source=output.with_name("in.mkv"), output=output, frames=None, width=2, height=2,
            description="", store=folder_of(output),
        )
    )  # fmt: skip
    return stop


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("removed", range(4))
def test_a_film_that_has_its_name_is_not_called_unfinished(
    output: Path, capfd: pytest.CaptureFixture[str], removed: int, old: bool
) -> None:
    """However far its store is removed, and whether or not another film lay there before."""
    if old:
        output.write_bytes(b"another film")
    with JobStore(folder_of(output)) as store, begun(output) as stop:
        store.begin({})
        stop._signalled(signal.SIGINT, None)
        store.tell({"frames": 1, "bytes": 4})
        made = output.with_suffix(".made")
        made.write_bytes(b"film")
        made.replace(output)
        for name in ("job.json", "lock", "result.json")[:removed]:
            (store.folder / name).unlink()
        stop._signalled(signal.SIGINT, None)  # does not leave: only tidying up is left
        if removed == 3:
            store.folder.rmdir()
            stop._signalled(signal.SIGINT, None)
    said = "vsr: stopping when this segment is done, or in 5 seconds; once more: now"
    assert capfd.readouterr().err.strip() == said


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_a_film_that_has_not_its_name_yet_is_kept_as_far_as_it_is_finished(
    output: Path, capfd: pytest.CaptureFixture[str], kept: bool, old: bool
) -> None:
    if old:
        output.write_bytes(b"another film")
    with JobStore(folder_of(output)) as store, begun(output) as stop:
        store.begin({})
        if kept:
            store.unfinished(0, ".mkv").write_bytes(b"a")
            store.finish(
                0, ".mkv",
                SegmentRecord(frames=1, first=0, last=0, last_duration=1, bytes=1, sha256=""),
            )  # fmt: skip
        stop._signalled(signal.SIGINT, None)
        with pytest.raises(Left, match="130"):
            stop._signalled(signal.SIGINT, None)
    assert ("what is finished is kept" if kept else "nothing was finished yet") in (
        capfd.readouterr().err
    )
    assert folder_of(output).exists() == kept


def test_what_lies_beside_an_object_is_not_said_to_be_gone(
    output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its folder here has no segments, and another machine may have made some."""
    with JobStore(folder_of(output)) as store, begun(output, "s3://films/out.mkv") as stop:
        store.begin({})
        stop._signalled(signal.SIGINT, None)
        with pytest.raises(Left):
            stop._signalled(signal.SIGINT, None)
    said = capfd.readouterr().err
    assert "nothing is left behind" not in said
    assert "stopped; what is finished is kept; go on with the same command, here or" in said
