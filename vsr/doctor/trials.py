"""Encoders and engines, tried on a tiny clip that is made on the spot."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vsr.doctor.finding import Finding
from vsr.engine.base import Engine
from vsr.engine.build import build_engine, vulkan_gpus
from vsr.engine.trial_process import TrialFailed
from vsr.errors import VsrError
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.jobs.run.upscale import upscale
from vsr.jobs.store.registry import stores
from vsr.media.format.encoders import ENCODERS, plan_encoder
from vsr.media.format.repeatable import repeatable
from vsr.media.write.writer import VideoFormat, write_frames
from vsr.nets.store import LoadedModel, load
from vsr.options import (
    Codec,
    DeviceOptions,
    EncodeOptions,
    EngineName,
    ModelOptions,
    Precision,
    SizeOptions,
    UpscaleOptions,
)

_LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
_COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
_SIDE = 256  # some hardware encoders take no less
_RIGHT = 40.0  # dB; fp16 and bf16 have 57 and more
_BASE = Fraction(1, 25)


def encoders() -> Iterator[Finding]:
    """Yield which encoders really write a file."""
    works: list[Codec] = []
    fails: dict[Codec, str] = {}
    with tempfile.TemporaryDirectory(prefix="vsr-doctor-") as folder:
        for codec in ENCODERS:
            try:
                _write(Path(folder) / codec, codec)
            except (VsrError, OSError) as error:
                fails[codec] = str(error)
            else:
                works.append(codec)
    hardware = {name for name in fails if ENCODERS[name].hardware}
    broken = {name: said for name, said in fails.items() if name not in hardware}
    absent = f"; not here: {', '.join(sorted(hardware))}" if hardware else ""
    yield Finding(
        area="encoders", state="good", text=f"write a file: {', '.join(works)}{absent}",
        facts={"works": works, "fails": sorted(fails)},
    )  # fmt: skip
    if hardware and torch.cuda.is_available():
        yield Finding(
            area="encoders", state="advice",
            text=f"{min(hardware)}: {fails[min(hardware)]}",
            advice="nvenc needs a GPU that has it, its driver, and in a container "
            "NVIDIA_DRIVER_CAPABILITIES=all; --codec h264 needs none",
        )  # fmt: skip
    for name, said in broken.items():
        yield Finding(
            area="encoders", state="broken", text=f"{name}: {said}",
            advice="pip install --force-reinstall av",
        )  # fmt: skip


def _write(path: Path, codec: Codec, count: int = 2) -> None:
    frames = list(_frames(count))
    plan = repeatable(plan_encoder(EncodeOptions(codec=codec), _LAYOUT), _SIDE, _SIDE)
    frames = [_as(frame, plan.layout, plan.encoder.colour or _COLOUR) for frame in frames]
    video = VideoFormat(
        width=_SIDE, height=_SIDE, colour=plan.encoder.colour or _COLOUR, rate=Fraction(25),
        time_base=_BASE,
    )  # fmt: skip
    options = {"update": "1"} if plan.encoder.container == "image2" else {}
    with closing(write_frames(frames, path, plan, video, muxer_options=options)) as written:
        for _ in written:
            pass
    if not path.stat().st_size:
        raise OSError("the file is empty")


def _as(frame: Frame, layout: Layout, colour: Colour) -> Frame:
    """Return the frame with planes of another layout: its luma, and grey."""
    luma = frame.planes[0].to(torch.int32) << (layout.bits - 8)
    planes = [
        luma[: size[0], : size[1]].to(layout.dtype) if size == tuple(luma.shape)
        else torch.full(size, 1 << (layout.bits - 1), dtype=torch.int32).to(layout.dtype)
        for size in layout.plane_sizes(_SIDE, _SIDE)
    ]  # fmt: skip
    return Frame(
        planes=tuple(planes), layout=layout, colour=colour, pts=frame.pts, duration=1,
        time_base=_BASE,
    )  # fmt: skip


def _frames(count: int) -> Iterator[Frame]:
    """Yield pictures with edges, slopes and motion."""
    at = torch.arange(_SIDE)
    for pts in range(count):
        rings = ((at[:, None] - 128) ** 2 + (at[None, :] - 100 - 4 * pts) ** 2) // 512 % 2
        luma = (48 + at[None, :] // 2 + 80 * rings).to(torch.uint8)
        grey = torch.full((_SIDE // 2, _SIDE // 2), 128, dtype=torch.uint8)
        yield Frame(
            planes=(luma, grey, grey), layout=_LAYOUT, colour=_COLOUR, pts=pts, duration=1,
            time_base=_BASE,
        )  # fmt: skip


def engines() -> Iterator[Finding]:
    """Yield for each engine whether it computes what PyTorch does in fp32, and how fast."""
    try:
        model = load(ModelOptions(offline=True))
    except VsrError as error:
        yield Finding(
            area="engines", state="broken", text=f"the default network: {error.text}",
            advice="see the weights above",
        )  # fmt: skip
        return
    picture = next(_frames(1)).planes[0][:128, :128].float().div(255).expand(1, 3, 128, 128)
    right = _run(model, "cpu", "torch", "fp32", picture)[0]
    for name, device, engine, precision in _candidates():
        run = partial(_run, model, device, engine, precision, picture)
        yield _tried(name, right, run)


def _candidates() -> Iterator[tuple[str, str, EngineName, Precision]]:
    """Yield a name, a device, an engine and a precision of all that may be here."""
    yield "PyTorch on the processor", "cpu", "torch", "auto"
    yield "ncnn on the processor", "cpu", "ncnn", "fp32"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield f"PyTorch on cuda:{index}", f"cuda:{index}", "torch", "auto"
            yield f"our kernels on cuda:{index}", f"cuda:{index}", "cuda", "auto"
    seen = []
    with suppress(TrialFailed):  # which `machine.gpus` has told
        seen = vulkan_gpus()
    for gpu in seen:
        if gpu["software"]:
            continue  # slower than the processor itself; nobody runs films on it
        yield f"ncnn on {gpu['name']}", f"vulkan:{gpu['index']}", "auto", "auto"


def _run(
    model: LoadedModel, device: str, engine: EngineName, precision: Precision, picture: Tensor
) -> tuple[Tensor, float, Engine]:
    """Return the network's result, seconds for a picture of 128x128, and what ran it."""
    options = DeviceOptions(device=device, engine=engine, precision=precision)
    built = build_engine(model, Fraction(model.scale), options)
    given = picture.to(built.device, built.dtype)
    with torch.inference_mode():
        result = built(given)
        began = time.perf_counter()
        result = built(given).float().cpu()
        return result, time.perf_counter() - began, built


