"""Every kind of file into every container: what of it does not arrive, and is that said?

    python -m tests.every_file [--quick] [--jobs N] [NAME...]

makes the inputs of `tests.cases`, runs each to its default name and to each container where
that makes sense, reads source and result by the tests' ffmpeg, and prints a row for each input.
A loss that no note of the run names is a FAULT, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import vsr
from tests.cases import codecs, edited, hanging, joined, tracks
from tests.cases.case import Case
from tests.cases.losses import losses, naming
from tests.cases.view import View, size_of, view
from vsr.errors import VsrError
from vsr.events import Event, Note

CASES = {
    case.name: case
    for case in (*codecs.CASES, *tracks.CASES, *tracks.COLOURS, *joined.CASES, *edited.CASES,
                 *hanging.CASES)
}  # fmt: skip
CONTAINERS = ("", ".mkv", ".mp4", ".mov", ".webm", ".ts")  # "": its default name
TITLES = ("itself", *CONTAINERS[1:])
_PICTURES = {".jpg", ".tga", ".ppm", ".bmp", ".exr", ".dpx", ".jp2", ""}
_LARGE = 400  # pixels wide: from there on a picture keeps its size


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of an input in one container."""

    case: str
    container: str
    word: str  # ok, said, refused, skipped, FAULT
    why: str = ""


def containers(case: Case) -> Sequence[str]:
    """Those that an input is tried in; a picture and a folder only become what they are."""
    return ("",) if Path(case.file).suffix in _PICTURES else CONTAINERS


def check(case: Case, suffixes: Sequence[str]) -> list[Row]:
    """Run one input to each of the containers and judge what comes out."""
    if case.lacks:
        return [Row(case=case.name, container="", word="skipped", why=case.lacks)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case.make(folder)
        source = folder / case.file
        size = size_of(source) if source.is_file() else None
        before = None
        if size is not None:
            try:
                matrix = "bt709" if case.colours else ""  # what ffmpeg knows; not looked at
                before = view(source, size, film=case.film, matrix=matrix)
            except AssertionError:
                before = None  # what the tests' ffmpeg cannot read, vsr has to refuse
        return [_tried(case, source, suffix, size, before) for suffix in suffixes]


def _tried(
    case: Case, source: Path, suffix: str, size: tuple[int, int] | None, before: View | None
) -> Row:
    row = {"case": case.name, "container": suffix or "itself"}
    notes: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(str(event))

    scale = 1 if size is not None and size[0] > _LARGE else 2
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="bicubic"), size=vsr.SizeOptions(scale=Fraction(scale)),
        device=vsr.DeviceOptions(threads=1),
    )  # fmt: skip
    output = source.with_name(f"out{suffix}") if suffix else None
    try:
        made = vsr.upscale(source, output, options, sink=sink).output
    except VsrError as error:
        told = str(error)
        word = "refused" if "\n" not in told else "FAULT"
        return Row(**row, word=word, why=f"exit {error.exit_code}: {told}")
    except Exception as error:
        return Row(**row, word="FAULT", why=f"{type(error).__name__}: {error}")
    if before is None or size is None or not before.frames:
        return Row(**row, word="FAULT", why="made, of what the tests' ffmpeg cannot read")
    try:
        after = view(made, size)
    except (AssertionError, IndexError) as error:
        return Row(**row, word="FAULT", why=f"the result cannot be read: {error}")
    found = losses(case, before, after, made.suffix)
    named = naming(found, notes)
    silent = [f"{kind}: {what}" for (kind, what), note in named.items() if note is None]
    if silent:
        return Row(**row, word="FAULT", why=f"{'; '.join(silent)} [{' | '.join(notes)}]")
    said = [f"{kind}: {what} [{note}]" for (kind, what), note in named.items()]
    return Row(**row, word="said" if said else "ok", why="; ".join(said))


def _checked(task: tuple[str, Sequence[str]]) -> list[Row]:
    return check(CASES[task[0]], task[1])


def line(case: str, rows: Sequence[Row]) -> str:
    """An input's line of the table: a container a column."""
    words = {row.container: row.word for row in rows}
    return f"{case:24}" + "".join(f"{words.get(title, '-'):10}" for title in TITLES).rstrip()


# What differs most: codecs, clocks, tags, colours, most into what holds them worst.
QUICK: dict[str, Sequence[str]] = {
    "dv_ntsc_dv": (".webm",), "flv1_flv": ("",), "qtrle_mov": ("", ".webm"),
    "jpeg2000_xyz_mxf": (".mkv",), "lpcm_vob": (".mp4",), "ima4_mov": (".mkv",),
    "mono8_mov": (".ts",), "f32_mov": (".mkv",), "obs_mkv": (".mp4",), "hold_mkv": (".mp4",),
    "late_mkv": (".ts",), "slowfps_mp4": (".mkv",), "duppts_mp4": (".mkv",), "ycgco_mkv": ("",),
    "ictcp_mkv": (".mkv",), "s240m_mkv": (".webm",), "yuv440_mkv": (".mp4",),
    "back_flv": (".mkv",), "cat3_mkv": (".mp4",), "cat_webm": (".webm",), "pidchange_ts": ("",),
    "interlaced_avi": (".mkv",), "displayunit_mkv": (".webm",), "dupattach_mkv": (".mkv",),
    "teletext_ts": (".ts",), "dovi84_mov": (".mp4",), "captions_ts": (".mp4",),
    "mdta_mov": (".mp4",), "cenc_mp4": ("",), "dovi5_mp4": ("",), "animavif": ("",),
    "emptyaudio_mp4": (".ts",), "ordered_mkv": (".ts",), "vr_mp4": (".mp4",),
    "clap_mp4": ("",), "pic_exr": ("",), "cmyk_jpg": ("",), "dvdfolder": ("",),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns 1 if anything is lost in silence."""
    parser = argparse.ArgumentParser(prog="python -m tests.every_file", description=__doc__)
    parser.add_argument("names", nargs="*", help="inputs; all, if none is named")
    parser.add_argument("--quick", action="store_true", help="the pairs that CI runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    wanted = QUICK if given.quick else {n: containers(c) for n, c in CASES.items()}
    tasks = [(n, s) for n, s in wanted.items() if not given.names or n in given.names]
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        with multiprocessing.get_context("fork").Pool(given.jobs) as pool:
            print(f"{'input':24}" + "".join(f"{title:10}" for title in TITLES))
            rows = []
            for (case, _), found in zip(tasks, pool.imap(_checked, tasks), strict=True):
                print(line(case, found), flush=True)
                rows += found
    print("\nwhy:")
    for row in rows:
        if row.why:
            print(f"{row.case} {row.container}: {row.word}: {row.why}")
    counted = collections.Counter(row.word for row in rows)
    print("\n" + ", ".join(f"{n} {word}" for word, n in sorted(counted.items())))
    return 1 if any(row.word == "FAULT" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
