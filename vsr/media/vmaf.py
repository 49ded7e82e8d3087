"""VMAF by the ffmpeg program (libvmaf), of pictures that are handed to it in pairs."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import torch
from torch import Tensor

from vsr.errors import FfmpegError
from vsr.machine import cores
from vsr.media.ffmpeg import fed, find_ffmpeg, has_filter

_FILTER = "libvmaf"
_DEPTHS = (8, 10, 12, 16)  # that libvmaf takes
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
        # 4:4:4, so that any height can be cut in half; the chroma is grey and not looked at.
        pix_fmt = "yuv444p" if self._bits == 8 else f"yuv444p{self._bits}le"
        judge = (
            f"libvmaf=model='version={self._model}':log_fmt=json:log_path={_LOG}:"
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
        self._run.close()
        try:
            log = json.loads((Path(self._folder.name) / _LOG).read_bytes())
            frames = sorted(log["frames"], key=lambda frame: int(frame["frameNum"]))
            return [float(frame["metrics"]["vmaf"]) for frame in frames]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FfmpegError(f"ffmpeg's libvmaf: its log cannot be read ({error})") from error
