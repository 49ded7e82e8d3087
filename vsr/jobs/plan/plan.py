"""What would be done with a film: size, encoder, container and name, before any work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import UsageError
from vsr.jobs.outputs.base import Output
from vsr.jobs.outputs.table import output_of
from vsr.jobs.plan.label import label
from vsr.media.format.containers import CONTAINERS, STDOUT, Container
from vsr.media.format.encoders import ENCODERS, EncoderPlan, plan_encoder
from vsr.media.format.repeatable import repeatable
from vsr.media.format.still_image import is_lossless
from vsr.media.read.bars import find_bars
from vsr.media.read.interlace import ScanMode, detect_scan
from vsr.media.read.keyframes import count, frame_times, span_ahead, spans_of
from vsr.media.source.cropping import HiddenEdges
from vsr.media.source.image_list import is_picture
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import Span
from vsr.options import Codec, UpscaleOptions
from vsr.options.values import crop
from vsr.stages.device.size import TargetSize, target_size

_STYLED = frozenset({"ass", "ssa"})
# By the demuxer's name.
_ANIMATIONS = {c.muxer: name for name, c in CONTAINERS.items() if c.kind == "animation"}
_NOT_WRITTEN = {".avif": ".webp"}  # an animation stays one


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done with a film; made without loading a network."""

    source: Source
    output: Output
    target: TargetSize
    codec: Codec
    encoder: EncoderPlan
    scan: ScanMode  # what will be undone
    spans: tuple[Span, ...]  # of the film that are wanted; none: the whole
    frames: int | None  # estimate

    @property
    def is_resumable(self) -> bool:
        """Whether what is finished of it is kept; one picture is soon done again."""
        single = self.output.is_one_picture or (self.source.video.frames == 1 and not self.spans)
        return self.source.lasts and not self.output.is_stream and not single


def plan(
    info: Source,
    output: Path | None,
    options: UpscaleOptions,
    *,
    default_scale: int,
    stem: str | None = None,
) -> Plan:
    """Settle size, encoder, container and name. Raises UsageError, OutputError.

    `output` None: beside the source; a folder: in there; a pattern such as `%05d.png`: a
    picture for each frame; else the name itself. `stem`: without the label in a name that is
    made up; a result of the source's own kind is then called like the source.
    """
    named = None if output is None or output.is_dir() else output
    result = output_of(named or Path(f"x{_default_suffix(info, options)}"), options.encode)
    _refuse(info, result, named)
    if options.source.fps is not None and not (info.is_sequence or result.is_sequence):
        raise UsageError(f"<source.fps>: is for pictures; {info.path.name} keeps its own rate")
    scan = _scan(info, options)
    info = prepared(info, scan, _hidden(info, options))
    wanted, frames = _wanted(info, options)
    info = begun(info, wanted)
    codec, encoder = _encoder(info, result, options)
    target = target_size(
        info.video.width,
        info.video.height,
        options.size,
        default_scale=default_scale,
        layout=encoder.layout,
        aspect=info.video.sample_aspect_ratio,
    )
    encoder = repeatable(encoder, target.width, target.height)
    if named is None:
        suffix = result.path.suffix
        name = f"{stem or f'{info.path.stem}_{label(target, options)}'}{suffix}"
        if stem is not None and suffix == info.path.suffix.lower():
            name = info.path.name
        path = (info.path.parent if output is None else output) / name
        result = dataclasses.replace(result, path=path)
    holds, muxer = result.container.video, result.container.muxer
    if holds is not None and encoder.encoder.codec not in holds:
        raise UsageError(f"{result.path.name}: a {muxer} file cannot hold {codec} video")
    result.check(info.path, overwrite=options.encode.overwrite)
    result.check_source(info, frames)
    thinned = result.is_sequence and options.source.fps is not None
    return Plan(
        source=info,
        output=result,
        target=target,
        codec=codec,
        encoder=encoder,
        scan=scan,
        spans=wanted,
        frames=None if thinned else frames,  # of thinned pictures nobody knows the number
    )


def begun(source: Source, spans: Sequence[Span]) -> Source:
    """Return the source with pixels of the shape that they have where its first part begins."""
    if not spans or spans[0].start is None:
        return source
    video = dataclasses.replace(source.video, sample_aspect_ratio=source.aspect_at(spans[0].start))
    return dataclasses.replace(source, video=video)


def _refuse(source: Source, output: Output, named: Path | None) -> None:
    """Raise UsageError for pictures that are to become pictures, and for one to become many."""
    pictures = named is None or output.is_one_picture or output.is_sequence
    if source.is_sequence and pictures:
        raise UsageError(f"{source.path}: are pictures; name the film that they are to become")
    if output.is_sequence and _a_still(source):
        raise UsageError(f"{named}: numbers many pictures; {source.path.name} is one: name a file")


