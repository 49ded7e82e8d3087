"""Promises of the extra `community`: other networks run, or one line says what is missing."""

from __future__ import annotations

import copy
import importlib.metadata
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

import vsr
from tests.support import community, judge
from vsr.engine.build import build_engine
from vsr.engine.precision_trial import runs_in
from vsr.errors import BrokenWeights, MissingExtra
from vsr.nets import community as ours
from vsr.nets import store
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.options import DeviceOptions, ModelOptions
from vsr.stages.device.tiles import infer

CPU = DeviceOptions(device="cpu", precision="fp32")


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Weights of no kind of ours."""
    path = tmp_path / "strange.pth"
    torch.save({"params": {"layers.0.attention.weight": torch.rand(4, 4)}}, path)
    return path


def test_without_it_one_line_says_how_to_get_it(
    strange: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vsr.cli.main import main

    monkeypatch.setattr(ours, "is_installed", lambda: False)
    assert main(["upscale", str(strange.with_name("film.mkv")), "-m", str(strange)]) == 3
    judge.talkie(strange.with_name("film.mkv"), 1)
    capsys.readouterr()
    assert main(["upscale", str(strange.with_name("film.mkv")), "-m", str(strange)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "strange.pth" in line
    assert "pip install 'vsr-upscale[community]'" in line


def test_where_it_does_not_start_torchvision_is_named(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "spandrel", None)  # as where its torchvision is missing
    with pytest.raises(BrokenWeights, match="torchvision that belongs to this PyTorch"):
        store.load(ModelOptions(name=str(strange)))


@pytest.mark.parametrize(
    ("version", "index"),
    [("2.14.1", ""), ("2.14.1+cpu", "/whl/cpu"), ("2.9.0+cu128", "/whl/cu128"),
     ("2.8.0+rocm6.4", "/whl/rocm6.4"), ("2.8.0a0+gitba56102", "")],
)  # fmt: skip
@pytest.mark.parametrize("is_there", [False, True])
def test_torchvision_comes_from_where_pytorch_came_from(
    strange: Path, version: str, index: str, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "is_installed", lambda: is_there)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    monkeypatch.setattr(importlib.metadata, "version", {"torch": version}.__getitem__)
    with pytest.raises(MissingExtra) as caught:
        store.load(ModelOptions(name=str(strange)))
    said = str(caught.value).partition("pip install ")[2]
    package = "--force-reinstall torchvision" if is_there else "'vsr-upscale[community]'"
    wanted = f" --extra-index-url https://download.pytorch.org{index}" if index else ""
    assert said == package + wanted


def test_our_own_kinds_need_it_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / "own.pth"
    torch.save(SRVGGNetCompact(num_feat=4, num_conv=0, upscale=2).state_dict(), path)
    assert store.load(ModelOptions(name=str(path))).scale == 2


_FAR = 1 << 42  # more than any machine here has, so nothing is taken where nobody refuses it

CLAIMS: dict[str, Callable[[], object]] = {
    "empty": lambda: torch.empty(_FAR),
    "a layer": lambda: torch.nn.Linear(1 << 21, 1 << 21),
    "arange": lambda: torch.arange(_FAR),
    "linspace": lambda: torch.linspace(0, 1, _FAR),
    "full": lambda: torch.full((1 << 21, 1 << 21), 7.0),
    "a sum": lambda: torch.zeros(1).expand(_FAR) + 1,
    "a broadcast": lambda: torch.zeros(1, 1).expand(1 << 21, 1) * torch.zeros(1).expand(1 << 21),
    "a copy": lambda: torch.zeros(1).expand(_FAR).clone(),
    "repeat": lambda: torch.zeros(2).repeat(_FAR),
    "a product": lambda: torch.zeros(1, 1).expand(1 << 21, 1) @ torch.zeros(1, 1 << 20),
    "einsum": lambda: torch.einsum("a,b,c->abc", *3 * [torch.zeros(1).expand(1 << 14)]),
    "a grid": lambda: torch.stack(torch.meshgrid(*2 * [torch.zeros(1 << 20)], indexing="ij")),
    "many small ones": lambda: [torch.arange(1 << 20) for _ in range(1000)],
    "many layers": lambda: torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(100_000)),
}


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("inference", [False, True])
def test_what_is_built_for_weights_is_no_larger_than_they_allow(
    claim: str, inference: bool
) -> None:
    guard = ours.Bounded.by({"a": torch.zeros(3)})
    with pytest.raises(BrokenWeights, match="larger"), torch.inference_mode(inference), guard:
        CLAIMS[claim]()


class Enlarging(torch.nn.Module):
    """A network as others write them: windows of attention, tables, masks."""

    def __init__(self, feat: int = 16, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.opening = torch.nn.Conv2d(3, feat, 3, 1, 1)
        self.attention = torch.nn.MultiheadAttention(feat, 2, batch_first=True)
        self.last = torch.nn.Conv2d(feat, 3 * scale**2, 3, 1, 1)
        place = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"))
        far = (place.flatten(1)[:, :, None] - place.flatten(1)[:, None]).abs().sum(0)
        self.register_buffer("mask", torch.zeros(64, 64).masked_fill(far > 9, -100.0))
        torch.nn.init.trunc_normal_(self.opening.weight, std=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.opening(x)
        count, feat, height, width = x.shape
        cells = x.reshape(count, feat, height // 8, 8, width // 8, 8).permute(0, 2, 4, 3, 5, 1)
        cells = cells.reshape(-1, 64, feat)
        seen, _ = self.attention(cells, cells, cells, attn_mask=self.mask, need_weights=False)
        seen = seen.reshape(count, height // 8, width // 8, 8, 8, feat).permute(0, 5, 1, 3, 2, 4)
        return F.pixel_shuffle(self.last(x + seen.reshape(x.shape)), self.scale)


class Descriptor(SimpleNamespace):
    """What spandrel says of a network, as far as it is asked."""

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model(x)
        return out


def described(model: torch.nn.Module, scale: int, channels: int = 3) -> Descriptor:
    return Descriptor(
        model=model.eval(), scale=scale, architecture=SimpleNamespace(name="Enlarging"),
        size_requirements=SimpleNamespace(multiple_of=8), supports_half=True,
        supports_bfloat16=True, purpose="SR", input_channels=channels, output_channels=channels,
    )  # fmt: skip


def test_an_honest_network_is_built_and_measured_as_without_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    free = Enlarging()
    torch.manual_seed(0)
    with ours.Bounded.by(free.state_dict()):
        model = Enlarging()
    assert all(torch.equal(free.state_dict()[n], t) for n, t in model.state_dict().items())
    bound, without = (ours.CommunityNetwork(described(one, 2)) for one in (model, free))
    bound.measure(3)
    without._measure(3)
    assert bound.receptive_radius == without.receptive_radius > 0
    assert bound.sees_whole is without.sees_whole


def test_a_probe_whose_result_is_huge_is_refused() -> None:
    for inner in (torch.nn.Upsample(scale_factor=50_000), torch.nn.ZeroPad2d(1 << 20)):
        network = ours.CommunityNetwork(described(inner, 2))
        with pytest.raises(BrokenWeights, match="larger"):
            network.measure(3)


@pytest.mark.parametrize(("scale", "is_used"), [(2, True), (16, True), (17, False), (0, False)])
def test_no_network_enlarges_by_more_than_films_can_bear(
    scale: int, is_used: bool, strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(state: object) -> Descriptor:
        return described(Enlarging(scale=max(scale, 1)), scale)

    spandrel = SimpleNamespace(
        MAIN_REGISTRY=SimpleNamespace(load=load), ImageModelDescriptor=Descriptor,
        UnsupportedModelError=LookupError,
    )  # fmt: skip
    monkeypatch.setattr(ours, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "spandrel", spandrel)
    if is_used:
        assert store.load(ModelOptions(name=str(strange))).scale == scale
    else:
        with pytest.raises(BrokenWeights, match=f"enlarges by {scale}"):
            store.load(ModelOptions(name=str(strange)))


@pytest.mark.parametrize("number", ["100000000", "1_000_000", "+99999"])
def test_layers_that_are_only_counted_are_not_counted_to(
    number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """spandrel would loop so often, in Python: minutes, and gigabytes of lists."""
    asked: list[object] = []
    spandrel = SimpleNamespace(
        MAIN_REGISTRY=SimpleNamespace(load=asked.append), ImageModelDescriptor=Descriptor,
        UnsupportedModelError=LookupError,
    )  # fmt: skip
    monkeypatch.setattr(ours, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "spandrel", spandrel)
    path = tmp_path / "counted.pth"
    torch.save({f"layers.{number}.blocks.0.weight": torch.zeros(3)}, path)
    with pytest.raises(BrokenWeights, match="larger"):
        store.load(ModelOptions(name=str(path)))
    assert not asked


class Mean(torch.nn.Module):
    """Sees the whole picture, which has one channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x - x.mean((2, 3), keepdim=True), scale_factor=2)


