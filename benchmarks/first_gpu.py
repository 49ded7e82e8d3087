"""The first minutes on a GPU: is PyTorch right, do our kernels run, and are they right?

    python benchmarks/first_gpu.py smoke [--weights FILE] [--size 67x101]
    python benchmarks/first_gpu.py small [--size 67x101] [--times 4]

`smoke` goes from what is most likely to work to what is least, a line each, and ends at the first
that does not. `small` only runs both kinds of networks, for compute-sanitizer and Nsight to watch.
Needs PyTorch and platformdirs, and nothing that reads or writes films. `first_gpu.sh` calls it.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from script import run_script
from torch import Tensor

from vsr.engine.cuda.driver import Driver
from vsr.engine.cuda.engine import CudaEngine, architecture_of
from vsr.engine.cuda.joined_activation import JoinedActivation
from vsr.engine.cuda.joined_trial import JoinedTrial, try_joined
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.cuda.nvrtc import Nvrtc
from vsr.engine.cuda.trial import KernelTrial, sample_of, shape_for, try_kernels
from vsr.engine.torch_engine import TorchEngine
from vsr.nets.network import Network

DEVICE = torch.device("cuda", 0)
_RIGHT = 60.0  # dB from fp32


def decibels(made: Tensor, want: Tensor) -> float:
    """Of a peak of 1; not a number where `made` has any that is none."""
    error = (made.float().cpu() - want.float().cpu()).double().square().mean()
    return float(-10 * torch.log10(error + 1e-20))


def network(weights: Path | None) -> Network:
    """That of the file, or a small random one."""
    if weights is None:
        return sample_of(KernelTrial(device="cuda:0", deep=False, scale=4, timed=False))
    from vsr.nets.store import load_file_as_network

    return load_file_as_network(weights, "prelu")


def say(what: str, found: float, least: float = _RIGHT) -> None:
    """A line; ends the process where `found` is too little, or no number."""
    right = found >= least
    print(f"{'ok   ' if right else 'WRONG'} {what}: {found:.1f}", flush=True)
    if not right:
        raise SystemExit(1)


@torch.inference_mode()
def smoke(weights: Path | None, size: tuple[int, int]) -> None:
    """From what is most likely to work to what is least."""
    about = torch.cuda.get_device_properties(DEVICE)
    print(f"{about.name}, {about.multi_processor_count} multiprocessors, torch {torch.__version__}")
    given = network(weights)
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    want = copy.deepcopy(given)(x)

    plain = TorchEngine(copy.deepcopy(given), device=DEVICE, dtype=torch.float16, precision="fp16")
    for n in range(2):  # the second time cuDNN tries its ways
        say(f"PyTorch in fp16 against fp32 on the processor, run {n}, dB",
            decibels(plain(x.to(DEVICE).half()), want))  # fmt: skip
    joined = _joined(given)
    for n in range(2):
        y = x.to(DEVICE).half()
        made, other = joined(y), plain(y)
        say(f"PyTorch with our kernel for bias and activation, run {n}, dB", decibels(made, want))
        print(f"its bits are {'' if torch.equal(made, other) else 'NOT '}those of PyTorch alone")
    print(f"driver {Driver().version()}, NVRTC {Nvrtc().version}, sm_{architecture_of(DEVICE)}")
    engine = CudaEngine(copy.deepcopy(given), device=DEVICE)
    kept: list[Tensor] = []  # so that nothing lies where it lay before
    for n in range(4):
        how = "launched one by one" if n == 0 else "as a graph whose buffers moved"
        kept += [x.to(DEVICE).clone(), engine(x.to(DEVICE))]
        say(f"our kernels {how}, dB", decibels(kept[-1], want))
    for deep in (False, True):
        asked = KernelTrial(device="cuda:0", deep=deep, scale=4, timed=False)
        reason = try_kernels(asked)
        print(f"trial of {'RRDBNet' if deep else 'compact networks'}: {reason or 'passed'}")
        behind = JoinedTrial(device="cuda:0", precision="fp16", features=64, growth=32 * deep)
        print(f"trial of bias and activation alone: {try_joined(behind) or 'passed'}")
    print(f"a trial has pictures of {shape_for(engine.processors)}")


def _joined(given: Network) -> TorchEngine:
    own = copy.deepcopy(given)
    own.join(JoinedActivation(CudaKernelRunner(DEVICE)))
    return TorchEngine(own, device=DEVICE, dtype=torch.float16, precision="fp16")


@torch.inference_mode()
def small(size: tuple[int, int], times: int) -> None:
    """Both kinds of networks, some times over."""
    for deep in (False, True):
        sample = sample_of(KernelTrial(device="cuda:0", deep=deep, scale=4, timed=False))
        engine = CudaEngine(sample, device=DEVICE)
        for _ in range(times):
            made = engine(torch.rand(2, 3, *size).to(DEVICE))
        _joined(sample)(torch.rand(2, 3, *size).to(DEVICE).half())
        print(f"{engine.name}: {'finite' if bool(torch.isfinite(made).all()) else 'NOT FINITE'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("smoke", "small"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", default="67x101", help="height x width")
    parser.add_argument("--times", type=int, default=4)
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    if not torch.cuda.is_available():
        parser.error("needs a CUDA device")
    if given.what == "smoke":
        smoke(given.weights, (height, width))
    else:
        small((height, width), given.times)


if __name__ == "__main__":
    run_script(main)
