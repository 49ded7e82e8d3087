"""Promises of the CUDA kernels that need no GPU: compiled by g++, they run on the host.

That does not show how fast they are. What NVIDIA's assembler makes of them is asked of NVRTC.
"""

from __future__ import annotations

import copy
import random
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.support.cuda import networks
from tests.support.cuda.host.fixtures import needs_host, needs_nvrtc
from tests.support.cuda.host.translate import TranslationError, translate
from tests.support.cuda.networks import Drawn, draw, draw_pieces
from tests.support.cuda.watched import HostFault
from vsr.engine.cuda.compact_plan import CompactPlan
from vsr.engine.cuda.engine import pieces_of, plan_for, source
from vsr.engine.cuda.launch import DeviceBatch, LaunchPlan
from vsr.engine.cuda.nvrtc import CompileError, Nvrtc
from vsr.engine.cuda.tiling import tiling_for
from vsr.nets.arithmetic import fold_area
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

pytestmark = needs_host
KB = 1024
# Shared memory that a block may have (CUDA C++ Programming Guide, technical specifications).
ARCHITECTURES = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
KINDS = (80, 86, 90)  # one for each tiling


def network(
    *, middle: int = 1, upscale: int = 4, fold: int = 1, act: str = "prelu"
) -> SRVGGNetCompact:
    """Random, with slopes as wide as those of the official networks."""
    torch.manual_seed(0)
    made = SRVGGNetCompact(num_conv=middle, upscale=upscale, act_type=act)  # type: ignore[arg-type]
    for layer in made.modules():
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -1.4, 1.7)
        elif isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(2 / layer.in_channels / 9) ** 0.5)
    made = made.requires_grad_(False)
    if fold > 1:
        fold_area(made, fold)
    return made


def exact(given: SRVGGNetCompact, x: Tensor) -> Tensor:
    """float64, of weights and of a picture that are rounded to fp16 as the kernels take them."""
    rounded = copy.deepcopy(given).double()
    for layer in rounded.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(layer.weight.half())
    drawn = F.pixel_shuffle(rounded.body(x.half().double()), given.scale)
    return drawn + F.interpolate(x.double(), scale_factor=given.scale, mode="nearest")


def plan_on(given: Network, arch: int, short: int | None = None) -> LaunchPlan:
    """As on a GPU of that kind; `short`: with other sums than there."""
    shared, tiling = ARCHITECTURES[arch] * KB, None
    if short is not None:
        tiling = tiling_for(shared, arch)
        assert tiling is not None
        tiling = replace(tiling, short=short)
    return plan_for(given, torch.device("cpu"), shared, arch, tiling)


def upscale_into(given: Network, x: Tensor, arch: int, processors: int = 2) -> Drawn:
    return draw(plan_on(given, arch), x, processors)


def check(
    given: SRVGGNetCompact, x: Tensor, arch: int, processors: int = 2, short: int | None = None
) -> None:
    plan, want = plan_on(given, arch, short), exact(given, x)
    assert isinstance(plan, CompactPlan)
    result = draw(plan, x, processors)
    made = result.planes
    assert made.shape == want.shape
    # Eight threads at a time reach all 32 banks, whatever the shift of a tap is.
    assert set(result.ideal) == {"load", "ldmatrix", "copy", "store"}
    assert result.wavefronts == result.ideal
    drawn = want - F.interpolate(x.double(), scale_factor=given.scale, mode="nearest")
    # Each layer's result is rounded to 11 bits once; the errors add up like a random walk.
    limit = 3e-4 * float(drawn.square().mean().sqrt()) * len(given.body) * growth(plan)
    assert (made - want).abs().max() < 4 * limit
    assert (made - want).square().mean().sqrt() < limit


def growth(plan: CompactPlan) -> float:
    """By how much short sums of fp16 make a layer's error larger than one rounding of its result.

    A sum has 36 products of 16 x 16. Of n in a row, each of them of variance 1 / 36, the k-th
    running sum has k / 36, and its rounding a share of that, the same as the result's has of 1.
    So 36 / n rows of n have n (n + 1) / 2 / 36 * 36 / n = (n + 1) / 2 times the result's.
    """
    row = 3 * plan.tiling.short
    return (1 + (row + 1) / 2 if row else 1) ** 0.5


