"""`vsr preview`: a few moments of a film with several settings, as one page to look at."""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import UsageError, VsrError
from vsr.events import Note, OncePerNote, Sink, silent
from vsr.frame import Colour, Frame, Layout, Matrix, Range
from vsr.jobs.plan.plan import Plan
from vsr.jobs.run.context import Runner
from vsr.media.format.encoders import plan_encoder
from vsr.media.read.interlace import Filters, undo
from vsr.media.read.keyframes import Keyframes, keyframes
from vsr.media.read.reader import read_frames
from vsr.media.source.image_list import is_many
from vsr.media.source.kinds.base import Source
from vsr.media.source.local_name import STDIN, comes_once, local_source
from vsr.media.source.probe import probe
from vsr.media.source.remote import is_address
from vsr.media.source.spans import WHOLE
from vsr.media.write.writer import VideoFormat, write_frames
from vsr.options import ColourOptions, EncodeOptions, Moment, UpscaleOptions
from vsr.report.invention import DOUBTFUL, heat, invention
from vsr.report.moments import (
    Box,
    TellingMoment,
    find_moments,
    luma_of_frame,
    named_moments,
    rgb_of_frame,
)
from vsr.report.settings import Setting, rivals
from vsr.report.trial import Doubter, Take, Trial, doubters, tried, whole_plan
from vsr.stages.colour.convert import from_rgb
from vsr.stages.consistency import enlarged

_STILL = (1600, 900)  # pixels of the result that are shown of a moment, at most
_LOOP = (800, 450)  # ... while it moves
_LOOP_ROWS = 4096  # lines of a loop, all of its pictures above each other
_LOOP_BYTES = 1_000_000
_LOOP_CRFS = (21.0, 27.0, 33.0, 39.0, 45.0)  # the first that fits
_MOVING = 24  # frames of a loop
_SHORTEST = 6  # frames below which nothing is seen to move
_BASE_SECONDS = 60.0  # that each setting may take

_LAYOUT = Layout(family="yuv", sub_x=1, sub_y=1)
_COLOUR = Colour(matrix=Matrix.BT709, range=Range.LIMITED, primaries=1, transfer=1)


@dataclass(kw_only=True)
class Scene:
    """A moment as it is shown: the source and each result beside each other."""

    moment: TellingMoment
    box: Box
    loop_box: Box
    pictures: list[Tensor] = field(default_factory=list)  # (H, W, 3) uint8, the source's first
    heats: list[Tensor | None] = field(
        default_factory=list
    )  # (h, w, 4) uint8, smaller; None: of no use
    shares: list[float | None] = field(default_factory=list)  # of the detail, that is invented
    doubts: list[Tensor | None] = field(default_factory=list)  # as `heats`, where networks guess
    loop: bytes | None = None  # MP4: the same pictures, one above the other, moving
    rate: Fraction = Fraction(25)  # of the loop


@dataclass(frozen=True, kw_only=True, eq=False)
class Preview:
    """All that is on the page."""

    source: Source
    size: tuple[int, int]  # of the result, width and height
    trials: tuple[Trial, ...]
    scenes: tuple[Scene, ...]
    notes: tuple[str, ...]


def preview(
    source: Path | str,
    options: UpscaleOptions | None = None,
    *,
    compare: Sequence[str] = (),
    at: Sequence[Moment] = (),
    seconds: float = _BASE_SECONDS,
    runner: Runner | None = None,
    sink: Sink = silent,
) -> Preview:
    """Try settings on moments of the film or picture `source`.

    `compare`: rivals, as `vsr.report.settings.rivals` reads them. `at`: the moments; none: those
    that tell most are found. `seconds`: about what each setting may take; at least a frame
    of each moment is made, however long that takes. Raises the errors of `vsr.errors`.
    """
    options = options or UpscaleOptions()
    once = OncePerNote(sink)
    opened = info = _opened(source, options)
    settings = rivals(options, compare)
    films = [whole_plan(info, None, setting.options) for setting in settings]
    if len({film.frames for film in films}) > 1:
        raise UsageError("--compare: settings that make other frames cannot be compared")
    # As it will be seen: without edges that are cut off.
    info = dataclasses.replace(info, video=info.video.showing(films[0].source.video.hidden))
    size = (films[0].target.width, films[0].target.height)
    index = keyframes(info)
    window = (min(_STILL[0] / size[0], 1.0), min(_STILL[1] / size[1], 1.0))
    if at:
        moments = named_moments(info, index, options.colour, window, at)
    else:
        moments = find_moments(info, index, options.colour, window)
    with tempfile.TemporaryDirectory(prefix="vsr-") as name:
        run = _Trials(settings, films, Path(name), index, runner, once)
        takes = [Take(moment=moment, frames=1) for moment in moments]
        trials = run(takes)
        slowest = max(trial.seconds_a_frame for trial in trials)
        longer = _takes(moments, index, slowest, seconds)
        if longer != takes:
            takes, trials = longer, run(longer)
        asked = doubters(trials, window[0] * window[1], len(takes), seconds)
        scenes = list(_scenes(opened, options, films[0], takes, trials, asked=asked))
    return Preview(
        source=info,
        size=size,
        trials=tuple(trials),
        scenes=tuple(scenes),
        notes=tuple(_notes(info, takes, slowest, seconds)),
    )


