"""Promises: whatever a film or an option is called, the page around it stays whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import check_page
from vsr.report.page import command_block, document, table, text, time_in_words, write_page

ODD = "</script><b onload=x>&amp;\"'$title ${x}\udcff"


def test_odd_names_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    body = [command_block(ODD), table(("a",), [[text(ODD)]], caption="all")]
    write_page(path, document(ODD, text(ODD), body, scripts=("copy.js",), data={"name": ODD[:-1]}))
    page = check_page(path)
    assert page.data() == {"name": ODD[:-1]}
    shown = ODD[:-1] + "\ufffd"
    titles = [page.words[n] for n, (tag, _) in enumerate(page.elements) if tag in ("title", "h1")]
    assert titles == [shown, shown]
    assert "".join(page.commands) == shown
    assert "b" not in [tag for tag, _ in page.elements]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0:00.000"), (59.9996, "1:00.000"), (3723.5, "1:02:03.500"), (-1.0, "0:00.000")],
)
def test_times_are_said_as_players_show_them(seconds: float, said: str) -> None:
    assert time_in_words(seconds) == said
