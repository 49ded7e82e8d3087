"""Progress as lines, where nobody can watch a bar: a log, a service, a pipe."""

from __future__ import annotations

from collections.abc import Callable

from vsr.timing import clock as as_clock

INTERVAL = 30.0  # seconds from one line to the next


class PlainProgress:
    """Says every 30 seconds how far a run has come; what tqdm's bar is called with is understood.

    Where one step takes longer, there is a line after each.
    """

    def __init__(
        self,
        total: int | None,
        unit: str,
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.n = 0.0
        self.seconds_left: float | None = None  # where somebody knows
        self._total, self._unit, self._say, self._clock = total, unit, say, clock
        self._begun = self._said = clock()
        self._first: tuple[float, float] | None = None  # what an earlier run did is no work of ours

    def update(self, count: float) -> None:
        """Hear of `count` more steps."""
        now = self._clock()
        self.n += count
        if self._first is None:
            self._first = now, self.n
        if now - self._said >= INTERVAL:
            self._said = now
            self._say(self._line(now))

    def close(self) -> None:
        """End; what is to be said of the whole is said by others."""

    def _line(self, now: float) -> str:
        parts = [f"{self.n:.0f} {self._unit}s"]
        if self._total:
            parts = [f"{self.n:.0f} of about {self._total} {self._unit}s"]
            parts.append(f"{min(100 * self.n // self._total, 100):.0f} %")
        assert self._first is not None
        began, had = self._first
        if now > began and self.n > had:
            rate = (self.n - had) / (now - began)
            parts.append(f"{rate:.3g} a second")
            if self._total and self._total > self.n:
                left = self.seconds_left or (self._total - self.n) / rate
                parts.append(f"about {as_clock(left)} left")
        else:
            parts.append(f"{as_clock(now - self._begun)} so far")
        return ", ".join(parts)
