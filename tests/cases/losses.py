"""What a result lacks of its source, by another reader; and whether a run has named it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import zip_longest

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tests.cases.case import Case
from tests.cases.view import Packet, Stream, View
from tests.support import judge

# A kind of loss, and the words by which a run names it.
NAMED = {
    "frames": r"damage|torn|cut short|left out",
    "time": r"its clock jumps|timestamps run backwards",
    "end": r"its clock jumps|timestamps run backwards",
    "colour": r"look pale",
    "alpha": r"transparency",
    "shape": r"hides edges",
    "tagged": r"written as|read as sRGB|look pale",
    "sound": r"audio|sound",
    "sync": r"audio|sound",
    "subtitles": r"subtitle|teletext|caption",
    "data": r"data|timecode|caption",
    "attachments": r"attachment|cover art",
    "chapters": r"chapter",
    "tags": r"\b(tags?|titles?|languages?|metadata)\b",
    "side data": r"Dolby|360|3D|stereo|crop|HDR10|light|caption|hides edges",
}
# What says how a file was written, and no more.
_TECHNICAL = re.compile(
    r"(encoder|major_brand|minor_version|compatible_brands|encoded_by|software|company_name|"
    r"product_.*|application_platform|generation_uid|uid|.*_umid|modification_date|"
    r"toolkit_version.*|operational_pattern.*|project_name|iasf|isft)$", re.IGNORECASE,
)  # fmt: skip
_WRITING = {
    "CPB properties", "QuickTime timecode", "Supplemental properties", "AVPanScan", "GOP timecode",
    "H.26[45] User Data Unregistered SEI message",
}  # fmt: skip
_CROPPED = "Frame Cropping"
_TICK = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".gif": Fraction(1, 100)}

Loss = tuple[str, str]  # kind, and what exactly


def naming(found: Sequence[Loss], notes: Sequence[str]) -> dict[Loss, str | None]:
    """For each loss the note that names it; None: it is lost in silence.

    Each stream that is lost has a note of its own.
    """
    named: dict[Loss, str | None] = {}
    for loss in found:
        said = [note for note in notes if re.search(NAMED[loss[0]], note)]
        if loss[0] in _EACH:
            said = [note for note in said if note not in named.values()]
        named[loss] = next(iter(said), None)
    return named


_EACH = ("sound", "subtitles", "data")


def losses(case: Case, source: View, result: View, suffix: str) -> list[Loss]:
    """All that `result`, a file with that suffix, lacks of the source."""
    found = [*_frames(case, source, result, suffix), *_picture(case, source, result)]
    found += _sounds(case, source, result)
    for kind, of in (("subtitles", "Subtitle"), ("data", "Data")):
        found += _copied(kind, source.of(of), result.of(of))
    names = [sorted(s.tags.get("filename", "") for s in v.of("Attachment") + _covers(v))
             for v in (source, result)]  # fmt: skip
    if len(names[0]) != len(names[1]) or (suffix == ".mkv" and names[0] != names[1]):
        found.append(("attachments", f"{names[0]} become {names[1]}"))
    found += _chapters(source, result)
    found += _tags(source, result)
    return found


# --- frames and times ---


def _frames(case: Case, source: View, result: View, suffix: str) -> Iterator[Loss]:
    count = case.frames or len(source.frames)
    if len(result.frames) != count:
        yield "frames", f"{count} become {len(result.frames)}"
        return
    video = result.film
    tick = max(_TICK.get(suffix, Fraction(0)), video.unit, Fraction(1, 90000))
    if case.rate:
        wanted = [n / case.rate for n in range(count)]
        last = 1 / case.rate
    else:
        wanted = [frame.pts - source.frames[0].pts for frame in source.frames]
        last = source.frames[-1].duration
    got = [frame.pts - result.frames[0].pts for frame in result.frames]
    slack = case.loose + tick + source.film.unit * (source.film.unit > Fraction(1, 2000))
    worst = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
    if worst > slack:
        yield "time", f"a frame is {float(worst):.4f} s off"
    ends = [p.pts + p.duration for p in video.packets]
    end = (max(ends) if ends else Fraction(0)) - result.frames[0].pts
    if suffix != ".ts" and count > 1 and abs(end - wanted[-1] - last) > slack:
        yield "end", f"{float(wanted[-1] + last):.4f} s become {float(end):.4f} s"


# --- the picture ---


def flat(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where an (H, W, C) picture is one colour for four pixels around."""
    windows = sliding_window_view(picture, (9, 9), axis=(0, 1)).reshape(
        picture.shape[0] - 8, picture.shape[1] - 8, picture.shape[2], 81
    )
    return np.asarray((np.ptp(windows.astype(np.int16), axis=-1) <= 2).all(axis=-1))