def _opened(source: Path | str, options: UpscaleOptions) -> Source:
    if isinstance(source, str) and is_address(source):
        raise UsageError(f"{source}: a preview is made of a file; fetch it first")
    path = local_source(source)
    if path == STDIN or comes_once(path):
        raise UsageError(f"{source}: comes only once; save it to a file and preview that")
    if is_many(path):
        raise UsageError(f"{source}: stands for many files; preview one of them")
    if options.source.clips:
        raise UsageError("<source.clips>: a preview chooses its own moments; name yours with --at")
    return probe(path, options.colour, options.source.stream)


@dataclass(frozen=True)
class _Trials:
    """Runs all settings on the same takes: first stills, which tell how long it may move."""

    settings: Sequence[Setting]
    films: Sequence[Plan]
    folder: Path
    index: Keyframes  # of the source
    runner: Runner | None
    sink: Sink

    def __call__(self, takes: Sequence[Take]) -> list[Trial]:
        frames = sum(take.frames for take in takes)
        trials = []
        for number, (film, setting) in enumerate(zip(self.films, self.settings, strict=True)):
            folder = self.folder / f"{number}_{frames}"
            folder.mkdir()
            done = f"{number + 1} of {len(self.settings)}"
            self.sink(Note(text=f"{setting.label} ({done}): {frames} frames"))
            trials.append(
                tried(setting, film, takes, folder, index=self.index, runner=self.runner,
                      sink=self.sink)
            )  # fmt: skip
        return trials


def _takes(
    moments: Sequence[TellingMoment], index: Keyframes, each: float, seconds: float
) -> list[Take]:
    """Return how many frames of each moment are made in the time; `each`: seconds of a frame.

    All moments move, or that with the most motion does, or there is only time for stills.
    """
    room = [len(index.frames) - moment.frame for moment in moments]
    rooms = [min(more, _MOVING) for more in room]
    affordable = int(seconds / each) if each else _MOVING * len(moments)
    alike = affordable // len(moments)
    if alike >= _SHORTEST:
        counts = [min(alike, most) for most in rooms]
    else:
        moving = next((n for n, m in enumerate(moments) if "motion" in m.reason), 0)
        left = affordable - (len(moments) - 1)
        counts = [1] * len(moments)
        counts[moving] = min(left, rooms[moving]) if left >= _SHORTEST else 1
    takes = [Take(moment=m, frames=max(c, 1)) for m, c in zip(moments, counts, strict=True)]
    # One take ends where the next begins: the same frame in two clips would be two frames.
    for n, (one, other) in enumerate(pairwise(takes)):
        most = other.moment.frame - one.moment.frame
        takes[n] = dataclasses.replace(one, frames=max(min(one.frames, most), 1))
    return takes


def _notes(source: Source, takes: Sequence[Take], each: float, seconds: float) -> Iterator[str]:
    """Yield what is to be known of how the page shows the film."""
    if source.video.colour.hdr:
        yield "The film is HDR; here it is shown as if it were not, and looks pale."
    if source.video.sample_aspect_ratio not in (None, 1):
        yield f"Its pixels are {source.video.sample_aspect_ratio} as wide as high; here, square."
    if source.video.rotation:
        yield f"Players turn it by {source.video.rotation} degrees; here it lies as it is coded."
    still = sum(take.frames < _SHORTEST for take in takes)
    if still and source.video.frames != 1 and each * _SHORTEST > seconds / len(takes):
        yield (
            f"Moments that stand still: {still} of {len(takes)}. A frame takes up to "
            f"{each:.2g} s here; --seconds allows more time."
        )


# --- the pictures ---


def _scenes(
    source: Source,
    options: UpscaleOptions,
    film: Plan,
    takes: Sequence[Take],
    trials: Sequence[Trial],
    *,
    asked: Sequence[Doubter | None],
) -> Iterator[Scene]:
    """Yield each take's pictures; all films are read in step, and no more than a loop is kept."""
    clips = tuple(take.clip for take in takes)
    wanted = dataclasses.replace(options, source=dataclasses.replace(options.source, clips=clips))
    part = film if film.output.is_one_picture else whole_plan(source, None, wanted)
    filters: Filters = undo(part.scan, part.source.video.rate)
    rate = part.source.video.rate or Fraction(25)
    originals = read_frames(
        part.source, options.colour, filters=filters, spans=part.spans or (WHOLE,), sink=silent
    )
    with ExitStack() as stack:
        stack.enter_context(closing(originals))
        results = [
            stack.enter_context(
                closing(read_frames(probe(trial.run.output), ColourOptions(), sink=silent))
            )
            for trial in trials
        ]
        waiting = deque(takes)
        shots: list[list[Frame]] = []
        try:
            for together in zip(originals, *results, strict=True):
                if together[0].fresh and shots:
                    yield _scene(waiting.popleft(), film, shots, asked, rate)
                    shots = []
                shots.append(list(together))
        except ValueError as error:
            raise VsrError(f"{source.path.name}: a result has other frames than it") from error
        if shots:
            yield _scene(waiting.popleft(), film, shots, asked, rate)


