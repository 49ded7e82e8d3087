"""Trials of the CUDA kernels find what is wrong with them, and come to harm alone.

On the host of `tests/support/cuda/host`, into whose kernels faults are planted.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.cuda.host.fixtures import gpu_of, install, needs_host
from tests.support.cuda.host.gpu import HostGpu
from vsr.engine import trial_process
from vsr.engine.cuda.trial import KernelTrial, sample_of, shape_for, tried, try_kernels
from vsr.engine.kernel_launch import KernelsUnavailable

__all__ = ["install"]
pytestmark = needs_host
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


@pytest.mark.parametrize("processors", [1, 3, 24, 132, 188])
def test_each_block_gets_more_than_two_tiles_on_any_gpu(processors: int) -> None:
    count, _, height, width = shape_for(processors)
    assert count * -(-height // 16) * -(-width // 32) > 2 * processors
    assert height % 2
    assert width % 2


def test_a_sample_leaves_the_random_numbers_alone() -> None:
    import torch

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
    gpu = planted(r"const Extent extent\(tile\);", rf"\g<0> {instead}")
    for name, value in gpu.environment().items():
        monkeypatch.setenv(name, value)
    found = try_kernels(asked())
    assert found is not None
    assert told in found
    assert "in a trial" in found


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
