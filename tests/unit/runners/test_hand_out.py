"""Segments are handed out to all who are free, whoever is lost meanwhile. Ray is not started."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

pytest.importorskip("ray")

from vsr.runners.ray import hand_out
from vsr.runners.ray.cluster import Node
from vsr.runners.ray.hand_out import HandOut


class Actor:
    """A worker that remembers what it was asked for."""

    def __init__(self) -> None:
        self.work = self
        self.asked: list[int] = []

    def options(self, **_: Any) -> Actor:
        return self

    def remote(self, segments: list[dict[str, Any]], _: float) -> object:
        self.asked += [segment["number"] for segment in segments]
        return object()


def node(key: str, *, draining: bool = False) -> Node:
    return Node(key=key, host=key, cpus=1, gpus=0, labels={}, draining=draining)


def member(key: str, *, draining: bool = False) -> Any:
    found = hand_out._Member(node=node(key, draining=draining), actor=Actor(), answers=None)
    found.ready = True
    return found


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> HandOut:
    monkeypatch.setattr("ray.kill", lambda _: None)
    request = {
        "label": None, "cpus": 1, "gpus": 0, "workers": None, "suffix": ".mkv",
        "job": {"store": "nowhere", "objects": None, "options": {"device": {"threads": 1}}},
        "segments": [{"number": number} for number in range(2)],
    }  # fmt: skip
    return HandOut(request, lambda **_: None, Event())


def test_who_waits_gets_what_another_lost_though_its_neighbour_goes(handed: HandOut) -> None:
    lost, going, free = member("lost"), member("going", draining=True), member("free")
    lost.share = {0: handed._waiting.pop(0)}
    handed._waiting.clear()
    handed._crew += [lost, going, free]
    handed._lose(lost, "died")
    assert handed._crew == [free]
    assert free.actor.asked == [0]


def test_whoever_is_free_is_given_work_at_each_look(
    handed: HandOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = member("free")
    handed._crew.append(free)
    monkeypatch.setattr(hand_out, "nodes", lambda: [node("free")])
    handed._look()
    assert free.actor.asked == [0]
