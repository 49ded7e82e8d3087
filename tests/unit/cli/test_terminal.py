"""Promise: the bar shows the time that is left as the run knows it."""

from __future__ import annotations

import io

from vsr.cli.terminal import _FrameBar


def test_the_bar_shows_the_time_left_of_the_run() -> None:
    screen = io.StringIO()
    with _FrameBar(total=100, unit="frame", file=screen, ncols=80, mininterval=0) as bar:
        bar.seconds_left = 3661.0
        bar.update(50)  # all but at once, so that tqdm itself would say seconds
        bar.refresh()
    assert "50/100" in screen.getvalue()
    assert "<1:01:01" in screen.getvalue()


def test_a_bar_without_an_end_says_no_time() -> None:
    screen = io.StringIO()
    with _FrameBar(total=None, unit="frame", file=screen, ncols=80, mininterval=0) as bar:
        bar.update(5)
        bar.refresh()
    assert "5frame" in screen.getvalue()
    assert "<" not in screen.getvalue()
