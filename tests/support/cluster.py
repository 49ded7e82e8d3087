"""A Ray cluster of real processes on this machine, whose nodes can be killed, drained and added.

It is served by a process of its own, so that nothing of Ray's is loaded into the tests and nothing
stays: all that it has started belongs to its session, which is ended as a whole.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_STORE = 80 << 20  # bytes for objects, the least that Ray takes


class Cluster:
    """What tests ask of the process that serves the cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What of the machine's settings would reach the workers through Ray's processes.
        self.environment = os.environ | {
            "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.cluster"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=self.environment, start_new_session=True,
        )  # fmt: skip
        self.address = self.ask(start={})["address"]

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask for one thing, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        assert "error" not in answer, answer
        return dict(answer)

    def add(self, cpus: int = 1, **more: Any) -> int:
        """Add a node; returns its number."""
        return int(self.ask(add={"num_cpus": cpus, **more})["node"])

    def kill(self, node: int) -> None:
        """End all of a node's processes at once, as a machine that loses its power."""
        self.ask(kill=node)

    def drain(self, node: int, seconds: float) -> None:
        """Tell a node that it goes in so many seconds; then it goes: SIGTERM, then SIGKILL."""
        self.ask(drain=node, seconds=seconds)

    def processes(self) -> list[int]:
        """Return the processes of the cluster that are alive, but for the one that serves it."""
        return [one for one in _session(self._process.pid) if one != self._process.pid]

    def end(self) -> None:
        """End all of it."""
        deadline = time.monotonic() + 20
        while (left := _session(self._process.pid)) and time.monotonic() < deadline:
            for one in left:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.05)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()
        self._process.wait()
        assert not left, "processes of the cluster are left"


@contextmanager
def cluster(*cpus: int) -> Iterator[Cluster]:
    """Start a head without processors, and a node for each of `cpus`."""
    # A short name: sockets lie in it.
    folder = Path(tempfile.mkdtemp(prefix="vsr-ray-", dir="/tmp"))
    made = None
    try:
        made = Cluster(folder)
        for count in cpus:
            made.add(count)
        yield made
    finally:
        if made is not None:
            made.end()
        shutil.rmtree(folder, ignore_errors=True)


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _session(leader: int) -> list[int]:
    """Return the processes of a session that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            state, _, _, session = _stat(int(path.name))[:4]
            if int(session) == leader and state != "Z":
                found.append(int(path.name))
    return found


def _below(process: int) -> list[int]:
    """Return a process and all that it has started."""
    found = [process]
    for told in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in told.read_text().split():
                found += _below(int(child))
    return found


class _Server:
    def __init__(self) -> None:
        import ray.cluster_utils

        self._cluster = ray.cluster_utils.Cluster(shutdown_at_exit=False)
        self._nodes: list[Any] = []

    def add(self, **settings: Any) -> int:
        settings = {"object_store_memory": _STORE, "include_dashboard": False, **settings}
        self._nodes.append(self._cluster.add_node(**settings))
        return len(self._nodes) - 1

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "start" in request:
            self.add(num_cpus=0, **request["start"])
            return {"address": self._cluster.address}
        if "add" in request:
            return {"node": self.add(**request["add"])}
        if "kill" in request:
            self._end(request["kill"], (signal.SIGKILL,))
        if "drain" in request:
            self._drain(request["drain"], request["seconds"])
        return {}

    def _end(self, node: int, signals: tuple[signal.Signals, ...]) -> None:
        for one in self._nodes[node].all_processes.values():
            for info in one:
                for number in signals:
                    for process in reversed(_below(info.process.pid)):
                        with suppress(ProcessLookupError):
                            os.kill(process, number)
                    time.sleep(0.5 if number == signal.SIGTERM else 0)
                info.process.wait()

    def _drain(self, node: int, seconds: float) -> None:
        """Do as a machine that is told to go: drained with a deadline, SIGTERM then, SIGKILL."""
        from ray.core.generated import autoscaler_pb2

        client = self._nodes[0].get_gcs_client()
        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = int((time.time() + seconds) * 1000)
        client.drain_node(self._nodes[node].node_id, reason, "drained", deadline)
        time.sleep(seconds)
        self._end(node, (signal.SIGTERM, signal.SIGKILL))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = _Server()
    for line in sys.stdin:
        try:
            told = server.answer(json.loads(line))
        except Exception as error:
            told = {"error": repr(error)}
        answers.write(json.dumps(told) + "\n")
        answers.flush()
    for one in _session(os.getpid()):  # who asked is gone, however that ended
        if one != os.getpid():
            os.kill(one, signal.SIGKILL)


if __name__ == "__main__":
    main()