def _tried(name: str, right: Tensor, run: Callable[[], tuple[Tensor, float, Engine]]) -> Finding:
    try:
        result, seconds, engine = run()
    except (VsrError, RuntimeError, ImportError, OSError) as error:
        said = error.text if isinstance(error, VsrError) else str(error).split("\n")[0]
        absent = "install it" in said
        return Finding(
            area="engines", state="advice" if absent or "cuda" in name else "broken",
            text=f"{name}: {said}", advice="others are used in its place",
        )  # fmt: skip
    square = (result - right).square().mean().item()
    decibels = -10 * math.log10(square) if square else math.inf
    facts = {"engine": engine.name, "precision": engine.precision, "seconds": round(seconds, 4)}
    if decibels < _RIGHT:
        return Finding(
            area="engines", state="broken", facts=facts,
            text=f"{name}: computes something else ({decibels:.0f} dB)",
            advice="a run would find that out, too, and take another; report it",
        )  # fmt: skip
    pixels = 128 * 128 / seconds
    rate = f"{pixels / (1280 * 720):.2g} frames a second of 1280x720"
    text = f"{name}: right in {engine.precision}, about {rate} with the default network"
    return Finding(area="engines", state="good", text=text, facts=facts)


def whole_run() -> Finding:
    """Return whether a film of 8 frames goes all the way."""
    options = UpscaleOptions(
        model=ModelOptions(offline=True), size=SizeOptions(fit=(512, 512)),
        device=DeviceOptions(reuse="off"),
    )  # fmt: skip
    began = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="vsr-doctor-") as folder:
            film = Path(folder) / "film.mp4"
            _write(film, "h264", count=8)
            result = upscale(film, Path(folder) / "out.mkv", options)
            list(stores())  # forgets the job, which it would not where the folder is away
    except (VsrError, OSError) as error:
        said = error.text if isinstance(error, VsrError) else str(error)
        return Finding(
            area="a film", state="broken", text=f"8 frames of 256x256: {said}",
            advice="the lines above may say why; if not, report it",
        )  # fmt: skip
    took = time.perf_counter() - began
    return Finding(
        area="a film", state="good", facts={"frames": result.frames, "seconds": round(took, 2)},
        text=f"{result.frames} frames of 256x256 decoded, enlarged, encoded and checked in "
        f"{took:.1f} s",
    )  # fmt: skip
