"""Each stage of a run by itself, on frames of a real film, with the floor beside it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vsr.bench.machine import Machine, synchronise
from vsr.engine.build import folding
from vsr.engine.device import DTYPES
from vsr.engine.streams import streams_of
from vsr.events import silent
from vsr.jobs.run.context import RunContext
from vsr.nets.arithmetic import fold_area
from vsr.nets.network import Network
from vsr.options import TemporalOptions
from vsr.stages.colour.drift_correction import subtract_drift
from vsr.stages.device.stage import DeviceStage
from vsr.stages.device.upscaler import Upscaler
from vsr.stages.temporal.deflicker import deflicker
from vsr.stages.temporal.grain import add_grain
from vsr.stages.temporal.mctf import TemporalFilter, is_on

_FLOAT = 4  # bytes
_PATCH = 64  # side of the picture that operations are counted on


@dataclass(frozen=True, kw_only=True)
class BenchStage:
    """Some work on `frames` frames, and the least time that one of them can take."""

    name: str
    work: Callable[[], object]
    frames: int
    floor: float | None = None  # seconds a frame; None: nobody knows
    floor_of: str = ""  # where the floor comes from, in words


class BenchStages:
    """The stages of `work`, on its film's first frames."""

    def __init__(self, work: RunContext, machine: Machine, folder: Path, *, repeats: int) -> None:
        """`repeats`: how often a stage of the device works on its one frame."""
        self._work, self._machine, self._folder, self._repeats = work, machine, folder, repeats
        self._engine, image = work.engine, work.picture()
        self._stage = DeviceStage(self._engine, image, work.options, sink=silent)
        self._streams = streams_of(self._engine.device)
        self._frames = list(work.decoded())
        alone = dataclasses.replace(work.options, temporal=TemporalOptions())
        upscale = Upscaler(self._engine, image, alone, sink=silent)
        self._finished = list(upscale(self._frames))

    @torch.inference_mode()
    def all(self) -> list[BenchStage]:
        """Return them in the order of a run. Those of the device work on one frame, repeatedly."""
        first, stage = self._frames[0], self._stage
        planes = self._upload()
        rgb = stage.to_rgb(planes, first.layout, first.colour)
        upscaled = stage.make_consistent(stage.infer(rgb), rgb)
        resized = stage.resize(upscaled, first)
        drift = stage.find_drift(upscaled, rgb)
        # What is not resized loses its drift on the way into the planes.
        late = drift if resized is upscaled else None

        def correct_drift() -> None:
            again = stage.find_drift(upscaled, rgb)
            if again is not None and late is None:
                subtract_drift(upscaled, again)

        out = stage.to_planes(resized, late)
        source, inner, target = (_FLOAT * t.numel() for t in (rgb, upscaled, resized))
        inside, outside = (sum(p.nbytes for p in ps) for ps in (planes, out))
        corrected = (inner if late else 3 * inner) + source
        return [
            BenchStage(
                name="decode", work=lambda: list(self._work.decoded()), frames=len(self._frames)
            ),
            self._moved("upload", self._upload, inside),
            self._streamed(
                "to RGB",
                lambda: stage.to_rgb(planes, first.layout, first.colour),
                inside + source,
            ),
            *self._network(rgb),
            *self._consistency(upscaled, rgb),
            *([self._streamed("correct drift", correct_drift, corrected)] if drift else []),
            self._streamed(
                "resize",
                lambda: stage.resize(upscaled, first),
                inner + target if resized is not upscaled else 0,
            ),
            self._streamed("to YUV", lambda: stage.to_planes(resized, late), target + outside),
            *self._temporal(rgb, resized),
            self._moved("download", lambda: self._streams.download(out), outside),
            BenchStage(name="encode", work=self._encode, frames=len(self._finished)),
        ]

    def _consistency(self, upscaled: Tensor, rgb: Tensor) -> Iterator[BenchStage]:
        """Yield what makes the result true to its source, where that is more than its colours."""
        if self._stage.consistency is not None or self._stage.weakens:
            again = upscaled.clone()
            yield self._on_device("consistency", lambda: self._stage.make_consistent(again, rgb))

    def _temporal(self, rgb: Tensor, resized: Tensor) -> Iterator[BenchStage]:
        """Yield what works on several frames, where it is asked for."""
        chosen = self._work.options.temporal
        if chosen.deflicker:
            yield BenchStage(
                name="deflicker",
                work=lambda: list(deflicker(self._frames)),
                frames=len(self._frames),
            )
        if is_on(chosen.filter):
            filling = TemporalFilter[None](chosen.filter)
            for _ in range(2 * filling.temporal_radius + 1):
                filling.push(rgb, resized, None)
            yield self._on_device("temporal filter", lambda: filling.push(rgb, resized, None))
        if chosen.grain:
            yield self._on_device(
                "grain", lambda: add_grain(resized, rgb, share=chosen.grain, seed=0)
            )

    def _network(self, rgb: Tensor) -> Iterator[BenchStage]:
        """Time the network as it is run, and plainly: PyTorch's own layout, one frame, waiting for
        each.
        """
        engine, networks = self._engine, self._networks()
        if not networks:
            return
        factor = folding(self._work.model, self._work.plan.target.scale)
        *before, last = networks
        folded = fold_area(copy.deepcopy(last), factor) if factor > 1 else last
        operations, pixels = 0.0, rgb.shape[2] * rgb.shape[3]
        for network in (*before, folded):
            operations += count_operations(network) * pixels
            pixels *= network.scale**2
        # What it computes in, which need not be what it takes.
        peak = self._machine.matrix[str(DTYPES[engine.precision]).removeprefix("torch.")]
        yield self._on_device(
            "network",
            lambda: self._stage.infer(rgb),
            floor=operations / peak,
            floor_of=f"{operations / 1e9:.0f} GFLOP at {peak / 1e9:.0f} GFLOP/s",
        )
        dtype = torch.float16 if engine.device.type == "cuda" else torch.float32
        plain = torch.nn.Sequential(*copy.deepcopy(networks)).to(engine.device, dtype)
        yield self._on_device("network, plainly", lambda: plain(rgb.to(dtype)))

    def _networks(self) -> list[Network]:
        """Return what works on a picture, one after the other; none: a resizer."""
        model = self._work.model
        found = (one.network for one in (model, model.then) if one is not None)
        return [network for network in found if network is not None]

    def _encode(self) -> None:
        plan = self._work.plan.encoder
        target = self._folder / f"encoded.{plan.encoder.container}"
        for _ in self._work.encode(iter(self._finished), target, plan, {}):
            pass

    def _upload(self) -> tuple[Tensor, ...]:
        return tuple(self._streams.upload([plane]) for plane in self._frames[0].planes)

    def _on_device(
        self,
        name: str,
        work: Callable[[], object],
        *,
        floor: float | None = None,
        floor_of: str = "",
    ) -> BenchStage:
        @torch.inference_mode()
        def repeated() -> None:
            for _ in range(self._repeats):
                work()
            synchronise(self._engine.device)

        return BenchStage(
            name=name, work=repeated, frames=self._repeats, floor=floor, floor_of=floor_of
        )

    def _streamed(self, name: str, work: Callable[[], object], moved: int) -> BenchStage:
        """Work that is bound by memory: `moved` bytes have to be read and written at least."""
        rate = self._machine.copy
        floor_of = f"{moved / 1e6:.0f} MB at {rate / 1e9:.0f} GB/s"
        return self._on_device(name, work, floor=moved / rate, floor_of=floor_of)

    def _moved(self, name: str, work: Callable[[], object], size: int) -> BenchStage:
        """Work that is bound by the bus; on a CPU there is none."""
        rate = self._machine.upload
        if rate is None:
            return self._on_device(name, work)
        floor_of = f"{size / 1e6:.1f} MB at {rate / 1e9:.0f} GB/s"
        return self._on_device(name, work, floor=size / rate, floor_of=floor_of)


def count_operations(network: Network) -> float:
    """Count the operations of `network` for each source pixel; a multiplication and an addition
    are two.
    """
    shadow = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, 3, _PATCH, _PATCH, device="meta"))
    return float(counter.get_total_flops()) / _PATCH**2