def _bars(case: Case, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height, width = shape[:2]
    columns = np.repeat(np.array(case.colours, np.uint8), width // len(case.colours), 0)
    picture = np.repeat(columns[None], height, 0)
    return np.dstack([picture, np.full((height, width, 1), 255, np.uint8)])


def _picture(case: Case, source: View, result: View) -> Iterator[Loss]:
    worst, clear = 0.0, 0.0
    for old, new in zip(source.rgba[::3], result.rgba[::3], strict=False):
        truth = _bars(case, old.shape) if case.colours else old
        mask = flat(truth)
        if mask.sum() >= 64:
            off = np.abs(new.astype(int) - truth)[4:-4, 4:-4][mask]
            worst = max(worst, float(np.percentile(off[:, :3].max(axis=1), 90)))
            clear = max(clear, float(np.percentile(off[:, 3], 90)))
    if worst > 3:
        yield "colour", f"flat colours are {worst:.0f} of 255 off"
    if clear > 3:
        yield "alpha", f"alpha is {clear:.0f} of 255 off"
    shapes = [_shape(view) for view in (source, result)]
    if all(shapes) and abs(shapes[1] / shapes[0] - 1) > 0.03:
        yield "shape", f"{float(shapes[0]):.4f} becomes {float(shapes[1]):.4f}"
    old_tags, new_tags = (_colour_tags(view.film) for view in (source, result))
    for name in ("primaries", "transfer", "matrix"):
        was, now = old_tags.get(name, "unknown"), new_tags.get(name, "unknown")
        if was not in ("unknown", "reserved", "gbr", now):
            yield "tagged", f"{name} {was} becomes {now}"
    old_side, new_side = (set(view.film.side_data) for view in (source, result))
    lost = old_side - new_side | source.on_frames - result.on_frames
    for name in sorted(lost - _WRITING - {_CROPPED}):  # what is hidden may as well be cut off
        yield "side data", name


def _shape(view: View) -> Fraction:
    """Width by height as it is shown; 0 where nothing is said."""
    video = view.film
    size = re.search(r", (\d+)x(\d+)", video.line)
    if size is None:
        return Fraction(0)
    width, height = int(size[1]), int(size[2])
    if _CROPPED in video.side_data:  # edges that players hide
        edges = re.search(_CROPPED + r": (\d+)/(\d+)/(\d+)/(\d+)", judge.describe(view.path))
        assert edges is not None
        left, right, top, bottom = (int(n) for n in edges.groups())
        width, height = width - left - right, height - top - bottom
    said = re.findall(r"SAR (\d+):(\d+)", video.line)  # the stream's, then the container's
    pixel = Fraction(int(said[-1][0]), int(said[-1][1]) or 1) if said else Fraction(1)
    return Fraction(width, height) * (pixel or 1)


def _colour_tags(video: Stream) -> dict[str, str]:
    inside = re.search(r", \w+\(([^)]*)\)", video.line)
    for word in inside[1].split(", ") if inside else []:
        if word in ("tv", "pc", "progressive") or re.search(r"field|first|bpc", word):
            continue
        parts = word.split("/")
        if len(parts) == 3:
            return dict(zip(("matrix", "primaries", "transfer"), parts, strict=True))
        return {"matrix": word, "primaries": word, "transfer": word}
    return {}


# --- the rest ---


def _sounds(case: Case, source: View, result: View) -> Iterator[Loss]:
    begins = [view.frames[0].pts if view.frames else Fraction(0) for view in (source, result)]
    old_sounds = source.of("Audio")
    if case.in_turn:
        first, *rest = old_sounds
        after = [packet for sound in rest for packet in sound.packets]
        old_sounds = [dataclasses.replace(first, packets=first.packets + after)]
    for n, (old, new) in enumerate(zip_longest(old_sounds, result.of("Audio"))):
        if old is None or not old.packets:
            continue  # more is no loss, and of nothing nothing
        if new is None:
            yield "sound", f"track {n} ({old.codec}) is not there"
        elif not _same(old.packets, new.packets) and not (
            old.codec == new.codec and "pcm" in old.codec and _same_samples(source, result, n)
        ):
            yield "sound", (f"track {n}: {len(old.packets)} packets of {old.codec} become "
                            f"{len(new.packets)} of {new.codec}")  # fmt: skip
        else:
            apart = [s.packets[0].pts - b for s, b in zip((old, new), begins, strict=True)]
            if abs(apart[1] - apart[0]) > Fraction(1, 40):
                yield "sync", f"track {n} is {float(apart[1] - apart[0]):+.3f} s off"
        if old is not None and new is not None:
            yield from _labels("sound", n, old, new)


def _same(old: Sequence[Packet], new: Sequence[Packet]) -> bool:
    if [p.digest for p in old] == [p.digest for p in new]:
        return True
    # MPEG-TS puts a header of 7 bytes before each packet of AAC.
    steps = {a.size - b.size for a, b in zip(old, new, strict=False)}
    return len(old) == len(new) and steps in ({7}, {-7})


def _same_samples(source: View, result: View, n: int) -> bool:
    """Whether sound without compression is cut into other packets, and otherwise the same."""
    sums = [judge.ffmpeg("-i", f"file:{view.path}", "-map", f"0:a:{n}", "-f", "md5", "-")
            for view in (source, result)]  # fmt: skip
    return sums[0] == sums[1]


def _copied(kind: str, old: Sequence[Stream], new: Sequence[Stream]) -> Iterator[Loss]:
    for n, (was, now) in enumerate(zip_longest(old, new)):
        if was is None:
            continue
        if now is None:
            yield kind, f"{kind} {n} ({was.codec}) are not there"
        elif [p.digest for p in was.packets] != [p.digest for p in now.packets]:
            yield kind, f"{kind} {n}: {was.codec} become {now.codec}"
        if now is not None:
            yield from _labels(kind, n, was, now)


def _labels(kind: str, n: int, old: Stream, new: Stream) -> Iterator[Loss]:
    for key in ("language", "title"):
        was = old.tags.get(key)
        if was and was != new.tags.get(key) and was != new.tags.get("name"):
            yield "tags", f"{key} of {kind} {n}: {was}"


def _covers(view: View) -> list[Stream]:
    return [s for s in view.streams if "attached pic" in s.flags]


def _chapters(source: View, result: View) -> Iterator[Loss]:
    if len(source.chapters) != len(result.chapters):
        yield "chapters", f"{len(source.chapters)} become {len(result.chapters)}"
        return
    for old, new in zip(source.chapters, result.chapters, strict=True):
        if old[2] != new[2] or abs(old[0] - new[0]) > Fraction(1, 1000):
            yield "chapters", f"{old[2]} at {float(old[0])} is {new[2]} at {float(new[0])}"


def _tags(source: View, result: View) -> Iterator[Loss]:
    there = {key.lower(): value for stream in result.streams for key, value in stream.tags.items()
             if key == "timecode"}  # fmt: skip
    there |= {key.lower(): value for key, value in result.tags.items()}
    for key, value in source.tags.items():
        if _TECHNICAL.match(key) or value.startswith("1970-01-01T00:00"):  # which was never set
            continue
        # MOV says it twice: in its header, and as a tag.
        was, now = (x.split(";")[0] if key == "creation_time" else x
                    for x in (value, there.get(key.lower(), "")))  # fmt: skip
        if was != now:
            yield "tags", f"{key}={value}"
