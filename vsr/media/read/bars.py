"""Black bars around a film, found by looking at its pictures all over it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from vsr.media.read.interlace import pictures_at
from vsr.media.source.cropping import HiddenEdges
from vsr.media.source.kinds.base import Source

_PLACES = 12  # evenly over the film: a dark scene has no bars
_LOOK = 8  # frames at each; of a short film four times as many at its beginning
_BLACK = 24  # of 255, of luma; noise on a tape reaches it
_SPECKS = 1.0  # percent of a row or column that may be brighter


def find_bars(source: Source) -> HiddenEdges:
    """Return the source's hidden edges with the bars that are black in every picture looked at.

    Nothing more where the source cannot be looked at before it is read, or is black all over.
    """
    video = source.video
    if not source.rereadable or source.only_pictures:
        return video.hidden
    rows: NDArray[np.bool_] | None = None
    columns: NDArray[np.bool_] | None = None
    for picture in (picture for place in _places(source) for picture in _luma(source, place)):
        if rows is None or columns is None:
            rows, columns = np.zeros(len(picture), bool), np.zeros(picture.shape[1], bool)
        if picture.shape == (len(rows), len(columns)):
            rows |= np.percentile(picture, 100 - _SPECKS, axis=1) > _BLACK
            columns |= np.percentile(picture, 100 - _SPECKS, axis=0) > _BLACK
    if rows is None or columns is None or not rows.any() or not columns.any():
        return video.hidden
    top, bottom = _ends(rows, 1 << video.layout.sub_y)
    left, right = _ends(columns, 1 << video.layout.sub_x)
    found = HiddenEdges(left, right, top, bottom)
    return HiddenEdges(*(max(one) for one in zip(found, video.hidden, strict=True)))


def _ends(seen: NDArray[np.bool_], step: int) -> tuple[int, int]:
    """Return how many of a side's rows or columns are bars, at the beginning and at the end."""
    first, last = np.flatnonzero(seen)[[0, -1]]
    return int(first) // step * step, len(seen) - 1 - int(last)


def _places(source: Source) -> list[float]:
    if not source.duration or source.duration < _PLACES:
        return [0.0]
    return [source.duration * (n + 0.5) / _PLACES for n in range(_PLACES)]


def _luma(source: Source, place: float) -> Iterator[NDArray[np.uint8]]:
    """Yield (H, W) pictures from the second `place` on, as they are decoded."""
    # What is damaged is the reader's to tell; here it only ends the look.
    with contextlib.suppress(av.FFmpegError, OSError):
        for picture in pictures_at(source, place, _LOOK if place else 4 * _LOOK):
            yield picture.reformat(format="gray").to_ndarray().astype(np.uint8)
