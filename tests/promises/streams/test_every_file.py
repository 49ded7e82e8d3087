"""Nothing of any kind of file is lost in silence, by another reader.

The whole table, every input into every container, is `python -m tests.every_file`.
"""

from __future__ import annotations

import pytest

from tests.every_file import CASES, QUICK, check


@pytest.mark.parametrize("name", QUICK)
def test_what_does_not_arrive_is_named(name: str) -> None:
    """Frames, times, colours, sounds, subtitles, attachments, chapters and tags."""
    for row in check(CASES[name], QUICK[name]):
        assert row.word in ("ok", "said", "refused"), row


def test_every_input_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 98
    assert QUICK.keys() <= CASES.keys()
