"""Promises of vsr.flow: order, bounds, and a teardown that cannot hang or hide a cause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vsr.flow import Scope


def _live() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("vsr-")]


def test_items_arrive_in_order_through_many_links() -> None:
    with Scope() as scope:
        chain: Iterator[int] = iter(range(500))
        for n in range(5):
            chain = scope.ahead((x + 1 for x in chain), depth=3, name=f"vsr-{n}")
        assert list(chain) == list(range(5, 505))
    assert not _live()


def test_a_link_never_runs_further_ahead_than_its_depth() -> None:
    made = 0

    def source() -> Iterator[int]:
        nonlocal made
        while made < 1000:
            made += 1
            yield made

    with Scope() as scope:
        items = scope.ahead(source(), depth=4, name="vsr-source")
        for taken in range(20):
            next(items)
            time.sleep(0.002)
            # Those that are taken, in the queue, and the one in the producer's hand.
            assert made <= taken + 1 + 4 + 1


class Broken(Exception):
    pass


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_failure_in_any_link_reaches_the_consumer_itself(where: int) -> None:
    def link(source: Iterator[int], number: int) -> Iterator[int]:
        for n, x in enumerate(source):
            if number == where and n == 7:
                raise Broken(number)
            yield x

    seen: list[int] = []
    with pytest.raises(Broken) as caught, Scope() as scope:
        chain: Iterator[int] = iter(range(100))
        for number in range(3):
            chain = scope.ahead(link(chain, number), depth=2, name=f"vsr-{number}")
        seen.extend(chain)
        seen.append(-1)
    assert caught.value.args == (where,)
    assert -1 not in seen
    assert not _live()


def test_leaving_early_wakes_a_full_producer_and_closes_it() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with pytest.raises(Broken), Scope() as scope:
        items = scope.ahead(endless(), depth=2, name="vsr-endless")
        further = scope.ahead((x for x in items), depth=2, name="vsr-further")
        next(further)
        raise Broken
    assert closed.is_set()
    assert not _live()


def test_an_interrupt_of_the_consumer_ends_every_thread() -> None:
    with pytest.raises(KeyboardInterrupt), Scope() as scope:
        for _ in scope.ahead(iter(range(10**9)), depth=2, name="vsr-numbers"):
            raise KeyboardInterrupt
    assert not _live()


def test_a_thread_that_cannot_be_started_is_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory or a limit of processes is reached."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"), Scope() as scope:
        scope.ahead([1, 2], depth=1, name="never")