@torch.inference_mode()
def _scene(
    take: Take,
    film: Plan,
    shots: Sequence[list[Frame]],
    asked: Sequence[Doubter | None],
    rate: Fraction,
) -> Scene:
    target = film.target
    scale = (float(target.scale * target.aspect), float(target.scale))
    size = (target.width, target.height)
    box = Box.around(size, take.moment.centre, _STILL)
    rows = _LOOP_ROWS // (len(asked) + 1)
    loop_box = Box.around(size, take.moment.centre, (_LOOP[0], min(_LOOP[1], rows)))
    scene = Scene(moment=take.moment, box=box, loop_box=loop_box, rate=rate)
    first = shots[0]
    source = rgb_of_frame(first[0])
    scene.pictures.append(_bytes_of(box.of(enlarged(source, size, scale))))
    scene.heats.append(None)
    scene.shares.append(None)
    seen = box.of_source(source, scale)
    scene.doubts.append(None)
    scene.doubts += [None if one is None else _unsure(one, seen, box) for one in asked]
    luma = luma_of_frame(first[0])
    for frame in first[1:]:
        scene.pictures.append(_bytes_of(box.of(_sized(rgb_of_frame(frame), size))))
        found = None
        if max(scale) > 1:
            found = invention(luma, _sized(luma_of_frame(frame), size), scale)
        scene.heats.append(None if found is None else heat(_cut(found.rms, box)))
        scene.shares.append(None if found is None else found.share)
    if len(shots) >= _SHORTEST:
        scene.loop = _loop(shots, size, scale, loop_box, rate)
    return scene


def _unsure(ask: Doubter, source: Tensor, box: Box) -> Tensor | None:
    """Return the map of a network's doubts in what the rectangle shows."""
    found = ask(source)
    if found is None:
        return None
    side = (box.height, box.width)
    return heat(F.interpolate(found[None, None], side, mode="bilinear")[0, 0], DOUBTFUL)


def _sized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a result in the size of the first one's, to lie over it."""
    height, width = picture.shape[2:]
    if (width, height) == size:
        return picture
    return enlarged(picture, size, (size[0] / width, size[1] / height))


def _cut(picture: Tensor, box: Box) -> Tensor:
    """Return the rectangle out of (H, W)."""
    return picture[box.top : box.top + box.height, box.left : box.left + box.width]


def _bytes_of(picture: Tensor) -> Tensor:
    """Map (1, 3, H, W) RGB, 0..1 -> (H, W, 3) uint8."""
    return picture[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()


def _loop(
    shots: Sequence[list[Frame]],
    size: tuple[int, int],
    scale: tuple[float, float],
    box: Box,
    rate: Fraction,
) -> bytes:
    """Return the frames as a film whose pictures stand above each other, so that none drifts."""
    stacked = []
    for number, together in enumerate(shots):
        shown = [enlarged(rgb_of_frame(together[0]), size, scale)]
        shown += [_sized(rgb_of_frame(frame), size) for frame in together[1:]]
        tall = torch.cat([box.of(picture) for picture in shown], 2)
        planes = tuple(plane[0] for plane in from_rgb(tall, _LAYOUT, _COLOUR))
        stacked.append(
            Frame(planes=planes, layout=_LAYOUT, colour=_COLOUR, pts=number, duration=1,
                  time_base=1 / rate)
        )  # fmt: skip
    for crf in _LOOP_CRFS:
        film = _encoded(stacked, rate, crf)
        if len(film) <= _LOOP_BYTES:
            break
    return film


def _encoded(frames: Sequence[Frame], rate: Fraction, crf: float) -> bytes:
    """Return frames as a small film that every browser plays."""
    file = io.BytesIO()
    encode = EncodeOptions(codec="h264", crf=crf, preset="veryfast", chroma="420")
    video = VideoFormat(
        width=frames[0].width,
        height=frames[0].height,
        colour=_COLOUR,
        rate=rate,
        time_base=1 / rate,
    )
    written = write_frames(
        frames, file, plan_encoder(encode, _LAYOUT), video, muxer_options={}, muxer="mp4"
    )
    with closing(written):
        for _ in written:
            pass
    return file.getvalue()
