"""Kills and drains nodes of a cluster at random moments, and compares the films.

    python -m tests.cluster_lives [--kills 30] [--drains 10] [--nodes 2] [--seed 1] [--store FAULT]

Each run upscales a film with a tiny network on nodes of one processor each. In the middle of it
one node is killed, or drained and killed some seconds later, and another one is added; nodes take
turns. The film has to be that of a single machine, byte for byte, no more than a segment's work may
be lost by a kill, and nothing may be left over. Ends with 1 if that does not hold. About 20 s a
run. With a store, all of it goes through an S3-like one on this machine: `none`, or what goes wrong
there (`errors`, `slow`, `lost`; tests/support/object_server.py).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import vsr
from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.cluster import Cluster, cluster
from tests.support.object_server import BUCKET, object_server
from vsr.events import Event, Note, Progress
from vsr.objects import Objects
from vsr.runners.local import runner_for

_SEGMENT = 10  # frames
_LOST = re.compile(r"was lost, with (\d+) frames")
_FILM = "testsrc2=s=160x120:r=25:d=16"


class Run:
    """One run, in which `node` goes `after` seconds from the first frame on."""

    def __init__(self, nodes: Cluster, node: int, after: float, grace: float | None) -> None:
        self._nodes, self._node, self._after, self._grace = nodes, node, after, grace
        self._thread: threading.Thread | None = None
        self._frames = 0
        self.lost = self.losses = 0  # frames of workers that were lost, and those
        self.added = -1
        self.notes: list[str] = []
        self.moment = 0  # frames that were done when the node went

    def _change(self) -> None:
        time.sleep(self._after)
        self.moment = self._frames
        if self._grace is None:
            self._nodes.kill(self._node)
        else:
            self._nodes.drain(self._node, self._grace)
        self.added = self._nodes.add(1)

    def __call__(self, event: Event) -> None:
        """Hear of the run."""
        if isinstance(event, Note):
            self.notes.append(event.text)
            if (found := _LOST.search(event.text)) is not None:
                self.lost += int(found[1])
                self.losses += 1
        if not isinstance(event, Progress):
            return
        self._frames = event.frames
        if event.frames and self._thread is None:
            self._thread = threading.Thread(target=self._change)
            self._thread.start()

    def join(self) -> None:
        """Wait until the node has gone and another one is there."""
        if self._thread is not None:
            self._thread.join()


def _options(weights: Path, address: str | None) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name=str(weights)),
        size=vsr.SizeOptions(scale=Fraction(2)),
        jobs=vsr.JobOptions(segment=_SEGMENT / 25),
        device=vsr.DeviceOptions(
            device="cpu", precision="fp32", engine="torch", threads=1, cluster=address
        ),
    )


def _cycle(folder: Path, nodes: Cluster, wanted: list[str], dice: random.Random, count: int) -> int:
    film = judge.make(folder / "film.mkv", _FILM, "-c:v", "libx264", "-g", "10",
                      "-pix_fmt", "yuv420p")  # fmt: skip
    weights = tiny_weights(folder)
    began = time.monotonic()
    vsr.upscale(film, folder / "one.mkv", _options(weights, None))
    print(f"one machine: {time.monotonic() - began:.1f} s", flush=True)
    expected = (folder / "one.mkv").read_bytes()
    alive, failed, most = list(range(1, count + 1)), 0, 0
    options = _options(weights, nodes.address)
    place = Objects(f"s3://{BUCKET}/job") if "AWS_ENDPOINT_URL" in os.environ else None
    if place is not None:
        place.put("film.mkv", film)
    for number, kind in enumerate(wanted):
        output = folder / "out.mkv"
        output.unlink(missing_ok=True)
        node = alive.pop(0)  # each in its turn
        run = Run(nodes, node, dice.uniform(0, 5), None if kind == "kill" else dice.uniform(1, 4))
        began = time.monotonic()
        source: Path | str = film
        target: Path | str = output
        if place is not None:
            place.remove("out.mkv")
            source, target = f"{place.address}/film.mkv", f"{place.address}/out.mkv"
        vsr.upscale(source, target, options, sink=run, runner=runner_for(options.device))
        took = time.monotonic() - began
        run.join()
        alive.append(run.added)
        if place is not None:
            place.fetch("out.mkv", output)
        same = output.read_bytes() == expected
        names = [path.name for path in folder.iterdir()] + (place.names() if place else [])
        left = sorted(set(names) - _OURS)
        good = same and not left and (run.lost <= _SEGMENT * run.losses or kind != "kill")
        failed += not good
        most = max(most, run.lost)
        print(f"{number + 1}. {kind} of node {node} at {run.moment} frames: {took:.1f} s, "
              f"identical: {same}, lost {run.losses} workers and {run.lost} frames, left: {left}",
              flush=True)  # fmt: skip
        if not good:
            print(*run.notes, sep="\n", flush=True)
    print(f"{len(wanted)} runs, {failed} failed, at most {most} frames lost", flush=True)
    return failed


_OURS = {"cache", "film.mkv", "one.mkv", "out.mkv", "tiny.pth", "tiny.safetensors"}


def main() -> int:
    """Run the cycles; returns the exit code."""
    parser = argparse.ArgumentParser()
    for name, value in (("kills", 30), ("drains", 10), ("nodes", 2), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=Path, help="copy what a failed run leaves to this folder")
    parser.add_argument("--store", choices=["none", "errors", "slow", "lost"])
    asked = parser.parse_args()
    wanted = ["kill"] * asked.kills + ["drain"] * asked.drains
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="vsr-lives-"))
        if asked.store is not None:
            os.environ.update(stack.enter_context(object_server(asked.store)))
            os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        nodes = stack.enter_context(cluster(*[1] * asked.nodes))
        os.environ.update(nodes.environment)
        try:
            dice = random.Random(asked.seed)
            return int(_cycle(Path(name), nodes, wanted, dice, asked.nodes) > 0)
        except Exception:
            if asked.keep is not None:
                shutil.copytree(name, asked.keep)
            raise


if __name__ == "__main__":
    sys.exit(main())
