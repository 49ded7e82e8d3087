"""Which Vulkan GPU runs a network, once it has passed a trial in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vsr.engine.device import processor
from vsr.engine.trial_cache import Trial, recalled, remember
from vsr.engine.trial_process import TrialFailed
from vsr.engine.vulkan.trial import failed_before, find_gpus, may_have_gpu, try_gpu
from vsr.errors import UsageError
from vsr.events import Note, Sink
from vsr.nets.network import Network
from vsr.options import EngineName, Precision

if TYPE_CHECKING:
    from vsr.engine.vulkan.engine import VulkanEngine


def asks_vulkan(device: str, engine: EngineName) -> bool:
    """Return whether the user asks for Vulkan. Raises UsageError where that contradicts itself."""
    named = device == "vulkan" or device.startswith("vulkan:")
    if named and engine not in ("auto", "vulkan"):
        raise UsageError(f"<device.engine> {engine}: does not work on {device}")
    if engine == "vulkan" and not named and device != "auto":
        raise UsageError(f"<device.engine> vulkan: works on <device.device> vulkan, not {device}")
    return named or engine == "vulkan"


def vulkan_engine(network: Network, device: str, precision: Precision) -> VulkanEngine:
    """Return an engine on the GPU that `device` names: `vulkan`, `vulkan:1`, `vulkan:radeon`.

    Raises UsageError where there is none, or where it has failed its trial.
    """
    if precision == "bf16":
        raise UsageError("<device.precision> bf16: Vulkan has fp16 and fp32")
    if importlib.util.find_spec("ncnn") is None:
        raise UsageError("<device.device> vulkan: install it, pip install 'vsr-upscale[ncnn]'")
    if not network.exports:
        raise UsageError("<device.device> vulkan: does not run this kind of network")
    try:
        gpu = _named(device.partition(":")[2], find_gpus())
    except TrialFailed as error:
        raise UsageError(f"<device.device> {device}: its drivers {error}") from error
    inside = _inside(network) if precision == "auto" else precision
    trial = _trial(gpu, inside, network, timed=False)
    if not trial.passed:
        raise UsageError(f"<device.device> {device}: {gpu['name']} {trial.reason}")
    return _engine(gpu, inside, network)


def faster_gpu(network: Network, sink: Sink) -> VulkanEngine | None:
    """Return an engine on the real GPU that `vulkan` means, if it is right and much faster.

    Faster than the processor. That it is refused is told to `sink` once, by the run that finds it.
    """
    if not network.exports or not may_have_gpu() or importlib.util.find_spec("ncnn") is None:
        return None
    if failed_before():
        return None
    try:
        gpus = find_gpus()
    except TrialFailed as error:
        text = f"the processor runs the network: the drivers of Vulkan {error}"
        sink(Note(text=f"{text}; they are asked again in a month, and by vsr doctor"))
        return None
    # The same one as in a worker of this run, which is told `vulkan`.
    if not gpus or (gpu := _named("", gpus))["software"]:
        return None
    inside = _inside(network)
    known = recalled(_description(gpu, inside, network, timed=True))
    trial = known or _trial(gpu, inside, network, timed=True)
    if trial.passed:
        return _engine(gpu, inside, network)
    if known is None:
        sink(Note(text=f"the processor runs the network: {gpu['name']} {trial.reason}"))
    return None


def _inside(network: Network) -> str:
    """Return in how many bits to store: in 16, RRDBNets are 58 dB from fp32, compact ones 65."""
    return "fp16" if network.fp16_is_close else "fp32"


def _engine(gpu: dict[str, Any], precision: str, network: Network) -> VulkanEngine:
    from vsr.engine.vulkan.engine import VulkanEngine

    # By which `auto` takes it, in whichever process of a run it fails.
    trial = _description(gpu, precision, network, timed=True)
    return VulkanEngine(network, gpu["index"], precision=precision, trial=trial)


def _named(name: str, gpus: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the GPU of that number or part of a name; if nothing is said, the first one on a card,
    else in a processor, else of a virtual machine, else in software.
    """
    if not gpus:
        raise UsageError("<device.device> vulkan: no GPU with a Vulkan driver is seen here")
    if not name:
        return min(gpus, key=lambda gpu: int(gpu["kind"]))
    listed = ", ".join(f"{gpu['index']} ({gpu['name']})" for gpu in gpus)
    for gpu in gpus:
        if name == str(gpu["index"]) or (
            not name.isdigit() and name.lower() in gpu["name"].lower()
        ):
            return gpu
    raise UsageError(f"<device.device> vulkan:{name}: Vulkan sees {listed}")


def _trial(gpu: dict[str, Any], precision: str, network: Network, *, timed: bool) -> Trial:
    name = _description(gpu, precision, network, timed=timed)
    if (known := recalled(name)) is not None:
        return known
    reason = try_gpu(gpu["index"], precision, network, timed=timed)
    remember(name, reason is None, reason or "")
    return Trial(passed=reason is None, reason=reason or "")


def _description(gpu: dict[str, Any], precision: str, network: Network, *, timed: bool) -> str:
    """Return what the outcome depends on: GPU, driver, runtime, and the network's shape."""
    parameters = sum(p.numel() for p in network.parameters())
    return " ".join((
        gpu["name"], gpu["driver"], f"ncnn {importlib.metadata.version('ncnn')}", precision,
        f"against {processor()}" if timed else "", type(network).__name__,
        f"scale:{network.scale} features:{network.num_feat} parameters:{parameters}",
    ))  # fmt: skip
