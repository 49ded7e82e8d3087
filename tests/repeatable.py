"""Whether every encoder writes the same bits again, whatever the machine: prints a table.

    python -m tests.repeatable [--quick] [--codec h264 ...] [--keep results.jsonl]

Each encoder, preset and size is written once as it is and then with memory that is not zero
(glibc's MALLOC_PERTURB_), with a heap whose every block is checked, as on an older processor, on
one core and with more threads. All files must be the same, byte for byte. `--keep` goes on with
what an earlier run has found; all of it takes about an hour, `--quick` a minute.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from unittest import mock

import av
import numpy as np
import torch

from tests.conftest import SAMPLES
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.media.format.encoders import plan_encoder
from vsr.media.format.repeatable import repeatable
from vsr.media.write.writer import VideoFormat, write_frames
from vsr.options import EncodeOptions

ROOT = Path(__file__).parent.parent
CHECKED_HEAP = Path("/lib/x86_64-linux-gnu/libc_malloc_debug.so.0")
SIZES = ((64, 48), (64, 64), (96, 54), (320, 180), (854, 480))
ODD_SIZES = ((32, 64), (48, 48), (64, 200))  # where x265 went wrong
_BATCH = 40  # cases that one process encodes
LARGE = (1920, 1080)  # with the preset that is chosen by itself
X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
PRESETS: dict[str, tuple[str | None, ...]] = {
    "h264": X26X,
    "h265": X26X,
    "av1": tuple(str(n) for n in range(4, 14)),
    "vp9": (None,),
    "ffv1": (None,),
    "prores": ("proxy", "lt", "standard", "hq", "4444", "4444xq"),
    "gif": (None,),
    "apng": (None,),
    "webp": (None,),
    "png": (None,),
    "jpeg": (None,),
    "raw": (None,),
}
# How each is told to do without a processor's newer instructions; the others are ffmpeg's own.
OLDER = {
    "h264": ("x264-params", "asm=SSE4.2"),
    "h265": ("x265-params", "asm=SSE4.2"),
    "av1": ("svtav1-params", "asm=sse4_1"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is encoded."""

    codec: str
    preset: str | None = None  # None: the one that is chosen by itself
    width: int
    height: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A machine, as far as this one can be made to look like another."""

    name: str
    environment: tuple[tuple[str, str], ...] = ()
    older: bool = False  # the processor
    threads: int = 0  # that libav is told to take where the encoder does not say; 0: its choice
    one_core: bool = False


def perturbed(value: int, **more: object) -> Surroundings:
    """Memory that is `value`, or its complement, before it is written."""
    name = f"memory {value}{', older' if more else ''}"
    return Surroundings(name=name, environment=(("MALLOC_PERTURB_", str(value)),), **more)  # type: ignore[arg-type]


def surroundings() -> list[Surroundings]:
    """All that are tried."""
    checked = (("LD_PRELOAD", str(CHECKED_HEAP)), ("MALLOC_CHECK_", "3"))
    return [
        Surroundings(name="as it is"),
        perturbed(85),
        perturbed(170),
        Surroundings(name="older", older=True),
        perturbed(85, older=True),
        perturbed(170, older=True),
        Surroundings(name="one core", threads=1, one_core=True),
        Surroundings(name="4 threads", threads=4),
        *([Surroundings(name="checked", environment=checked)] if CHECKED_HEAP.exists() else []),
    ]


def cases(codecs: Sequence[str]) -> Iterator[Case]:
    """Everything that the command line offers."""
    for codec in codecs:
        for width, height in SIZES + (ODD_SIZES if codec == "h265" else ()):
            for preset in PRESETS[codec]:
                frames = 48 if width < 854 else 12  # enough for what looks ahead
                yield Case(codec=codec, preset=preset, width=width, height=height, frames=frames)
        yield Case(codec=codec, width=LARGE[0], height=LARGE[1], frames=6)


def quick(codecs: Sequence[str]) -> list[Case]:
    """The few that found the most."""
    sizes = ((64, 64), (320, 180))
    return [
        *(Case(codec=c, width=w, height=h, frames=32) for c in codecs for w, h in sizes),
        *(Case(codec="h265", width=w, height=h, frames=24) for w, h in ODD_SIZES),
    ]


def encode(wanted: Sequence[Case], where: Surroundings) -> list[str]:
    """A hash of each file, written by a process of its own in these surroundings.

    Cases that a process died of are "died".
    """
    found: list[str] = []
    while len(found) < len(wanted):
        told = {"cases": [asdict(c) for c in wanted[len(found) :]], "where": asdict(where)}
        child = subprocess.run(
            [sys.executable, "-m", "tests.repeatable", "--child"],
            input=json.dumps(told), capture_output=True, text=True, check=False,
            cwd=ROOT, env=os.environ | dict(where.environment),
        )  # fmt: skip
        found += child.stdout.split()
        if len(found) < len(wanted):
            print(child.stderr[-300:], file=sys.stderr)
            found.append("died")
    return found


def _child() -> None:
    told = json.load(sys.stdin)
    where = Surroundings(**told["where"])
    if where.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if where.older:
        os.environ["VPX_SIMD_CAPS"] = "0x3f"  # of libvpx: up to SSE4.1
    if where.older:  # ffmpeg's own: SSE4.2 and what came before
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        ctypes.CDLL(re.findall(r"/\S*libavutil\S*", maps)[0]).av_force_cpu_flags(0x0000_01FF)
    for case in told["cases"]:
        print(_encoded(Case(**case), where), flush=True)


def _encoded(case: Case, where: Surroundings) -> str:
    given = (OLDER[case.codec],) if where.older and case.codec in OLDER else ()
    options = EncodeOptions(codec=case.codec, preset=case.preset, encoder_options=given)  # type: ignore[arg-type]
    plan = plan_encoder(options, Layout(family="yuv", sub_x=1, sub_y=1))
    plan = repeatable(plan, case.width, case.height)
    colour = Colour(matrix=Matrix.BT709, range=Range.LIMITED)
    shown = _pictures(SAMPLES / "bunny.mp4", case, plan.layout, colour)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("vsr.media.write.writer.codec_threads", return_value=where.threads),
    ):
        several = plan.encoder.container == "image2"
        path = Path(folder, "%03d.png" if several else "film")
        video = VideoFormat(
            width=case.width,
            height=case.height,
            colour=colour,
            rate=Fraction(24),
            time_base=Fraction(1, 24),
        )
        for _ in write_frames(shown, path, plan, video, muxer_options={}):
            pass
        digest = hashlib.sha256()
        for file in sorted(Path(folder).iterdir()):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _pictures(clip: Path, case: Case, layout: Layout, colour: Colour) -> Iterator[Frame]:
    """The film's planes, every sample of the size taken from the nearest; no arithmetic."""
    with av.open(str(clip)) as container:
        for n, picture in enumerate(container.decode(video=0)):
            if n == case.frames:
                return
            own = [
                np.frombuffer(bytes(p), np.uint8).reshape(p.height, -1)[:, : p.width]
                for p in picture.planes
            ]
            planes = []
            for k, (height, width) in enumerate(layout.plane_sizes(case.width, case.height)):
                source = own[k % 3]
                rows = np.arange(height) * source.shape[0] // height
                columns = np.arange(width) * source.shape[1] // width
                plane = torch.from_numpy(source[np.ix_(rows, columns)].copy())
                if layout.bits > 8:
                    plane = (plane.to(torch.int32) << (layout.bits - 8)).to(torch.uint16)
                planes.append(plane)
            yield Frame(
                planes=tuple(planes), layout=layout, colour=colour, pts=n, duration=1,
                time_base=Fraction(1, 24),
            )  # fmt: skip


