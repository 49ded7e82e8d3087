"""Machines of a cluster that share a film make the same film, whatever becomes of them."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from tests.support.cluster import Cluster, cluster
from tests.support.jobs import After
from vsr.errors import Stopped, UsageError
from vsr.events import Event, Note, Progress
from vsr.jobs.store.job_store import folder_of
from vsr.runners.local import runner_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    with cluster(1, 1) as made:
        yield made


@pytest.fixture
def nodes(two: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    for name, value in two.environment.items():
        monkeypatch.setenv(name, value)
    return two


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return judge.talkie(tmp_path / "film.mkv", 8)


def options(cluster: Cluster | None, **device: object) -> vsr.UpscaleOptions:
    address = cluster.address if cluster is not None else None
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"),
        size=vsr.SizeOptions(scale=Fraction(2)),
        jobs=vsr.JobOptions(segment=0.4),
        device=vsr.DeviceOptions(device="cpu", cluster=address, **{"threads": 1, **device}),  # type: ignore[arg-type]
    )


def test_a_run_is_stopped_a_node_killed_and_another_added_and_the_film_is_the_same(
    nodes: Cluster, film: Path, tmp_path: Path
) -> None:
    one, shared = tmp_path / "one.mkv", tmp_path / "shared.mkv"
    vsr.upscale(film, one, options(None))
    chosen, notes = options(nodes), list[str]()
    with pytest.raises(Stopped):
        vsr.upscale(film, shared, chosen, stop=After(2), runner=runner_for(chosen.device))
    made = len(list(folder_of(shared).glob("[0-9]*.json")))
    assert 2 <= made < 20
    assert not list(folder_of(shared).glob("*.part*"))
    frames: list[int] = []
    changes: list[threading.Thread] = []

    def change() -> None:
        nodes.kill(1)
        nodes.add(1)

    def sink(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)
        if isinstance(event, Progress):
            frames.append(event.frames)
            if event.frames and not changes:
                changes.append(threading.Thread(target=change))
                changes[0].start()

    result = vsr.upscale(film, shared, chosen, sink=sink, runner=runner_for(chosen.device))
    changes[0].join()
    assert any(note.startswith(f"resuming: {made} of 20") for note in notes)
    assert result.frames == max(frames) == 200
    assert frames == sorted(frames)
    assert shared.read_bytes() == one.read_bytes()
    assert not folder_of(shared).exists()


def test_what_no_node_has_is_said_at_once(nodes: Cluster, film: Path, tmp_path: Path) -> None:
    chosen = options(nodes, threads=64, label=("kind", "none"))
    with pytest.raises(UsageError, match="no node of it has 64 CPUs and the label kind=none;"):
        vsr.upscale(film, tmp_path / "o.mkv", chosen, runner=runner_for(chosen.device))
    assert not folder_of(tmp_path / "o.mkv").exists()


def test_a_node_that_rounds_otherwise_is_not_used(
    nodes: Cluster, film: Path, tmp_path: Path
) -> None:
    nodes.add(1, labels={"kind": "odd"}, env_vars={"ATEN_CPU_CAPABILITY": "default"})
    chosen = options(nodes, label=("kind", "odd"))
    with pytest.raises(UsageError, match=r"can do this job: .* has another processor \(DEFAULT"):
        vsr.upscale(film, tmp_path / "o.mkv", chosen, runner=runner_for(chosen.device))
    assert not folder_of(tmp_path / "o.mkv").exists()
