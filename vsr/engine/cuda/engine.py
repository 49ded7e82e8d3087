"""Networks in kernels of our own: a convolution and what follows it in one, on tensor cores.

The kernels are the `.cu` files of `kernels/`, compiled where they first run (`nvrtc.py`). They need
compute capability 8.0 (Ampere) or newer: the copies that run beside the arithmetic begin there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr.engine.cuda.compact_plan import CompactPlan
from vsr.engine.cuda.driver import Driver, DriverError, Graph, Kernels
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.cuda.launch import DeviceBatch, LaunchPlan
from vsr.engine.cuda.nvrtc import Nvrtc, compile_once
from vsr.engine.cuda.rrdbnet_plan import RRDBNetPlan, fits_dense
from vsr.engine.cuda.tile_tables import MAX_IMAGES, SubImage, TileTable, TileTables
from vsr.engine.cuda.tiling import CompactTiling, dense_tiling_for, tiling_for
from vsr.engine.cuda.weight_packing import fits_compact
from vsr.engine.kernel_launch import kernel_text
from vsr.engine.torch_engine import TorchEngine
from vsr.engine.trial_cache import remember
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.options import EngineName

_SHAPES = 8  # whose tables and graphs are kept
OLDEST = 80  # compute capability, times ten
# Of the engine: with sums of fp32, and with short ones of fp16, which round differently.
CUDA_NAMES = ("cuda", "cuda-fp16-sums")


@dataclass
class _ShapeCache:
    """What is kept of a shape, or of all lists of pictures, on one stream."""

    words: Tensor  # (n,) int32 on the device: tables
    tables: dict[str, TileTable]
    used: bool = False
    graph: Graph | None = None


class CudaEngine:
    """Runs a network that `fits` on a CUDA device, fp16 inside, fp32 in and out.

    Raises CompileError or DriverError where the kernels cannot be had on this machine.
    """

    label = "own kernels"
    multiple = 1

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device,
        tiling: CompactTiling | None = None,
        graphs: bool = True,
        asked: EngineName = "cuda",
        trial: str = "",
    ) -> None:
        """Take `network` in fp32, and keep it. `tiling`, `graphs`: for those who measure.

        `asked`: what a worker is to ask for; of several GPUs each finds out by itself. `trial`: the
        description of the one that it has passed.
        """
        self.pinned_name = asked
        self._trial = trial
        self.scale = network.scale
        self.receptive_radius = network.receptive_radius
        self.sees_whole = network.sees_whole
        self.device = device
        self.dtype = torch.float32
        self.precision = "fp16"
        self._network = network
        self._fp32_engine: TorchEngine | None = None
        self._shapes: OrderedDict[tuple[int, ...], _ShapeCache] = OrderedDict()
        self._lists: dict[int, _ShapeCache] = {}  # by stream
        self._with_graphs = graphs
        with torch.cuda.device(device):
            driver, number = Driver(), device.index or 0
            shared, architecture = driver.shared_memory(number), architecture_of(device)
            self.plan = plan_for(network, device, shared, architecture, tiling)
            self.name = CUDA_NAMES[self.plan.short_sums]
            image = compiled(self.plan, device)
            self.kernels = Kernels(driver, number, image, self.plan.kernels)
            self.processors = torch.cuda.get_device_properties(device).multi_processor_count

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`."""
        if self._fp32_engine is not None:
            return self._fp32_engine(x)
        count, _, height, width = x.shape
        planes = torch.empty(count, 3, height * self.scale, width * self.scale, device=self.device)
        self.upscale_into(x.float(), self._scratch(count * height * width), planes)
        return planes

    def infer_many(self, pictures: Sequence[Tensor], memory_pixels: int) -> list[Tensor]:
        """See `vsr.engine.base.BatchesMixedSizes`. One graph serves all lists."""
        if self._fp32_engine is not None:
            return [self._fp32_engine(one) for one in pictures]
        made: list[Tensor] = []
        for start in range(0, len(pictures), MAX_IMAGES):
            made += self._upscaled(
                [one.float() for one in pictures[start : start + MAX_IMAGES]], memory_pixels
            )
        return made

    def _upscaled(self, pictures: list[Tensor], memory_pixels: int) -> list[Tensor]:
        pieces = pieces_of(pictures)
        cell = 3 * self.scale**2
        planes = torch.empty(cell * sum(one.pixels for one in pieces), device=self.device)
        pixels = max(memory_pixels, sum(one.pixels for one in pieces))
        self.upscale_pieces_into(pictures[0], pieces, self._scratch(pixels), planes)
        sizes = [(3, one.height * self.scale, one.width * self.scale) for one in pieces]
        parts = torch.split(planes, [cell * one.pixels for one in pieces])
        return [part.view(1, *size) for part, size in zip(parts, sizes, strict=True)]

    def _scratch(self, pixels: int) -> Tensor:
        # Given back at the end; PyTorch hands it to nobody before this stream has used it.
        return torch.empty(self.plan.scratch * pixels, dtype=torch.float16, device=self.device)

    def upscale_into(self, x: Tensor, scratch: Tensor, planes: Tensor) -> None:
        """Upscale (N, 3, H, W) fp32 into `planes`, fp32; `scratch`: fp16, `plan.scratch` a
        pixel.
        """
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            # By stream: what one has copied, another would have to wait for.
            key = (stream, *x.shape, *x.stride())
            cached = self._shapes.pop(key, None) or self._new_cached(
                self._tables(pieces_of(list(x)))
            )
            self._shapes[key] = cached  # as the newest
            if len(self._shapes) > _SHAPES:
                self._shapes.popitem(last=False)
            self._run(cached, x, scratch, planes, stream)

    def upscale_pieces_into(
        self, origin: Tensor, pieces: list[SubImage], scratch: Tensor, planes: Tensor
    ) -> None:
        """Upscale pictures whose offsets count from `origin`, one behind the other."""
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            tables = self._tables(pieces)
            cached = self._lists.get(stream)
            if cached is None or cached.words.numel() < tables.words.size:
                # The next lists find it where it is, and their graph needs no other address.
                cached = self._new_cached(tables, words=2 * tables.words.size)
                self._lists[stream] = cached
            else:
                self._fill(cached, tables)
            self._run(cached, origin, scratch, planes, stream)

    def _tables(self, pieces: list[SubImage]) -> TileTables:
        return self.plan.tables(pieces, self.processors)

    def _new_cached(self, tables: TileTables, words: int = 0) -> _ShapeCache:
        size = max(words, tables.words.size)
        cached = _ShapeCache(torch.empty(size, dtype=torch.int32, device=self.device), {})
        self._fill(cached, tables)
        return cached

    @torch.inference_mode()  # in which these tensors may have been made
    def _fill(self, cached: _ShapeCache, tables: TileTables) -> None:
        """Copy in the stream's order: behind what reads the last ones, before what reads these."""
        given = torch.from_numpy(tables.words)
        if self.device.type == "cuda":
            given = given.pin_memory()  # or the host would wait for the copy
        cached.words[: given.numel()].copy_(given, non_blocking=True)
        cached.tables = tables.at(cached.words.data_ptr())

    def _run(
        self, cached: _ShapeCache, origin: Tensor, scratch: Tensor, planes: Tensor, stream: int
    ) -> None:
        batch = DeviceBatch(
            pixels=scratch.numel() // self.plan.scratch, tables=cached.tables,
            picture=origin.data_ptr(), planes=planes.data_ptr(), scratch=scratch.data_ptr(),
        )  # fmt: skip
        steps = list(self.plan.launches(batch, self.processors))
        if cached.used and cached.graph is None and self._with_graphs:
            cached.graph = Graph(
                self.kernels, steps
            )  # from the second time on; many come only once
        cached.used = True
        if cached.graph is not None:
            cached.graph.run(steps, stream)
            return
        for step in steps:
            self.kernels.run(step, stream)

    @property
    def max_pixels(self) -> int:
        """See `Engine`."""
        return (self._fp32_engine or self.plan).max_pixels

    def bytes_for(self, pixels: int) -> int:
        """See `Engine`."""
        # Tables of tiles are a thousandth of it.
        if self._fp32_engine is not None:
            return self._fp32_engine.bytes_for(pixels)
        return pixels * (2 * self.plan.scratch + 3 * self.scale**2 * self.dtype.itemsize)

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`."""
        if self._fp32_engine is not None:
            return False
        # First of all it waits for batches in flight, which may still read what is freed then.
        self._fp32_engine = TorchEngine(
            self._network, device=self.device, dtype=torch.float32, precision="fp32"
        )
        self._shapes.clear()
        self._lists.clear()
        self.precision = "fp32"
        return True

    def kernel_runner(self) -> CudaKernelRunner:
        """See `vsr.engine.kernel_launch.RunsKernels`."""
        return CudaKernelRunner(self.device)

    def refuse(self, reason: str) -> bool:
        """See `vsr.engine.kernel_launch.HasKernels`."""
        if self._trial:
            remember(self._trial, False, reason)
        return True


def pieces_of(pictures: Sequence[Tensor]) -> list[SubImage]:
    """Return each (3, h, w) or (1, 3, h, w), fp32; their places count from that of the first
    one.
    """
    origin, pieces = pictures[0].data_ptr(), []
    for one in pictures:
        *_, stride_c, stride_y, stride_x = one.stride()
        pieces.append(
            SubImage(
                height=one.shape[-2],
                width=one.shape[-1],
                offset=(one.data_ptr() - origin) // one.element_size(),
                strides=(stride_c, stride_y, stride_x),
            )
        )
    return pieces


def fits(network: Network) -> bool:
    """Return whether there are kernels for it."""
    return fits_compact(network) or fits_dense(network)


def plan_for(
    network: Network,
    device: torch.device,
    shared: int,
    architecture: int,
    tiling: CompactTiling | None = None,
) -> LaunchPlan:
    """Return how `network` runs where a block may have `shared` bytes of shared memory.

    Raises DriverError where that is too little.
    """
    tiling, dense = tiling or tiling_for(shared, architecture), dense_tiling_for(shared)
    if tiling is None or dense is None:
        raise DriverError(f"{shared} bytes of shared memory for a block are too few")
    if isinstance(network, RRDBNet):
        return RRDBNetPlan(network, device, tiling, dense)
    assert isinstance(network, SRVGGNetCompact)
    return CompactPlan(network, device, tiling)


def source(names: tuple[str, ...]) -> str:
    """Return the text of kernels, one file after the other."""
    return kernel_text("vsr.engine.cuda.kernels", *names)


def compiled(plan: LaunchPlan, device: torch.device) -> bytes:
    """Return the kernels for `device`. Raises CompileError."""
    code = compile_once(
        Nvrtc(),
        source(plan.sources),
        architecture=architecture_of(device),
        options=plan.options,
    )
    return code.image


def architecture_of(device: torch.device) -> int:
    """Compute capability, times ten."""
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor
