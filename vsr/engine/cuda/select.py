"""Whether our own CUDA kernels run a network: if asked for, and where a trial finds them right.

Nobody has run them on a GPU yet. Until the tests that need one (`pytest -m gpu`) have passed on an
architecture, and it stands in `PROVEN`, `auto` means PyTorch on it.
"""

from __future__ import annotations

import torch

from vsr.engine.cuda.engine import OLDEST, CudaEngine, architecture_of, fits, source
from vsr.engine.cuda.kernel_runner import surroundings
from vsr.engine.cuda.tiling import short_sums
from vsr.engine.cuda.trial import KernelTrial, try_kernels
from vsr.engine.kernel_launch import KernelsUnavailable
from vsr.engine.trial_cache import Trial, recalled, remember
from vsr.errors import UsageError
from vsr.events import Note, Sink
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.network import Network
from vsr.options import EngineName

PROVEN: frozenset[int] = frozenset()  # compute capabilities, times ten
KERNELS = ("common.cu", "compact.cu", "dense.cu")


def cuda_engine_for(
    asked: EngineName, network: Network, device: torch.device, precision: str, sink: Sink
) -> CudaEngine | None:
    """Return our kernels if they were asked for, or are proven on this GPU and not slower there.

    Either way only if they pass a trial in a process of its own. That they do not is told to `sink`
    by the run that finds it, and by each that has asked for them. Raises UsageError where they
    were asked for and cannot be had.
    """
    if asked not in ("auto", "cuda") or device.type != "cuda" or precision != "fp16":
        return None
    reason = _unfit(network, device)
    if reason is None and asked == "auto" and architecture_of(device) not in PROVEN:
        return None
    if reason is None:
        try:
            return _tried(asked, network, device, sink)
        except (KernelsUnavailable, torch.OutOfMemoryError) as error:
            # Not remembered: a library, or memory, that was missing may be there the next time.
            reason = f"cannot be had here ({str(error).splitlines()[0]})"
            if asked == "auto":
                sink(Note(text=f"PyTorch runs the network: our CUDA kernels {reason}"))
    if asked == "cuda":
        raise UsageError(f"<device.engine> cuda: our CUDA kernels {reason}")
    return None


def _tried(
    asked: EngineName, network: Network, device: torch.device, sink: Sink
) -> CudaEngine | None:
    timed = asked == "auto"
    name = _description(network, device, timed=timed)
    trial = known = recalled(name)
    if trial is None:
        deep = isinstance(network, RRDBNet)
        reason = try_kernels(
            KernelTrial(device=str(device), deep=deep, scale=network.scale, timed=timed)
        )
        trial = Trial(passed=reason is None, reason=reason or "")
        remember(name, trial.passed, trial.reason)
    if trial.passed:
        return CudaEngine(network, device=device, asked=asked, trial=name)
    if known is None or asked == "cuda":
        sink(Note(text=f"PyTorch runs the network: our CUDA kernels {trial.reason}"))
    return None


def _unfit(network: Network, device: torch.device) -> str | None:
    """Return why the kernels are not made for this; nothing that a user has to be told unasked."""
    if torch.version.hip is not None:
        return "are for NVIDIA's GPUs, and PyTorch is built for AMD's here"
    if not fits(network):
        return "run compact networks of 64 features and whole x4 RRDBNets, which this one is not"
    capability = architecture_of(device)
    if capability < OLDEST:
        return f"need compute capability {OLDEST / 10}, and {device} has {capability / 10}"
    return None


def _description(network: Network, device: torch.device, *, timed: bool) -> str:
    """Return what the outcome depends on. Not the weights: the trial has its own."""
    sums = short_sums(architecture_of(device))
    kind = (type(network).__name__, f"scale:{network.scale}", f"short:{sums}")
    return " ".join((surroundings(device, source(KERNELS)), *kind, *["timed"] * timed))
