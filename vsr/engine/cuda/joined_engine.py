"""PyTorch with a kernel of ours behind its convolutions, where a trial found it right and faster.

Whatever goes wrong with that costs a line, and PyTorch does all of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsr.engine.base import fault_of, is_out_of_memory
from vsr.engine.cuda.joined_activation import UNIT, JoinedActivation, text
from vsr.engine.cuda.joined_trial import JoinedTrial, try_joined
from vsr.engine.cuda.kernel_runner import CudaKernelRunner, surroundings
from vsr.engine.device import DTYPES
from vsr.engine.torch_engine import TorchEngine
from vsr.engine.trial_cache import Trial, recalled, remember
from vsr.events import Note, Sink
from vsr.nets.network import Network
from vsr.options import EngineName


class JoinedTorchEngine(TorchEngine):
    """Runs a `Network` that `joins`; its results are those of PyTorch alone, bit for bit."""

    pinned_name: EngineName = "auto"  # "torch" is PyTorch alone

    def __init__(
        self,
        network: Network,
        *,
        device: torch.device,
        dtype: torch.dtype,
        precision: str,
        joined: JoinedActivation,
        trial: str,
        sink: Sink,
    ) -> None:
        """Take `trial`: the description of the one that `joined` has passed."""
        super().__init__(network, device=device, dtype=dtype, precision=precision)
        self._trial, self._sink = trial, sink
        self._joined = True
        network.join(joined)

    def __call__(self, x: Tensor) -> Tensor:
        """See `Engine`."""
        try:
            return super().__call__(x)
        except Exception as error:
            if not self._joined or fault_of(error) is not None or is_out_of_memory(error):
                raise
            failed = _first_line(error)
        self._part()
        out = super().__call__(x)  # what is not about the kernel is raised again
        self._refused(f"failed at work ({failed})")
        return out

    def fall_back_to_fp32(self) -> bool:
        """See `Engine`: the trial was about 16 bits."""
        self._part()
        return super().fall_back_to_fp32()

    def refuse(self, reason: str) -> bool:
        """See `vsr.engine.kernel_launch.HasKernels`."""
        if self._joined:
            remember(self._trial, False, reason)
        return self._joined

    def _part(self) -> None:
        self._network.join(None)
        self._joined = False

    def _refused(self, reason: str) -> None:
        remember(self._trial, False, reason)
        self._sink(_note(reason))


def joined_engine_for(
    asked: EngineName, network: Network, device: torch.device, precision: str, sink: Sink
) -> JoinedTorchEngine | None:
    """Return PyTorch with our kernel if nothing else was asked for, and it passes its trial here.

    That it does not is told to `sink` by the run that finds it, that it cannot be had by each.
    """
    if asked != "auto" or device.type != "cuda" or torch.version.hip is not None:
        return None
    dtype = DTYPES[precision]
    if not network.joins or network.num_feat * dtype.itemsize % UNIT:
        return None
    try:
        name = _tried(network, device, precision, sink)
        if name is None:
            return None
        return JoinedTorchEngine(
            network, device=device, dtype=dtype, precision=precision,
            joined=JoinedActivation(CudaKernelRunner(device)), trial=name, sink=sink,
        )  # fmt: skip
    except Exception as error:  # whatever it is, PyTorch does without
        # Not remembered: a library, or memory, that was missing may be there the next time.
        sink(_note(f"cannot be had here ({_first_line(error)})"))
        return None


def _tried(network: Network, device: torch.device, precision: str, sink: Sink) -> str | None:
    """Return the description of the trial that was passed; None: it was not."""
    growth = _growth(network)
    about = f"joined {type(network).__name__} {precision} {network.num_feat} {growth}"
    name = f"{surroundings(device, text())} {about}"
    trial = recalled(name)
    if trial is None:
        asked = JoinedTrial(
            device=str(device), precision=precision, features=network.num_feat, growth=growth
        )
        reason = try_joined(asked)
        trial = Trial(passed=reason is None, reason=reason or "")
        remember(name, trial.passed, trial.reason)
        if reason is not None:
            sink(_note(reason))
    return name if trial.passed else None


def _growth(network: Network) -> int:
    """Return the channels that a dense block's convolution adds; 0: there are no dense blocks."""
    convolutions = (one for name, one in network.named_modules() if name.endswith("rdb1.conv1"))
    first = next(convolutions, None)
    return first.out_channels if isinstance(first, nn.Conv2d) else 0


def _note(reason: str) -> Note:
    return Note(text=f"PyTorch adds biases and activations by itself: our CUDA kernel {reason}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
