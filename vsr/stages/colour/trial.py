"""Trials of the colour kernels, in a process of their own: whether they do what PyTorch does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vsr.engine.build import kernel_runner
from vsr.engine.trial_process import answer_of_kernels, ask_of_kernels
from vsr.frame import Colour, Layout
from vsr.stages.colour.backend import ColourBackend, TorchColourBackend
from vsr.stages.colour.cuda_backend import CudaColourBackend
from vsr.stages.colour.drift_correction import CELL

_SOURCE = (37, 101)  # height and width of a trial's pictures: odd, beyond a block's columns at x4
_FLOAT = 4e-6  # of RGB; of a code value at 16 bits 0.3
_CODE = 2e-6  # share of values that may round to the other side, for each code value there is

Making = Callable[[Callable[..., Tensor]], ColourBackend]  # from what makes blank tensors


@dataclass(frozen=True, kw_only=True)
class ColourWork:
    """A kind of work of a colour backend: of which layout and tags, with cells of which side."""

    step: Literal["to", "drift", "from"]
    layout: Layout | None = None
    tags: Colour | None = None
    side: int = 0  # of a drift's cell, in upscaled pixels; 0: there is none

    @property
    def name(self) -> str:
        """All that tells it from other work."""
        if self.layout is None or self.tags is None:
            return f"{self.step} {self.side}"
        layout, tags = self.layout, self.tags
        return " ".join((
            self.step, layout.family, f"{layout.bits} bit", f"{layout.sub_x}{layout.sub_y}",
            tags.matrix.name, tags.range.name, tags.siting.name, str(self.side),
        ))  # fmt: skip


def try_kernels(device: torch.device, work: ColourWork) -> str | None:
    """Return why the kernels are refused, in words; None: they are right.

    Raises KernelsUnavailable where they cannot be had, which another run may find otherwise.
    """
    return ask_of_kernels(__name__, (str(device), work))


def main() -> None:
    """Make one trial, in a process that may come to harm by it."""
    answer_of_kernels(_tried)


def _tried(asked: tuple[str, ColourWork]) -> str | None:
    device, work = torch.device(asked[0]), asked[1]
    run = kernel_runner(device)
    return tried(lambda blank: CudaColourBackend(run, run.processors, blank), device, work)


def tried(make: Making, device: torch.device, work: ColourWork) -> str | None:
    """Return what is wrong with the backend that `make` makes, here and now; None: nothing."""
    bits = work.layout.bits if work.step == "from" and work.layout is not None else 0
    right = example(TorchColourBackend(), device, work)
    for poison in (0x00, 0xFF):  # 0xFF: not a number, in fp32
        made = example(make(_poisoned(poison)), device, work)
        for one, other in zip(made, right, strict=True):
            # Through int32: there is little that PyTorch does with uint16.
            apart = (one.int() - other.int() if bits else one - other).float().abs()
            worst, share = float(apart.max()), float((apart > 0).float().mean())
            if bits and (worst > 1 or share > _CODE * 2**bits):
                return "computed something else in a trial"
            if not bits and not worst < _FLOAT:  # which NaN is not, either
                return "computed something else in a trial"
    return None


def example(backend: ColourBackend, device: torch.device, work: ColourWork) -> tuple[Tensor, ...]:
    """Return what `backend` makes of a trial's pictures."""
    layout, tags, side = work.layout, work.tags, work.side
    if work.step == "drift":
        return (backend.find_drift(*_pictures(side // CELL, device)).cells,)
    assert layout is not None
    assert tags is not None
    if work.step == "to":
        return (backend.to_rgb(_planes(layout, device), layout, tags),)
    upscaled, source = _pictures(max(side // CELL, 1), device)
    known = TorchColourBackend().find_drift(upscaled, source) if side else None
    return backend.from_rgb(upscaled.clone(), layout, tags, known)


def _planes(layout: Layout, device: torch.device) -> tuple[Tensor, ...]:
    """Return planes of any code values."""
    dice = torch.Generator().manual_seed(0)
    height, width = _SOURCE
    return tuple(
        torch.randint(0, 1 << layout.bits, (2, *size), generator=dice).to(layout.dtype).to(device)
        for size in layout.plane_sizes(width, height)
    )


def _pictures(scale: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return an upscaled picture, a piece of something larger, and its source."""
    dice = torch.Generator().manual_seed(0)
    height, width = (side * scale for side in _SOURCE)
    upscaled = torch.rand(2, 3, height + 8, width + 8, generator=dice) * 1.4 - 0.2
    source = torch.rand(2, 3, *_SOURCE, generator=dice)
    return upscaled.to(device)[..., 4:-4, 4:-4], source.to(device)


def _poisoned(value: int) -> Callable[..., Tensor]:
    def blank(*size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        made = torch.empty(*size, dtype=dtype, device=device)
        return made.view(torch.uint8).fill_(value).view(dtype)

    return blank
