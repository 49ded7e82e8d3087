"""Promises: a Vulkan driver that hangs costs one start, a GPU that fails at work one run."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.unit.engine.vulkan.test_vulkan import REAL, Fickle, Machine, build, tiny
from vsr.engine import trial_process
from vsr.engine.build import build_engine
from vsr.engine.vulkan import engine, select, trial
from vsr.errors import UsageError, VsrError
from vsr.nets.network import Network
from vsr.options import DeviceOptions

pytest.importorskip("ncnn")


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trial._listed.cache_clear()


def _hang(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Let each look at the GPUs hang; returns a file with a line for each."""
    looks = folder / "looks"
    code = f"open({str(looks)!r}, 'a').write('x\\n'); import time; time.sleep(60)"
    monkeypatch.setattr(trial_process, "_START", code)
    monkeypatch.setattr(trial, "_LISTING", 1)
    (folder / "renderD128").touch()
    monkeypatch.setattr(trial, "_NODES", (str(folder / "renderD*"),))
    return looks


def test_a_driver_that_hangs_when_it_is_looked_for_costs_one_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looks = _hang(monkeypatch, tmp_path)
    notes: list[Any] = []
    for _ in range(2):
        for _ in range(2):  # a process builds several engines
            assert build_engine(tiny(), Fraction(4), DeviceOptions(), notes.append).name != "vulkan"
        trial._listed.cache_clear()  # as in another process
    assert looks.read_text() == "x\n"
    assert [note.text for note in notes if "Vulkan" in note.text] == [
        "the processor runs the network: the drivers of Vulkan hung in a trial of 1 seconds; "
        "they are asked again in a month, and by vsr doctor"
    ]


def test_who_asks_for_it_is_told_that_the_driver_hangs_and_may_try_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looks = _hang(monkeypatch, tmp_path)
    for _ in range(2):
        with pytest.raises(UsageError, match="vulkan: its drivers hung in a trial of 1 seconds"):
            build()
        trial._listed.cache_clear()
    assert looks.read_text() == "x\nx\n"
    assert trial.failed_before()
    monkeypatch.setattr(trial_process, "_START", "print('[]')")  # a better driver
    with pytest.raises(UsageError, match="no GPU"):
        build()
    assert not trial.failed_before()
    (tmp_path / "renderD129").touch()  # another GPU: nobody has looked at it
    assert not trial.failed_before()


def test_a_process_lists_the_gpus_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks = _hang(monkeypatch, tmp_path)
    code = f"open({str(looks)!r}, 'a').write('x\\n'); print('[]')"
    monkeypatch.setattr(trial_process, "_START", code)
    assert [trial.find_gpus(), trial.find_gpus()] == [[], []]
    assert looks.read_text() == "x\n"


def test_a_gpu_that_fails_at_work_is_not_taken_by_auto_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Machine(monkeypatch, [REAL])
    made: list[str] = []

    def engine_of(gpu: dict[str, Any], inside: str, network: Network) -> str:
        made.append(select._description(gpu, inside, network, timed=True))
        return "vulkan"

    monkeypatch.setattr(select, "_engine", engine_of)
    assert build("auto") == "vulkan"
    failing = Fickle()
    failing._trial, failing._unshuffle = made[0], 1
    extractor = SimpleNamespace(input=lambda *given: 0, extract=lambda name: (-1, None))
    failing._net = SimpleNamespace(create_extractor=lambda: extractor)
    with pytest.raises(VsrError) as caught:
        engine.VulkanEngine._upscaled(failing, torch.rand(1, 3, 4, 4))
    assert caught.value.text == (
        "Radeon X gave up (ncnn: -1); the same command goes on where it was on the processor, "
        "with <device.device> cpu and <device.precision> fp32"
    )
    assert build("auto").name != "vulkan"
    assert build("vulkan") == "vulkan"  # who asks for it may try
