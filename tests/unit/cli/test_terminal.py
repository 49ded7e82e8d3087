"""Promise: the bar shows the time that is left as the run knows it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from vsr.cli.terminal import Terminal, _WorkBar
from vsr.events import Finished, Note, Progress, Started, WarningNote


def test_the_bar_shows_the_time_left_of_the_run() -> None:
    screen = io.StringIO()
    with _WorkBar(total=100, unit="frame", file=screen, ncols=80, mininterval=0) as bar:
        bar.seconds_left = 3661.0
        bar.update(50)  # all but at once, so that tqdm itself would say seconds
        bar.refresh()
    assert "50/100" in screen.getvalue()
    assert "<1:01:01" in screen.getvalue()


def test_a_bar_without_an_end_says_no_time() -> None:
    screen = io.StringIO()
    with _WorkBar(total=None, unit="frame", file=screen, ncols=80, mininterval=0) as bar:
        bar.update(5)
        bar.refresh()
    assert "5frame" in screen.getvalue()
    assert "<" not in screen.getvalue()


def _film(terminal: Terminal, *warnings: str) -> None:
    path = Path("done/film.mkv")
    terminal(Note(text="s.mkv: is guessed"))
    terminal(WarningNote(text=warnings[0]))
    terminal(Started(source=path, output=path, frames=9, width=4, height=4, store=None,
                     description="x4"))  # fmt: skip
    terminal(Progress(frames=9))
    for text in warnings[1:]:
        terminal(WarningNote(text=text))
    terminal(Finished(output=path, frames=9, seconds=3.0))


def test_what_is_lost_is_one_list_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=False) as terminal:
        _film(terminal, "s.mkv: no titles", "s.mkv: no captions", "s.mkv: no titles")
        lines = capfd.readouterr().err.splitlines()
        assert lines[-3:] == [
            "what film.mkv lacks or has otherwise, and what was damaged:",
            "  s.mkv: no titles",
            "  s.mkv: no captions",
        ]
        assert "warning: s.mkv: no titles" in lines  # at once, too
        _film(terminal, "t.mkv: no sound")  # each film has its own
        lines = capfd.readouterr().err.splitlines()
        assert lines[-1] == "  t.mkv: no sound"
        assert not any("s.mkv: no" in line for line in lines)


def test_a_film_that_fails_leaves_the_next_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=False) as terminal:
        terminal(WarningNote(text="s.mkv: no titles"))
        terminal.error("vsr: s.mkv: reading failed")
        _film(terminal, "t.mkv: no sound")
    lines = capfd.readouterr().err.splitlines()
    assert sum("s.mkv: no titles" in line for line in lines) == 1


def test_a_quiet_run_says_each_thing_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Terminal(quiet=True) as terminal:
        _film(terminal, "s.mkv: no titles", "s.mkv: no captions")
    said = capfd.readouterr().err.splitlines()
    assert said == ["warning: s.mkv: no titles", "warning: s.mkv: no captions"]
