"""Promises of the CUDA kernels that need no GPU: compiled to PTX, they are run on a CPU.

What the machine in `ptx.py` cannot show: how fast they are, and what the assembler makes of them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.engine import emulator
from tests.engine.emulator import emulate
from tests.engine.ptx_memory import PtxError
from vsr.engine.cuda.compact import source
from vsr.engine.cuda.nvrtc import CompileError, Nvrtc
from vsr.engine.cuda.tiling import Tiling, tiling_for
from vsr.nets.arithmetic import fold_area
from vsr.nets.srvgg import SRVGGNetCompact

try:
    Nvrtc()
except CompileError as error:
    pytest.skip(f"needs NVRTC: {error}", allow_module_level=True)

KB = 1024
# Shared memory that a block may have (CUDA C++ Programming Guide, technical specifications).
ARCHITECTURES = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
TILINGS = {arch: tiling_for(ARCHITECTURES[arch] * KB) for arch in (80, 86, 90)}


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


def check(given: SRVGGNetCompact, x: Tensor, tiling: Tiling | None, processors: int = 2) -> None:
    assert tiling is not None
    made, want = emulate(given, x, tiling, processors).planes, exact(given, x)
    assert made.shape == want.shape
    drawn = want - F.interpolate(x.double(), scale_factor=given.scale, mode="nearest")
    # Each layer's result is rounded to 11 bits once; the errors add up like a random walk.
    limit = 3e-4 * float(drawn.square().mean().sqrt()) * len(given.body)
    assert (made - want).abs().max() < 4 * limit
    assert (made - want).square().mean().sqrt() < limit


@pytest.mark.parametrize("arch", TILINGS)
@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 3, 19, 37)])
def test_they_agree_with_float64(arch: int, shape: tuple[int, ...]) -> None:
    """Smaller than a tile, and across its edges; more tiles than blocks, which then go on."""
    check(network(), torch.rand(shape), TILINGS[arch])


@pytest.mark.parametrize(
    ("upscale", "fold"), [(4, 1), (3, 1), (2, 1), (1, 1), (4, 2), (4, 4)], ids=str
)
def test_every_scale_and_folding(upscale: int, fold: int) -> None:
    check(network(upscale=upscale, fold=fold), torch.rand(1, 3, 9, 17), TILINGS[80])


@pytest.mark.parametrize("act", ["relu", "leakyrelu"])
def test_every_activation(act: str) -> None:
    check(network(act=act), torch.rand(1, 3, 6, 20), TILINGS[86])


def test_many_layers_and_pictures() -> None:
    check(network(middle=4), torch.rand(3, 3, 11, 18), TILINGS[86], processors=5)


def test_a_picture_may_be_a_piece_of_another_in_any_order() -> None:
    whole = torch.rand(2, 40, 30, 4)
    x = whole.permute(0, 3, 1, 2)[:, :3, 7:20, 5:23]
    assert not x.is_contiguous()
    check(network(upscale=2), x, TILINGS[86])


def test_values_beyond_white_and_black_are_not_clipped() -> None:
    check(network(upscale=2), torch.rand(1, 3, 8, 8) * 3 - 1, TILINGS[86])


def test_no_access_to_shared_memory_waits_for_another() -> None:
    """Eight threads at a time reach all 32 banks: whatever the shift of a tap is."""
    for tiling in TILINGS.values():
        assert tiling is not None
        made = emulate(network(), torch.rand(1, 3, 16, 32), tiling, 2)
        assert set(made.ideal) == {"load", "ldmatrix", "copy", "store"}
        assert made.wavefronts == made.ideal


# --- the judge itself: what is broken in the kernels has to be found ---

BROKEN = {
    "no barrier": (r"__syncthreads\(\);", "", "before a barrier"),
    "copies not waited for": (r"wait<STAGES - 2>\(\);", "", "in flight"),
    "one copy too few waited for": (r"wait<STAGES - 2>\(\);", "wait<STAGES - 1>();", "in flight"),
    "weights overwritten while read": (
        r"int ahead = dx \* 4 \+ k \+ STAGES - 1;",
        "int ahead = dx * 4 + k; filled = slot;",
        "overwritten|in flight",
    ),
    "past the picture's edge": (r"if \(y < height && x < width\)\s+store", "store", "twice|bounds"),
    "a column is left out": (
        r"y < height && x < width\)",
        "y < height && x < width - 1)",
        "unwritten",
    ),
    "no warp barrier": (r"__syncwarp\(\);", "", "before a barrier"),
}


@pytest.fixture
def _changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    emulator.programs.cache_clear()
    yield
    emulator.programs.cache_clear()


@pytest.mark.usefixtures("_changed")
@pytest.mark.parametrize("fault", BROKEN)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, instead, words = BROKEN[fault]
    broken, times = re.subn(pattern, instead, source())
    assert times
    monkeypatch.setattr(emulator, "source", lambda: broken)
    tiling = TILINGS[86]
    assert tiling is not None
    with pytest.raises(PtxError, match=words):
        emulate(network(), torch.rand(1, 3, 17, 20), tiling, 1)


@pytest.mark.usefixtures("_changed")
def test_units_that_are_not_permuted_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = source().replace("(unit ^ (column & 7))", "unit")
    plain = plain.replace("(upper ^ (first_column + dx & 7))", "upper")
    monkeypatch.setattr(emulator, "source", lambda: plain)
    tiling = TILINGS[86]
    assert tiling is not None
    made = emulate(network(), torch.rand(1, 3, 5, 7), tiling, 1)
    assert made.wavefronts["ldmatrix"] > 6 * made.ideal["ldmatrix"]


# --- what the assembler makes of them ---


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_register_is_spilled_on_any_architecture(arch: int) -> None:
    tiling = tiling_for(ARCHITECTURES[arch] * KB)
    assert tiling is not None
    options = (*tiling.options(4), "--ptxas-options=-v")
    log = Nvrtc().compile(source(), architecture=arch, options=options).log
    assert len(re.findall(r"\b0 bytes stack frame, 0 bytes spill stores", log)) == 3
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log)]
    assert len(registers) == 3
    assert max(registers) * tiling.threads * tiling.blocks <= 65536
    assert tiling.shared(4) <= ARCHITECTURES[arch] * KB


def test_a_newer_gpu_than_the_compiler_knows_gets_ptx() -> None:
    tiling = TILINGS[90]
    assert tiling is not None
    code = Nvrtc().compile(source(), architecture=999, options=tiling.options(2))
    assert b".entry middle" in code.image


def test_what_does_not_compile_says_where() -> None:
    with pytest.raises(CompileError, match=r"vsr\.cu\(1\)"):
        Nvrtc().compile("__global__ void f() { g(); }", architecture=90)
