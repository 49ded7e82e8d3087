"""Trials of the CUDA kernels find what is wrong with them, and come to harm alone.

On the host of `tests/support/cuda/host`, into whose kernels faults are planted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.support.cuda.host import build
from tests.support.cuda.host.fixtures import SHARED, gpu_of, install, needs_host
from tests.support.cuda.host.gpu import HostGpu
from vsr.engine import trial_process
from vsr.engine.cuda import trial
from vsr.engine.cuda.engine import pieces_of, plan_for
from vsr.engine.cuda.launch import DeviceBatch
from vsr.engine.cuda.select import cuda_engine_for
from vsr.engine.cuda.trial import KernelTrial, sample_of, shape_for, tried, try_kernels
from vsr.engine.kernel_launch import KernelsUnavailable
from vsr.events import Event, Note

__all__ = ["install"]
pytestmark = needs_host
CPU = torch.device("cpu")
_INSIDE = r"const Extent extent\(tile\);"  # every tile of every kernel comes to it
Install = Callable[[HostGpu], None]


def asked(*, deep: bool = False, timed: bool = False) -> KernelTrial:
    return KernelTrial(device="cuda:0", deep=deep, scale=2, timed=timed)


def planted(pattern: str, instead: str, **more: bool) -> HostGpu:
    """A small GPU with a fault in its kernels."""
    return HostGpu(processors=2, plants=((pattern, instead),), **more)


@pytest.mark.parametrize("deep", [False, True], ids=["compact", "rrdb"])
def test_the_kernels_pass_as_they_are(deep: bool, install: Install) -> None:
    """RRDBNet's result lies channels-last in PyTorch: the kernels write planes all the same."""
    install(gpu_of(86 if deep else 90, processors=1))
    assert tried(asked(deep=deep)) is None


WRONG = {
    # Only the second of two tiles of a block is wrong, as where a copy goes to the wrong half.
    "second tile": (
        r"patch = PATCH_BYTES - patch;", "patch = 0;", "computed something else in a trial"
    ),
    "undone": (
        r"extent\.has\(y, x\)\)\s+store", "extent.has(y, x + 1)) store", "in a trial"
    ),
    "an operand": (r"b\[row \+ dy\]\[2 \* half\]", "b[row][2 * half]", "something else"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_computed_wrongly_is_found(fault: str, install: Install) -> None:
    """As on a GPU, which tells of no race."""
    pattern, instead, words = WRONG[fault]
    install(planted(pattern, instead, checks=False))
    found = tried(asked())
    assert found is not None
    assert words in found


@pytest.mark.parametrize("deep", [False, True], ids=["compact", "rrdb"])
@pytest.mark.parametrize("architecture", SHARED)
def test_each_block_gets_more_than_two_tiles_on_any_gpu(architecture: int, deep: bool) -> None:
    """By the tables that the plan hands to its launches; blocks of `first` have one tile each."""
    plan = plan_for(sample_of(asked(deep=deep)), CPU, SHARED[architecture], architecture)
    for processors in (1, 3, 24, 132, 188):
        shape = shape_for(processors)
        assert shape[2] % 2
        assert shape[3] % 2
        tables = plan.tables(pieces_of(list(torch.empty(1).expand(shape))), processors).at(1 << 50)
        batch = DeviceBatch(pixels=1, tables=tables, picture=0, planes=0, scratch=0)
        for launch in plan.launches(batch, processors):
            if launch.kernel != "first":
                own = [one.count for one in tables.values() if one.at in launch.arguments]
                assert max(own) > 2 * launch.grid, (launch.kernel, processors)


@pytest.mark.parametrize(("seconds", "slower"), [(1.0, False), (1.3, True)])
def test_clocks_that_rise_while_it_is_timed_favour_neither(
    seconds: float, slower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that did nothing takes three times as long for the first eight batches."""
    now, batches = 0.0, 0

    class Timed:
        device, dtype = CPU, torch.float32

        def __init__(self, name: str, seconds: float) -> None:
            self.name, self.seconds = name, seconds

        def __call__(self, x: Tensor) -> Tensor:
            nonlocal now, batches
            batches += 1
            now += self.seconds * (3 if batches <= 8 else 1)
            return x

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(trial, "time", SimpleNamespace(perf_counter=lambda: now))
    ours, plain = Timed("cuda", seconds), Timed("torch", 1.0)
    assert trial._is_slower(ours, plain, torch.zeros(1)) is slower  # type: ignore[arg-type]


def test_a_sample_leaves_the_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    sample_of(asked())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ("__trap();", "unspecified launch failure"),
        ("*(volatile int*)8 = 1;", "an illegal memory access was encountered"),
        ('for (;;) asm volatile("");', "hung in a trial of 8 seconds"),
    ],
    ids=["trap", "nowhere", "hang"],
)
def test_what_harms_the_process_is_refused_and_harms_no_other(
    instead: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_process, "SECONDS", 8 if "hung" in told else 200)
    gpu = planted(_INSIDE, rf"\g<0> {instead}")
    for name, value in gpu.environment().items():
        monkeypatch.setenv(name, value)
    found = try_kernels(asked())
    assert found is not None
    assert told in found
    assert "in a trial" in found


def test_kernels_that_would_spoil_the_users_process_do_not_run_in_it(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The choice goes on with PyTorch there, as if they had never been."""
    gpu, events = planted(_INSIDE, r"\g<0> __trap();"), list[Event]()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in gpu.environment().items():
        monkeypatch.setenv(name, value)
    install(gpu)
    before = build.driver().host_count(0)  # launches
    chosen = cuda_engine_for(
        "cuda", sample_of(asked()), torch.device("cuda", 0), "fp16", events.append
    )
    assert chosen is None
    (note,) = (event.text for event in events if isinstance(event, Note))
    assert "failed in a trial (" in note
    assert build.driver().host_count(0) == before
    assert torch.ones(2, device="cuda").tolist() == [1, 1]  # or it raises


def test_a_process_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for code, told in (
        ("import os; os.abort()", "crashed in a trial (signal 6)"),
        ("raise SystemExit(3)", "crashed in a trial (code 3)"),
    ):
        monkeypatch.setattr(trial_process, "_START", code)
        assert try_kernels(asked()) == told


def test_what_is_missing_is_not_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = planted("#", "no C++ #")
    for name, value in gpu.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KernelsUnavailable, match="g\\+\\+"):
        try_kernels(asked())
