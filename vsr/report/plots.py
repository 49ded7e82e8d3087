"""Lines over time, as SVG in the page: no library, and nothing to load."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vsr.report.page import text

_WIDTH, _HEIGHT = 1000, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 28
_COLUMNS = 460  # of which each has a lowest and a highest point
_TICKS = 4


@dataclass(frozen=True, kw_only=True)
class Series:
    """A number for each frame."""

    name: str
    unit: str
    times: Sequence[float]  # seconds
    values: Sequence[float]  # nan, or infinite: is not drawn


def figure(title: str, series: Sequence[Series], cuts: Sequence[float] = ()) -> str:
    """Return up to three series in one plot, with what they come to in words; "" for none."""
    finite = [v for one in series for v in one.values if math.isfinite(v)]
    if not finite:
        return ""
    end = max((one.times[-1] for one in series if len(one.times)), default=0.0) or 1.0
    low, high = _range(finite)
    unit = f", {series[0].unit}" if series[0].unit else ""
    words = "; ".join(_in_words(one) for one in series)
    lines = [
        f'<figure><svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{text(title)}: {text(words)}">',
        *(f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
          for x in (_x(cut, end) for cut in cuts)),
        *_axes(low, high, end),
        *(f'<path class="s{n}" d="{_path(one, low, high, end)}"/>'
          for n, one in enumerate(series, start=1)),
        "</svg>",
    ]  # fmt: skip
    keys = " ".join(
        f'<span class="key{n}">━ {text(one.name)}</span>' for n, one in enumerate(series, start=1)
    )
    shown = f" {keys}" if len(series) > 1 else ""
    lines.append(f"<figcaption><strong>{text(title)}</strong>{text(unit)}.{shown} {text(words)}.")
    lines.append("</figcaption></figure>")
    return "\n".join(lines)


def _in_words(one: Series) -> str:
    there = [value for value in one.values if math.isfinite(value)]
    if not there:
        return f"{one.name}: nothing"
    mean = math.fsum(there) / len(there)
    return f"{one.name}: mean {mean:.4g}, from {min(there):.4g} to {max(there):.4g}"


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return round numbers around all values, with 0 where that is near."""
    low, high = min(values), max(values)
    if low > 0 and low < 0.5 * high:
        low = 0.0
    step = _step(high - low or abs(high) or 1.0)
    return math.floor(low / step) * step, math.ceil(high / step) * step or step


def _step(span: float) -> float:
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= rough * 0.999)


def _x(time: float, end: float) -> float:
    return _LEFT + time / end * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low or 1.0)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(low: float, high: float, end: float) -> Iterator[str]:
    step = _step(high - low or 1.0)
    for n in range(round((high - low) / step) + 1):
        y = _y(low + n * step, low, high)
        yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{low + n * step:.4g}</text>'
    step = _step(end)
    for n in range(int(end / step) + 1):
        x, y = _x(n * step, end), _HEIGHT - 8
        yield f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{_clock(n * step)}</text>'


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )


def _path(one: Series, low: float, high: float, end: float) -> str:
    """Return the line; of more points than are seen, the lowest and highest of each column."""
    points = [(t, v) for t, v in zip(one.times, one.values, strict=True) if math.isfinite(v)]
    if len(points) > 2 * _COLUMNS:
        borders = [n * len(points) // _COLUMNS for n in range(_COLUMNS + 1)]
        kept = []
        for start, stop in pairwise(borders):
            column = points[start:stop]
            ends = {min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1])}
            kept += sorted(ends)
        points = kept
    return "M" + "L".join(f"{_x(t, end):.1f} {_y(v, low, high):.1f}" for t, v in points)
