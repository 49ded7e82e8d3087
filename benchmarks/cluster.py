"""What a cluster costs: its overhead, and what thousands of segments do to it.

    python benchmarks/cluster.py overhead [--segment 10]  4 nodes against 4 local workers, in turn
    python benchmarks/cluster.py segments [--count 5000]  tasks a second, memory, time of the join

Nodes are processes of this machine, one processor each; figures go into docs/cluster.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from script import run_script

sys.path.insert(0, str(Path(__file__).parents[1]))

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.cluster import Cluster, cluster
from vsr.events import Event, Progress
from vsr.runners.local import runner_for

_NODES = 4


@dataclass
class Clock:
    """Hears of a run: when its first frames came, and its last."""

    began: float = field(default_factory=time.monotonic)
    first: tuple[float, int] | None = None
    last: tuple[float, int] = (0.0, 0)

    def __call__(self, event: Event) -> None:
        """Note when frames came."""
        if isinstance(event, Progress) and event.frames:
            self.last = (time.monotonic(), event.frames)
            self.first = self.first or self.last


def _run(
    film: Path, output: Path, model: str, segment: float, device: vsr.DeviceOptions
) -> tuple[float, float, Clock]:
    """Return the seconds of a run until its first frames, and in all."""
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=model),
        size=vsr.SizeOptions(scale=Fraction(1 if model == "bicubic" else 2)),
        encode=vsr.EncodeOptions(overwrite=True, preset="ultrafast"),
        jobs=vsr.JobOptions(segment=segment),
        device=device,
    )
    clock = Clock()
    vsr.upscale(film, output, options, sink=clock, runner=runner_for(device))
    assert clock.first is not None
    return clock.first[0] - clock.began, time.monotonic() - clock.began, clock


def overhead(folder: Path, nodes: Cluster, asked: argparse.Namespace) -> None:
    """Print the time of both, in turn: from the first frames on, and with the start."""
    film = judge.make(folder / "film.mkv", f"testsrc2=s=160x120:r=25:d={asked.seconds}", "-c:v",
                      "libx264", "-g", "25", "-pix_fmt", "yuv420p")  # fmt: skip
    weights = str(tiny_weights(folder))
    common = {"device": "cpu", "precision": "fp32", "engine": "torch", "threads": 1}
    ways = {
        "local": vsr.DeviceOptions(**common, workers=_NODES),  # type: ignore[arg-type]
        "cluster": vsr.DeviceOptions(**common, cluster=nodes.address),  # type: ignore[arg-type]
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    films = set()
    for number in range(asked.rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            start, total, _ = _run(film, folder / f"{name}.mkv", weights, asked.segment, ways[name])
            took[name].append((start, total))
            films.add((folder / f"{name}.mkv").read_bytes())
            print(f"{name}: {start:.1f} s to the first frames, {total:.1f} s in all", flush=True)
    assert len(films) == 1, "the films differ"
    work = {name: statistics.median(t - s for s, t in runs) for name, runs in took.items()}
    starts = {name: statistics.median(s for s, _ in runs) for name, runs in took.items()}
    ratio = work["cluster"] / work["local"] - 1
    print(f"start: local {starts['local']:.1f} s, cluster {starts['cluster']:.1f} s (medians)")
    both = f"local {work['local']:.1f} s, cluster {work['cluster']:.1f} s"
    print(f"from the first frames on: {both}: {ratio:+.1%}")


def segments(folder: Path, nodes: Cluster, count: int) -> None:
    """Print tasks a second, the memory of the head, and the time of the join, of two sizes."""
    for number in (count // 4, count):
        film = judge.make(folder / f"{number}.mkv", f"testsrc2=s=32x32:r=10:d={number / 10}",
                          "-c:v", "libx264", "-g", "1", "-pix_fmt", "yuv420p")  # fmt: skip
        memory: list[tuple[int, int]] = []
        ended = threading.Event()

        def watch(memory: list[tuple[int, int]] = memory, ended: threading.Event = ended) -> None:
            while not ended.wait(2.0):
                memory.append((_rss("gcs_server", nodes), _rss("vsr.runners.ray.driver", nodes)))

        thread = threading.Thread(target=watch)
        thread.start()
        device = vsr.DeviceOptions(device="cpu", threads=1, cluster=nodes.address)
        try:
            start, total, clock = _run(film, folder / "out.mkv", "bicubic", 0.1, device)
        finally:
            ended.set()
            thread.join()
        assert clock.first is not None
        work = clock.last[0] - clock.first[0]
        join = total - (clock.last[0] - clock.began)
        print(f"{number} segments: start {start:.1f} s, {number / work:.0f} a second, join "
              f"{join:.1f} s ({1000 * join / number:.2f} ms each)", flush=True)  # fmt: skip
        running = [pair for pair in memory if pair[1]]
        for name, of in (("head (gcs_server)", 0), ("driver", 1)):
            values = [pair[of] >> 20 for pair in running] or [0]
            print(f"  {name}: {values[0]} MB at first, {max(values)} at most, {values[-1]} at last")


def _rss(name: str, nodes: Cluster) -> int:
    """Return the bytes that the processes hold whose command has `name` in it."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().decode(errors="replace")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if name in command and (str(nodes.folder) in command or parent == os.getpid()):
                total += int((path / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        except OSError:
            continue
    return total


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["overhead", "segments"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=600, help="of film, for overhead")
    parser.add_argument("--segment", type=float, default=10, help="seconds of it, for overhead")
    parser.add_argument("--count", type=int, default=5000)
    asked = parser.parse_args()
    measures: dict[str, Callable[[Path, Cluster], None]] = {
        "overhead": lambda folder, nodes: overhead(folder, nodes, asked),
        "segments": lambda folder, nodes: segments(folder, nodes, asked.count),
    }
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vsr-bench-") as name,
        cluster(*[1] * _NODES) as nodes,
    ):
        print(f"cluster of {_NODES} nodes: up in {time.monotonic() - began:.1f} s", flush=True)
        os.environ.update(nodes.environment)
        measures[asked.what](Path(name), nodes)


if __name__ == "__main__":
    run_script(main)