def has_avx512() -> bool:
    """Whether this is a processor on which libx264 was seen to go wrong."""
    return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


def _table(found: dict[Case, dict[str, str]]) -> Iterator[str]:
    """A line for each codec and size: how many different files, over all presets."""
    lines = defaultdict(list)
    for case, hashes in found.items():
        different = len(set(hashes.values()))
        lines[case.codec, f"{case.width}x{case.height}"].append((case, different, hashes))
    yield f"{'codec':8} {'size':10} presets  runs  different files"
    for (codec, size), several in lines.items():
        wrong = [f"{case.preset or 'usual'}: {hashes}" for case, d, hashes in several if d > 1]
        runs = sum(len(hashes) for _, _, hashes in several)
        said = "; ".join(wrong) or "none"
        yield f"{codec:8} {size:10} {len(several):7} {runs:5}  {said}"


def main() -> None:
    """Try all, print the table; exit code 1 where two files differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--codec", action="append", choices=list(PRESETS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child()
        return
    codecs = asked.codec or list(PRESETS)
    wanted = quick(codecs) if asked.quick else list(cases(codecs))
    found: dict[Case, dict[str, str]] = {case: {} for case in wanted}
    if asked.keep is not None and asked.keep.exists():
        for line in asked.keep.read_text(encoding="utf-8").splitlines():
            case, name, digest = json.loads(line)
            if (known := Case(**case)) in found:
                found[known][name] = digest
    for where in surroundings():
        missing = [case for case in wanted if where.name not in found[case]]
        for at in range(0, len(missing), _BATCH):
            batch = missing[at : at + _BATCH]
            for case, digest in zip(batch, encode(batch, where), strict=True):
                found[case][where.name] = digest
                if asked.keep is not None:
                    with asked.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([asdict(case), where.name, digest]) + "\n")
    print("AVX-512" if has_avx512() else "no AVX-512 here: what libx264 does with it is not seen")
    for line in _table(found):
        print(line)
    sys.exit(any(len(set(hashes.values())) > 1 for hashes in found.values()))


if __name__ == "__main__":
    main()
