"""Which device, which precision, how much memory: what the machine can do."""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress

import torch

from vsr.errors import UsageError
from vsr.machine import cores, free_host_memory
from vsr.options import DeviceOptions, EngineName, Precision

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """Return `auto`, `cpu`, `cuda` or `cuda:1` as a device that is there. Raises UsageError."""
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise UsageError(
            f"<device.device> {name}: must be auto, cpu, cuda, cuda:N or, to upscale, "
            "vulkan, vulkan:N"
        )
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or (device.index or 0) >= count:
        raise UsageError(
            f"<device.device> {name}: PyTorch sees {count} CUDA device{'s' * (count != 1)} here"
        )
    return torch.device("cuda", device.index or 0)


def choose_precision(
    asked: Precision, device: torch.device, engine: EngineName = "auto"
) -> tuple[str, torch.dtype]:
    """Return the fastest precision that is right on `device` and that `engine` has, or the one
    asked for.

    CUDA: fp16 (75 dB from fp32 on animevideov3). CPU: bf16 where the processor
    multiplies it in hardware (60 dB), else fp32. Raises UsageError for fp16 on a
    CPU, where it is emulated.
    """
    if asked == "auto":
        asked = "fp32" if engine == "ncnn" else _fastest(device)  # the only one that it has
    if asked == "fp16" and device.type == "cpu":
        raise UsageError("<device.precision> fp16: processors only emulate it; use fp32 or bf16")
    return asked, DTYPES[asked]


def _fastest(device: torch.device) -> Precision:
    if device.type == "cuda":
        return "fp16"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    """Return whether the processor has it, and oneDNN, which multiplies, may use it.

    It emulates it on any processor with AVX-512; ONEDNN_MAX_CPU_ISA can forbid it what is there.
    """
    features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    supported = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not supported or not mkldnn:
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def processor() -> str:
    """Return the processor's name as Linux has it; else its architecture, and what torch uses of
    it.
    """
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def hardware(device: torch.device, *, network: bool) -> str:
    """Return what a machine has to have in common with this one to compute the same bits there.

    `network`: whether a network runs on it. What only resizes depends on the instructions alone.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor() if network else torch.backends.cpu.get_cpu_capability()


def free_memory(device: torch.device) -> int:
    """Return bytes that can be allocated now, about."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch's caching allocator holds but does not use is free for us too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_host_memory()


def prepare_cpu(options: DeviceOptions) -> None:
    """Set the network's thread count, and keep freed pages instead of giving them back.

    glibc returns every layer's large buffer to the kernel and takes it again,
    page fault by page fault: 1.1 to 1.7 times the whole run time (measured).
    """
    # More threads than a container has time for wait for each other: PyTorch counts the machine's.
    torch.set_num_threads(options.threads or min(torch.get_num_threads(), cores()))
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        # The network runs in a thread, and a thread's own arena gives large blocks to mmap
        # whatever the other two say.
        libc.mallopt(m_arena_max, 1)