def _encoder(source: Source, output: Output, options: UpscaleOptions) -> tuple[Codec, EncoderPlan]:
    """Choose the codec that is usual for such a source, and how it is encoded."""
    container = output.container
    codec = options.encode.codec or _usual(container, source)
    encode = dataclasses.replace(options.encode, codec=codec)
    if codec == "webp" and source.format == "webp" and is_lossless(source.path):
        given = (("lossless", "1"), *encode.encoder_options)
        encode = dataclasses.replace(encode, encoder_options=given)
    layout = source.video.layout
    if options.encode.codec is None and codec == "h265":
        layout = layout.replace(bits=max(layout.bits, 10))  # as all that plays HDR expects
    if codec == "vp9" and container.muxer == "mp4":
        layout = layout.replace(alpha=False)  # no place for it there
    encoder = plan_encoder(encode, layout, hdr=source.video.hdr, planar=container.planar)
    return codec, output.adapted(encoder)


def spans(info: Source, options: UpscaleOptions) -> tuple[Span, ...]:
    """Return the parts of the film that are wanted; none: the whole. Raises UsageError,
    InputError.
    """
    return _wanted(info, options)[0]


def _wanted(info: Source, options: UpscaleOptions) -> tuple[tuple[Span, ...], int | None]:
    """Return the parts, and how many frames they hold."""
    if not options.source.clips:
        return (), info.video.frames
    if not info.rereadable:
        return (span_ahead(options.source.clips, info.video.time_base, info.begin),), None
    times = frame_times(info)
    try:
        chosen = spans_of(options.source.clips, times, info.video.time_base, info.begin)
    except UsageError as error:
        raise UsageError(f"{info.path}: {error.text}") from error
    return chosen, info.video.fields * count(chosen, times)


def _usual(container: Container, info: Source) -> Codec:
    """Return what is usual in the container for what can be seen through, for HDR, or for
    others.
    """
    if info.video.transparent and container.alpha is not None:
        # What was made smaller by VP9 need not become a file without loss.
        again = container.muxer == "matroska" and info.video.codec in ("vp8", "vp9")
        return "vp9" if again else container.alpha
    hdr = info.video.colour.hdr and container.usual == "h264"
    return "h265" if hdr else container.usual


def _scan(info: Source, options: UpscaleOptions) -> ScanMode:
    asked = options.source.deinterlace
    if asked == "auto":
        return detect_scan(info)
    return {
        "off": ScanMode.PROGRESSIVE,
        "bwdif": ScanMode.INTERLACED,
        "bob": ScanMode.FIELDS,
        "ivtc": ScanMode.TELECINED,
    }[asked]


def prepared(source: Source, scan: ScanMode, hidden: HiddenEdges) -> Source:
    """Return the source with these edges hidden, and counted in fields if they become frames."""
    video = source.video.showing(hidden)
    if scan is ScanMode.FIELDS:
        video = video.in_fields()
    return dataclasses.replace(source, video=video)


def _hidden(source: Source, options: UpscaleOptions) -> HiddenEdges:
    """Return the edges that are not to be seen: those of the file, and those that are cut off."""
    video, asked = source.video, options.source.crop
    if asked is None:
        return video.hidden
    if asked == "auto":
        return find_bars(source)
    width, height, left, top = crop(asked)
    right, bottom = video.width - left - width, video.height - top - height
    if min(right, bottom) < 0:
        size = f"{video.width}x{video.height}"
        raise UsageError(f"<source.crop> {asked}: {source.path.name} is {size} pixels large")
    step_x, step_y = 1 << video.layout.sub_x, 1 << video.layout.sub_y
    if left % step_x or top % step_y:
        raise UsageError(
            f"<source.crop> {asked}: X and Y have to be multiples of {step_x} and {step_y}, where "
            f"{source.path.name} has colour"
        )
    return video.hidden.and_hidden(left=left, right=right, top=top, bottom=bottom)


def _default_suffix(info: Source, options: UpscaleOptions) -> str:
    """Return the source's own kind of file, where it can hold the result; else Matroska."""
    own = _ANIMATIONS.get(info.format.split(",")[0].removesuffix("_pipe"), info.path.suffix.lower())
    asked = options.encode.codec
    if not _a_still(info):
        own = _NOT_WRITTEN.get(own, own)
    if info.of_kind("attachment") or any(s.codec in _STYLED for s in info.of_kind("subtitle")):
        return ".mkv"
    fitting = CONTAINERS.get(own)
    if info.video.transparent and asked is None and fitting is not None and fitting.usual == "h264":
        return own if fitting.alpha is not None else ".mov"
    if fitting is not None:
        codec = ENCODERS[asked or fitting.usual].codec
        if fitting.video is None or codec in fitting.video:
            return own
    if asked in _ANIMATIONS:
        return _ANIMATIONS[asked]
    return ".png" if _a_still(info) else ".mkv"


def _a_still(info: Source) -> bool:
    """Return whether the source is a single picture, of whatever kind."""
    named_so = is_picture(info.path.name) and info.video.frames == 1  # WebP; AVIF is an MP4
    return info.format.endswith(("_pipe", "image2")) or named_so


def check_named(output: Path | None, options: UpscaleOptions) -> None:
    """Refuse a name before its source is fetched. Raises UsageError, OutputError."""
    if output is None or output == STDOUT or output.is_dir():
        return
    output_of(output, options.encode).check(None, overwrite=options.encode.overwrite)
