"""Promises: ncnn computes what PyTorch does, and is chosen only where it does and is faster."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from vsr.engine import select
from vsr.engine.build import build_engine
from vsr.engine.ncnn_engine import NcnnEngine
from vsr.engine.trial_cache import remember, remembered
from vsr.errors import UsageError
from vsr.machine import cores
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.cugan import RealCUGAN
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.span import SPAN
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.grey import GreyNetwork
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions, Precision

pytest.importorskip("ncnn")


def compact(**settings: Any) -> Network:
    return SRVGGNetCompact(num_feat=settings.pop("num_feat", 16), num_conv=3, **settings)


def rrdb(**settings: Any) -> Network:
    return RRDBNet(num_feat=16, num_block=2, num_grow_ch=8, **settings)


NETWORKS: dict[str, Callable[[], Network]] = {
    "compact x4": compact,
    "compact x4, 24 features": lambda: compact(num_feat=24),
    "compact x3, relu": lambda: compact(upscale=3, act_type="relu"),
    "compact x2, leaky": lambda: compact(upscale=2, act_type="leakyrelu"),
    "compact x1": lambda: compact(upscale=1),
    "compact x4 folded to x2": lambda: fold_area(compact(), 2),
    "compact x4 folded to x1": lambda: fold_area(compact(), 4),
    "compact x2, one slope": lambda: compact(upscale=2, num_slopes=1),
    "compact x2, grey": lambda: GreyNetwork(compact(upscale=2, num_in_ch=1, num_out_ch=1)),
    "span x4": lambda: SPAN(num_feat=16, scale=4, norm=False),
    "span x2 folded to x1": lambda: fold_area(SPAN(num_feat=12, scale=2, norm=False), 2),
    "cugan": RealCUGAN,
    "cugan, pro": lambda: RealCUGAN(pro=True),
    "rrdb x4": rrdb,
    "rrdb x3": lambda: rrdb(scale=3),
    "rrdb x8": lambda: rrdb(scale=8),
    "rrdb x2 without an unshuffle": lambda: rrdb(scale=2, unshuffle=1),
    "rrdb x4, plus": lambda: rrdb(plus=True),
    "rrdb x2, grey": lambda: GreyNetwork(rrdb(scale=2, channels=1)),
    "rrdb x2": lambda: rrdb(scale=2),
    "rrdb x1": lambda: rrdb(scale=1),
    "rrdb x4 folded to x2": lambda: fold_area(rrdb(), 2),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 4, 8), (3, 24, 20), (1, 64, 44)])
def test_every_shape_agrees_with_float64(name: str, batch: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().requires_grad_(False)
    x = torch.rand(batch, 3, height, width) * 1.2 - 0.1
    with torch.inference_mode():
        exact = copy.deepcopy(network).double()(x.double())
        ours = NcnnEngine(network)(x)
    assert ours.shape == exact.shape
    assert (ours - exact).abs().max() < 1e-5


def test_span_takes_pictures_of_0_to_255_and_leaves_the_callers_alone() -> None:
    """Values of hundreds inside: what is left of 32 bits is far below a code value."""
    torch.manual_seed(0)
    network = SPAN(num_feat=16, scale=2).requires_grad_(False)
    x = torch.rand(2, 3, 24, 20)
    given = x.clone()
    with torch.inference_mode():
        exact = copy.deepcopy(network).double()(x.double())
        ours = NcnnEngine(network)(x)
    assert torch.equal(x, given)
    assert (ours - exact).abs().mean() < 0.1 / 255
    assert (ours - exact).abs().max() < 1e-5 * exact.abs().max()


def test_slopes_outside_0_to_1_are_kept() -> None:
    """Those of the official networks lie between -1.4 and 1.7."""
    torch.manual_seed(0)
    network = compact().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.PReLU):
            torch.nn.init.uniform_(layer.weight, -1.4, 1.7)
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(NcnnEngine(network)(x), network(x), atol=1e-5)


def test_a_result_outlives_the_next_one() -> None:
    engine = NcnnEngine(compact().requires_grad_(False))
    first = engine(torch.full((1, 3, 64, 64), 0.25))
    kept = first.clone()
    for _ in range(4):
        engine(torch.rand(1, 3, 64, 64))
    assert torch.equal(first, kept)


def build(engine: str = "auto", precision: Precision = "fp32") -> Any:
    model = LoadedModel(
        name="tiny", network=compact().requires_grad_(False), scale=4, kernel="bicubic"
    )
    options = DeviceOptions(device="cpu", engine=engine, precision=precision)  # type: ignore[arg-type]
    return build_engine(model, Fraction(4), options)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trials are remembered; nothing is, yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vsr" / "trials"


@pytest.mark.parametrize("passed", [True, False])
def test_a_trial_is_made_once_and_remembered(
    memory: Path, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = []

    def trial(*args: object) -> bool:
        trials.append(args)
        return passed

    monkeypatch.setattr(select, "_trial", trial)
    names = [build().name for _ in range(3)]
    assert names == ["ncnn" if passed else "torch"] * 3
    assert len(trials) == 1
    (file,) = memory.iterdir()
    assert "SRVGGNetCompact" in json.loads(file.read_text())["trial"]
    assert list(memory.parent.iterdir()) == [memory]


def test_what_else_runs_does_not_decide_the_trial(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that wait for each other would: each engine has one, and its time is what counts."""
    network = SRVGGNetCompact(num_feat=64, num_conv=2, upscale=2).requires_grad_(False)
    model = LoadedModel(name="wide", network=network, scale=2, kernel="bicubic")
    options = DeviceOptions(device="cpu", precision="fp32")
    slow = NcnnEngine.__call__
    threads = []

    def waits(self: NcnnEngine, x: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        time.sleep(0.2)  # as if another program had the processor
        return slow(self, x)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        undisturbed = build_engine(model, Fraction(2), options).name
        shutil.rmtree(memory)
        monkeypatch.setattr(NcnnEngine, "__call__", waits)
        assert build_engine(model, Fraction(2), options).name == undisturbed
        assert set(threads) == {1}
        assert torch.get_num_threads() == min(2, cores())
    finally:
        torch.set_num_threads(before)


def test_what_was_remembered_may_be_garbage(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "_trial", lambda *args: True)
    build()
    (file,) = memory.iterdir()
    for garbage in (b"", b"[1]", b"\xff\xfe{", b'{"a": ', b'{"passed": 0}', b"{}", b"3"):
        file.write_bytes(garbage)
        assert build().name == "ncnn"
        assert b"true" in file.read_bytes()


def test_trials_at_the_same_time_lose_nothing(memory: Path) -> None:
    names = [f"trial {n}" for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(remember, names, [n % 3 == 0 for n in range(40)]))
    assert [remembered(name) for name in names] == [n % 3 == 0 for n in range(40)]


def test_without_a_place_to_remember_it_still_works(memory: Path) -> None:
    memory.parent.write_bytes(b"a file where the folder should be")
    assert build().name in {"ncnn", "torch"}


def test_one_that_computes_something_else_is_not_taken(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = NcnnEngine.__call__

    def wrong(self: NcnnEngine, x: torch.Tensor) -> torch.Tensor:
        return right(self, x) + 0.01

    monkeypatch.setattr(NcnnEngine, "__call__", wrong)
    assert build().name == "torch"


def test_what_the_user_asks_for_is_taken_without_a_trial(memory: Path) -> None:
    assert build("ncnn").name == "ncnn"
    assert build("torch").name == "torch"
    assert not memory.exists()


def test_16_bits_stay_with_pytorch(memory: Path) -> None:
    assert build(precision="bf16").name == "torch"
    with pytest.raises(UsageError, match="fp32"):
        build("ncnn", precision="bf16")


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert build().name == "torch"
    with pytest.raises(UsageError, match=r"pip install 'vsr-upscale\[ncnn\]'"):
        build("ncnn")
