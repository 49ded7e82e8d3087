"""Promises of the colour kernels that need no GPU: compiled by g++, they run on the host.

Judged against float64, with the filters of `chroma.py` in float64 (which have a test of their own).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.cuda.colours import HostRunner
from tests.support.cuda.host.fixtures import needs_host, needs_nvrtc
from tests.support.cuda.watched import HostFault
from vsr.engine.cuda.nvrtc import Nvrtc
from vsr.engine.kernel_launch import KernelStep
from vsr.events import Event
from vsr.frame import Colour, Layout, Matrix, Range, Siting
from vsr.stages.colour import colour_kernels, drift_correction
from vsr.stages.colour import trial as colour_trial
from vsr.stages.colour.backend import TorchColourBackend
from vsr.stages.colour.backend_check import CheckedColourBackend
from vsr.stages.colour.chroma import downsample, upsample
from vsr.stages.colour.convert import codes, luma_weights
from vsr.stages.colour.cuda_backend import CudaColourBackend, fits
from vsr.stages.colour.drift_correction import DriftCorrection

pytestmark = needs_host
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
SUBS = ((1, 1), (1, 0), (0, 1), (0, 0), (2, 0), (2, 2))
MATRICES = (Matrix.BT709, Matrix.SMPTE170M, Matrix.BT2020_NCL, Matrix.SMPTE240M, Matrix.FCC)


def kinds() -> Iterator[tuple[Layout, Colour]]:
    """Every subsampling with every siting; depths, ranges and matrices in turn."""
    depths, ranges = itertools.cycle((8, 10, 16, 9, 12)), itertools.cycle((1, 1, 2))
    matrices = itertools.cycle(MATRICES)
    for sub, siting in itertools.product(SUBS, Siting):
        layout = Layout(family="yuv", bits=next(depths), sub_x=sub[0], sub_y=sub[1])
        yield layout, Colour(matrix=next(matrices), range=Range(next(ranges)), siting=siting)


def name(one: object) -> str:
    if isinstance(one, Layout):
        return one.name.replace(" ", "-")
    return one.siting.name if isinstance(one, Colour) else ""


def random_planes(layout: Layout, width: int, height: int, count: int = 2) -> tuple[Tensor, ...]:
    """Any code values at all."""
    torch.manual_seed(0)
    sizes = layout.plane_sizes(width, height)
    return tuple(torch.randint(0, 1 << layout.bits, (count, *s)).to(layout.dtype) for s in sizes)


def random_rgb(width: int, height: int, count: int = 2) -> Tensor:
    """A piece of something larger; values beyond white and black, too."""
    torch.manual_seed(1)
    return (torch.rand(count, 3, height + 8, width + 8) * 1.4 - 0.2)[..., 4:-4, 4:-4]


def exact_rgb(planes: tuple[Tensor, ...], layout: Layout, tags: Colour) -> Tensor:
    """H.273 in float64."""
    zero, span, chroma_zero, chroma_span = codes(layout, tags)
    luma = (planes[0].double() - zero) / span
    cb, cr = (
        upsample(
            (plane.double() - chroma_zero) / chroma_span,
            width=luma.shape[2], height=luma.shape[1],
            sub=(layout.sub_x, layout.sub_y), siting=tags.siting,
        )
        for plane in planes[1:3]
    )  # fmt: skip
    kr, kb = luma_weights(tags.matrix)
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return torch.stack((red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue), 1)


def exact_codes(
    rgb: Tensor, layout: Layout, tags: Colour, drift: DriftCorrection | None
) -> list[Tensor]:
    """The code values in float64, clipped and not rounded."""
    rgb = rgb.double()
    if drift is not None:
        large = F.interpolate(drift.cells.double(), scale_factor=drift.side, mode="bilinear")
        rgb = rgb - large[..., : rgb.shape[2], : rgb.shape[3]]
    zero, span, chroma_zero, chroma_span = codes(layout, tags)
    kr, kb = luma_weights(tags.matrix if layout.family == "yuv" else Matrix.BT709)
    luma = kr * rgb[:, 0] + (1 - kr - kb) * rgb[:, 1] + kb * rgb[:, 2]
    values = {
        "rgb": [zero + span * rgb[:, c] for c in range(3)], "gray": [zero + span * luma],
        "yuv": [zero + span * luma],
    }[layout.family]  # fmt: skip
    if layout.family == "yuv":
        for colour, k in ((rgb[:, 2], kb), (rgb[:, 0], kr)):
            apart = downsample(colour - luma, sub=(layout.sub_x, layout.sub_y), siting=tags.siting)
            values.append(chroma_zero + chroma_span / (2 - 2 * k) * apart)
    return [value.clamp(0, 2**layout.bits - 1) for value in values]


def check_planes(made: tuple[Tensor, ...], exact: list[Tensor], layout: Layout) -> None:
    """The nearest code value; fp32 may only tip what lies on the very edge between two."""
    edge = max(1e-3, 2.0**layout.bits * 5e-7)
    for plane, value in zip(made, exact, strict=True):
        assert plane.dtype == layout.dtype
        assert plane.shape == value.shape
        assert (plane.to(torch.int32) - value).abs().max() <= 0.5 + edge


@pytest.mark.parametrize(("layout", "tags"), list(kinds()), ids=name)
def test_rgb_is_that_of_float64(layout: Layout, tags: Colour) -> None:
    """In every layout and siting, at sizes of which some are smaller than the filters are long."""
    for width, height in ((37, 11), (1, 1), (2, 5), (3, 2), (259, 3)):
        planes = random_planes(layout, width, height)
        made = HostRunner().backend().to_rgb(planes, layout, tags)
        exact = exact_rgb(planes, layout, tags)
        assert made.shape == exact.shape
        assert (made - exact).abs().max() < 1e-6


@pytest.mark.parametrize(("layout", "tags"), [kind for kind in kinds() if fits(kind[0])], ids=name)
def test_planes_are_those_of_float64(layout: Layout, tags: Colour) -> None:
    """Across the edges of strips and of blocks, with drift and without."""
    for width, height in ((37, 15), (1, 1), (5, 2), (243, 35)):
        rgb, runner = random_rgb(width, height), HostRunner()
        cells = torch.rand(2, 3, -(-height // 12), -(-width // 12)) / 10
        drift = DriftCorrection(cells=cells, side=12) if height != 2 else None
        made = runner.backend().from_rgb(rgb, layout, tags, drift)
        check_planes(made, exact_codes(rgb, layout, tags, drift), layout)
        assert runner.wavefronts == runner.ideal  # no access waits for another


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("family", ["rgb", "gray"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_rgb_and_grey_come_back_exactly(family: str, bits: int, alpha: bool) -> None:
    kind = "rgb" if family == "rgb" else "gray"
    layout = Layout(family=kind, bits=bits, alpha=alpha)  # type: ignore[arg-type]
    tags = Colour(matrix=Matrix.RGB, range=Range.FULL)
    planes = random_planes(layout, 261, 7)
    runner = HostRunner()
    rgb = runner.backend().to_rgb(planes, layout, tags)
    assert torch.equal(rgb, TorchColourBackend().to_rgb(planes, layout, tags))
    back = runner.backend().from_rgb(rgb, layout, tags, None)
    for old, new in zip(planes[: 3 if family == "rgb" else 1], back, strict=True):
        assert torch.equal(old, new)
    rgb = random_rgb(30, 20)
    drift = DriftCorrection(cells=torch.rand(2, 3, 2, 2), side=16)
    check_planes(
        runner.backend().from_rgb(rgb, layout, tags, drift),
        exact_codes(rgb, layout, tags, drift), layout,
    )  # fmt: skip


@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.TOPLEFT, Siting.CENTER])
def test_untouched_frames_come_back_bit_for_bit(siting: Siting) -> None:
    layout = Layout(family="yuv", sub_x=1, sub_y=1)
    tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED, siting=siting)
    planes = random_planes(layout, 61, 45)
    kernels = HostRunner().backend()
    back = kernels.from_rgb(kernels.to_rgb(planes, layout, tags), layout, tags, None)
    assert all(torch.equal(old, new) for old, new in zip(planes, back, strict=True))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (21, 70)])
def test_cells_are_those_of_float64(scale: int, size: tuple[int, int]) -> None:
    height, width = size
    drawn, shown = random_rgb(width * scale, height * scale), torch.rand(2, 3, *size)
    made = HostRunner().backend().find_drift(drawn, shown)
    exact = drift_correction.find_drift(drawn.double(), shown.double())
    assert made.side == exact.side
    assert made.cells.shape == exact.cells.shape
    assert (made.cells - exact.cells).abs().max() < 2e-7


def test_what_is_not_a_number_is_seen_in_the_cells() -> None:
    """The device stage looks for it there, not in the whole picture."""
    for bad in (torch.inf, -torch.inf, torch.nan):
        drawn, shown = random_rgb(40, 36, count=1).contiguous(), torch.rand(1, 3, 9, 10)
        drawn[0, 1, -1, -1] = bad
        for found in (HostRunner().backend(), TorchColourBackend()):
            assert not torch.isfinite(found.find_drift(drawn, shown).cells.sum())


def test_any_order_of_the_numbers() -> None:
    layout = Layout(family="yuv", bits=10, sub_x=1, sub_y=1)
    tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
    rgb = random_rgb(30, 20)
    other = rgb.contiguous(memory_format=torch.channels_last).flip(0)
    straight, turned = (
        HostRunner().backend().from_rgb(one, layout, tags, None) for one in (rgb.flip(0), other)
    )
    assert all(torch.equal(a, b) for a, b in zip(straight, turned, strict=True))


def test_a_strip_has_all_rows_and_fills_the_gpu() -> None:
    for rows, columns, processors in itertools.product((1, 7, 540, 1440), (1, 22, 400), (1, 132)):
        strip = colour_kernels.strip(rows, columns, processors)
        assert 1 <= strip <= rows
        assert strip >= min(rows, 16)
    assert colour_kernels.strip(1440, 22, 132) * 24 == 1440  # 22 x 24 blocks: four a multiprocessor


def test_the_trials_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that are made on a GPU; with their kernels the work is done, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    layout = Layout(family="yuv", bits=10, sub_x=1, sub_y=1)
    tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
    runner, events = HostRunner(), list[Event]()
    tried = CheckedColourBackend(
        CudaColourBackend(runner, 2), torch.device("cpu"), where="here", sink=events.append,
        trial=partial(
            colour_trial.tried, lambda blank: CudaColourBackend(runner, 2, blank)
        ),
    )  # fmt: skip
    rgb = tried.to_rgb(random_planes(layout, 8, 8), layout, tags)
    drawn = random_rgb(32, 32)
    tried.from_rgb(drawn, layout, tags, tried.find_drift(drawn, rgb))
    assert [step.launch.kernel for step in runner.steps] == [
        name for name in ("to_rgb", "cells", "from_rgb") for _ in range(4)
    ]
    assert all(tried._passed.values())
    assert events == []


# --- the judge itself: what is broken in the kernels has to be found ---

BROKEN = {
    "no barrier": (r"__syncthreads\(\);", "", "before a barrier|uninitialised"),
    "one line for all steps": (r"buffer \^= 1;", "", "may be reading it"),
    "past the picture's edge": (r" && x\[i\] < width;", ";", "twice|bounds"),
    "a row is left out": (r"min\(k_end \* STEP, height\)", "k_end * STEP - STEP", "unwritten"),
    "a row of chroma twice": (r"done >= k0 && ", "", "twice|bounds|nobody"),
}
BROKEN_CELLS = {
    "no barrier": (r"__syncthreads\(\);", "", "before a barrier|uninitialised"),
    "past the last cell": (r" \|\| cell >= wide", "", "twice|bounds|nobody"),
    "past the last row": (r"min\(j, rows - 1\)", "j", "bounds|nobody"),
}


@pytest.mark.parametrize(
    ("kernel", "fault"), [("from_rgb", f) for f in BROKEN] + [("cells", f) for f in BROKEN_CELLS]
)
def test_a_planted_fault_is_found(kernel: str, fault: str) -> None:
    pattern, instead, words = (BROKEN if kernel == "from_rgb" else BROKEN_CELLS)[fault]
    layout = Layout(family="yuv", sub_x=1, sub_y=1)
    tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED)

    kernels = HostRunner(plant=(pattern, instead)).backend(8)
    drawn = random_rgb(249, 34, count=1).contiguous()
    with pytest.raises(HostFault, match=words):
        if kernel == "cells":
            kernels.find_drift(drawn, torch.rand(1, 3, 34, 249))
        else:
            kernels.from_rgb(drawn, layout, tags, None)


# --- what NVIDIA's assembler makes of them ---


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_register_is_spilled_on_any_architecture(arch: int) -> None:
    seen: dict[tuple[str, ...], KernelStep] = {}

    class Collector(HostRunner):
        def __call__(self, step: KernelStep) -> None:
            seen[step.launch.kernel, *step.options] = step

    tags = Colour(matrix=Matrix.BT709, range=Range.LIMITED, siting=Siting.TOPLEFT)
    for layout in (Layout(family="yuv", sub_x=x, sub_y=y) for x, y in ((1, 1), (0, 1), (2, 2))):
        kernels = Collector().backend()
        kernels.to_rgb(random_planes(layout, 40, 40), layout, tags)
        drift = kernels.find_drift(random_rgb(160, 160), torch.rand(2, 3, 40, 40))
        if fits(layout):
            kernels.from_rgb(random_rgb(160, 160), layout, tags, drift)
    assert len(seen) == 3 + 1 + 2
    for step in seen.values():
        options = (*step.options, "--ptxas-options=-v")
        log = Nvrtc().compile(step.text, architecture=arch, options=options).log
        assert "0 bytes stack frame, 0 bytes spill stores" in log
        (registers,) = re.findall(r"Used (\d+) registers", log)
        assert int(registers) * step.launch.threads * 4 <= 65536  # four blocks at once