def test_a_grey_network_sees_as_much_as_the_one_inside(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spandrel = SimpleNamespace(
        MAIN_REGISTRY=SimpleNamespace(load=lambda state: described(Mean(), 2, channels=1)),
        ImageModelDescriptor=Descriptor, UnsupportedModelError=LookupError,
    )  # fmt: skip
    monkeypatch.setattr(ours, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "spandrel", spandrel)
    network = store.load(ModelOptions(name=str(strange))).network
    assert network is not None
    assert network.sees_whole
    assert network.family == "Enlarging, grey"


class Masked(torch.nn.Module):
    """Has a mask among its weights for pictures of 64x64, and makes one for others."""

    mask: torch.Tensor

    def __init__(self, mask: torch.dtype | None) -> None:
        super().__init__()
        self.last = torch.nn.Conv2d(3, 12, 3, 1, 1)
        self.register_buffer("mask", torch.zeros(64, 64))
        self._made = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = self.mask
        if x.shape[2:] != (64, 64):
            mask = torch.zeros(x.shape[2:], dtype=self._made or x.dtype)
        return F.pixel_shuffle(self.last(x + mask), 2)


@pytest.mark.parametrize(("mask", "is_used"), [(None, True), (torch.float32, False)])
def test_16_bits_are_tried_at_other_sizes_than_it_was_taught_with(
    mask: torch.dtype | None, is_used: bool
) -> None:
    network = ours.CommunityNetwork(described(Masked(mask), 2))
    assert runs_in(network, torch.device("cpu"), "bf16") is is_used
    assert runs_in(network, torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    community.spandrel_here()
    folder = tmp_path_factory.mktemp("kinds")
    return {name: community.random_file(name, folder)[0] for name in community.KINDS}


@pytest.mark.parametrize("name", community.KINDS)
def test_a_kind_computes_what_spandrel_says_whole_and_in_tiles(
    name: str, kinds: dict[str, Path], tmp_path: Path
) -> None:
    _, right = community.random_file(name, tmp_path)
    model = store.load(ModelOptions(name=str(kinds[name])))
    engine = build_engine(model, Fraction(2), CPU)
    x = torch.rand(1, 3, 80, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = copy.deepcopy(right)(x).clamp(0, 1)
        assert (engine(x) - wanted).abs().max() < 1e-5
        whole = infer(engine, x, tile=0, overlap=0)
        tiled = infer(engine, x, tile=48, overlap=engine.receptive_radius)
    error = (whole - tiled).abs().max() * 255
    print(f"{name}: radius {engine.receptive_radius}, sees whole {engine.sees_whole}, {error:.3f}")
    if not engine.sees_whole:
        assert error < 1
    assert engine.name == "torch"


@pytest.mark.parametrize("name", community.KINDS)
def test_a_kind_that_is_taken_in_16_bits_computes_in_them(
    name: str, kinds: dict[str, Path]
) -> None:
    model = store.load(ModelOptions(name=str(kinds[name])))
    network = copy.deepcopy(model.network)
    assert network is not None
    if not runs_in(network, torch.device("cpu"), "bf16"):
        pytest.skip("it is not taken")
    engine = build_engine(model, Fraction(2), DeviceOptions(device="cpu", precision="bf16"))
    for batch, height, width in ((1, 64, 96), (3, 32, 48)):
        x = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert (engine(x.bfloat16()).float() - network(x)).abs().max() < 0.1


def test_the_kinds_that_do_not_keep_still_are_told(kinds: dict[str, Path]) -> None:
    seen = {
        name: network.sees_whole
        for name, path in kinds.items()
        if (network := store.load(ModelOptions(name=str(path))).network) is not None
    }
    assert seen["HAT"]
    assert seen["OmniSR"]
    assert not seen["MoSR"]
    assert not seen["RealPLKSR"]


def test_a_film_says_what_tiles_cost(kinds: dict[str, Path], tmp_path: Path) -> None:
    film = judge.talkie(tmp_path / "film.mkv", 1)
    for name, said in (("OmniSR", True), ("MoSR", False)):
        result = vsr.upscale(
            film, tmp_path / f"{name}.mkv", model=str(kinds[name]), tile=64, device="cpu",
            precision="fp32", reuse="safe", clip=["0f-3f"],
        )  # fmt: skip
        notes = " ".join(str(note) for note in result.notes)
        assert ("blended" in notes) is said, notes
        assert ("sees whole frames" in notes) is said


def test_ncnn_says_that_it_cannot(kinds: dict[str, Path]) -> None:
    model = store.load(ModelOptions(name=str(kinds["MoSR"])))
    with pytest.raises(vsr.errors.UsageError, match="ncnn"):
        build_engine(model, Fraction(2), DeviceOptions(device="cpu", engine="ncnn"))
