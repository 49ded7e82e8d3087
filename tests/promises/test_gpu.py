"""The CUDA path: the same pictures as the CPU, in half precision, overlapped. Needs a GPU."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import vsr
from tests.conftest import random_frames
from tests.support import judge
from tests.support.shots import noisy, panned
from tests.unit.stages.device.test_tiles import real_frame
from vsr.engine.torch_engine import TorchEngine
from vsr.events import Note
from vsr.frame import Colour, Layout, Matrix, Range
from vsr.nets import store
from vsr.options import DeviceOptions, ModelOptions, UpscaleOptions
from vsr.stages.colour.convert import from_rgb, to_rgb
from vsr.stages.device.size import TargetSize
from vsr.stages.device.stage import OutputImage
from vsr.stages.device.tiles import infer
from vsr.stages.device.upscaler import Upscaler
from vsr.stages.temporal.mctf import Strength, TemporalFilter

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED)


def _engine(name: str, device: str, dtype: torch.dtype) -> TorchEngine:
    network = store.load(ModelOptions(name=name)).network
    assert network is not None
    return TorchEngine(network, device=torch.device(device), dtype=dtype, precision=str(dtype))


@pytest.mark.parametrize(
    "name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus"]
)
def test_half_precision_is_within_a_level_of_fp32(name: str) -> None:
    x = real_frame(160, 96)
    with torch.inference_mode():
        exact = infer(_engine(name, "cpu", torch.float32), x, tile=0, overlap=0)
        half = infer(_engine(name, "cuda", torch.float16), x.cuda().half(), tile=0, overlap=0)
    difference = (half.float().cpu() - exact).abs() * 255
    print(f"{name}: max {difference.max():.3f}/255, mean {difference.mean():.4f}/255")
    assert torch.isfinite(half).all()
    assert difference.quantile(0.999) <= 1


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_colour_is_that_of_the_cpu(bits: int) -> None:
    layout = LAYOUT.replace(bits=bits)
    planes = tuple(
        torch.randint(0, 2**bits, (2, h, w)).to(layout.dtype) for h, w in layout.plane_sizes(65, 33)
    )
    there = tuple(p.cuda() for p in planes)
    assert torch.allclose(
        to_rgb(there, layout, COLOUR).cpu(), to_rgb(planes, layout, COLOUR), atol=2e-6
    )
    back = from_rgb(to_rgb(there, layout, COLOUR), layout, COLOUR)
    for old, new in zip(planes, back, strict=True):
        assert (old.int() - new.cpu().int()).abs().max() <= 1


@pytest.mark.parametrize("strength", ["light", "strong"])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_flicker_filter_is_that_of_the_cpu(strength: Strength, scale: int) -> None:
    """But where two vectors match alike, and the last digit decides."""
    sources, still = panned(12, (90, 160), (3, -2), scale, seed=1)
    drawn = noisy(still, 4.0)

    def filtered(device: str) -> torch.Tensor:
        temporal_filter: TemporalFilter[int] = TemporalFilter(strength)
        done = []
        with torch.inference_mode():
            for n, (source, large) in enumerate(zip(noisy(sources, 2.0), drawn, strict=True)):
                done += temporal_filter.push(source.to(device), large.to(device), n, first=n == 0)
            done += temporal_filter.flush()
        assert [n for n, _ in done] == list(range(12))
        return torch.cat([large.cpu() for _, large in done])

    off = (filtered(DEVICE) - filtered("cpu")).abs() * 255
    print(f"{strength} x{scale}: {off.mean():.4f} off on average, {off.max():.2f} at most")
    assert off.mean() < 0.02
    assert (off > 0.5).float().mean() < 0.01


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_streams_and_batches_do_not_mix_frames_up(batch: int) -> None:
    """Every frame on its own, without lanes, against all of them in flight together."""
    frames = random_frames(40, 160, 96, LAYOUT, COLOUR)
    picture = OutputImage(
        target=TargetSize(width=640, height=384, scale=Fraction(4)),
        layout=LAYOUT, colour=COLOUR, kernel="bicubic",
    )  # fmt: skip
    engine = _engine("realesr-animevideov3", "cuda", torch.float16)
    together = Upscaler(
        engine, picture, UpscaleOptions(device=DeviceOptions(batch=batch)), sink=lambda e: None
    )
    out = list(together(iter(frames)))
    assert [f.pts for f in out] == [f.pts for f in frames]
    for frame, got in zip(frames, out, strict=True):
        alone = Upscaler(
            engine, picture, UpscaleOptions(device=DeviceOptions(batch=1)), sink=lambda e: None
        )
        (want,) = alone(iter([frame]))
        torch.cuda.synchronize()
        for a, b in zip(got.planes, want.planes, strict=True):
            assert (a.int() - b.int()).abs().max() <= 1


def test_a_full_gpu_falls_back_and_finishes() -> None:
    frames = random_frames(4, 640, 360, LAYOUT, COLOUR)
    picture = OutputImage(
        target=TargetSize(width=2560, height=1440, scale=Fraction(4)),
        layout=LAYOUT, colour=COLOUR, kernel="bicubic",
    )  # fmt: skip
    engine = _engine("RealESRGAN_x4plus_anime_6B", "cuda", torch.float16)
    notes: list[str] = []

    def sink(event: object) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2.5e9 / total)
    try:
        upscaler = Upscaler(
            engine, picture, UpscaleOptions(device=DeviceOptions(batch=4, tile=0)), sink=sink
        )
        assert len(list(upscaler(iter(frames)))) == 4
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("out of memory" in text for text in notes)


def test_the_main_job_on_the_gpu(bunny: Path, tmp_path: Path) -> None:
    outputs = []
    for device in ("cuda", "cpu"):
        source = tmp_path / "s.mp4"
        judge.ffmpeg("-i", str(bunny), "-t", "1", "-c:v", "libx264", "-c:a", "copy", str(source))
        output = tmp_path / f"{device}.mkv"
        tree = vsr.UpscaleOptions(
            device=DeviceOptions(device=device), encode=vsr.EncodeOptions(codec="ffv1")
        )
        result = vsr.upscale(source, output, tree)
        assert result.frames == 24
        outputs.append(judge.rgb(output, size=(1280, 720)))
    assert np.abs(outputs[0] - outputs[1]).max() <= 4
    assert np.abs(outputs[0] - outputs[1]).mean() <= 0.2
