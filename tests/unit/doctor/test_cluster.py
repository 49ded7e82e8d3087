"""What the doctor thinks of what a cluster's nodes have told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vsr.doctor.cluster import judged

_HERE = {"here": True, "versions": {"vsr": "1", "torch": "2", "python": "3.11", "ray": "2"}}


def node(**told: Any) -> dict[str, Any]:
    return {
        "host": "a", "cpus": 4.0, "gpus": 0.0, "labels": {"kind": "x", "ray.io/node-id": "1"},
        "versions": _HERE["versions"], "processor": "p", "gpu": None,
        "folder": {"seen": True, "links": True, "bytes_per_second": 100e6}, **told,
    }  # fmt: skip


def states(*nodes: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.area, one.state) for one in judged([_HERE, *nodes], Path("/films"))]


def test_what_can_share_a_film_is_good() -> None:
    found = list(judged([_HERE, node()], Path("/films")))
    assert [one.text for one in found] == [
        "1 nodes, 4 CPUs, 0 GPUs; Ray 2",
        "4 CPUs, 0 GPUs kind=x, p",
        "writes 100 MB/s to /films",
    ]
    assert {one.state for one in found} == {"good"}


def test_what_cannot_is_broken() -> None:
    assert states() == [("cluster", "broken")]
    other = {**_HERE["versions"], "torch": "3"}  # type: ignore[dict-item]
    assert ("a", "broken") in states(node(versions=other))
    assert ("a", "broken") in states(node(folder={"seen": False}))
    assert ("a", "broken") in states(node(folder={"seen": True, "refused": "No space"}))
    bare = {"host": "a", "cpus": 1.0, "gpus": 0.0, "labels": {}, "error": "No module named vsr"}
    assert states(bare) == [("cluster", "good"), ("a", "broken")]


def test_what_is_slow_or_mixed_gets_an_advice() -> None:
    slow = {"seen": True, "links": True, "bytes_per_second": 1e6}
    assert ("a", "advice") in states(node(folder=slow))
    assert ("a", "advice") in states(node(folder={**slow, "links": False}))
    assert ("kinds", "advice") in states(node(), node(gpu="H200", gpus=1.0))
