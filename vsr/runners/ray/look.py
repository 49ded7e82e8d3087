"""A look at each node of a cluster: what is installed there, and whether it sees a folder."""

from __future__ import annotations

import os
import queue
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vsr.runners.process import Answer, WorkerProcess, pass_on
from vsr.runners.ray.cluster import Node, nodes

_WAIT = 90.0  # seconds for a node's answer; PyTorch is loaded there
_TRIAL = 16 << 20  # bytes that are written


def look_at(address: str, folder: Path | None) -> list[dict[str, Any]]:
    """Return what each node of the cluster at `address` tells, this machine first.

    Raises UsageError where no cluster answers.
    """
    worker = WorkerProcess("vsr.runners.ray.driver")
    try:
        worker.send({"address": address, "look": True, "folder": folder and str(folder.absolute())})
        heard: queue.Queue[tuple[WorkerProcess, Answer]] = queue.Queue()
        worker.listen(heard)
        while "nodes" not in (answer := heard.get()[1]):
            pass_on(answer, lambda _: None)
            if "died" in answer:
                return []
    finally:
        worker.end()
    return list(answer["nodes"])


def looked(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the same, as a driver of the cluster."""
    folder, token = request["folder"], f".vsr-look-{uuid.uuid4().hex[:12]}"
    told = [{"here": True, **describe(None, token)}]
    if folder is not None:
        with suppress(OSError):
            Path(folder, token).write_bytes(token.encode())
    try:
        asked = [(node, _ask(node, folder, token)) for node in nodes()]
        told += [_answer(node, reference) for node, reference in asked]
    finally:
        if folder is not None:
            with suppress(OSError):
                Path(folder, token).unlink()
    return told


def _ask(node: Node, folder: str | None, token: str) -> Any:
    place = NodeAffinitySchedulingStrategy(node.key, soft=False)
    ask = ray.remote(describe).options(num_cpus=0, max_retries=0, scheduling_strategy=place)
    return ask.remote(folder, token)


def _answer(node: Node, reference: Any) -> dict[str, Any]:
    known = {"host": node.host, "cpus": node.cpus, "gpus": node.gpus, "labels": node.labels}
    try:
        return {**known, **ray.get(reference, timeout=_WAIT)}
    except Exception as error:
        lines = str(error).strip().splitlines()
        return {**known, "error": lines[-1] if lines else type(error).__name__}


def describe(folder: str | None, token: str) -> dict[str, Any]:
    """Return what this machine has, and how it gets on with a shared folder."""
    import importlib.metadata
    import platform

    import torch

    from vsr.engine.device import hardware
    from vsr.version import __version__

    versions = {"vsr": __version__, "python": platform.python_version()}
    for name in ("av", "torch", "ncnn", "ray"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    told: dict[str, Any] = {
        "versions": versions,
        "processor": hardware(torch.device("cpu"), network=True),
        "gpu": hardware(torch.device("cuda"), network=True) if torch.cuda.is_available() else None,
    }
    return told if folder is None else told | {"folder": _try(Path(folder), token)}


def _try(folder: Path, token: str) -> dict[str, Any]:
    """Return how `folder` behaves: whether it is the one of who asks, links, bytes a second."""
    try:
        seen = (folder / token).read_bytes() == token.encode()
    except OSError:
        return {"seen": False}
    trial = folder / f"{token}-{uuid.uuid4().hex[:8]}"
    second = trial.with_name(f"{trial.name}-2")
    told: dict[str, Any] = {"seen": seen, "links": False}
    try:
        began = time.monotonic()
        with trial.open("wb") as file:
            file.write(os.urandom(_TRIAL))
            file.flush()
            os.fsync(file.fileno())
        told["bytes_per_second"] = round(_TRIAL / (time.monotonic() - began))
        with suppress(OSError):
            os.link(trial, second)
            told["links"] = True
    except OSError as error:
        told["refused"] = error.strerror
    finally:
        for path in (trial, second):
            with suppress(OSError):
                path.unlink()
    return told
