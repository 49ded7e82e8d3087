"""Processor, memory, GPUs and disks."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import platformdirs
import torch

from vsr.doctor.finding import Finding
from vsr.engine.build import vulkan_gpus
from vsr.engine.device import choose_precision, processor
from vsr.engine.trial_process import TrialFailed
from vsr.errors import cause
from vsr.machine import cores, free_host_memory, memory

_GB = 1e9
_LITTLE_MEMORY = 1.5e9  # bytes; a film of 1080 lines takes about so much
_LITTLE_DISK, _NO_DISK = 5e9, 2e8  # bytes
_DRIVER = Path("/proc/driver/nvidia/version")


def processors() -> Iterator[Finding]:
    """Yield what PyTorch makes of the processor."""
    name, mine = processor(), cores()
    precision, _ = choose_precision("auto", torch.device("cpu"))
    there = os.cpu_count() or 1
    limited = f" of {there}" if mine < there else ""
    yield Finding(
        area="processor",
        state="good",
        text=f"{name}, {mine}{limited} cores, networks in {precision}",
        advice=None
        if not limited
        else "a container or scheduler limits the cores; a run is slower by as much",
        facts={"name": name, "cores": mine, "of": there, "precision": precision},
    )


def memories() -> Iterator[Finding]:
    """Yield how much memory there is, and how much this process may have."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    allowed, free = memory(), free_host_memory()
    limit = f", of {physical / _GB:.1f} in the machine" if allowed < physical else ""
    yield Finding(
        area="memory",
        state="good" if free > _LITTLE_MEMORY else "advice",
        text=f"{free / _GB:.1f} GB free of {allowed / _GB:.1f} that vsr may have{limit}",
        advice=None
        if free > _LITTLE_MEMORY
        else "close other programs, or raise the container's limit; frames are cut into tiles "
        "until then",
        facts={"free": free, "allowed": allowed, "physical": physical},
    )


def gpus() -> Iterator[Finding]:
    """Yield the GPUs that PyTorch and Vulkan see, and why they see none."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        about = torch.cuda.get_device_properties(index)
        capability = f"{about.major}.{about.minor}"
        yield Finding(
            area="gpu",
            state="good",
            text=f"cuda:{index} {about.name}, {about.total_memory / _GB:.1f} GB, capability "
            f"{capability}, CUDA {torch.version.cuda}",
            facts={"name": about.name, "memory": about.total_memory, "capability": capability},
        )
    if not count:
        yield _no_cuda()
    try:
        seen = vulkan_gpus()
    except TrialFailed as error:
        seen = []
        yield Finding(
            area="gpu", state="advice", text=f"Vulkan: its drivers {error}",
            advice="update or remove them; until then the processor runs networks in their place",
        )  # fmt: skip
    advice = "--device auto never takes a driver in software"
    if not count and all(gpu["software"] for gpu in seen):
        advice += "; for a GPU that is in this machine, install that GPU's own Vulkan driver"
    for gpu in seen:
        software = " (software: slower than the processor)" if gpu["software"] else ""
        yield Finding(
            area="gpu",
            state="good",
            text=f"vulkan:{gpu['index']} {gpu['name']}{software}",
            advice=advice if gpu["software"] else None,
            facts={name: gpu[name] for name in ("name", "driver", "software")},
        )


def _no_cuda() -> Finding:
    build = torch.version.cuda
    has_driver = _DRIVER.is_file()
    facts = {"driver": has_driver, "torch": torch.__version__, "cuda": build}
    if has_driver and build is None:
        return Finding(
            area="gpu", state="advice", facts=facts,
            text=f"an NVIDIA driver is here, but PyTorch {torch.__version__} is a build without "
            f"CUDA",
            advice="install PyTorch's build for NVIDIA's GPUs: pytorch.org/get-started/locally",
        )  # fmt: skip
    if has_driver:
        return Finding(
            area="gpu", state="broken", facts=facts,
            text=f"an NVIDIA driver is here, but PyTorch with CUDA {build} sees no GPU",
            advice="update the driver; in a container give it the GPU (--gpus all); see that "
            "CUDA_VISIBLE_DEVICES is not empty",
        )  # fmt: skip
    return Finding(
        area="gpu", state="good", facts=facts,
        text="no NVIDIA GPU is seen; networks run on the processor, or by Vulkan",
        advice="x4plus takes long without a GPU; `vsr probe FILM` says how long",
    )  # fmt: skip


def disks() -> Iterator[Finding]:
    """Yield whether the folders that vsr writes to can be written to, and how full they are."""
    places = {
        "working folder": (_working_folder(), None),
        "temporary folder": (_temporary_folder(), "set TMPDIR to a folder that can be written to"),
        "cache": (
            Path(platformdirs.user_cache_dir("vsr", appauthor=False)),
            "set XDG_CACHE_HOME; until then each run tries engines anew, and no weights are kept",
        ),
        "state": (
            Path(platformdirs.user_state_dir("vsr", appauthor=False)),
            "set XDG_STATE_HOME; until then `vsr jobs` does not list what is begun",
        ),
    }
    for name, (path, advice) in places.items():
        yield _disk(name, path, advice)


def _disk(name: str, path: Path | None, advice: str | None) -> Finding:
    if path is None:
        return Finding(area="disk", state="broken", text=f"{name}: there is none", advice=advice)
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if (error := _unwritable(there)) is not None:
        state, help_ = ("broken", advice) if name == "temporary folder" else ("advice", advice)
        text = f"{name}: {path} cannot be written to ({cause(error)})"
        more = help_ or "results need a folder that can be written to: -o FOLDER/"
        return Finding(area="disk", state=state, text=text, advice=more)  # type: ignore[arg-type]
    free = shutil.disk_usage(there).free
    facts = {"folder": name, "free": free}
    text = f"{name}: {free / _GB:.1f} GB free"
    if free < _NO_DISK:
        return Finding(
            area="disk", state="broken", text=text, facts=facts,
            advice="make room: runs end with a full disk (what is finished is kept)",
        )  # fmt: skip
    if free < _LITTLE_DISK:
        return Finding(
            area="disk", state="advice", text=text, facts=facts,
            advice="`vsr probe FILM` says how large a result becomes; it is needed twice",
        )  # fmt: skip
    return Finding(area="disk", state="good", text=text, facts=facts)


def _unwritable(folder: Path) -> OSError | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"vsr")
    except OSError as error:
        return error
    return None


def _working_folder() -> Path | None:
    with suppress(OSError):
        return Path.cwd()
    return None


def _temporary_folder() -> Path | None:
    with suppress(OSError):  # none can be written to
        return Path(tempfile.gettempdir())
    return None


def system() -> Finding:
    """Return the system, by its own name."""
    return Finding(area="system", state="good", text=platform.platform())
