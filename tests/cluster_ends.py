"""Ends the run, or the head of its cluster, and goes on with the same command.

    python -m tests.cluster_ends [HOW...]

In turn: the run is killed; it gets SIGINT twice; the cluster's head is killed with all it runs.
Each time no worker may be left, a line has to say how it ended, and the same command has to go on
(after the head: on another cluster) to the film of a single machine. Ends with 1 if that does not
hold. About two minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import tiny_weights
from tests.support import judge
from tests.support.cluster import ROOT, Cluster, cluster
from vsr.doctor.cluster import examine_cluster


def _command(folder: Path, output: str, address: str | None) -> list[str]:
    more = ["--cluster", address] if address is not None else []
    return [
        sys.executable, "-m", "vsr", "upscale", str(folder / "film.mkv"), "-o",
        str(folder / output), "--model", str(folder / "tiny.safetensors"), "--segment", "0.4",
        "--device", "cpu", "--precision", "fp32", "--engine", "torch", "--threads", "1",
        "--progress", "json", *more,
    ]  # fmt: skip


def _finished(folder: Path) -> int:
    return len(list((folder / ".out.mkv.vsr").glob("[0-9]*.json")))


def _workers(nodes: Cluster) -> list[int]:
    """Return the actors that run on the cluster."""
    found = []
    for process in nodes.processes():
        try:
            if b"SegmentActor" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
        except OSError:
            continue
    return found


def _end(how: str, run: subprocess.Popen[str], nodes: Cluster) -> None:
    if how == "killed":
        run.kill()
    elif how == "interrupted":
        run.send_signal(signal.SIGINT)
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
    else:
        nodes.kill(0)


def _life(folder: Path, how: str, nodes: Cluster, other: Cluster, expected: bytes) -> bool:
    output = folder / "out.mkv"
    output.unlink(missing_ok=True)
    with subprocess.Popen(
        _command(folder, "out.mkv", nodes.address), cwd=ROOT, env=nodes.environment, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        while _finished(folder) < 3 and run.poll() is None:
            time.sleep(0.05)
        assert _workers(nodes), "no worker is seen"
        began = time.monotonic()
        _end(how, run, nodes)
        said = run.communicate()[1].strip().splitlines()[-1:]
        ended = time.monotonic() - began
    while (left := _workers(nodes)) and how != "without its head":
        if time.monotonic() - began > 30:
            break
        time.sleep(0.1)
    gone = time.monotonic() - began
    done = _finished(folder)
    again = subprocess.run(
        _command(folder, "out.mkv", other.address), cwd=ROOT, env=other.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    same = output.exists() and output.read_bytes() == expected
    resumed = f"resuming: {done} of" in again.stderr or "resuming" in again.stderr
    good = same and resumed and not (left and how != "without its head")
    print(f"{how}: exit code {run.returncode} after {ended:.1f} s, workers gone after {gone:.1f} s",
          f"{done} segments kept, went on: {resumed}, identical: {same}", *said,
          sep="; ", flush=True)  # fmt: skip
    if not good:
        print(again.stderr[-2000:], left)
    return good


def main() -> int:
    """Run the three; returns the exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="vsr-ends-") as name,
        cluster(1, 1) as first,
        cluster(1, 1) as second,
    ):
        os.environ.update(first.environment)
        folder = Path(name)
        judge.make(folder / "film.mkv", "testsrc2=s=160x120:r=25:d=16", "-c:v", "libx264",
                   "-g", "10", "-pix_fmt", "yuv420p")  # fmt: skip
        tiny_weights(folder)
        subprocess.run(_command(folder, "one.mkv", None), cwd=ROOT, check=True,
                       capture_output=True, env=os.environ)  # fmt: skip
        expected = (folder / "one.mkv").read_bytes()
        told = list(examine_cluster(first.address, folder))
        print(*[f"{one.area}: {one.state}: {one.text}" for one in told], sep="\n", flush=True)
        assert len(told) == 7, "the doctor has not heard of each node and its folder"
        lives = [("killed", first, first), ("interrupted", first, first),
                 ("without its head", first, second)]  # fmt: skip
        asked = [life for life in lives if life[0] in sys.argv[1:]] or lives
        ended_well = [_life(folder, *life, expected) for life in asked]
        return int(not all(ended_well))


if __name__ == "__main__":
    sys.exit(main())
