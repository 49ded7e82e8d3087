"""Promises: a Vulkan GPU computes what the processor does, and a bad driver costs no film.

Real drivers run them where there are any; Debian's mesa-vulkan-drivers bring one in software.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import vsr
from tests.support import judge
from vsr.engine.build import build_engine
from vsr.engine.vulkan import select, trial
from vsr.errors import UsageError
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.store import LoadedModel, load
from vsr.options import DeviceOptions, ModelOptions, Precision

pytest.importorskip("ncnn")
GPUS = trial.find_gpus()
needs_driver = pytest.mark.skipif(not GPUS, reason="no Vulkan driver (mesa-vulkan-drivers)")
# Minutes on a software driver.
_LONG = pytest.mark.skipif("VSR_VULKAN" not in os.environ, reason="VSR_VULKAN is not set")
_DEEP = [("x4plus-anime", (24, 16)), ("x4plus", (16, 12))]
SOFTWARE = {"index": 0, "name": "Software", "software": True, "driver": "1"}
REAL = {"index": 1, "name": "Radeon X", "software": False, "driver": "2"}

NETWORKS: dict[str, Callable[[], Network]] = {
    "compact x4": lambda: SRVGGNetCompact(num_feat=16, num_conv=3),
    "compact x2, leaky": lambda: SRVGGNetCompact(
        num_feat=16, num_conv=3, upscale=2, act_type="leakyrelu"
    ),
    "compact x4 folded to x2": lambda: fold_area(SRVGGNetCompact(num_feat=16, num_conv=3), 2),
    "rrdb x4": lambda: RRDBNet(num_feat=16, num_block=1, num_grow_ch=8),
    "rrdb x2": lambda: RRDBNet(num_feat=16, num_block=1, num_grow_ch=8, scale=2),
    "rrdb x4 folded to x2": lambda: fold_area(RRDBNet(num_feat=16, num_block=1, num_grow_ch=8), 2),
}


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tiny(network: Network | None = None) -> LoadedModel:
    torch.manual_seed(0)
    made = network or SRVGGNetCompact(num_feat=16, num_conv=2)
    return LoadedModel(
        name="tiny", network=made.requires_grad_(False), scale=made.scale, kernel="bicubic"
    )


def build(device: str = "vulkan", precision: Precision = "auto", **more: Any) -> Any:
    options = DeviceOptions(device=device, precision=precision, **more)
    return build_engine(tiny(), Fraction(4), options)


# In a process of its own each, with its exit code: a driver's mistakes, and those at the end of a
# process, are then a failure of one test.
_RUN = """
import io, sys, torch
from vsr.engine.vulkan.engine import VulkanEngine
network, picture, precision = torch.load(sys.argv[1], weights_only=False)
engine = VulkanEngine(network, 0, precision=precision)
with torch.inference_mode():
    first, second = engine(picture), engine(picture)
