"""Colour conversion on a device: planes to RGB before the network, and back behind it.

`TorchColourBackend` are PyTorch's operations one after the other, on any device. `backend_for`
chooses.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from vsr.frame import Colour, Layout
from vsr.stages.colour import convert, drift_correction


class ColourBackend(Protocol):
    """What lies between planes that were uploaded and planes that will be downloaded."""

    def to_rgb(self, planes: tuple[Tensor, ...], layout: Layout, tags: Colour) -> Tensor:
        """Convert as `convert.to_rgb`."""

    def find_drift(self, upscaled: Tensor, source: Tensor) -> drift_correction.DriftCorrection:
        """Find the drift as `drift_correction.find_drift`."""

    def from_rgb(
        self,
        rgb: Tensor,
        layout: Layout,
        tags: Colour,
        drift: drift_correction.DriftCorrection | None,
    ) -> tuple[Tensor, ...]:
        """Convert as `convert.from_rgb`, of `rgb` less its drift; `rgb` may be changed."""


class TorchColourBackend:
    """PyTorch's operations."""

    def to_rgb(self, planes: tuple[Tensor, ...], layout: Layout, tags: Colour) -> Tensor:
        """See `ColourBackend`."""
        return convert.to_rgb(planes, layout, tags)

    def find_drift(self, upscaled: Tensor, source: Tensor) -> drift_correction.DriftCorrection:
        """See `ColourBackend`."""
        return drift_correction.find_drift(upscaled, source)

    def from_rgb(
        self,
        rgb: Tensor,
        layout: Layout,
        tags: Colour,
        drift: drift_correction.DriftCorrection | None,
    ) -> tuple[Tensor, ...]:
        """See `ColourBackend`."""
        if drift is not None:
            rgb = drift_correction.subtract_drift(rgb, drift)
        return convert.from_rgb(rgb, layout, tags)
