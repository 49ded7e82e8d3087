"""The device stage, step by step: planes of source frames in, planes of upscaled frames out.

    to_rgb | infer, whole or in tiles | make_consistent | correct_drift | resize | to_planes

Each step makes its result from what it is given and remembers nothing, so that whoever needs only
some of them (`vsr bench`, the search for the temporal filter's strength) gets what a run gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.engine.base import Engine
from vsr.events import Sink
from vsr.frame import Colour, Frame, Layout
from vsr.options import ModelOptions, UpscaleOptions
from vsr.stages.colour import drift_correction
from vsr.stages.colour.alpha_bleed import bleed
from vsr.stages.colour.backend_check import backend_for
from vsr.stages.colour.convert import alpha_from_float, alpha_to_float
from vsr.stages.colour.drift_correction import DriftCorrection
from vsr.stages.consistency import BackProjection, back_projected, weakened
from vsr.stages.device.alpha import upscaled_alpha
from vsr.stages.device.size import TargetSize, step
from vsr.stages.device.tiles import Area, infer, infer_areas
from vsr.stages.resize import resize

_OVERLAP_CAP = 96  # inner pixels; beyond it x4plus changes by 0.021/255 at most (measured)


@dataclass(frozen=True, kw_only=True)
class OutputImage:
    """What the output's frames look like."""

    target: TargetSize
    layout: Layout
    colour: Colour
    kernel: str  # for the step from the network's size to the target's
    clean_source: bool = False  # whether what it is made from was coded without loss


