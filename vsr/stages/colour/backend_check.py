"""Which colour backend a device gets: our kernels where a trial finds them right, or PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vsr.engine.base import Engine
from vsr.engine.kernel_launch import KernelsUnavailable, RunsKernels
from vsr.engine.trial_cache import Trial, recalled, remember
from vsr.events import Note, Sink
from vsr.frame import Colour, Layout
from vsr.stages.colour.backend import ColourBackend, TorchColourBackend
from vsr.stages.colour.colour_kernels import all_text
from vsr.stages.colour.convert import is_weighted
from vsr.stages.colour.cuda_backend import CudaColourBackend, fits
from vsr.stages.colour.drift_correction import DriftCorrection, cell_side
from vsr.stages.colour.trial import ColourWork, example, try_kernels

Trying = Callable[[torch.device, ColourWork], str | None]  # as `try_kernels`


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
    own = CudaColourBackend(run, run.processors)
    return CheckedColourBackend(own, device, where=where, sink=sink)


class CheckedColourBackend:
    """Kernels for each kind of work that a trial on this very device found right."""

    def __init__(
        self,
        own: ColourBackend,
        device: torch.device,
        *,
        where: str,
        sink: Sink,
        trial: Trying = try_kernels,
    ) -> None:
        """Take `where`: what a trial's outcome depends on besides the kind of work."""
        self._own, self._plain = own, TorchColourBackend()
        self._device, self._where, self._sink, self._trial = device, where, sink, trial
        self._passed: dict[ColourWork, bool] = {}

    def to_rgb(self, planes: tuple[Tensor, ...], layout: Layout, tags: Colour) -> Tensor:
        """See `ColourBackend`."""
        if not is_weighted(layout, tags):
            return self._plain.to_rgb(planes, layout, tags)
        work = ColourWork(step="to", layout=layout, tags=tags)
        return self._backend_for(work).to_rgb(planes, layout, tags)

    def find_drift(self, upscaled: Tensor, source: Tensor) -> DriftCorrection:
        """See `ColourBackend`."""
        work = ColourWork(step="drift", side=cell_side(upscaled, source))
        return self._backend_for(work).find_drift(upscaled, source)

    def from_rgb(
        self, rgb: Tensor, layout: Layout, tags: Colour, drift: DriftCorrection | None
    ) -> tuple[Tensor, ...]:
        """See `ColourBackend`."""
        if not fits(layout):
            return self._plain.from_rgb(rgb, layout, tags, drift)
        side = 0 if drift is None else drift.side
        work = ColourWork(step="from", layout=layout, tags=tags, side=side)
        return self._backend_for(work).from_rgb(rgb, layout, tags, drift)

    def _backend_for(self, work: ColourWork) -> ColourBackend:
        if work not in self._passed:
            try:
                self._passed[work] = self._is_right(work)
            except KernelsUnavailable as error:
                # Not remembered: what is missing may be there the next time.
                self._sink(Note(text=_missing(error)))
                self._passed[work] = False
        return self._own if self._passed[work] else self._plain

    def _is_right(self, work: ColourWork) -> bool:
        name = f"colour {self._where} {work.name}"
        trial = recalled(name)
        if trial is None:
            reason = self._trial(self._device, work)
            trial = Trial(passed=reason is None, reason=reason or "")
            remember(name, trial.passed, trial.reason)
            if not trial.passed:
                text = f"PyTorch converts colours: our CUDA kernels {trial.reason}"
                self._sink(Note(text=text))
        if trial.passed:
            example(self._own, self._device, work)  # compiled, or loaded, before a frame needs it
        return trial.passed


def _missing(error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return f"PyTorch converts colours: our CUDA kernels cannot be had here ({reason})"
