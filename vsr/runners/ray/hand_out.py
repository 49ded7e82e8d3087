"""Segments of a job, handed out to the workers of a cluster until all are finished.

What waits is kept here and nowhere else: a worker has one share at a time, so that a film of any
length is a list of numbers. What a worker or a node had that was lost is given to another.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vsr.errors import Stopped, UsageError, VsrError
from vsr.jobs.store.job_store import JobStore, SegmentRecord
from vsr.runners.ray.actor import SegmentActor
from vsr.runners.ray.cluster import Need, Node, check_need, nodes

_LOOK = 2.0  # seconds between two looks at the nodes
_MOST = 16  # segments in a share: read and piped in one go
_TRIES = 3  # that a segment, or a node, may cost a worker
_PATIENCE = 300.0  # seconds that the work waits for a node when all are gone
_BUSY = 15.0  # seconds after which it is said that a node has no room
_EVENTS = 50  # a second, about, of all workers together


@dataclass(eq=False)
class _Member:
    """A worker, and what it was given."""

    node: Node
    actor: Any
    answers: Any  # of what it was asked last: one, or a stream of them
    asked: float = field(default_factory=time.monotonic)
    ready: bool = False
    share: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # what is not finished of it
    frames: int = 0  # encoded of the share
    finished: int = 0  # of these, in segments that are finished


class HandOut:
    """One job on one cluster. `say` takes answers for the process that asked."""

    def __init__(
        self, request: Mapping[str, Any], say: Callable[..., None], stopping: Event
    ) -> None:
        label = request["label"]
        self._need = Need(
            cpus=request["cpus"], gpus=request["gpus"], label=tuple(label) if label else None
        )
        self._job, self._suffix = request["job"], request["suffix"]
        self._limit = request["workers"]
        self._store = JobStore(Path(self._job["store"]))
        self._waiting = {one["number"]: one for one in request["segments"]}
        self._say, self._stopping, self._stopped = say, stopping, False
        self._crew: list[_Member] = []
        self._refused: dict[str, str] = {}  # nodes that are not used, and why
        self._losses: Counter[str] = Counter()  # of workers, by node, since one finished anything
        self._strikes: Counter[int] = Counter()  # of workers, by the segment that they worked on
        self._finished: set[int] = set()
        self._made = 0  # frames in finished segments
        self._frames = 0  # that were told of
        self._looked = self._worked = float("-inf")

    def run(self) -> None:
        """Hand out until all is finished. Raises the errors of `vsr.errors`."""
        check_need(self._need, nodes())
        self._worked = time.monotonic()
        try:
            while self._waiting or any(member.share for member in self._crew):
                if self._stopping.is_set() and not self._stopped:
                    self._stop()
                if not self._stopped and time.monotonic() - self._looked > _LOOK:
                    self._look()
                self._hear_all()
        finally:
            for member in self._crew:
                ray.kill(member.actor)

    def _stop(self) -> None:
        self._stopped = True
        self._waiting.clear()
        for member in self._crew:
            member.actor.stop.remote()

    # --- workers ---

    def _look(self) -> None:
        """Look at what the cluster has now, and place workers where there is room."""
        self._looked, found = time.monotonic(), nodes()
        there = {node.key: node for node in found}
        for member in self._crew:
            member.node = there.get(member.node.key, member.node)
        self._give_idle()
        limit = min(self._limit or len(self._waiting), len(self._waiting))
        idle = sum(not member.share for member in self._crew)
        taken = Counter(member.node.key for member in self._crew)
        rooms = {
            node.key: self._need.places(node) - taken[node.key]
            for node in found
            if node.key not in self._refused
        }
        while len(self._crew) < (self._limit or len(self._crew) + 1) and idle < limit:
            key = max(rooms, key=rooms.__getitem__, default="")
            if not key or rooms[key] < 1:
                break
            rooms[key] -= 1
            idle += 1
            self._crew.append(self._placed(there[key]))
        self._tell_of_waiting(found)

    def _placed(self, node: Node) -> _Member:
        cpus = self._need.cpus_on(node)
        actor = ray.remote(SegmentActor).options(
            num_cpus=cpus,
            num_gpus=self._need.gpus,
            max_restarts=0,
            max_concurrency=2,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.key, soft=False),
        ).remote()  # fmt: skip
        options = self._job["options"]
        threads = options["device"]["threads"] or cpus
        own = {**options, "device": {**options["device"], "threads": threads}}
        job = {**self._job, "options": own}
        return _Member(node=node, actor=actor, answers=actor.prepare.remote(job))

    def _tell_of_waiting(self, found: list[Node]) -> None:
        now = time.monotonic()
        for member in self._crew:
            if not member.ready and now - member.asked > _BUSY:
                self._note(f"{member.node.host}: waits for room there; others work on it, too")
        if self._crew:
            self._worked = now
            return
        usable = [node for node in found if self._need.admits(node)]
        if usable and all(node.key in self._refused for node in usable):
            why = "; ".join(dict.fromkeys(self._refused.values()))
            raise UsageError(f"<device.cluster>: no node of it can do this job: {why}")
        if now - self._worked > _PATIENCE:
            raise Stopped(f"no node of the cluster has been there for {_PATIENCE / 60:.0f} minutes")
        self._note("no node of the cluster is there; waits for one")

    def _refuse(self, member: _Member, why: str) -> None:
        self._remove(member)
        text = f"{member.node.host} {why}"
        self._refused[member.node.key] = text
        self._note(f"{text}: is not used")

    def _remove(self, member: _Member) -> None:
        self._crew.remove(member)
        ray.kill(member.actor)
        self._looked = float("-inf")

    # --- what they say ---

    def _hear_all(self) -> None:
        """Wait for answers, and take all that have come."""
        asked = [m.answers for m in self._crew if m.answers is not None]
        if not asked:
            time.sleep(_LOOK / 4)
            return
        ready, _ = ray.wait(asked, num_returns=1, timeout=1.0)
        if ready:
            ready, _ = ray.wait(asked, num_returns=len(asked), timeout=0)
        known = {id(member.answers): member for member in self._crew}
        for answers in ready:
            if (member := known.get(id(answers))) is not None and member in self._crew:
                self._hear(member)

    def _hear(self, member: _Member) -> None:
        try:
            answer = ray.get(next(member.answers) if member.ready else member.answers)
        except StopIteration:
            self._lose(member, "ended")
        except RayActorError as error:
            counts = not (error.preempted or "node has died" in str(error))
            self._lose(member, _first_line(error), counts=counts)
        except RayError as error:
            if not member.ready:
                self._refuse(member, f"cannot load vsr ({_last_line(error)})")
            else:
                self._lose(member, _first_line(error))
        else:
            if member.ready:
                self._take(member, answer)
            elif "refused" in answer:
                self._refuse(member, answer["refused"])
            else:
                member.ready, member.answers = True, None
                self._give(member)

    def _take(self, member: _Member, answer: Mapping[str, Any]) -> None:
        if "frames" in answer:
            member.frames = answer["frames"]
            self._say_frames()
        elif "note" in answer:
            self._say(**answer)
        elif "segment" in answer:
            self._losses[member.node.key] = 0
            member.share.pop(answer["segment"], None)
            member.finished += answer["made"]
            self._count(answer["segment"], answer["made"])
            self._say(**answer)
            self._say_frames()
        elif "error" in answer:
            raise _as_error(answer["error"], answer["text"])
        elif "failed" in answer:
            number = next(iter(member.share), None)
            if number is not None and self._strikes[number] + 1 >= _TRIES:
                raise _as_error(answer["failed"], answer["text"])
            self._note(f"{member.node.host}: {answer['text']}; tried again elsewhere")
            self._lose(member, answer["text"])
        else:
            self._put_back(member)
            self._give(member)

    def _give(self, member: _Member) -> None:
        """Give a worker its next share: smaller ones towards the end, so that none waits long."""
        member.answers, member.frames, member.finished = None, 0, 0
        if member.node.draining or member.node.key in self._refused:
            self._remove(member)
            return
        if not self._waiting:
            return
        workers = max(len(self._crew), 1)
        size = min(max(len(self._waiting) // (2 * workers), 1), _MOST)
        numbers = sorted(self._waiting)[:size]
        member.share = {number: self._waiting.pop(number) for number in numbers}
        every = max(1.0, workers / _EVENTS)
        member.answers = member.actor.work.options(num_returns="streaming").remote(
            list(member.share.values()), every
        )

    def _give_idle(self) -> None:
        for member in list(self._crew):  # which loses those whose node goes
            if member.ready and member.answers is None:
                self._give(member)

    # --- what is lost ---

    def _lose(self, member: _Member, why: str, *, counts: bool = True) -> None:
        """Give what a worker had to others. `counts`: it may have been the work's fault."""
        number = next(iter(member.share), None)
        if number is not None:
            frames = max(member.frames - member.finished, 0)
            text = f"was lost, with {frames} frames of segment {number}; it is made elsewhere"
            self._note(f"{member.node.host} {text}")
        self._put_back(member)
        if counts and number is not None:
            self._strikes[number] += 1
            if self._strikes[number] >= _TRIES:
                raise VsrError(f"segment {number} ended {_TRIES} workers ({why})")
        self._losses[member.node.key] += counts
        if self._losses[member.node.key] >= _TRIES:
            self._refuse(member, f"ends its workers ({why})")
        else:
            self._remove(member)
        self._give_idle()

    def _put_back(self, member: _Member) -> None:
        for number, segment in member.share.items():
            if self._stopped:
                continue
            record = self._done_already(number)
            if record is None:
                self._waiting[number] = segment
            else:  # it was finished, and nobody was told any more
                self._count(number, record.frames)
        member.share = {}

    def _done_already(self, number: int) -> SegmentRecord | None:
        if self._job["objects"]:  # a second, equal one is dropped
            return None
        return self._store.finished(number, self._suffix)

    def _count(self, number: int, frames: int) -> None:
        if number not in self._finished:
            self._finished.add(number)
            self._made += frames

    def _say_frames(self) -> None:
        running = sum(max(m.frames - m.finished, 0) for m in self._crew)
        self._frames = max(self._frames, self._made + running)  # what was lost is not gone back by
        self._say(frames=self._frames)

    def _note(self, text: str) -> None:
        self._say(note=text, lost=False)


def _as_error(kind: str, text: str) -> VsrError:
    import vsr.errors

    found = getattr(vsr.errors, kind, VsrError)(text)
    assert isinstance(found, VsrError)
    return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
