"""What is in a file, as the ffmpeg program sees it: another reader than the one under test."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr.media.ffmpeg import brought_ffmpeg

# The same on every machine, whatever is installed there and whatever a test lets vsr use.
PROGRAM = brought_ffmpeg()


def ffmpeg(*arguments: str, stdin: bytes | None = None) -> bytes:
    """Run ffmpeg; returns its standard output. Fails the test with its words if it fails."""
    command = [PROGRAM, "-hide_banner", "-loglevel", "error", "-y", *arguments]
    # In UTF-8, whatever the locale: names inside of files are.
    done = subprocess.run(
        [w.encode("utf-8", "surrogateescape") for w in command],
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def ffmpeg_log(*arguments: str) -> str:
    """Run ffmpeg; returns what it says, at its normal verbosity."""
    command = [PROGRAM, "-hide_banner", "-nostdin", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


@dataclass(frozen=True)
class Packet:
    """One packet, or decoded frame, of a stream."""

    pts: Fraction  # seconds
    duration: Fraction  # seconds
    digest: str


def _hashes(path: Path, stream: str, *how: str) -> list[Packet]:
    text = ffmpeg(
        "-copyts", "-i", f"file:{path}", "-map", f"0:{stream}", *how, "-f", "framehash", "-"
    ).decode()
    base = Fraction(re.findall(r"#tb 0: (\d+/\d+)", text)[0])
    packets = []
    for line in text.splitlines():
        if not line.startswith("#"):
            fields = [field.strip() for field in line.split(",")]  # side data may follow
            _, _, pts, duration, _, digest = fields[:6]
            packets.append(Packet(int(pts) * base, int(duration) * base, digest))
    return packets


def packets(path: Path, stream: str) -> list[Packet]:
    """The packets of stream `stream` ("v:0", "a:1"), sorted by pts."""
    return sorted(_hashes(path, stream, "-c", "copy"), key=lambda p: p.pts)


def frames(path: Path, stream: str = "v:0") -> list[Packet]:
    """The decoded frames of a stream, with their pts."""
    return _hashes(path, stream, "-fps_mode", "passthrough", "-enc_time_base", "1/1000000")


def describe(path: Path) -> str:
    """What `ffmpeg -i` prints of the file, verbose."""
    command = [PROGRAM, "-hide_banner", "-v", "verbose", "-i", f"file:{path}"]
    return subprocess.run(command, capture_output=True, check=False).stderr.decode()


def video_line(path: Path) -> str:
    return next(line for line in describe(path).splitlines() if "Video:" in line)


def size_of(path: Path) -> tuple[int, int]:
    match = re.search(r", (\d+)x(\d+)", video_line(path))
    assert match is not None
    return int(match[1]), int(match[2])


def rgb(path: Path, *, size: tuple[int, int], matrix: str = "auto") -> NDArray[np.float64]:
    """Decoded frames as (T, H, W, 3) in 0..255, area-scaled to `size` (width, height)."""
    width, height = size
    chain = (
        f"scale=in_color_matrix={matrix}:flags=full_chroma_int+accurate_rnd,format=gbrp16le,"
        f"scale={width}:{height}:flags=area+accurate_rnd,format=rgb48le"
    )
    raw = ffmpeg("-i", f"file:{path}", "-vf", chain, "-f", "rawvideo", "-")
    return np.frombuffer(raw, "<u2").reshape(-1, height, width, 3) / 257.0


def talkie(path: Path, seconds: int) -> Path:
    """A small film with sound and a keyframe in every tenth frame, 25 a second."""
    return make(
        path, f"testsrc2=s=64x48:r=25:d={seconds}", "-map", "0", "-map", "1",
        "-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "flac",
        inputs=["-f", "lavfi", "-i", f"sine=d={seconds}"],
    )  # fmt: skip


def make(path: Path, source: str, *arguments: str, inputs: Sequence[str] = ()) -> Path:
    """A file from the lavfi graph `source`; `inputs` are further input arguments."""
    ffmpeg("-f", "lavfi", "-i", source, *inputs, *arguments, f"file:{path}")
    return path


def decoded_sound(path: Path, stream: str = "a:0") -> tuple[Fraction, Fraction]:
    """(first, last) pts of the decoded sound in seconds: what is heard, without the priming."""
    found = _hashes(path, stream)
    return found[0].pts, found[-1].pts
