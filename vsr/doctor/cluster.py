"""Whether the nodes of a cluster can share a film with this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsr.doctor.finding import Finding
from vsr.runners.ray.look import look_at

_SLOW = 20e6  # bytes a second, of one node alone


def examine_cluster(address: str, folder: Path | None) -> Iterator[Finding]:
    """Yield what is found out about a cluster and each node. Raises UsageError where none answers.

    `folder`: where films are to lie, if the nodes are to be tried with it.
    """
    yield from judged(look_at(address, folder), folder)


def judged(told: Sequence[Mapping[str, Any]], folder: Path | None) -> Iterator[Finding]:
    """Yield what is to be thought of what machines told, this one first."""
    here, others = told[0], told[1:]
    cpus, gpus = (sum(one[name] for one in others) for name in ("cpus", "gpus"))
    text = f"{len(others)} nodes, {cpus:g} CPUs, {gpus:g} GPUs; Ray {here['versions'].get('ray')}"
    if cpus:
        yield Finding(area="cluster", state="good", text=text)
    else:
        advice = "start some with `ray start --address HOST:6379`"
        yield Finding(area="cluster", state="broken", text=text, advice=advice)
    for node in others:
        yield _node(node, here)
        if "folder" in node:
            yield _folder(node, folder)
    kinds = {one["gpu"] or one["processor"] for one in others if "versions" in one and one["cpus"]}
    if len(kinds) > 1:
        yield Finding(
            area="kinds", state="advice", text=f"nodes differ: {'; '.join(sorted(kinds))}",
            advice="a film takes those that are as the machine where vsr runs; label the nodes "
            "(`ray start --labels kind=a`), and name one kind with --cluster-label",
        )  # fmt: skip


def _node(node: Mapping[str, Any], here: Mapping[str, Any]) -> Finding:
    labels = [f"{k}={v}" for k, v in node["labels"].items() if not k.startswith("ray.io/")]
    shown = " ".join([f"{node['cpus']:g} CPUs, {node['gpus']:g} GPUs", *labels])
    if "error" in node:
        return Finding(
            area=node["host"], state="broken", text=f"{shown}: {node['error']}",
            advice="install there what is installed here: pip install 'vsr-upscale[cluster]'",
        )  # fmt: skip
    changed = [
        f"{name} {node['versions'].get(name)}, here {version}"
        for name, version in here["versions"].items()
        if name != "python" and node["versions"].get(name) != version
    ]
    if changed:
        return Finding(
            area=node["host"], state="broken", text=f"{shown}: has {'; '.join(changed)}",
            advice="install the same versions: pip install -c constraints.txt",
        )  # fmt: skip
    text = f"{shown}, {node['gpu'] or node['processor']}"
    return Finding(area=node["host"], state="good", text=text, facts={"versions": changed})


def _folder(node: Mapping[str, Any], folder: Path | None) -> Finding:
    told = node["folder"]
    if not told["seen"]:
        return Finding(
            area=node["host"], state="broken", text=f"does not see {folder}, or sees another one",
            advice="mount the same folder under the same name (NFS, Lustre)",
        )  # fmt: skip
    if "refused" in told:
        text = f"cannot write to {folder} ({told['refused']})"
        advice = "let the user of Ray there write to it"
        return Finding(area=node["host"], state="broken", text=text, advice=advice)
    rate = told["bytes_per_second"]
    text = f"writes {rate / 1e6:.0f} MB/s to {folder}"
    if not told["links"]:
        advice = "two equal segments at one moment cannot be told apart there; NFS, Lustre can"
        return Finding(area=node["host"], state="advice", text=f"{text}, no links", advice=advice)
    if rate < _SLOW:
        advice = "that may be slower than its GPU"
        return Finding(area=node["host"], state="advice", text=text, advice=advice)
    return Finding(area=node["host"], state="good", text=text)
