"""Two networks in a row as one engine: a restorer, say, and what enlarges behind it."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from vsr.engine.base import Engine
from vsr.engine.kernel_launch import HasKernels
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions, Precision

# The engine of one network, whose result is brought to a scale afterwards.
Build = Callable[[LoadedModel, Fraction, DeviceOptions], Engine]


class EnginesInARow:
    """Hands each picture from one engine to another, as a picture: within 0..1."""

    def __init__(self, first: Engine, second: Engine) -> None:
        self._both = first, second
        self.name, self.label, self.pinned_name = first.name, first.label, first.pinned_name
        self.scale = first.scale * second.scale
        # Of what the first makes, the second takes multiples of its own.
        self.multiple = math.lcm(
            first.multiple, second.multiple // math.gcd(second.multiple, first.scale)
        )
        self.receptive_radius = first.receptive_radius - (-second.receptive_radius // first.scale)
        self.sees_whole = first.sees_whole or second.sees_whole
        self.device = first.device
        self.dtype, self.precision = first.dtype, first.precision

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`."""
        first, second = self._both
        between = first(x)
        # Too much for 16 bits is no white: it has to be seen behind the second, too.
        between.nan_to_num_(nan=torch.nan, posinf=torch.nan, neginf=torch.nan)
        return second(between.clamp_(0, 1).to(second.dtype))

    @property
    def max_pixels(self) -> int:
        """See `Engine`."""
        first, second = self._both
        return max(min(first.max_pixels, second.max_pixels // first.scale**2), 1)

    def bytes_for(self, pixels: int) -> int:
        """See `Engine`."""
        first, second = self._both
        between = pixels * first.scale**2
        whole = 2 * 3 * between * torch.float32.itemsize
        return max(first.bytes_for(pixels), second.bytes_for(between)) + whole

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`."""
        changed = [engine.fall_back_to_fp32() for engine in self._both]
        self.dtype, self.precision = self._both[0].dtype, self._both[0].precision
        return any(changed)

    def refuse(self, reason: str) -> bool:
        """See `vsr.engine.kernel_launch.HasKernels`."""
        ours = [one.refuse(reason) for one in self._both if isinstance(one, HasKernels)]
        return any(ours)


def engines_in_a_row(
    build: Build, model: LoadedModel, scale: Fraction, options: DeviceOptions
) -> Engine:
    """Return both engines of `model` as one, both of one kind and precision.

    A worker is told one name, by which it is to come to the same; so where each network alone would
    have another engine, PyTorch runs both. Raises as `build`.
    """
    assert model.then is not None
    first_scale = model.scale // model.then.scale
    first = dataclasses.replace(model, then=None, scale=first_scale)

    def both(options: DeviceOptions) -> tuple[Engine, Engine]:
        # An engine changes its network, and there may be two tries.
        one, other = copy.deepcopy((first, model.then))
        assert other is not None
        built = build(one, Fraction(first_scale), options)
        return built, build(other, scale / first_scale, options)

    made = both(options)
    if made[0].name != made[1].name or made[0].precision != made[1].precision:
        made = both(dataclasses.replace(options, engine="torch", precision=_common(made)))
    return EnginesInARow(*made)


def _common(made: tuple[Engine, Engine]) -> Precision:
    """Return a precision that both have."""
    found = {engine.precision for engine in made}
    known: tuple[Precision, ...] = ("fp16", "bf16")
    return next((one for one in known if found == {one}), "fp32")