torch.save((first, second, engine.max_pixels), sys.argv[1])
"""


def upscaled(network: Network, picture: torch.Tensor, precision: str, file: Path) -> torch.Tensor:
    torch.save((network, picture, precision), file)
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first, second, most = torch.load(file)
    assert torch.equal(first, second)
    assert most > 0
    return torch.as_tensor(first)


@needs_driver
@pytest.mark.parametrize(
    ("name", "precision", "decibels"),
    [
        ("compact x4", "fp32", 100.0),
        ("rrdb x4", "fp32", 100.0),
        *((n, "fp16", 55) for n in NETWORKS),
    ],
)
def test_every_kind_of_network_agrees_with_float64(
    name: str, precision: str, decibels: float, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().requires_grad_(False).eval()
    picture = torch.rand(2, 3, 20, 28)
    ours = upscaled(network, picture, precision, tmp_path / "p")
    exact = network.double()(picture.double())
    assert -10 * torch.log10((ours - exact).square().mean()) > decibels


@needs_driver
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("realesr-animevideov3", (64, 36)),
        *(pytest.param(*rest, marks=_LONG) for rest in _DEEP),
    ],
)
def test_the_shipped_networks_agree_with_pytorch_on_a_real_frame(
    name: str, size: tuple[int, int], bunny: Path, tmp_path: Path
) -> None:
    network = load(ModelOptions(name=name, offline=True)).network
    assert network is not None
    frame = judge.rgb(bunny, size=size)[40] / 255
    picture = torch.from_numpy(frame).permute(2, 0, 1)[None].float().contiguous()
    ours = upscaled(network, picture, select._inside(network), tmp_path / "p")
    with torch.inference_mode():
        right = network(picture)
    assert -10 * torch.log10((ours - right).square().mean()) > 60


@needs_driver
def test_a_film_is_made_on_it_and_the_job_says_so(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "s.mkv", "testsrc2=s=48x32:r=10:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    weights = tmp_path / "w.pth"
    torch.save(tiny().network.state_dict(), weights)  # type: ignore[union-attr]
    films = []
    for device, output in (("vulkan", "a.mkv"), ("cpu", "b.mkv")):
        vsr.upscale(source, tmp_path / output, model=str(weights), device=device, codec="ffv1")
        films.append(judge.rgb(tmp_path / output, size=(192, 128)))
    assert films[0].shape[0] == 10
    assert abs(films[0] - films[1]).max() <= 3
    trials = [json.loads(p.read_text()) for p in (tmp_path / "cache/vsr/trials").glob("*.json")]
    assert [t["passed"] for t in trials if GPUS[0]["name"] in t["trial"]] == [True]


@needs_driver
def test_memory_does_not_grow_with_frames(tmp_path: Path) -> None:
    script = (
        "import resource, torch\n"
        "from vsr.engine.vulkan.engine import VulkanEngine\n"
        "from vsr.nets.families.srvgg import SRVGGNetCompact\n"
        "engine = VulkanEngine(SRVGGNetCompact(num_feat=16, num_conv=2).requires_grad_(False), 0)\n"
        "def taken(frames):\n"
        "    for n in range(frames):\n"
        "        engine(torch.full((1, 3, 64, 96), n / 200))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(taken(20), taken(200))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    before, after = (int(word) for word in done.stdout.split())
    assert after - before < 16 * 1024  # kB; a frame's result alone has 0.3 MB


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.abort()", "crashed in a trial (signal 6)"),
        ("import time; time.sleep(60)", "hung in a trial of 1 seconds"),
        ("raise SystemExit(3)", "crashed in a trial (code 3)"),
        ("print('{\"decibels\": 12.0}')", "computed something else in a trial (12 dB)"),
        ("print('{\"decibels\": NaN}')", "computed something else in a trial (nan dB)"),
    ],
)
def test_a_bad_driver_is_refused_in_words_and_remembered(
    code: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_START", code)
    monkeypatch.setattr(trial, "_SECONDS", 1)
    monkeypatch.setattr(select, "find_gpus", lambda: [SOFTWARE, REAL])
    for _ in range(2):
        with pytest.raises(UsageError) as caught:
            build("vulkan:1")
        assert str(caught.value).endswith(f"Radeon X {told}")
        monkeypatch.setattr(trial, "_START", "print('{\"decibels\": 99.0}')")  # is not asked again


def test_auto_does_not_even_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until somebody has run it on a real GPU."""

    def fails() -> list[dict[str, Any]]:
        raise AssertionError("looked")

    monkeypatch.setattr(select, "find_gpus", fails)
    assert build("auto").name != "vulkan"


@pytest.mark.parametrize(
    ("device", "more", "told"),
    [
        ("vulkan:7", {}, "Vulkan sees 0 (Software), 1 (Radeon X)"),
        ("vulkan:geforce", {}, "Vulkan sees 0 (Software), 1 (Radeon X)"),
        ("vulkan", {"precision": "bf16"}, "Vulkan has fp16 and fp32"),
        ("vulkan", {"engine": "torch"}, "torch: does not work on vulkan"),
        ("cpu", {"engine": "vulkan"}, "works on <device.device> vulkan, not cpu"),
    ],
)
def test_what_cannot_be_is_refused(
    device: str, more: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "find_gpus", lambda: [SOFTWARE, REAL])
    with pytest.raises(UsageError) as caught:
        build(device, **more)
    assert told in caught.value.text


def test_no_driver_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "find_gpus", list)
    with pytest.raises(UsageError, match="no GPU with a Vulkan driver"):
        build()


@pytest.mark.parametrize(
    ("name", "index"), [("", 1), ("0", 0), ("1", 1), ("radeon", 1), ("soft", 0)]
)
def test_a_gpu_is_named_by_number_or_name(name: str, index: int) -> None:
    assert select._named(name, [SOFTWARE, REAL])["index"] == index
