"""An input: its name, how it is made, and what no reader can tell of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.support import judge

EXACT = ("-flags:v", "+bitexact", "-flags:a", "+bitexact", "-fflags", "+bitexact")
X264 = "-c:v libx264 -preset veryfast -crf 18 -pix_fmt yuv420p"
X265 = "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le -tag:v hvc1"


def moving(seconds: float = 0.6, size: str = "128x96", rate: str = "25") -> str:
    """A test chart with things that move in it."""
    return f"testsrc2=s={size}:r={rate}:d={seconds}"


def bars(seconds: float = 0.3, size: str = "128x96", rate: str = "25") -> str:
    """Flat bars of colour, by which a matrix is told."""
    return f"smptebars=s={size}:r={rate}:d={seconds}"


def tone(seconds: float = 0.6, rate: int = 48000, pitch: int = 440) -> str:
    """A sine of one channel."""
    return f"sine=f={pitch}:r={rate}:d={seconds}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input. `make` writes it, and what it needs, into the folder it is given."""

    file: str  # its name in the folder; the stem is the case's name
    make: Callable[[Path], object]
    # Where the file's own clock or count is what is wrong with it: what was filmed.
    frames: int | None = None
    rate: Fraction | None = None
    loose: Fraction = Fraction(0)  # seconds by which it may be later, where pieces meet
    colours: Sequence[tuple[int, int, int]] = ()  # of equal bars, where ffmpeg misreads them
    film: int = 0  # which video is the film, by ffmpeg's count
    in_turn: bool = False  # its sounds are one, each going on where the one before ends
    lacks: str = ""  # why this ffmpeg cannot make it

    @property
    def name(self) -> str:
        return Path(self.file).stem


def command(path: Path, graphs: Sequence[str], how: str) -> None:
    """Write `path` from lavfi graphs, with the options `how`."""
    inputs = [word for graph in graphs for word in ("-f", "lavfi", "-i", graph)]
    judge.ffmpeg(*inputs, *shlex.split(how), *EXACT, str(path))


def by_command(file: str, *graphs: str, how: str, film: int = 0) -> Case:
    """A case that is one call of ffmpeg: graphs of lavfi, and options."""
    return Case(file=file, make=lambda folder: command(folder / file, graphs, how), film=film)
