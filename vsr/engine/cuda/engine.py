"""Networks in kernels of our own: a convolution and what follows it in one, on tensor cores.

The kernels are the `.cu` files beside this, compiled where they first run (`nvrtc.py`). They need
compute capability 8.0 (Ampere) or newer: the copies that run beside the arithmetic begin there.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import resources

import torch
from torch import Tensor

from vsr.engine.cuda.dense import DensePlan, fits_dense
from vsr.engine.cuda.driver import Driver, DriverError, Graph, Kernels
from vsr.engine.cuda.launch import Batch, Launch, Plan
from vsr.engine.cuda.nvrtc import Nvrtc, compile_once
from vsr.engine.cuda.pack import fits_compact
from vsr.engine.cuda.schedule import CompactPlan
from vsr.engine.cuda.tiling import Tiling, dense_tiling_for, tiling_for
from vsr.engine.eager import EagerEngine
from vsr.nets.network import Network
from vsr.nets.rrdbnet import RRDBNet
from vsr.nets.srvgg import SRVGGNetCompact

_GRAPHS = 8  # that are kept, by shape
OLDEST = 80  # compute capability, times ten


class CudaEngine:
    """Runs a network that `fits` on a CUDA device, fp16 inside, fp32 in and out.

    Raises CompileError or DriverError where the kernels cannot be had on this machine.
    """

    name = "cuda"
    multiple = 1

    def __init__(
        self,
        network: Network,
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
            driver, number = Driver(), device.index or 0
            self.plan = plan_for(network, device, driver.shared_memory(number), tiling)
            image = compiled(self.plan, device)
            self.kernels = Kernels(driver, number, image, self.plan.kernels)
            self.processors = torch.cuda.get_device_properties(device).multi_processor_count

    def __call__(self, x: Tensor) -> Tensor:
        if self._wide is not None:
            return self._wide(x)
        count, _, height, width = x.shape
        planes = torch.empty(count, 3, height * self.scale, width * self.scale, device=self.device)
        # Given back at the end; PyTorch hands it to nobody before this stream has used it.
        scratch = torch.empty(
            self.plan.scratch * count * height * width, dtype=torch.float16, device=self.device
        )
        self.draw(x.float(), scratch, planes)
        return planes

    def draw(self, x: Tensor, scratch: Tensor, planes: Tensor) -> None:
        """Of (N, 3, H, W) fp32 into `planes`, fp32; `scratch`: fp16, `plan.scratch` a pixel."""
        count, _, height, width = x.shape
        batch = Batch(
            count=count, height=height, width=width, picture=x.data_ptr(), strides=x.stride(),
            planes=planes.data_ptr(), scratch=scratch.data_ptr(),
        )  # fmt: skip
        with torch.cuda.device(self.device):
            self._run(batch)

    def _run(self, batch: Batch) -> None:
        steps = list(self.plan.launches(batch, self.processors))
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
        return (self._wide or self.plan).most_pixels

    def bytes_for(self, pixels: int) -> int:
        if self._wide is not None:
            return self._wide.bytes_for(pixels)
        return pixels * (2 * self.plan.scratch + 3 * self.scale**2 * self.dtype.itemsize)

    def widen(self) -> bool:
        if self._wide is not None:
            return False
        self._graphs.clear()
        self._wide = EagerEngine(
            self._network, device=self.device, dtype=torch.float32, precision="fp32"
        )
        self.precision = "fp32"
        return True


def fits(network: Network) -> bool:
    """Whether there are kernels for it."""
    return fits_compact(network) or fits_dense(network)


def plan_for(
    network: Network, device: torch.device, shared: int, tiling: Tiling | None = None
) -> Plan:
    """How `network` runs where a block may have `shared` bytes of shared memory.

    Raises DriverError where that is too little.
    """
    tiling, dense = tiling or tiling_for(shared), dense_tiling_for(shared)
    if tiling is None or dense is None:
        raise DriverError(f"{shared} bytes of shared memory for a block are too few")
    if isinstance(network, RRDBNet):
        return DensePlan(network, device, tiling, dense)
    assert isinstance(network, SRVGGNetCompact)
    return CompactPlan(network, device, tiling)


def source(names: tuple[str, ...]) -> str:
    """The text of kernels, one file after the other."""
    folder = resources.files("vsr.engine.cuda")
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def compiled(plan: Plan, device: torch.device) -> bytes:
    """The kernels for `device`. Raises CompileError."""
    major, minor = torch.cuda.get_device_capability(device)
    code = compile_once(
        Nvrtc(), source(plan.sources), architecture=10 * major + minor, options=plan.options
    )
    return code.image
