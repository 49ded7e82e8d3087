"""Promise: progress says how many frames there will be, and when, as far as that can be known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.errors import Stopped
from vsr.events import Event, Progress, Sink, Started, Timed, silent
from vsr.jobs.run import upscale as upscale_module
from vsr.jobs.run.context import never
from vsr.timing import Pace


def _told(total: int | None, frames: list[int], seconds: list[float]) -> list[Progress]:
    """Return what is told of `frames` that came at `seconds`."""
    told: list[Progress] = []
    clock = iter(seconds)

    def sink(event: Event) -> None:
        if isinstance(event, Progress):
            told.append(event)

    timed = Timed(sink, clock=lambda: next(clock))
    where = Path("a.mkv")
    timed(
        Started(
            source=where,
            output=where,
            frames=total,
            width=2,
            height=2,
            store=None,
            description="",
        )
    )
    for count in frames:
        timed(Progress(frames=count))
    return told


def test_the_time_left_is_that_of_this_run() -> None:
    """What an earlier run has done took no time in this one."""
    told = _told(160, [100, 101, 110, 160], [50.0, 52.0, 70.0, 170.0])
    assert [event.frames for event in told] == [100, 101, 110, 160]
    assert {event.total for event in told} == {160}
    assert [event.seconds_left for event in told] == [None, 118.0, 100.0, 0.0]


def test_the_time_left_forgets_a_quick_beginning() -> None:
    """An encoder takes its first frames without writing any."""
    seconds = [0.1 * min(frame, 30) + max(frame - 30, 0) for frame in range(61)]
    told = _told(600, list(range(61)), seconds)
    assert told[60].seconds_left == pytest.approx(540, rel=0.01)


def test_what_is_known_of_the_pace_stays_small() -> None:
    pace = Pace()
    for frame in range(100_000):
        left = pace.left(frame, 200_000, frame / 10)
    assert left == pytest.approx(10_000, rel=0.01)
    assert len(pace._known) <= 1024


@pytest.mark.parametrize(("total", "known"), [(None, [None, None]), (1, [1, None])])
def test_an_estimate_that_was_too_low_is_no_total(
    total: int | None, known: list[int | None]
) -> None:
    told = _told(total, [1, 2], [0.0, 1.0])
    assert [event.total for event in told] == known
    assert told[-1].seconds_left is None


def test_a_film_s_progress_has_them(tmp_path: Path) -> None:
    film = judge.make(
        tmp_path / "a.mkv", "testsrc2=s=48x32:r=10:d=2", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    events: list[Event] = []
    result = vsr.upscale(film, model="bicubic", scale=2, sink=events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.frames for event in progress] == list(range(1, result.frames + 1))
    assert {event.total for event in progress} == {result.frames} == {20}
    assert progress[0].seconds_left is None
    assert all(event.seconds_left is not None for event in progress[1:])
    assert progress[-1].seconds_left == 0


def test_after_a_stop_only_new_frames_are_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second for each event of this run; what lies finished on the disk took none."""
    film = judge.make(
        tmp_path / "a.mkv", "testsrc2=s=48x32:r=10:d=3", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )

    def upscaled(sink: Sink, stop: Callable[[], bool] = never) -> None:
        vsr.upscale(
            film, tmp_path / "big.mkv", model="bicubic", scale=2, segment=1, sink=sink, stop=stop
        )

    with pytest.raises(Stopped):
        upscaled(silent, lambda: True)
    seconds = iter(range(1000))
    monkeypatch.setattr(
        upscale_module, "Timed", lambda sink: Timed(sink, clock=lambda: float(next(seconds)))
    )
    events: list[Event] = []
    upscaled(events.append)
    told = [event for event in events if isinstance(event, Progress)]
    before = told[0].frames - 1
    assert before > 0
    assert [event.frames for event in told] == list(range(before + 1, 31))
    assert [event.seconds_left for event in told[1:]] == [30 - event.frames for event in told[1:]]
