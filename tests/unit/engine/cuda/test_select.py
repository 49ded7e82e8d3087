"""Promises of the choice of our CUDA kernels: whom they are for, and that a trial decides."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.engine.cuda.test_engine import CUDA, network
from vsr.engine.build import build_engine
from vsr.engine.cuda import select
from vsr.engine.cuda.driver import DriverError
from vsr.engine.cuda.nvrtc import CompileError
from vsr.errors import UsageError
from vsr.events import Event, Note, silent
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions


def test_another_kind_of_sums_is_another_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although all else is the same: the sums are chosen by an option, not in the kernels' text."""
    monkeypatch.setattr(select, "surroundings", lambda *_: "this machine")
    found = set()
    for short, timed in ((0, False), (1, False), (0, True)):
        monkeypatch.setattr(select, "architecture_of", lambda _: 86)
        monkeypatch.setattr(select, "short_sums", lambda _, short=short: short)
        found.add(select._description(network(), CUDA, timed=timed))
    assert len(found) == 3


def test_a_network_that_is_not_for_16_bits_is_refused_where_the_kernels_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = network()
    given.precisions = frozenset({"fp32"})
    loaded = LoadedModel(name="n", network=given, scale=given.scale, kernel="bicubic")
    monkeypatch.setattr("vsr.engine.build.choose_device", lambda _: CUDA)
    with pytest.raises(UsageError, match="in fp16, not on cuda:0 in fp32"):
        build_engine(loaded, Fraction(given.scale), DeviceOptions(engine="cuda"))


def wanted(asked: str, given: Network, events: list[Event] | None = None) -> Any:
    sink = silent if events is None else events.append
    return select.cuda_engine_for(asked, given, CUDA, "fp16", sink)  # type: ignore[arg-type]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A proven machine as it looks to the choice; `trial`: what trials come to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine: dict[str, Any] = {"capability": (8, 6), "trial": lambda *_: None, "trials": 0}

    def trial(*given: Any) -> Any:
        machine["trials"] += 1
        return machine["trial"](*given)

    monkeypatch.setattr(select, "PROVEN", {86})
    monkeypatch.setattr(select, "try_kernels", trial)
    monkeypatch.setattr(select, "_description", lambda *_, timed: f"this machine {timed}")
    monkeypatch.setattr(select, "CudaEngine", lambda given, **_: "ours")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: machine["capability"])
    return machine


def test_a_trial_is_made_once_and_decides(gpu: dict[str, Any]) -> None:
    assert [wanted("auto", network()) for _ in range(3)] == ["ours"] * 3
    assert gpu["trials"] == 1


def test_auto_is_pytorch_until_somebody_has_run_the_tests_there(gpu: dict[str, Any]) -> None:
    """Without a word, and without a trial."""
    gpu["capability"] = (9, 0)
    events: list[Event] = []
    assert wanted("auto", network(), events) is None
    assert (events, gpu["trials"]) == ([], 0)
    assert wanted("cuda", network(), events) == "ours"
    assert gpu["trials"] == 1


def test_no_architecture_is_proven_yet() -> None:
    """The first is named when `pytest -m gpu` has passed on it."""
    assert not select.PROVEN


def test_a_failed_trial_is_told_once_and_remembered(gpu: dict[str, Any]) -> None:
    gpu["trial"] = lambda *_: "computed something else in a trial"
    events: list[Event] = []
    assert [wanted("auto", network(), events) for _ in range(3)] == [None] * 3
    (note,) = events
    assert isinstance(note, Note)
    assert note.text == (
        "PyTorch runs the network: our CUDA kernels computed something else in a trial"
    )
    assert gpu["trials"] == 1


def test_who_asks_for_kernels_that_were_refused_is_told_each_time_and_gets_pytorch(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a month; then the driver may be a better one."""
    gpu["trial"] = lambda *_: "hung in a trial of 120 seconds"
    events: list[Event] = []
    assert [wanted("cuda", network(), events) for _ in range(2)] == [None] * 2
    assert [note.text for note in events if isinstance(note, Note)] == [
        "PyTorch runs the network: our CUDA kernels hung in a trial of 120 seconds"
    ] * 2
    assert gpu["trials"] == 1
    later = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    gpu["trial"] = lambda *_: None
    assert wanted("cuda", network()) == "ours"


def test_kernels_that_were_slower_once_are_tried_again_after_a_month(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been a noisy minute."""
    gpu["trial"] = lambda *_: "were slower in a trial"
    assert wanted("auto", network()) is None
    gpu["trial"] = lambda *_: None
    assert wanted("auto", network()) is None
    later = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert wanted("auto", network()) == "ours"


@pytest.mark.parametrize(
    "error",
    [CompileError("no NVRTC\nlong log"), DriverError("no driver"), torch.OutOfMemoryError("full")],
)
def test_what_cannot_be_had_is_one_line_and_tried_again(
    gpu: dict[str, Any], error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    gpu["trial"] = fail
    events: list[Event] = []
    assert wanted("auto", network(), events) is None
    assert isinstance(events[0], Note)
    assert "\n" not in events[0].text
    gpu["trial"] = lambda *_: None
    assert wanted("auto", network()) == "ours"


def test_who_asks_for_it_is_told_why_not(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = fold_area(RRDBNet(num_block=1), 2)
    for given in (folded, RRDBNet(num_block=1, scale=2), network(num_feat=32)):
        assert wanted("auto", given) is None
        with pytest.raises(UsageError, match="64 features"):
            wanted("cuda", given)
    gpu["capability"] = (7, 5)
    assert wanted("auto", network()) is None
    with pytest.raises(UsageError, match=r"need compute capability 8\.0, and cuda:0 has 7\.5"):
        wanted("cuda", network())
    assert gpu["trials"] == 0
    model = LoadedModel(name="tiny", network=network(), scale=4, kernel="bicubic")
    with pytest.raises(UsageError, match="works on CUDA in fp16"):
        build_engine(model, Fraction(4), DeviceOptions(device="cpu", engine="cuda"))


def test_a_gpu_of_amd_s_is_left_to_pytorch_in_silence(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch calls it cuda, too."""
    monkeypatch.setattr(torch.version, "hip", "7.1")
    events: list[Event] = []
    assert wanted("auto", network(), events) is None
    assert events == []
    with pytest.raises(UsageError, match="NVIDIA"):
        wanted("cuda", network())


def test_other_precisions_and_engines_stay_with_pytorch(gpu: dict[str, Any]) -> None:
    assert select.cuda_engine_for("auto", network(), CUDA, "fp32", silent) is None
    assert select.cuda_engine_for("torch", network(), CUDA, "fp16", silent) is None
