"""How a film is cut into parts: every frame is in one of them, and in no other."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vsr.jobs.plan.segments import cut_at_keyframes, joined, with_context
from vsr.media.read.keyframes import Keyframes
from vsr.media.source.spans import Span

MS = Fraction(1, 1000)


def index(keys: list[int], last: int) -> Keyframes:
    return Keyframes(pts=tuple(keys), frames=range(0, last + 1, 40))


def owners(parts: list[Span], pts: int) -> list[int]:
    return [
        n
        for n, part in enumerate(parts)
        if (part.start is None or pts >= part.start) and (part.end is None or pts < part.end)
    ]


@pytest.mark.parametrize("every", [40, 400, 3000, 100_000])  # intra only .. one keyframe
@pytest.mark.parametrize("seconds", [0.1, 1.0, 10.0])
def test_every_frame_is_in_one_part(every: int, seconds: float) -> None:
    last = 60_000
    parts = cut_at_keyframes((), index(list(range(0, last, every)), last), MS, seconds)
    assert all(len(owners(parts, pts)) == 1 for pts in range(-80, last + 400, 40))
    lengths = [(p.end or last) - (p.start or 0) for p in parts]
    assert max(lengths) <= 3 * max(seconds * 1000, 40) + every * (every <= seconds * 3000)
    assert parts[0].start is None
    assert parts[-1].end is None


def test_parts_begin_at_keyframes_where_there_are_any() -> None:
    keys = [0, 480, 3000, 9000, 11_000, 12_500, 21_000, 29_000]
    parts = cut_at_keyframes((), index(keys, 30_000), MS, 10.0)
    assert [p.start for p in parts] == [None, 11_000, 21_000]
    parts = cut_at_keyframes((), index(keys, 25_000), MS, 10.0)
    assert [p.start for p in parts] == [None, 11_000]  # 21_000 would leave less than a half


def test_parts_of_clips_keep_their_place_in_the_result() -> None:
    clips = (Span(start=5000, end=26_000, at=0), Span(start=1000, end=4000, at=21_000))
    parts = cut_at_keyframes(clips, index(list(range(0, 60_000, 1000)), 60_000), MS, 10.0)
    assert [(p.start, p.end, p.at) for p in parts] == [
        (5000, 15_000, 0), (15_000, 26_000, 10_000), (1000, 4000, 21_000),
    ]  # fmt: skip
    assert joined(parts) == list(clips)
    assert joined([parts[0], parts[2]]) == [parts[0], parts[2]]


def test_what_is_one_again_is_read_in_one_go() -> None:
    parts = cut_at_keyframes((), index(list(range(0, 60_000, 1000)), 60_000), MS, 10.0)
    assert joined(parts) == [Span()]
    assert joined(parts[1:3]) == [Span(start=10_000, end=30_000, at=10_000)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("first", range(10))
def test_around_a_part_there_is_room_for_frames_that_are_left_of_a_telecine(
    count: int, first: int
) -> None:
    """Whose filter hands out four of five, and where its pattern breaks not evenly."""
    frames = range(0, 60_000, 40)
    start, end = 20_000, 30_000
    (around,) = with_context([Span(start=start, end=end, at=start)], (), frames, count)
    left = [pts for n, pts in enumerate(frames, first) if n % 10 not in (4, 5)]
    assert len([pts for pts in left if start - around.lead <= pts < start]) >= count
    assert len([pts for pts in left if end <= pts < end + around.tail]) >= count


def test_the_room_around_a_part_ends_with_its_clip() -> None:
    clips = (Span(start=10_000, end=30_000, at=0),)
    parts = cut_at_keyframes(clips, index(list(range(0, 60_000, 5000)), 60_000), MS, 5.0)
    for around in with_context(parts, clips, range(0, 60_000, 40), 3):
        assert (around.start or 0) - around.lead >= 10_000
        assert (around.end or 0) + around.tail <= 30_000


def test_a_gap_is_no_work() -> None:
    """A slide an hour, or one wild time stamp: each segment has frames, and it takes no time."""
    slides = Keyframes(pts=tuple(range(0, 10**8, 3_600_000)), frames=range(0, 10**8, 3_600_000))
    assert len(cut_at_keyframes((), slides, MS, 10.0)) <= len(slides.frames)
    wild = Keyframes(pts=(0,), frames=[*range(0, 60_000, 40), 1 << 60])
    parts = cut_at_keyframes((), wild, MS, 10.0)
    assert len(parts) <= 8
    assert all(len(owners(parts, pts)) == 1 for pts in wild.frames)