@pytest.mark.parametrize("arch", KINDS)
@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 3, 19, 37)])
def test_they_agree_with_float64_and_no_access_waits_for_another(
    arch: int, shape: tuple[int, ...]
) -> None:
    """Smaller than a tile, and across its edges; more tiles than blocks, which then go on."""
    check(network(), torch.rand(shape), arch)


@pytest.mark.parametrize(
    ("upscale", "fold"), [(4, 1), (3, 1), (2, 1), (1, 1), (4, 2), (4, 4)], ids=str
)
def test_every_scale_and_folding(upscale: int, fold: int) -> None:
    check(network(upscale=upscale, fold=fold), torch.rand(1, 3, 9, 17), 80)


@pytest.mark.parametrize("act", ["relu", "leakyrelu"])
def test_every_activation(act: str) -> None:
    check(network(act=act), torch.rand(1, 3, 6, 20), 86)


def test_many_layers_and_pictures() -> None:
    check(network(middle=3), torch.rand(3, 3, 9, 17), 86, processors=5)


def test_a_picture_may_be_a_piece_of_another_in_any_order() -> None:
    whole = torch.rand(2, 40, 30, 4)
    x = whole.permute(0, 3, 1, 2)[:, :3, 7:20, 5:23]
    assert not x.is_contiguous()
    check(network(upscale=2), x, 86)


def test_values_beyond_white_and_black_are_not_clipped() -> None:
    check(network(upscale=2), torch.rand(1, 3, 8, 8) * 3 - 1, 86)


# --- pictures of sizes of their own ---

SIZES = [(1, 1), (19, 37), (1, 40), (17, 3)]


def apart(made: Tensor, sizes: list[tuple[int, int]], scale: int) -> list[Tensor]:
    """The planes of each picture, (1, 3, h, w), of all that lie one after the other."""
    parts = torch.split(made, [3 * h * w * scale**2 for h, w in sizes])
    return [p.view(1, 3, h * scale, w * scale) for p, (h, w) in zip(parts, sizes, strict=True)]


def cut(sizes: list[tuple[int, int]]) -> list[Tensor]:
    """Pictures of those sizes, (3, h, w), from anywhere in one of 40 x 60."""
    torch.manual_seed(2)
    whole, rng = torch.rand(3, 40, 60), random.Random(2)
    corners = [(rng.randint(0, 40 - h), rng.randint(0, 60 - w)) for h, w in sizes]
    return [whole[:, y : y + h, x : x + w] for (y, x), (h, w) in zip(corners, sizes, strict=True)]


@pytest.mark.parametrize(("arch", "upscale"), [(80, 2), (86, 3), (90, 4)])
def test_a_list_of_pictures_is_each_of_them_alone(arch: int, upscale: int) -> None:
    """Bit for bit; from 1 x 1 to several tiles, and other pictures beside them in memory."""
    given, pictures = network(upscale=upscale), cut(SIZES)
    plan = plan_on(given, arch)
    room = sum(h * w for h, w in SIZES) + 50  # more than they need
    result = draw_pieces(plan, pictures[0], pieces_of(pictures), 3, room)
    assert result.wavefronts == result.ideal
    drawn = apart(result.planes, SIZES, upscale)
    for n, (one, made) in enumerate(zip(pictures, drawn, strict=True)):
        want = exact(given, one[None])
        assert (made - want).abs().max() < 0.01 * want.abs().max()
        if arch == 86 or n == 1:
            assert torch.equal(made, upscale_into(given, one[None], arch, 6).planes)


def test_pictures_may_lie_anywhere_and_in_any_order() -> None:
    given = network(upscale=2)
    plan = plan_on(given, 86)
    strewn = torch.rand(20, 30, 5).permute(2, 0, 1)
    pictures = [
        strewn[1:4, 3:9],
        strewn[:3, 10:, 20:],
        strewn[2:5, :1, :1],
    ]  # some before the first
    sizes = [(one.shape[1], one.shape[2]) for one in pictures]
    made = draw_pieces(plan, pictures[0], pieces_of(pictures), 2).planes
    for one, drawn in zip(pictures, apart(made, sizes, 2), strict=True):
        assert torch.equal(drawn, upscale_into(given, one[None], 86, 6).planes)


