"""What the tests' ffmpeg finds in a file, all at once: one process for each file."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support import judge


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream as `ffmpeg -i` prints it, with its packets; attachments have none."""

    kind: str  # Video, Audio, Subtitle, Data, Attachment
    line: str  # codec and the rest
    flags: frozenset[str]  # default, attached pic, ...
    tags: dict[str, str]
    side_data: tuple[str, ...]  # names
    packets: list[Packet] = field(default_factory=list)
    unit: Fraction = Fraction(1, 1000)

    @property
    def codec(self) -> str:
        return re.split(r"[ ,]", self.line, maxsplit=1)[0]


@dataclass(frozen=True)
class Packet:
    """A packet or decoded frame; times in seconds."""

    pts: Fraction
    duration: Fraction
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class View:
    """A file, as another reader sees it."""

    path: Path
    streams: list[Stream]
    film: Stream
    frames: list[Packet]  # of the film, decoded
    rgba: NDArray[np.uint8]  # (T, H, W, 4), scaled to the size that was asked for
    on_frames: frozenset[str]  # side data of the film's frames
    tags: dict[str, str]
    chapters: list[tuple[Fraction, Fraction, str]]

    def of(self, kind: str) -> list[Stream]:
        """The streams of a kind; cover art is none of video."""
        return [s for s in self.streams if s.kind == kind and "attached pic" not in s.flags]


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of the first video; None where the tests' ffmpeg finds none."""
    try:
        return judge.size_of(path)
    except (StopIteration, AssertionError):
        return None


def view(path: Path, size: tuple[int, int], *, film: int = 0, matrix: str = "") -> View:
    """Read a file; its pictures come scaled to `size`. AssertionError if ffmpeg cannot.

    `film`: which video that is; `matrix`: what its colours are read by, whatever it says.
    """
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        scaled = (
            "scale=flags=full_chroma_int+accurate_rnd,format=gbrap16le,"
            f"scale={size[0]}:{size[1]}:flags=area+accurate_rnd,format=rgba"
        )
        if matrix:
            scaled = f"setparams=colorspace={matrix},{scaled}"
        # Alpha of VP8 and VP9 lies beside the picture; only libvpx looks there.
        words = judge.describe(path)
        hidden = re.search(r"(?i)alpha_mode +: 1", words)
        decoder = ["-c:v", f"libvpx{'-vp9' * ('Video: vp9' in words)}"] if hidden else []
        if path.suffix == ".exr":  # linear light, as a screen would show it
            scaled = f"zscale=tin=linear:t=iec61966-2-1,{scaled}"
        which = ["-map", f"0:v:{film}", "-fps_mode", "passthrough"]
        command = [
            judge.PROGRAM, "-hide_banner", "-nostdin", "-y", "-copyts", *decoder,
            "-i", f"file:{path}",
            *[word for kind in "vasd" for word in ("-map", f"0:{kind}?")], "-copy_unknown",
            "-c", "copy", "-f", "framehash", str(at / "packets"),
            *which, "-vf", "showinfo=checksum=0", "-enc_time_base", "1/1000000",
            "-f", "framehash", str(at / "frames"),
            *which, "-vf", scaled, "-f", "rawvideo", str(at / "rgba"),
            "-map_metadata", "0", "-c", "copy", "-map", "0:v:0", "-f", "ffmetadata",
            str(at / "tags"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, check=False)
        said = done.stderr.decode("utf-8", "replace")
        assert done.returncode == 0, said[-300:]
        frames = _hashes((at / "frames").read_text())
        pixels = np.frombuffer((at / "rgba").read_bytes(), np.uint8)
        tags, chapters = _metadata((at / "tags").read_text("utf-8"))
        streams = list(_streams(said, _hashes((at / "packets").read_text())))
        return View(
            path=path,
            streams=streams,
            on_frames=frozenset(
                x.strip()
                for x in re.findall(
                    r"^\[Parsed_showinfo[^]]*\]\s+side data - ([^:(\n]+)", said, re.MULTILINE
                )
            ),
            film=[stream for stream in streams if stream.kind == "Video"][film],
            frames=sorted(frames[0][1], key=lambda frame: frame.pts) if frames else [],
            rgba=pixels.reshape(-1, size[1], size[0], 4),
            tags=tags,
            chapters=chapters,
        )


def _hashes(text: str) -> dict[int, tuple[Fraction, list[Packet]]]:
    """For each stream of a framehash its unit of time and its packets."""
    found = {
        int(n): (Fraction(unit), list[Packet]())
        for n, unit in re.findall(r"#tb (\d+): (\d+/\d+)", text)
    }
    for line in text.splitlines():
        if not line.startswith("#"):
            stream, _, pts, duration, size, digest = [x.strip() for x in line.split(",")][:6]
            unit, packets = found[int(stream)]
            packets.append(Packet(int(pts) * unit, int(duration) * unit, int(size), digest))
    return found


def _streams(said: str, hashes: dict[int, tuple[Fraction, list[Packet]]]) -> Iterator[Stream]:
    """The streams of the input, with their packets, which came sorted by their kinds."""
    head = re.split(r"^(?:Output #|Stream mapping)", said, maxsplit=1, flags=re.MULTILINE)[0]
    head = re.split(r"^Input #0", head, maxsplit=1, flags=re.MULTILINE)[-1]
    # Those of a group are set in by two more, and come before the others.
    found = re.split(r"^ {2,4}Stream #0:(\d+)\S*: ", head, flags=re.MULTILINE)[1:]
    blocks = [block for _, block in sorted(zip(map(int, found[::2]), found[1::2], strict=True))]
    kinds = [block.split(":")[0] for block in blocks]
    order = [n for kind in ("Video", "Audio", "Subtitle", "Data") for n in range(len(blocks))
             if kinds[n] == kind]  # fmt: skip
    nothing: tuple[Fraction, list[Packet]] = (Fraction(1, 1000), [])
    for n, block in enumerate(blocks):
        first, *rest = block.splitlines()
        unit, packets = hashes.get(order.index(n), nothing) if n in order else nothing
        line = first.split(": ", 1)[1] if ": " in first else ""
        yield Stream(
            kind=kinds[n],
            line=line,
            flags=frozenset(re.findall(r"\(([a-z][a-z ]*)\)", line)),
            tags=dict(re.findall(r"^ {6,8}(\S+) *: (.*)$", block, re.MULTILINE)),
            side_data=tuple(_side_data(rest)),
            packets=packets,
            unit=unit,
        )


def _side_data(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if re.match(r" {4,6}\w[^:]*:$", line):
            inside = line.strip() == "Side data:"
        elif inside and (found := re.match(r" {6,8}(\w[^:,(]*)", line)):
            yield found[1].strip()


def _metadata(text: str) -> tuple[dict[str, str], list[tuple[Fraction, Fraction, str]]]:
    """The file's tags and chapters, of FFMETADATA1."""
    tags, chapters, here = dict[str, str](), [], dict[str, str]()
    name = ""
    for line in [*re.sub(r"\\\n", " ", text).splitlines()[1:], "[END]"]:
        if line.startswith("["):
            if name == "[CHAPTER]":
                unit = Fraction(here.get("TIMEBASE", "1"))
                chapters.append((int(here["START"]) * unit, int(here["END"]) * unit,
                                 here.get("title", "")))  # fmt: skip
            elif not name:
                tags = here
            name, here = line, {}
        elif "=" in line:
            key, value = re.split(r"(?<!\\)=", line, maxsplit=1)
            here[re.sub(r"\\(.)", r"\1", key)] = re.sub(r"\\(.)", r"\1", value)
    return tags, chapters
