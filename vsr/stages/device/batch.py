"""One batch through the device stage, with what earlier frames decide on it.

Pixels that did not change are reused, and the temporal filter hands a frame out when it has seen
those behind it; everything else is a step of `DeviceStage`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.engine.streams import streams_of
from vsr.events import Note, Sink
from vsr.frame import Frame
from vsr.stages.colour.drift_correction import DriftCorrection, subtract_drift
from vsr.stages.device.reuse import Reuser, reuses
from vsr.stages.device.stage import DeviceStage, without_effect
from vsr.stages.temporal.grain import add_grain_to
from vsr.stages.temporal.mctf import TemporalFilter, is_on

_BLENDED = (
    "the network sees whole frames, and memory holds tiles: they are blended over some pixels, "
    "and the picture differs a little from that of whole frames"
)


@dataclass
class BatchInFlight:
    """A batch whose results are on their way."""

    frames: list[Frame]
    planes: tuple[Tensor, ...]  # each (N, h, w), on the host once `done` has happened
    finite: Tensor  # () bool, likewise
    done: torch.cuda.Event | None

    def wait(self) -> bool:
        """Wait for the results; return whether they are numbers."""
        if self.done is not None:
            self.done.synchronize()
        return bool(self.finite)


@dataclass(frozen=True)
class _FrameExtras:
    """What goes with an upscaled frame through the temporal filter."""

    frame: Frame
    source: Tensor | None  # (1, 3, h, w), where its grain is wanted
    alpha: Tensor | None  # (1, h, w), as it will be written


class Fp16Overflow(Exception):
    """16 bits were too few."""


class BatchUpscaler:
    """Computes batches one after the other, in the order of their frames."""

    def __init__(
        self,
        stage: DeviceStage,
        *,
        starts: Sequence[int],
        sink: Sink,
    ) -> None:
        """Begin anew at each pts of `starts`: nothing upscaled before it is used from there on."""
        self._stage, self._sink = stage, sink
        device, temporal = stage.options.device, stage.options.temporal
        self._streams = streams_of(stage.engine.device)
        self._starts = sorted(starts)
        self._reused_segment = self._filtered_segment = 0  # how many of `starts` lie behind
        self._grain = temporal.grain
        for name in without_effect(stage.engine, stage.options.model):
            sink(Note(text=f"{name}: does nothing where no network enlarges"))
        self._reuser: Reuser | None = None
        if device.reuse != "off" and stage.engine.sees_whole:
            sink(Note(text="reuse: not with a network that sees whole frames"))
        if reuses(device, stage.engine):
            self._reuser = Reuser(stage, device.reuse)
        self.filter: TemporalFilter[_FrameExtras] | None = None
        if is_on(temporal.filter):
            self.filter = TemporalFilter(temporal.filter)

    @property
    def reuses(self) -> bool:
        """Whether what was upscaled before is used again."""
        return self._reuser is not None

    @property
    def wants_context(self) -> bool:
        """Whether frames that only decide on others have to be computed, too."""
        return self.filter is not None and self._reuser is None

    @property
    def depth(self) -> int:
        """Batches to keep in flight."""
        return self._streams.depth

    @property
    def saved(self) -> float | None:
        """Share of the network's work that was not needed; None: nothing is reused."""
        if self._reuser is None or not self._reuser.work_asked:
            return None
        return 1 - self._reuser.work_done / self._reuser.work_asked

    def forget(self) -> None:
        """Reuse nothing of what was upscaled before: it may not be numbers."""
        if self._reuser is not None:
            self._reuser.forget()

    @torch.inference_mode()
    def compute(self, frames: list[Frame], tile: int) -> BatchInFlight:
        """Queue a batch of like frames. `tile`: side in source pixels, 0 for whole frames.

        Its results are those of all frames that are finished now, which may be none, or earlier
        ones. Raises Fp16Overflow, and what the engine raises out of memory; nothing has happened
        then, and the frames can be handed in again.
        """
        stage, first = self._stage, frames[0]
        planes = tuple(
            self._streams.upload([frame.planes[i] for frame in frames])
            for i in range(len(first.planes))
        )
        with self._streams.computing():
            rgb = stage.to_seen_rgb(planes, frames)
            upscaled, source = self._infer(rgb, frames, tile)
            upscaled = stage.make_consistent(upscaled, source)
            drift = stage.find_drift(upscaled, source)
            # Each of its numbers has some of every pixel around it.
            finite = torch.isfinite((upscaled if drift is None else drift.cells).sum())
            if drift is not None and not self._is_last(upscaled, first):
                upscaled, drift = subtract_drift(upscaled, drift), None
            resized = stage.resize(upscaled, first)
            alpha = None
            if stage.image.layout.alpha:
                alpha = stage.to_alpha_plane(planes, first, tile=tile)
            if self.filter is None:
                return self._deliver(frames, resized, source, alpha, finite, drift=drift)
            if not finite:  # before it spoils the frames beside it
                raise Fp16Overflow
            before = self.filter.saved(), self._filtered_segment
            try:
                return self._joined(self._filtered(frames, source, resized, alpha))
            except BaseException:
                self.filter, self._filtered_segment = before  # the frames will come again
                raise

    @torch.inference_mode()
    def flush(self) -> BatchInFlight | None:
        """Return what the temporal filter has not handed out yet; None: there is no filter."""
        if self.filter is None:
            return None
        with self._streams.computing():
            return self._joined(self.filter.flush())

    def _infer(self, rgb: Tensor, frames: list[Frame], tile: int) -> tuple[Tensor, Tensor]:
        """Return the frames upscaled, and the source that they show; both to be kept."""
        if tile and self._stage.engine.sees_whole:
            self._sink(Note(text=_BLENDED))
        if self._reuser is not None and tile:
            self._sink(Note(text="reuse: not of frames that are cut into tiles"))
        if self._reuser is None or tile:
            return self._stage.infer(rgb, tile=tile), rgb
        pairs = []
        for n, frame in enumerate(frames):
            if (segment := bisect_right(self._starts, frame.pts)) != self._reused_segment:
                self._reuser.forget()
                self._reused_segment = segment
            upscaled, source = self._reuser(rgb[n : n + 1])
            pairs.append((upscaled.clone(), source.clone()))
        if len(pairs) == 1:  # always, on a CPU: not copied once more
            return pairs[0]
        upscaled, source = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
        return upscaled, source

    def _is_last(self, upscaled: Tensor, source: Frame) -> bool:
        """Return whether nothing comes between what was upscaled and its planes."""
        if self.filter is not None or self._grain:
            return False
        return self._stage.is_target_size(upscaled, source)

    def _filtered(
        self, frames: list[Frame], source: Tensor, resized: Tensor, alpha: Tensor | None
    ) -> list[tuple[_FrameExtras, Tensor]]:
        """Return what the temporal filter has finished after these frames."""
        assert self.filter is not None
        finished = []
        for n, frame in enumerate(frames):
            one = slice(n, n + 1)
            extras = _FrameExtras(
                frame,
                source[one] if self._grain else None,
                None if alpha is None else alpha[one],
            )
            first = self._begins(frame)
            finished += self.filter.push(source[one], resized[one], extras, first=first)
        return finished

    def _begins(self, frame: Frame) -> bool:
        """Return whether what came before is another clip, or a segment not to be looked into."""
        segment, last = bisect_right(self._starts, frame.pts), self._filtered_segment
        self._filtered_segment = segment
        return frame.fresh or (self._reuser is not None and segment != last)

    def _joined(self, finished: list[tuple[_FrameExtras, Tensor]]) -> BatchInFlight:
        wanted = [(extras, one) for extras, one in finished if not extras.frame.context]
        if not wanted:
            return BatchInFlight([], (), torch.tensor(True), None)
        with self._streams.computing():
            filtered = _cat([one for _, one in wanted])
            sources = [extras.source for extras, _ in wanted if extras.source is not None]
            alphas = [extras.alpha for extras, _ in wanted if extras.alpha is not None]
            source, alpha = (_cat(tensors) if tensors else None for tensors in (sources, alphas))
            finite = torch.isfinite(filtered.sum())
        return self._deliver(
            [extras.frame for extras, _ in wanted], filtered, source, alpha, finite
        )

    def _deliver(
        self,
        frames: list[Frame],
        resized: Tensor,
        source: Tensor | None,
        alpha: Tensor | None,
        finite: Tensor,
        *,
        drift: DriftCorrection | None = None,
    ) -> BatchInFlight:
        """Return planes, on their way to the host. `drift`: is still in `resized`, and goes."""
        with self._streams.computing():
            if self._grain and source is not None:
                resized = add_grain_to(frames, resized, source, self._grain)
            out = self._stage.to_planes(resized, drift)
            if alpha is not None:
                out = (*out, alpha)
        (*planes, finite), done = self._streams.download((*out, finite))
        return BatchInFlight(frames, tuple(planes), finite, done)


def _cat(tensors: list[Tensor]) -> Tensor:
    """Join tensors along their first axis; one alone is not copied."""
    return torch.cat(tensors) if len(tensors) > 1 else tensors[0]