@pytest.mark.parametrize(("count", "processors"), [(7, 3), (6, 6), (2, 9)])
def test_more_pictures_than_blocks_and_more_blocks_than_pictures(
    count: int, processors: int
) -> None:
    given = network(upscale=1)
    plan = plan_on(given, 86)
    pictures = cut([(2, 3)] * count)
    made = draw_pieces(plan, pictures[0], pieces_of(pictures), processors).planes
    want = exact(given, torch.stack(pictures))
    assert (made.view(want.shape) - want).abs().max() < 0.01 * want.abs().max()


# --- RRDBNet ---


def rrdbnet() -> RRDBNet:
    torch.manual_seed(0)
    made = RRDBNet(num_block=1).requires_grad_(False)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=(1.9 / layer.in_channels / 9) ** 0.5)
            assert layer.bias is not None
            nn.init.uniform_(layer.bias, -0.2, 0.2)
    return made


def exact_dense(given: RRDBNet, x: Tensor) -> Tensor:
    """As `exact`."""
    rounded = copy.deepcopy(given).double()
    for layer in rounded.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(layer.weight.half())
    return torch.as_tensor(rounded(x.half().double()))


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "arch"), [((2, 3, 2, 3), 86), ((1, 3, 3, 9), 90)])
def test_dense_blocks_agree_with_float64(shape: tuple[int, ...], arch: int) -> None:
    """All that is read, added and overwritten in place; the tail has four times the size."""
    given, x = rrdbnet(), torch.rand(shape)
    made = upscale_into(given, x, arch)
    want = exact_dense(given, x)
    assert made.planes.shape == want.shape
    assert (made.planes - want).norm() < 2e-3 * want.norm()
    assert (made.planes - want).abs().max() < 1e-2 * want.abs().max()
    assert made.wavefronts == made.ideal


@pytest.mark.slow
def test_a_list_of_pictures_through_dense_blocks_is_each_of_them_alone() -> None:
    given, sizes = rrdbnet(), [(1, 1), (2, 5)]
    pictures = cut(sizes)
    plan = plan_on(given, 86)
    made = draw_pieces(plan, pictures[0], pieces_of(pictures), 4, 20).planes
    small, large = apart(made, sizes, 4)
    assert torch.equal(large, upscale_into(given, pictures[1][None], 86, 4).planes)
    want = exact_dense(given, pictures[0][None])
    assert (small - want).norm() < 2e-3 * want.norm()


# --- the judge itself: what is broken in the kernels has to be found ---

BROKEN = {
    "no barrier": (r"__syncthreads\(\);", "", "before a barrier|uninitialised"),
    "copies not waited for": (r"wait<STAGES - 2>\(\);", "", "in flight"),
    "one copy too few waited for": (r"wait<STAGES - 2>\(\);", "wait<STAGES - 1>();", "in flight"),
    "weights overwritten while read": (
        r"int ahead = dx \* 4 \+ k \+ STAGES - 1;",
        "int ahead = dx * 4 + k; filled = slot;",
        "overwritten|in flight",
    ),
    "past the picture's edge": (r"if \(extent.has\(y, x\)\)\s+store", "store", "twice|bounds"),
    "a column is left out": (
        r"extent.has\(y, x\)\)\s+store",
        "extent.has(y, x + 1)) store",
        "unwrit",
    ),
    "a neighbour in memory": (
        r"bool inside = tile\.has\(row, column\);",
        "bool inside = true;",
        "bounds|nobody",
    ),
    "no warp barrier": (r"__syncwarp\(\);", "", "before a barrier"),
}


