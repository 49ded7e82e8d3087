"""Which Vulkan GPU runs a network, once it has passed a trial in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vsr.engine.trial_cache import Trial, recalled, remember
from vsr.engine.vulkan.trial import find_gpus, try_gpu
from vsr.errors import UsageError
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
    gpu = _named(device.partition(":")[2], find_gpus())
    inside = _inside(network) if precision == "auto" else precision
    trial = _trial(gpu, inside, network)
    if not trial.passed:
        raise UsageError(f"<device.device> {device}: {gpu['name']} {trial.reason}")
    return _engine(gpu, inside, network)


def _inside(network: Network) -> str:
    """Return in how many bits to store: in 16, RRDBNets are 58 dB from fp32, compact ones 65."""
    return "fp16" if network.fp16_is_close else "fp32"


def _engine(gpu: dict[str, Any], precision: str, network: Network) -> VulkanEngine:
    from vsr.engine.vulkan.engine import VulkanEngine

    return VulkanEngine(network, gpu["index"], precision=precision)


def _named(name: str, gpus: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the GPU of that number or part of a name; the first real one, if nothing is said."""
    if not gpus:
        raise UsageError("<device.device> vulkan: no GPU with a Vulkan driver is seen here")
    if not name:
        return min(gpus, key=lambda gpu: bool(gpu["software"]))
    listed = ", ".join(f"{gpu['index']} ({gpu['name']})" for gpu in gpus)
    for gpu in gpus:
        if name == str(gpu["index"]) or (
            not name.isdigit() and name.lower() in gpu["name"].lower()
        ):
            return gpu
    raise UsageError(f"<device.device> vulkan:{name}: Vulkan sees {listed}")


def _trial(gpu: dict[str, Any], precision: str, network: Network) -> Trial:
    name = _description(gpu, precision, network)
    if (known := recalled(name)) is not None:
        return known
    reason = try_gpu(gpu["index"], precision, network)
    remember(name, reason is None, reason or "")
    return Trial(passed=reason is None, reason=reason or "")


def _description(gpu: dict[str, Any], precision: str, network: Network) -> str:
    """Return what the outcome depends on: GPU, driver, runtime, and the network's shape."""
    parameters = sum(p.numel() for p in network.parameters())
    return " ".join((
        gpu["name"], gpu["driver"], f"ncnn {importlib.metadata.version('ncnn')}", precision,
        type(network).__name__,
        f"scale:{network.scale} features:{network.num_feat} parameters:{parameters}",
    ))  # fmt: skip
