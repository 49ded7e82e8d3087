"""Threads and bounded queues with a teardown that cannot hang. Knows nothing of video.

A run is a chain of iterators. `Scope.ahead` moves one link of the chain into a
thread of its own: it runs up to `depth` items ahead of whoever consumes it.

    with Scope() as scope:
        numbers = scope.ahead(count(), depth=4, name="count")
        squares = scope.ahead((n * n for n in numbers), depth=4, name="square")
        for square in squares:
            ...

An exception in any link appears, itself, at the consumer. Leaving the scope, by
the end, an exception or a cancel, wakes and joins every thread and closes every
iterator (so that `finally` blocks and context managers inside them run).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

T = TypeVar("T")


class Cancelled(Exception):
    """Raised inside a link whose scope is being left; never seen outside."""


class _Channel(Generic[T]):
    """A bounded queue with an end, a failure and a cancel."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._ended = False
        self._cancelled = False
        self._failure: BaseException | None = None

    def put(self, item: T) -> None:
        with self._changed:
            while len(self._items) >= self._depth and not self._cancelled:
                self._changed.wait()
            if self._cancelled:
                raise Cancelled
            self._items.append(item)
            self._changed.notify_all()

    def end(self, failure: BaseException | None = None) -> None:
        with self._changed:
            self._ended = True
            self._failure = failure
            self._changed.notify_all()

    def cancel(self) -> None:
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not (self._items or self._ended or self._cancelled):
                    self._changed.wait()
                if self._cancelled:
                    raise Cancelled
                if not self._items:
                    if self._failure is not None:
                        raise self._failure
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Scope:
    """Owns the threads that it starts; none outlives it."""

    def __init__(self) -> None:
        self._links: list[tuple[_Channel[object], threading.Thread]] = []

    def ahead(self, source: Iterable[T], *, depth: int, name: str) -> Iterator[T]:
        """Iterate `source` in a thread named `name`, at most `depth` items ahead.

        `source` is closed by the thread that runs it (if it has `close`). Raises,
        at the consumer, whatever `source` raised.
        """
        channel: _Channel[T] = _Channel(depth)

        def run() -> None:
            failure: BaseException | None = None
            try:
                try:
                    for item in source:
                        channel.put(item)
                        del item  # else this frame outlives its time in the queue by one
                finally:
                    close = getattr(source, "close", None)
                    if close is not None:
                        close()
            except Cancelled:
                pass  # the scope is being left; its own exception tells why
            except BaseException as error:  # it is raised again where it is consumed
                failure = error
            channel.end(failure)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._links.append((cast("_Channel[object]", channel), thread))
        thread.start()
        return iter(channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for channel, _ in self._links:
            channel.cancel()
        for _, thread in self._links:
            if thread.ident is not None:  # else there was no memory to start it, which is raised
                thread.join()
