"""VMAF by the ffmpeg program (libvmaf), of pictures that are handed to it in pairs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import torch
from torch import Tensor

from vsr.errors import FfmpegError
from vsr.frame import Layout
from vsr.machine import cores
from vsr.media.ffmpeg import fed, find_ffmpeg, has_filter

_FILTER = "libvmaf"
_DEPTHS = (8, 10, 12, 16)  # that libvmaf takes
_MODEL_V1 = "vmaf_v1.0.16_3d0h"  # 1080 lines at three heights' distance
_BITS_V1 = 10
_CAMBI = "cambi"
_LOG = "vmaf.json"  # in ffmpeg's own folder: a path would have to be escaped, twice


def vmaf_ffmpeg() -> str:
    """Return the ffmpeg that is used. Raises FfmpegError where it has no libvmaf."""
    program = find_ffmpeg()
    if not has_filter(program, _FILTER):
        raise FfmpegError(
            f"{program}: was built without {_FILTER}; unset VSR_FFMPEG and take the one that "
            f"comes with vsr, or name another one"
        )
    return program


class Vmaf:
    """A run of libvmaf, fed pair by pair.

    Li, Aaron, Katsavounidis, Moorthy, Manohara: Toward a Practical Perceptual Video Quality
    Metric, Netflix 2016. It looks at luma alone. Each pair goes through one pipe as one picture,
    the reference above the other: so ffmpeg cannot pair them otherwise, and cannot wait for one
    while it is given the other.
    """

    # 4:4:4, so that any height can be cut in half; the chroma is grey and not looked at.
    _chroma_sampling = "444"
    _feature = ""  # what is computed beside the model's own

    def __init__(self, *, width: int, height: int, bits: int, model: str) -> None:
        """Find the program; raises FfmpegError where the ffmpeg that is used has no libvmaf."""
        self._program = vmaf_ffmpeg()
        self._bits = next(depth for depth in _DEPTHS if depth >= bits)
        self._shift = self._bits - bits
        self._size = (width, height)
        self._model = model
        self._run = ExitStack()
        self._folder = tempfile.TemporaryDirectory(prefix="vsr-vmaf-")
        self._stream: IO[bytes] | None = None
        samples = torch.uint8 if self._bits == 8 else torch.uint16
        grey = torch.full((2, 2 * height, width), 1 << (self._bits - 1), dtype=samples)
        self._chroma = grey.numpy().data

    def __enter__(self) -> Self:
        try:
            run = fed(self._program, self._arguments(), Path(self._folder.name))
            self._stream = self._run.enter_context(run)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._run.__exit__(kind, error, trace)
        finally:
            self._folder.cleanup()

    def add(self, reference: Tensor, output: Tensor) -> None:
        """Feed one pair of luma planes (H, W), uint8, or uint16 above 8 bits; in code values.

        Raises BrokenPipeError, of which leaving the context makes ffmpeg's words.
        """
        assert self._stream is not None
        for plane in (reference, output):
            self._stream.write((plane.cpu().numpy() << self._shift).data)
        self._stream.write(self._chroma)

    def _arguments(self) -> list[str]:
        width, height = self._size
        depth = "" if self._bits == 8 else f"{self._bits}le"
        pix_fmt = f"yuv{self._chroma_sampling}p{depth}"
        judge = (
            f"libvmaf=model='version={self._model}':{self._feature}log_fmt=json:log_path={_LOG}:"
            f"n_threads={cores()}"
        )
        graph = (
            f"[0:v]split[a][b];[a]crop={width}:{height}:0:0:exact=1[ref];"
            f"[b]crop={width}:{height}:0:{height}:exact=1[out];[out][ref]{judge}"
        )
        return [
            "-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", f"{width}x{2 * height}",
            "-framerate", "25", "-i", "pipe:0", "-lavfi", graph, "-f", "null", "-",
        ]  # fmt: skip

    def finish(self) -> list[float]:
        """Wait for libvmaf; the VMAF of each pair, 0..100. Raises FfmpegError."""
        return self._finish("vmaf")[0]

    def _finish(self, *names: str) -> list[list[float]]:
        """Wait for libvmaf; return these numbers of each pair. Raises FfmpegError."""
        self._run.close()
        try:
            log = json.loads((Path(self._folder.name) / _LOG).read_bytes())
            frames = sorted(log["frames"], key=lambda frame: int(frame["frameNum"]))
            return [[float(frame["metrics"][name]) for frame in frames] for name in names]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FfmpegError(f"ffmpeg's libvmaf: its log cannot be read ({error})") from error


class VmafV1(Vmaf):
    """A run of libvmaf with VMAF v1, which looks at chroma, too, and CAMBI, fed as `Vmaf`.

    Pictures are of 4:2:0 in 10 bits, which the models were taught with, and of even height: so
    that chroma can be cut in half with luma. P. Tandon et al., *CAMBI: Contrast-aware Multiscale
    Banding Index*, PCS 2021, looks at the output alone.
    """

    layout = Layout(family="yuv", bits=_BITS_V1, sub_x=1, sub_y=1)
    _chroma_sampling = "420"
    _feature = f"feature=name={_CAMBI}:"

    def __init__(self, *, width: int, height: int) -> None:
        """Find the program; raises FfmpegError where the ffmpeg that is used has no libvmaf."""
        super().__init__(width=width, height=height // 2 * 2, bits=_BITS_V1, model=_MODEL_V1)

    def add_planes(self, reference: Sequence[Tensor], output: Sequence[Tensor]) -> None:
        """Feed one pair of planes in `layout`, code values, uint16. An odd line is left out.

        Raises BrokenPipeError, of which leaving the context makes ffmpeg's words.
        """
        assert self._stream is not None
        height = self._size[1]
        for lines, planes in zip(
            (height, height // 2, height // 2), zip(reference, output, strict=True), strict=True
        ):
            for plane in planes:
                self._stream.write(plane[:lines].cpu().contiguous().numpy().data)

    def finish_both(self) -> tuple[list[float], list[float]]:
        """Wait for libvmaf; return VMAF v1, 0..100, and CAMBI, 0 and more, of each pair.

        Raises FfmpegError.
        """
        vmaf, banding = self._finish("vmaf", _CAMBI)
        return vmaf, banding
