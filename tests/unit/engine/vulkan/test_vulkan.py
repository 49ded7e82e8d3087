"""Promises: a Vulkan GPU computes what the processor does, and a bad driver costs no film.

Real drivers run them where there are any; Debian's mesa-vulkan-drivers bring one in software.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import vsr
from tests.support import judge
from vsr.engine import trial_process
from vsr.engine.base import is_out_of_memory
from vsr.engine.build import build_engine
from vsr.engine.ncnn_engine import run_net
from vsr.engine.trial_cache import Trial, recalled
from vsr.engine.vulkan import engine, select, trial
from vsr.errors import UsageError, VsrError
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.cugan import RealCUGAN
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.span import SPAN
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
SOFTWARE = {"index": 0, "name": "Software", "kind": 3, "software": True, "driver": "1"}
INSIDE = {"index": 1, "name": "Iris", "kind": 1, "software": False, "driver": "3"}
REAL = {"index": 2, "name": "Radeon X", "kind": 0, "software": False, "driver": "2"}
GOOD = {"decibels": 66.0, "seconds": 0.1, "cpu_seconds": 1.0}

NETWORKS: dict[str, Callable[[], Network]] = {
    "compact x4": lambda: SRVGGNetCompact(num_feat=16, num_conv=3),
    "compact x2, leaky": lambda: SRVGGNetCompact(
        num_feat=16, num_conv=3, upscale=2, act_type="leakyrelu"
    ),
    "compact x4 folded to x2": lambda: fold_area(SRVGGNetCompact(num_feat=16, num_conv=3), 2),
    "rrdb x4": lambda: RRDBNet(num_feat=16, num_block=1, num_grow_ch=8),
    "rrdb x2": lambda: RRDBNet(num_feat=16, num_block=1, num_grow_ch=8, scale=2),
    "rrdb x4 folded to x2": lambda: fold_area(RRDBNet(num_feat=16, num_block=1, num_grow_ch=8), 2),
    "span x2": lambda: SPAN(num_feat=16, scale=2, norm=False),
    "span x4 folded to x2": lambda: fold_area(SPAN(num_feat=12, scale=4, norm=False), 2),
    "cugan": RealCUGAN,
}


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trial._listed.cache_clear()


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
        ("span x2", "fp32", 100.0),
        ("cugan", "fp32", 100.0),
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


def tiny_weights(folder: Path) -> Path:
    torch.save(tiny().network.state_dict(), folder / "w.pth")  # type: ignore[union-attr]
    return folder / "w.pth"


@needs_driver
@pytest.mark.parametrize(
    ("pixels", "most", "options"),
    [
        ("yuv420p", None, {"reuse": "off"}),
        ("yuv420p", None, {"reuse": "safe", "scale": 2}),  # folded into the network
        ("yuva420p", 48 * 40, {"reuse": "off"}),  # in tiles
    ],
)
def test_a_film_is_made_on_it_and_the_job_says_so(
    pixels: str, most: int | None, options: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As on the processor, with what is around the network: alpha, reuse, tiles, x2."""
    source = judge.make(
        tmp_path / "s.mkv", "testsrc2=s=80x64:r=10:d=1,format=yuva420p,fade=out:0:10:alpha=1",
        "-c:v", "ffv1", "-pix_fmt", pixels,
    )  # fmt: skip
    if most is not None:  # of what is on a GPU with little memory
        monkeypatch.setattr(engine, "fitting_pixels", lambda *given: most)
    weights, films = tiny_weights(tmp_path), []
    told: list[Any] = []
    ways: list[dict[str, Any]] = [{"device": "vulkan"}, {"device": "cpu", "precision": "fp32"}]
    for way, output in zip(ways, ("a.mkv", "b.mkv"), strict=True):
        vsr.upscale(
            source, tmp_path / output, model=str(weights), codec="ffv1", **way,
            sink=told.append, **options,
        )  # fmt: skip
        size = judge.size_of(tmp_path / output)
        films.append(judge.rgb(tmp_path / output, size=size))
        assert "yuva" in judge.video_line(tmp_path / output) or pixels == "yuv420p"
    assert films[0].shape[:3] == (10, 64 * options.get("scale", 4), 80 * options.get("scale", 4))
    assert abs(films[0] - films[1]).max() <= 5  # a code of luma and of chroma
    tiled = [e.text for e in told if "cut into tiles" in getattr(e, "text", "")]
    assert len(tiled) == (most is not None)
    trials = [json.loads(p.read_text()) for p in (tmp_path / "cache/vsr/trials").glob("*.json")]
    assert [t["passed"] for t in trials if GPUS[0]["name"] in t["trial"]] == [True]


