"""Which colour backend a device gets: our kernels where a trial finds them right, or PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vsr.engine.base import Engine
from vsr.engine.kernel_launch import KernelsUnavailable, RunsKernels
from vsr.engine.trial_cache import remember, remembered
from vsr.events import Note, Sink
from vsr.frame import Colour, Layout
from vsr.stages.colour.backend import ColourBackend, TorchColourBackend
from vsr.stages.colour.colour_kernels import all_text
from vsr.stages.colour.convert import is_weighted
from vsr.stages.colour.cuda_backend import CudaColourBackend, fits
from vsr.stages.colour.drift_correction import CELL, DriftCorrection, cell_side

_SOURCE = (37, 101)  # height and width of a trial's pictures: odd, beyond a block's columns at x4
_FLOAT = 4e-6  # of RGB; of a code value at 16 bits 0.3
_CODE = 2e-6  # share of values that may round to the other side, for each code value there is

Making = Callable[[Callable[..., Tensor]], CudaColourBackend]  # from what makes blank tensors
_Case = Callable[[ColourBackend], tuple[Tensor, ...]]


def backend_for(engine: Engine, sink: Sink) -> ColourBackend:
    """Return kernels beside an engine of kernels, which a job's fingerprint names; else
    PyTorch's.
    """
    if not isinstance(engine, RunsKernels):
        return TorchColourBackend()
    device = engine.device
    try:
        run = engine.kernel_runner()
        where = run.describe(all_text())
    except KernelsUnavailable as error:
        sink(Note(text=_missing(error)))
        return TorchColourBackend()
    return CheckedColourBackend(
        lambda blank: CudaColourBackend(run, run.processors, blank), device, where=where, sink=sink
    )


class CheckedColourBackend:
    """Kernels for each kind of work that a trial on this very device found right."""

    def __init__(self, make: Making, device: torch.device, *, where: str, sink: Sink) -> None:
        """Take `where`: what a trial's outcome depends on besides the kind of work."""
        self._make, self._device, self._where, self._sink = make, device, where, sink
        self._own, self._plain = make(torch.empty), TorchColourBackend()
        self._passed: dict[str, bool] = {}

    def to_rgb(self, planes: tuple[Tensor, ...], layout: Layout, tags: Colour) -> Tensor:
        """See `ColourBackend`."""

        def case(backend: ColourBackend) -> tuple[Tensor, ...]:
            return (backend.to_rgb(self._planes(layout), layout, tags),)

        if not is_weighted(layout, tags):
            return self._plain.to_rgb(planes, layout, tags)
        return self._backend_for(f"to {_kind(layout, tags)}", case, 0).to_rgb(planes, layout, tags)

    def find_drift(self, upscaled: Tensor, source: Tensor) -> DriftCorrection:
        """See `ColourBackend`."""
        side = cell_side(upscaled, source)

        def case(backend: ColourBackend) -> tuple[Tensor, ...]:
            return (backend.find_drift(*self._pictures(side // CELL)).cells,)

        return self._backend_for(f"drift {side}", case, 0).find_drift(upscaled, source)

    def from_rgb(
        self, rgb: Tensor, layout: Layout, tags: Colour, drift: DriftCorrection | None
    ) -> tuple[Tensor, ...]:
        """See `ColourBackend`."""
        side = 0 if drift is None else drift.side

        def case(backend: ColourBackend) -> tuple[Tensor, ...]:
            upscaled, source = self._pictures(max(side // CELL, 1))
            known = self._plain.find_drift(upscaled, source) if side else None
            return backend.from_rgb(upscaled.clone(), layout, tags, known)

        if not fits(layout):
            return self._plain.from_rgb(rgb, layout, tags, drift)
        kind = f"from {_kind(layout, tags)} {side}"
        return self._backend_for(kind, case, layout.bits).from_rgb(rgb, layout, tags, drift)

    def _backend_for(self, kind: str, case: _Case, bits: int) -> ColourBackend:
        """Return those for work of that kind, an example of which is `case`. `bits`: of codes; 0:
        RGB.
        """
        if kind not in self._passed:
            self._passed[kind] = self._try(kind, case, bits)
        return self._own if self._passed[kind] else self._plain

    def _try(self, kind: str, case: _Case, bits: int) -> bool:
        name = f"colour {self._where} {kind}"
        passed = remembered(name)
        if passed is None:
            try:
                passed = self._agrees(case, bits)
            except KernelsUnavailable as error:
                # Not remembered: what is missing may be there the next time.
                self._sink(Note(text=_missing(error)))
                return False
            remember(name, passed)
            if not passed:
                text = (
                    "PyTorch converts colours: our CUDA kernels computed something else in a trial"
                )
                self._sink(Note(text=text))
            return passed
        if passed:
            try:
                case(self._own)  # compiled, or loaded, before a frame needs it
            except KernelsUnavailable as error:
                self._sink(Note(text=_missing(error)))
                return False
        return passed

    def _agrees(self, case: _Case, bits: int) -> bool:
        right = case(self._plain)
        for poison in (0x00, 0xFF):  # 0xFF: not a number, in fp32
            made = case(self._make(_poisoned(poison)))
            for one, other in zip(made, right, strict=True):
                # Through int32: there is little that PyTorch does with uint16.
                apart = (one.int() - other.int() if bits else one - other).float().abs()
                worst, share = float(apart.max()), float((apart > 0).float().mean())
                if bits and (worst > 1 or share > _CODE * 2**bits):
                    return False
                if not bits and not worst < _FLOAT:  # which NaN is not, either
                    return False
        return True

    def _planes(self, layout: Layout) -> tuple[Tensor, ...]:
        """Return planes of any code values."""
        dice = torch.Generator().manual_seed(0)
        height, width = _SOURCE
        return tuple(
            torch.randint(0, 1 << layout.bits, (2, *size), generator=dice)
            .to(layout.dtype).to(self._device)
            for size in layout.plane_sizes(width, height)
        )  # fmt: skip

    def _pictures(self, scale: int) -> tuple[Tensor, Tensor]:
        """Return an upscaled picture, a piece of something larger, and its source."""
        dice = torch.Generator().manual_seed(0)
        height, width = (side * scale for side in _SOURCE)
        upscaled = torch.rand(2, 3, height + 8, width + 8, generator=dice) * 1.4 - 0.2
        source = torch.rand(2, 3, *_SOURCE, generator=dice)
        return upscaled.to(self._device)[..., 4:-4, 4:-4], source.to(self._device)


def _kind(layout: Layout, tags: Colour) -> str:
    return " ".join((
        layout.family, f"{layout.bits} bit", f"{layout.sub_x}{layout.sub_y}",
        tags.matrix.name, tags.range.name, tags.siting.name,
    ))  # fmt: skip


def _poisoned(value: int) -> Callable[..., Tensor]:
    def blank(*size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        made = torch.empty(*size, dtype=dtype, device=device)
        return made.view(torch.uint8).fill_(value).view(dtype)

    return blank


def _missing(error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return f"PyTorch converts colours: our CUDA kernels cannot be had here ({reason})"