class DeviceStage:
    """The steps for one engine and one kind of output. Tensors are on the engine's device."""

    def __init__(
        self, engine: Engine, image: OutputImage, options: UpscaleOptions, *, sink: Sink
    ) -> None:
        self.engine, self.image, self.options = engine, image, options
        cap = min(engine.receptive_radius, _OVERLAP_CAP * engine.multiple)
        asked = options.device.overlap
        self.overlap = cap if asked is None else asked
        self.consistency = consistency(engine, options.model, clean_source=image.clean_source)
        self.weakens = options.model.strength < 1 and _invents(engine)
        self._corrects_drift = (
            options.model.keep_colours and engine.receptive_radius > 0 and self.consistency is None
        )
        self._backend = backend_for(engine, sink)

    def to_rgb(self, planes: tuple[Tensor, ...], layout: Layout, colour: Colour) -> Tensor:
        """Map (N, h, w) planes of code values -> (N, 3, H, W) RGB, fp32, by the tags alone."""
        return self._backend.to_rgb(planes, layout, colour)

    def to_seen_rgb(self, planes: tuple[Tensor, ...], frames: Sequence[Frame]) -> Tensor:
        """Map planes as `to_rgb`, with the light that `frames` are to have and no transparency.

        What lies under transparent pixels takes the colour of its neighbours.
        """
        layout = frames[0].layout
        rgb = self.to_rgb(planes, layout, frames[0].colour)
        for one, frame in zip(rgb, frames, strict=True):
            if frame.gain != 1:
                one.mul_(frame.gain)
        return bleed(rgb, alpha_to_float(planes[-1], layout.bits)) if layout.alpha else rgb

    def infer(self, rgb: Tensor, *, tile: int = 0) -> Tensor:
        """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W), fp32, by the network.

        `tile`: side in source pixels, 0 for whole frames.
        """
        given = self._to_network(rgb)
        return self._from_network(infer(self.engine, given, tile=tile, overlap=self.overlap))

    def infer_areas(self, rgb: Tensor, areas: Sequence[Area], halo: int) -> Iterator[Tensor]:
        """Yield what `infer` makes of areas of (1, 3, H, W), seen with `halo` pixels around."""
        given = self._to_network(rgb)
        for piece in infer_areas(self.engine, given, areas, halo, together=True):
            yield self._from_network(piece)

    def _to_network(self, rgb: Tensor) -> Tensor:
        return rgb.to(self.engine.dtype)

    def _from_network(self, upscaled: Tensor) -> Tensor:
        return upscaled.float()

    def make_consistent(self, upscaled: Tensor, source: Tensor) -> Tensor:
        """Return `upscaled`, (N, C, s*H, s*W), as true to its source and as strong as was asked.

        It is changed in place.
        """
        if self.consistency is not None:
            upscaled = back_projected(upscaled, source, self.consistency)
        if self.weakens:
            upscaled = weakened(upscaled, source, self.options.model.strength)
        return upscaled

    def find_drift(self, upscaled: Tensor, source: Tensor) -> DriftCorrection | None:
        """Return how the network changed flat colours; None where that is left as it is, or gone
        with the rest of what is not consistent.
        """
        if not self._corrects_drift:
            return None
        return self._backend.find_drift(upscaled, source)

    def correct(self, upscaled: Tensor, source: Tensor) -> Tensor:
        """Return `upscaled`, (N, 3, s*H, s*W), consistent, or less its drift; changed in place."""
        upscaled = self.make_consistent(upscaled, source)
        if not self._corrects_drift:
            return upscaled
        return drift_correction.correct_drift(upscaled, source)

    def resize(self, upscaled: Tensor, source: Frame) -> Tensor:
        """Map (N, C, h, w) -> (N, C, H, W) of the target; `source` says what scale that is."""
        target = self.image.target
        return resize(
            upscaled, width=target.width, height=target.height,
            scale=self._scale(upscaled, source), kernel=self.image.kernel,
        )  # fmt: skip

    def is_target_size(self, upscaled: Tensor, source: Frame) -> bool:
        """Return whether `resize` has nothing to do."""
        target = self.image.target
        same = upscaled.shape[2:] == (target.height, target.width)
        return same and self._scale(upscaled, source) == (1.0, 1.0)

    def to_planes(self, rgb: Tensor, drift: DriftCorrection | None = None) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) -> the output's planes without alpha, as code values.

        `drift`: is taken out on the way. `rgb` may be changed.
        """
        return self._backend.from_rgb(rgb, self.image.layout, self.image.colour, drift)

    def to_alpha_plane(self, planes: tuple[Tensor, ...], source: Frame, *, tile: int = 0) -> Tensor:
        """Return the output's alpha, (N, H, W) code values; opaque where the source has none."""
        if source.layout.alpha:
            alpha = alpha_to_float(planes[-1], source.layout.bits)
        else:
            alpha = torch.ones_like(planes[0][:, None], dtype=torch.float32)

        def upscale(grey: Tensor) -> Tensor:
            return self.correct(self.infer(grey, tile=tile), grey)

        network = upscale if self.engine.receptive_radius else None
        alpha = upscaled_alpha(alpha, network, lambda x: self.resize(x, source))
        return alpha_from_float(alpha, self.image.layout)

    def _scale(self, upscaled: Tensor, source: Frame) -> tuple[float, float]:
        size = (upscaled.shape[3], upscaled.shape[2])
        return step(self.image.target, (source.width, source.height), size)


_AUTO_STEPS = 2  # more make no picture closer to the truth, measured with benchmarks/consistent.py


def consistency(
    engine: Engine, options: ModelOptions, *, clean_source: bool
) -> BackProjection | None:
    """Return how results are made consistent; None: their drift is corrected, if anything is.

    What was coded with loss stays as the network sees it by default: there, consistent pictures
    are blunter, and with the networks that remove traces of compression further from the truth.
    """
    if not _invents(engine):  # what another network does it would undo
        return None
    if options.consistent == "auto":
        if clean_source and options.keep_colours:
            return BackProjection(steps=_AUTO_STEPS, guarded=True)
        return None
    return None if options.consistent == "off" else BackProjection(steps=int(options.consistent))


def without_effect(engine: Engine, options: ModelOptions) -> list[str]:
    """Return the options that were asked for and do nothing with `engine`, as `<model.strength>`.

    They change what a network invents of its own, and only one that enlarges does.
    """
    if _invents(engine):
        return []
    asked = {
        "<model.consistent>": options.consistent not in ("auto", "off"),
        "<model.strength>": options.strength < 1,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _invents(engine: Engine) -> bool:
    """Return whether results have detail that the source does not: of a network that enlarges."""
    return engine.receptive_radius > 0 and engine.scale > 1