BROKEN_DENSE = {
    "no barrier": (
        r"wait<0>\(\);\s+__syncthreads\(\);",
        "wait<0>();",
        "before a barrier|uninitialised",
    ),
    "no wait": (r"wait<0>\(\);\s+__syncthreads\(\);", "__syncthreads();", "in flight"),
    "into the half that is read": (
        r"memory \+ \(HALF - half\)",
        "memory + half",
        "overwritten|in flight",
    ),
    "the next convolution's channels": (r"out \+ pixel \* out_units", r"\g<0> + 4", "not its own"),
}


@pytest.mark.parametrize("fault", BROKEN_DENSE)
def test_a_fault_planted_into_dense_blocks_is_found(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern, instead, words = BROKEN_DENSE[fault]
    broken, times = re.subn(pattern, instead, source(("dense.cu",)))
    assert times == 1
    text = source(("common.cu", "compact.cu")) + broken
    monkeypatch.setattr(networks, "source", lambda names: text)
    with pytest.raises(HostFault, match=words):
        upscale_into(rrdbnet(), torch.rand(1, 3, 2, 3), 86, 1)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, instead, words = BROKEN[fault]
    broken, times = re.subn(pattern, instead, source(("common.cu", "compact.cu")))
    assert times
    monkeypatch.setattr(networks, "source", lambda names: broken)
    with pytest.raises(HostFault, match=words):
        upscale_into(network(), torch.rand(1, 3, 17, 20), 86, 1)


def test_units_that_are_not_permuted_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = source(("common.cu", "compact.cu")).replace("(unit ^ (column & 7))", "unit")
    plain = plain.replace("(upper ^ (first_column + dx & 7))", "upper")
    monkeypatch.setattr(networks, "source", lambda names: plain)
    made = upscale_into(network(), torch.rand(1, 3, 5, 7), 86, 1)
    assert made.wavefronts["ldmatrix"] > 6 * made.ideal["ldmatrix"]


def test_what_an_instruction_only_writes_holds_nothing_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A register that is read too, and is not declared so, is another one on a GPU."""
    forgotten = source(("common.cu", "compact.cu")).replace('"+f"(sum[0])', '"=f"(sum[0])')
    monkeypatch.setattr(networks, "source", lambda names: forgotten)
    assert upscale_into(network(), torch.rand(1, 3, 5, 7), 80, 1).planes.isnan().any()


@pytest.mark.parametrize(("old", "new"), [(': "memory");', ");"), ("asm volatile(", "asm(")])
def test_assembly_that_a_compiler_may_move_over_a_barrier_is_refused(old: str, new: str) -> None:
    text = source(("common.cu", "compact.cu"))
    translate(text)
    with pytest.raises(TranslationError, match="clobber"):
        translate(text.replace(old, new))


# --- what NVIDIA's assembler makes of them ---


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_register_is_spilled_on_any_architecture(arch: int) -> None:
    """RRDBNet's module has all kernels, but the last one for one channel a colour."""
    plan = plan_on(rrdbnet(), arch)
    options = tuple(option.replace("SCALE=1", "SCALE=4") for option in plan.options)
    code = Nvrtc().compile(
        source(plan.sources), architecture=arch, options=(*options, "--ptxas-options=-v")
    )
    count = len(re.findall("Function properties", code.log))
    assert count == 6
    assert len(re.findall(r"\b0 bytes stack frame, 0 bytes spill stores", code.log)) == count
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", code.log)]
    for own in (plan, plan_on(network(), arch)):
        tables = own.tables(pieces_of([torch.empty(3, 99, 99)]), 1).at(0)
        nowhere = DeviceBatch(pixels=99 * 99, tables=tables, picture=0, planes=0, scratch=0)
        for launch in own.launches(nowhere, 1):
            assert max(registers) * launch.threads <= 65536
            assert launch.shared <= ARCHITECTURES[arch] * KB


@needs_nvrtc
def test_a_newer_gpu_than_the_compiler_knows_gets_ptx() -> None:
    plan = plan_on(network(), 90)
    code = Nvrtc().compile(source(plan.sources), architecture=999, options=plan.options)
    assert b".entry middle" in code.image


@needs_nvrtc
def test_what_does_not_compile_says_where() -> None:
    with pytest.raises(CompileError, match=r"vsr\.cu\(1\)"):
        Nvrtc().compile("__global__ void f() { g(); }", architecture=90)
