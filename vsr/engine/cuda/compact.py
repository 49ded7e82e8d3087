"""SRVGGNetCompact in kernels of our own: one a layer, on tensor cores, in fp16.

The kernels are `compact.cu`, compiled where they first run (`nvrtc.py`). They need compute
capability 8.0 (Ampere) or newer: the copies that run beside the arithmetic begin there.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import resources

import torch
from torch import Tensor

from vsr.engine.cuda.driver import Driver, DriverError, Graph, Kernels
from vsr.engine.cuda.nvrtc import Nvrtc, compile_once
from vsr.engine.cuda.pack import FEATURES, pack
from vsr.engine.cuda.schedule import Batch, Launch, feature_bytes, launches
from vsr.engine.cuda.tiling import Tiling, tiling_for
from vsr.engine.eager import EagerEngine
from vsr.nets.srvgg import SRVGGNetCompact

_GRAPHS = 8  # that are kept, by shape
OLDEST = 80  # compute capability, times ten


class CudaEngine:
    """Runs a compact network with 64 features on a CUDA device, fp16 inside, fp32 in and out.

    Raises CompileError or DriverError where the kernels cannot be had on this machine.
    """

    name = "cuda"
    multiple = 1

    def __init__(
        self,
        network: SRVGGNetCompact,
        *,
        device: torch.device,
        tiling: Tiling | None = None,
        graphs: bool = True,
    ) -> None:
        """`network` in fp32; it is kept. `tiling`, `graphs`: for those who measure."""
        self.scale = network.scale
        self.radius = network.receptive_radius
        self.device = device
        self.dtype = torch.float32
        self.precision = "fp16"
        self._network = network
        self._wide: EagerEngine | None = None
        self._graphs: OrderedDict[tuple[int, ...], Graph | None] = OrderedDict()
        self._with_graphs = graphs
        with torch.cuda.device(device):
            self.packed = pack(network, device)  # which also makes the context
            driver = Driver()
            self.tiling = tiling or _tiling(driver, device)
            self.kernels = Kernels(driver, compiled(self.tiling, self.scale, device))
            self.processors = torch.cuda.get_device_properties(device).multi_processor_count

    def __call__(self, x: Tensor) -> Tensor:
        if self._wide is not None:
            return self._wide(x)
        count, _, height, width = x.shape
        planes = torch.empty(count, 3, height * self.scale, width * self.scale, device=self.device)
        # Given back at the end; PyTorch hands it to nobody before this stream has used it.
        features = torch.empty(
            2, count, height, width, FEATURES, dtype=torch.float16, device=self.device
        )
        self.draw(x.float(), features, planes)
        return planes

    def draw(self, x: Tensor, features: Tensor, planes: Tensor) -> None:
        """Of (N, 3, H, W) fp32 into `planes`, fp32; `features`: (2, N, H, W, 64) fp16, scratch."""
        count, _, height, width = x.shape
        batch = Batch(
            count=count, height=height, width=width, picture=x.data_ptr(), strides=x.stride(),
            planes=planes.data_ptr(), features=(features[0].data_ptr(), features[1].data_ptr()),
        )  # fmt: skip
        with torch.cuda.device(self.device):
            self._run(batch)

    def _run(self, batch: Batch) -> None:
        steps = list(launches(self.packed, self.tiling, batch, self.processors))
        stream = torch.cuda.current_stream(self.device).cuda_stream
        graph = self._graph(batch, steps) if self._with_graphs else None
        if graph is not None:
            graph.run(steps, stream)
            return
        for step in steps:
            self.kernels.run(step, stream)

    def _graph(self, batch: Batch, steps: list[Launch]) -> Graph | None:
        """From a shape's second time on; many come only once."""
        key = (batch.count, batch.height, batch.width)
        known = key in self._graphs
        graph = self._graphs.pop(key, None)
        if known and graph is None:
            graph = Graph(self.kernels, steps)
        self._graphs[key] = graph  # as the newest
        if len(self._graphs) > _GRAPHS:
            self._graphs.popitem(last=False)
        return graph

    @property
    def most_pixels(self) -> int:
        # The kernels count a feature map's numbers with 32 bits.
        return (2**31 - 1) // FEATURES if self._wide is None else self._wide.most_pixels

    def bytes_for(self, pixels: int) -> int:
        if self._wide is not None:
            return self._wide.bytes_for(pixels)
        return 2 * feature_bytes(pixels) + pixels * 3 * self.scale**2 * self.dtype.itemsize

    def widen(self) -> bool:
        if self._wide is not None:
            return False
        self._graphs.clear()
        self._wide = EagerEngine(
            self._network, device=self.device, dtype=torch.float32, precision="fp32"
        )
        self.precision = "fp32"
        return True


def source() -> str:
    """The kernels' text."""
    return (resources.files("vsr.engine.cuda") / "compact.cu").read_text(encoding="utf-8")


def compiled(tiling: Tiling, scale: int, device: torch.device) -> bytes:
    """The kernels for `device`. Raises CompileError."""
    major, minor = torch.cuda.get_device_capability(device)
    code = compile_once(
        Nvrtc(), source(), architecture=10 * major + minor, options=tiling.options(scale)
    )
    return code.image


def _tiling(driver: Driver, device: torch.device) -> Tiling:
    shared = driver.shared_memory(device.index or 0)
    tiling = tiling_for(shared)
    if tiling is None:
        raise DriverError(f"{shared} bytes of shared memory for a block are too few")
    return tiling
