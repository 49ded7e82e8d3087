"""What a Ray cluster has: its nodes, and how many workers fit on each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray

from vsr.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine of the cluster that is there."""

    key: str
    host: str
    cpus: float
    gpus: float
    labels: dict[str, str]
    draining: bool  # it will go soon, and gets no more work


@dataclass(frozen=True, kw_only=True)
class Need:
    """What each worker takes of a node."""

    cpus: int | None  # None: all of a node's
    gpus: float
    label: tuple[str, str] | None = None

    def admits(self, node: Node) -> bool:
        """Return whether the node has the label that is asked for."""
        return self.label is None or node.labels.get(self.label[0]) == self.label[1]

    def cpus_on(self, node: Node) -> int:
        """Return how many processors a worker takes there."""
        if self.cpus is not None:
            return self.cpus
        share = max(int(node.gpus), 1) if self.gpus else 1
        return max(int(node.cpus) // share, 1)

    def places(self, node: Node) -> int:
        """Return how many workers fit on it when nothing else runs there."""
        if not self.admits(node) or node.draining:
            return 0
        count = int(node.cpus // self.cpus_on(node))
        return min(count, int(node.gpus)) if self.gpus else count

    def __str__(self) -> str:
        parts = [f"{self.cpus or 1} CPU{'s' * ((self.cpus or 1) > 1)}"]
        parts += ["1 GPU"] if self.gpus else []
        parts += [f"the label {'='.join(self.label)}"] if self.label is not None else []
        return " and ".join(parts)


def nodes() -> list[Node]:
    """Return the nodes that are alive."""
    leaving = _draining()
    return [
        Node(
            key=one["NodeID"],
            host=one.get("NodeManagerHostname") or one["NodeManagerAddress"],
            cpus=one["Resources"].get("CPU", 0),
            gpus=one["Resources"].get("GPU", 0),
            labels=dict(one.get("Labels") or {}),
            draining=one["NodeID"] in leaving,
        )
        for one in ray.nodes()
        if one["Alive"]
    ]


def _draining() -> set[str]:
    """Return the nodes that were told to go, as spot machines are a minute or two before."""
    with suppress(Exception):  # Ray has no public name for it; without it they are used to the end
        return set(ray._private.state.state.get_draining_nodes())
    return set()


def check_need(need: Need, found: Sequence[Node]) -> None:
    """Raise UsageError for what no node will ever have; Ray would wait for ever."""
    if any(need.places(node) for node in found if not node.draining):
        return
    text = f"<device.cluster>: no node of it has {need}"
    labels = sorted({f"{k}={v}" for n in found for k, v in n.labels.items() if "/" not in k})
    has = [f"{n.host}: {n.cpus:g} CPUs, {n.gpus:g} GPUs" for n in found[:4]]
    has += [f"{len(found) - 4} more"] if len(found) > 4 else []
    has += [f"labels: {', '.join(labels)}"] if labels else []
    raise UsageError(f"{text}; there are {'; '.join(has) or 'no nodes'}")


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of the cluster at `address` ("auto": the one of this machine) meanwhile.

    Raises UsageError where there is none, or none that speaks with this one.
    """
    if address.startswith("ray://"):
        raise UsageError(
            f"<device.cluster> {address}: is for Ray Client; run vsr on a machine of the cluster, "
            "and give auto or HOST:6379"
        )
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(
            f"<device.cluster> {address}: cannot be joined ({said}); `ray start` on this machine "
            "first, with the same version of Ray"
        ) from error
    try:
        yield
    finally:
        with suppress(Exception):
            ray.shutdown()


def versions() -> dict[str, Any]:
    """Return what nodes have to have in common with this one."""
    return {"ray": ray.__version__}
