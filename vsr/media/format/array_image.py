"""Frames of numpy arrays and PIL images, and back: the same kind, type and mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vsr.errors import UsageError
from vsr.frame import Colour, Frame, Layout, Matrix, Range

_COLOUR = Colour(matrix=Matrix.RGB, range=Range.FULL)
_GREY = Colour(matrix=Matrix.BT709, range=Range.FULL)
_BITS = {"uint8": 8, "uint16": 16, "float32": 16}
_FULL = 65535  # what 1.0 of a float is
_MODES = ("L", "RGB", "RGBA")  # of PIL


@dataclass(frozen=True, kw_only=True)
class ArrayFrames:
    """The frames of one image or stack of images, and how the same kind is made of others."""

    frames: list[Frame]
    restore: Callable[[Sequence[Frame]], Any]


def frames_of(image: object) -> ArrayFrames:
    """Return the frames of an array or a PIL image.

    An array is (H, W, 3 or 4) or (N, H, W, 3 or 4), uint8, uint16 or float32 (0..1, taken to 16
    bits); a PIL image has the mode L, RGB or RGBA. The fourth channel is alpha, not multiplied in.

    Raises UsageError for anything else, which it names.
    """
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if isinstance(image, Image.Image):
        return _of_pil(image)
    kind = f"{type(image).__module__}.{type(image).__qualname__}".removeprefix("builtins.")
    raise UsageError(f"{kind}: hand in a numpy array or a PIL image")


def _of_array(array: NDArray[Any]) -> ArrayFrames:
    name = array.dtype.name
    if name not in _BITS or not array.dtype.isnative:
        raise UsageError(f"an array of {array.dtype}: must be uint8, uint16 or float32")
    if array.ndim not in (3, 4) or array.shape[-1] not in (3, 4) or not array.size:
        raise UsageError(
            f"an array of shape {array.shape}: must be (H, W, 3 or 4) or (N, H, W, 3 or 4)"
        )
    if name == "float32" and not np.isfinite(array).all():
        raise UsageError("an array of float32: holds what is not a number")
    layout = Layout(family="rgb", bits=_BITS[name], alpha=array.shape[-1] == 4)
    stack = array if array.ndim == 4 else array[None]
    frames = [_frame(_codes(one), layout, _COLOUR, number) for number, one in enumerate(stack)]

    def restore(made: Sequence[Frame]) -> NDArray[Any]:
        stacked = np.stack([_array_of(frame) for frame in made])
        if name == "float32":
            stacked = stacked.astype(np.float32) / np.float32(_FULL)
        return stacked if array.ndim == 4 else stacked[0]

    return ArrayFrames(frames=frames, restore=restore)


def _of_pil(image: Image.Image) -> ArrayFrames:
    if image.mode not in _MODES:
        raise UsageError(f"a PIL image of mode {image.mode}: convert it to {', '.join(_MODES)}")
    array = np.asarray(image)
    grey = image.mode == "L"
    layout = Layout(family="gray" if grey else "rgb", alpha=image.mode == "RGBA")
    channels = array[..., None] if grey else array

    def restore(made: Sequence[Frame]) -> Image.Image:
        array = _array_of(made[0])
        result = Image.fromarray(array[..., 0] if grey else array)
        result.info = dict(image.info)  # such as its colour profile
        return result

    return ArrayFrames(
        frames=[_frame(channels, layout, _GREY if grey else _COLOUR, 0)], restore=restore
    )


def _codes(array: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, C) as code values."""
    if array.dtype != np.float32:
        return array
    return np.rint(array.clip(0, 1) * np.float32(_FULL)).astype(np.uint16)


def _frame(array: NDArray[Any], layout: Layout, colour: Colour, number: int) -> Frame:
    """Make a frame of (H, W, C). Its planes are copies."""
    planes = tuple(
        torch.from_numpy(np.array(array[..., channel])) for channel in range(array.shape[-1])
    )
    return Frame(
        planes=planes, layout=layout, colour=colour, pts=number, duration=1, time_base=Fraction(1),
        fresh=number == 0,
    )  # fmt: skip


def _array_of(frame: Frame) -> NDArray[Any]:
    """Return (H, W, C)."""
    return np.stack([plane.numpy() for plane in frame.planes], axis=-1)
