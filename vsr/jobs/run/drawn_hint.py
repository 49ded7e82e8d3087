"""Whether a film looks drawn, which the default network is made for: a guess, said in a note.

Drawn film has flat areas, whose blocks of 4x4 pixels differ by less than a code value. In the
median of three places these were 11 to 30 % of the blocks of two camera films (pristine, and as
x264 left them at crf 23 to 38), 17 to 21 % in 3D animation, and 72 to 90 % in what was drawn by
programs (crf 18 to 28). Drawn film with grain has 1 %, so it is no more than a note; nor have the
dots of a GIF any.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import closing

import torch

from vsr.errors import InputError
from vsr.events import silent
from vsr.frame import Frame
from vsr.jobs.run.context import RunContext
from vsr.media.read.reader import read_frames
from vsr.media.source.spans import WHOLE, Span
from vsr.options import DEFAULT_MODEL

_PLACES = (1, 3, 5)  # sixths of the film
_BLOCK = 4  # pixels of a side
_FLAT = 1.0  # code values of 8 bits, standard deviation
_DARK, _LIGHT = 24, 225  # code values, beyond which everything is flat
_DRAWN = 0.35  # share of flat blocks
_TEXT = (
    "has few flat areas, as what a camera took has: the default network is made for drawn film; "
    "compare <model.name> general or x4plus. Whatever is named, also animevideov3, ends this note"
)


def drawn_hint(run: RunContext) -> str | None:
    """Return what to say where nobody named a network and the film does not look drawn; None:
    nothing.
    """
    source = run.plan.source
    if (
        run.options.model.name != DEFAULT_MODEL
        or run.model.then
        or not source.rereadable
        or source.format == "gif"
    ):
        return None
    try:
        shares = [share for frame in _frames(run) if (share := flat_share(frame)) is not None]
    except InputError:  # is told by who needs the frames
        return None
    return _TEXT if shares and statistics.median(shares) < _DRAWN else None


def flat_share(frame: Frame) -> float | None:
    """Return the share of flat blocks, of those that are neither dark nor white; None: none are."""
    luma = frame.planes[0].to(torch.float32) / (1 << (frame.layout.bits - 8))
    height, width = (side // _BLOCK * _BLOCK for side in luma.shape)
    blocks = luma[:height, :width].unfold(0, _BLOCK, _BLOCK).unfold(1, _BLOCK, _BLOCK).flatten(2)
    mean = blocks.mean(-1)
    seen = (mean > _DARK) & (mean < _LIGHT)
    if not seen.any():
        return None
    return float((blocks.std(-1, correction=0)[seen] < _FLAT).float().mean())


def _frames(run: RunContext) -> Iterator[Frame]:
    """Yield a frame of each place."""
    source = run.plan.source
    spans = [WHOLE]
    if source.duration is not None and (source.video.frames or 0) > 1:
        end = source.duration / float(source.video.time_base)
        spans = [Span(start=round(end * sixths / 6)) for sixths in _PLACES]
    for span in spans:
        frames = read_frames(source, run.options.colour, spans=[span], sink=silent)
        with closing(frames):
            yield from (frame for frame, _ in zip(frames, range(1), strict=False))
