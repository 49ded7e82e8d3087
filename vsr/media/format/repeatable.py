"""Settings with which an encoder writes the same bits on any machine, however often it is asked.

Encoders choose by themselves how many threads they take, and some write other bits with another
number; some read, for some sizes, memory that they never wrote. What is set here against that was
found, and is held, by `tests/repeatable.py`.
"""

from __future__ import annotations

import dataclasses

from vsr.media.format.encoders import EncoderPlan

_MOST_THREADS = 12
_NARROW = 48
_CTU_SIZES = (64, 32, 16)  # of HEVC's coding tree units, in pixels


def repeatable(plan: EncoderPlan, width: int, height: int) -> EncoderPlan:
    """Add what makes the bits of pictures of `width` x `height` depend on nothing but them.

    What the user has set stays as it is.
    """
    settings, name = dict(plan.settings), plan.encoder.name
    if name == "libx264":
        # Each of its threads works on a frame of its own. Few in small pictures: what lies
        # beyond the rows that another thread has finished cannot be referred to.
        settings.setdefault("threads", str(_threads(height, rows=180)))
    elif name == "libx265":
        settings.setdefault("threads", str(_threads(height, rows=360)))
        own = ":".join(_x265_parameters(width))
        told = settings.get("x265-params")
        settings["x265-params"] = ":".join(part for part in (own, told) if part)
    return dataclasses.replace(plan, settings=settings)


def unrepeatable(plan: EncoderPlan, width: int) -> str | None:
    """Say why two runs may write different bits all the same, in words; None: they do not."""
    if plan.encoder.hardware:
        return f"another GPU or driver may write other bits with {plan.encoder.name}"
    if plan.encoder.name == "libx265" and width <= _CTU_SIZES[-1]:
        return "in pictures this narrow, two runs of h265 may write different bits"
    return None


def _threads(height: int, *, rows: int) -> int:
    return min(max(height // rows, 1), _MOST_THREADS)


def _x265_parameters(width: int) -> list[str]:
    """Return the parameters with which x265 4.2 does not go wrong in narrow pictures."""
    parameters = []
    if width <= _NARROW:
        # Of fewer than four blocks in a row it writes the costs behind the end of its buffer.
        parameters.append("cutree=0")
    if width <= _CTU_SIZES[0]:
        # In a picture that is one coding tree unit wide it reads what was never written.
        ctu = next((size for size in _CTU_SIZES if size < width), _CTU_SIZES[-1])
        parameters.append(f"ctu={ctu}")
    return parameters