@needs_driver
def test_a_film_that_is_killed_goes_on_and_is_the_same(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "s.mkv", "testsrc2=s=48x32:r=10:d=3", "-c:v", "libx264", "-g", "10"
    )
    asked = [
        sys.executable, "-m", "vsr", "upscale", str(source), "--device", "vulkan",
        "--model", str(tiny_weights(tmp_path)), "--segment", "1",
    ]  # fmt: skip
    whole, killed = tmp_path / "whole.mp4", tmp_path / "killed.mp4"
    subprocess.run([*asked, "-o", str(whole)], check=True, capture_output=True)
    with subprocess.Popen([*asked, "-o", str(killed)], stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob(".killed.mp4.vsr/[0-9]*.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not killed.exists()
    again = subprocess.run([*asked, "-o", str(killed)], check=True, capture_output=True, text=True)
    assert " of 3 segments are done" in again.stderr
    assert killed.read_bytes() == whole.read_bytes()


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


class Fickle(engine.VulkanEngine):
    """A GPU that answers so, one time after the other."""

    def __init__(self, *answers: torch.Tensor) -> None:
        self.answers = list(answers)
        self.label, self._trial = "Radeon X", "of it"

    def _upscaled(self, x: torch.Tensor) -> torch.Tensor:
        return self.answers.pop(0)


def test_a_picture_that_is_not_this_one_is_made_again() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 8, 12) * 0.1  # a dark one
    right = torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")
    zeros, other = torch.zeros_like(right), torch.rand_like(right)
    assert torch.equal(Fickle(right)(x), right)
    assert torch.equal(Fickle(zeros, right)(x), right)
    assert torch.equal(Fickle(other, right)(x), right)
    assert torch.equal(Fickle(zeros, zeros)(x), zeros)  # the network's own doing
    with pytest.raises(VsrError, match="Radeon X computes something else each time"):
        Fickle(zeros, other)(x)
    assert recalled("of it") == Trial(
        passed=False, reason="has failed at work (computes something else each time)"
    )
    black = torch.zeros_like(x)
    assert torch.equal(Fickle(zeros)(black), zeros)
    overflown = torch.full_like(right, torch.nan)
    assert Fickle(overflown)(x).isnan().all()  # which the stages know


@pytest.mark.parametrize(("code", "error"), [(-100, MemoryError), (-1, VsrError)])
def test_a_gpu_that_gives_up_is_told_from_one_without_memory(
    code: int, error: type[Exception]
) -> None:
    extractor = SimpleNamespace(input=lambda *given: 0, extract=lambda name: (code, None))
    net = SimpleNamespace(create_extractor=lambda: extractor)
    with pytest.raises(error, match=f"gave up.*{code}") as caught:
        run_net(net, torch.rand(1, 3, 4, 4), 1, shared=False)
    assert is_out_of_memory(caught.value) is (code == -100)


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
    monkeypatch.setattr(trial_process, "_START", code)
    monkeypatch.setattr(trial_process, "SECONDS", 1)
    monkeypatch.setattr(select, "find_gpus", lambda: [SOFTWARE, REAL])
    for _ in range(2):
        with pytest.raises(UsageError) as caught:
            build("vulkan:2")
        assert str(caught.value).endswith(f"Radeon X {told}")
        # It is not asked again.
        monkeypatch.setattr(trial_process, "_START", "print('{\"decibels\": 99.0}')")


class Machine:
    """A machine with these GPUs, each of which ends its trial so."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, gpus: list[dict[str, Any]], ends: object = GOOD
    ) -> None:
        self.gpus, self.ends = gpus, ends
        self.tried: list[int] = []
        monkeypatch.setattr(trial, "_ask", self._ask)
        monkeypatch.setattr(select, "may_have_gpu", lambda: True)
        monkeypatch.setattr(select, "_engine", lambda gpu, inside, network: (gpu["name"], inside))

    def _ask(self, asked: dict[str, Any], more: bytes = b"") -> object:
        if asked.get("list"):
            return self.gpus
        self.tried.append(asked["index"])
        return self.ends


def test_auto_takes_a_card_that_is_right_and_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, [SOFTWARE, INSIDE, REAL])
    for _ in range(2):
        assert build("auto") == ("Radeon X", "fp16")
    assert machine.tried == [2]  # once, and only that one
    # What a worker of that run is told.
    assert build("auto", engine="vulkan") == ("Radeon X", "fp16")


def test_auto_takes_a_gpu_in_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, [SOFTWARE, INSIDE])
    assert build("auto") == ("Iris", "fp16")


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (GOOD | {"decibels": 6.0}, "Radeon X computed something else in a trial (6 dB)"),
        (GOOD | {"seconds": 0.8}, "Radeon X took 0.8 s in a trial, the processor 1"),
        (GOOD | {"seconds": float("nan")}, "Radeon X took nan s in a trial, the processor 1"),
        ("crashed in a trial (signal 6)", "Radeon X crashed in a trial (signal 6)"),
    ],
)
def test_auto_leaves_a_bad_gpu_alone_and_says_so_once(
    ends: object, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, [SOFTWARE, REAL, INSIDE], ends)
    events: list[Any] = []
    for _ in range(2):
        engine = build_engine(tiny(), Fraction(4), DeviceOptions(), events.append)
        assert engine.device.type == "cpu"
        assert engine.name != "vulkan"
    assert machine.tried == [2]
    assert [e.text for e in events if "Radeon" in getattr(e, "text", "")] == [
        f"the processor runs the network: {told}"
    ]


def test_auto_tries_no_network_that_ncnn_has_no_form_of(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, [REAL])
    monkeypatch.setattr(SRVGGNetCompact, "exports", False)
    assert build("auto").name != "vulkan"
    assert machine.tried == []


def test_auto_never_takes_software(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, [SOFTWARE])
    assert build("auto").name != "vulkan"
    assert machine.tried == []


@pytest.mark.parametrize("asked", [{"device": "cpu"}, {"precision": "fp32"}, {"engine": "torch"}])
def test_who_asks_for_something_else_gets_it(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, [REAL])
    assert build(**({"device": "auto"} | asked)).name != "vulkan"
    assert machine.tried == []


@needs_driver
def test_the_trial_for_auto_really_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mesa's driver in software, called a card: it is right, and loses to the processor."""
    monkeypatch.setattr(select, "may_have_gpu", lambda: True)
    monkeypatch.setattr(select, "find_gpus", lambda: [GPUS[0] | {"kind": 0, "software": False}])
    events: list[Any] = []
    assert build_engine(tiny(), Fraction(4), DeviceOptions(), events.append).name != "vulkan"
    (note,) = [e.text for e in events if GPUS[0]["name"] in getattr(e, "text", "")]
    assert re.search(r" took \S+ s in a trial, the processor ", note)


def test_where_there_can_be_no_gpu_auto_does_not_even_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> list[dict[str, Any]]:
        raise AssertionError("looked")

    monkeypatch.setattr(trial, "_NODES", ("/dev/none*",))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(select, "find_gpus", fails)
    assert build("auto").name != "vulkan"


@pytest.mark.parametrize(
    ("device", "more", "told"),
    [
        ("vulkan:7", {}, "Vulkan sees 0 (Software), 2 (Radeon X)"),
        ("vulkan:geforce", {}, "Vulkan sees 0 (Software), 2 (Radeon X)"),
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
    ("name", "index"), [("", 2), ("0", 0), ("1", 1), ("2", 2), ("radeon", 2), ("soft", 0)]
)
def test_a_gpu_is_named_by_number_or_name(name: str, index: int) -> None:
    assert select._named(name, [SOFTWARE, INSIDE, REAL])["index"] == index
