"""What would be done with a film: size, encoder, container and name, before any work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import OutputError, OutputExists, UsageError
from vsr.jobs.plan.output_place import check_replaceable
from vsr.jobs.store.job_store import JobStore, folder_of
from vsr.media.format.containers import CONTAINERS, PIPES, STDOUT, Container, container_of
from vsr.media.format.encoders import ENCODERS, EncoderPlan, kept_in, one_file_each, plan_encoder
from vsr.media.format.repeatable import repeatable
from vsr.media.format.still_image import is_lossless
from vsr.media.read.interlace import ScanMode, detect_scan
from vsr.media.read.keyframes import count, frame_times, span_ahead, spans_of
from vsr.media.source.image_list import (
    NumberedName,
    folders_in,
    is_picture,
    is_too_long,
    names_in,
    numbered,
)
from vsr.media.source.kinds.base import Source
from vsr.media.source.spans import Span
from vsr.media.write.concat import SAYS_DURATIONS
from vsr.nets.catalogue import find
from vsr.nets.store import load
from vsr.options import Codec, UpscaleOptions
from vsr.stages.device.size import TargetSize, target_size

_STYLED = frozenset({"ass", "ssa"})
_ANIMATIONS = {"gif": ".gif", "apng": ".apng", "webp": ".webp"}  # by the demuxer's name
_NOT_WRITTEN = {".avif": ".webp"}  # an animation stays one


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done with a film; made without loading a network."""

    source: Source
    output: Path
    container: Container
    target: TargetSize
    codec: Codec
    encoder: EncoderPlan
    scan: ScanMode  # what will be undone
    spans: tuple[Span, ...]  # of the film that are wanted; none: the whole
    frames: int | None  # estimate
    pattern: NumberedName | None = None  # a file for each frame, of these names


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
    video = info.video
    named = None if output is None or output.is_dir() else output
    pattern = _pattern(info, named)
    if options.source.fps is not None and not info.is_sequence and pattern is None:
        raise UsageError(f"<source.fps>: is for pictures; {info.path.name} keeps its own rate")
    if named == STDOUT:
        suffix, container = "", PIPES[options.encode.pipe_format]
    else:
        suffix = named.suffix if named is not None else _default_suffix(info, options)
        container = container_of(named or Path(f"x{suffix}"))
    codec = options.encode.codec or _usual(container, info)
    encode = dataclasses.replace(options.encode, codec=codec)
    if codec == "webp" and info.format == "webp" and is_lossless(info.path):
        given = (("lossless", "1"), *encode.encoder_options)
        encode = dataclasses.replace(encode, encoder_options=given)
    layout = video.layout
    if options.encode.codec is None and codec == "h265":
        layout = layout.replace(bits=max(layout.bits, 10))  # as all that plays HDR expects
    if codec == "vp9" and container.muxer == "mp4":
        layout = layout.replace(alpha=False)  # no place for it there
    encoder = plan_encoder(encode, layout, hdr=video.hdr, planar=container.planar)
    if pattern is not None:
        container = dataclasses.replace(container, muxer="image2", pictures=None)
        encoder = one_file_each(encoder)
    elif container.muxer in SAYS_DURATIONS:
        encoder = kept_in(encoder, container.muxer)
    target = target_size(
        video.width,
        video.height,
        options.size,
        default_scale=default_scale,
        layout=encoder.layout,
        aspect=video.sample_aspect_ratio,
    )
    encoder = repeatable(encoder, target.width, target.height)
    path = named
    if path is None:
        name = f"{stem or f'{info.path.stem}_{_label(target, options)}'}{suffix}"
        if stem is not None and suffix == info.path.suffix.lower():
            name = info.path.name
        path = (info.path.parent if output is None else output) / name
    if container.video is not None and encoder.encoder.codec not in container.video:
        raise UsageError(f"{path.name}: a {container.muxer} file cannot hold {codec} video")
    if pattern is not None:
        _check_numbers(info.path, path, pattern, options)
    elif path != STDOUT:
        _check_output(info.path, path, options)
    wanted, frames = _wanted(info, options)
    if container.pictures is not None:
        _check_is_one(info, path, frames)
    return Plan(
        source=info,
        output=path,
        container=container,
        target=target,
        codec=codec,
        encoder=encoder,
        scan=_scan(info, options),
        spans=wanted,
        # Of thinned pictures nobody knows the number.
        frames=frames if pattern is None or options.source.fps is None else None,
        pattern=pattern,
    )


def _check_is_one(info: Source, path: Path, frames: int | None) -> None:
    """Refuse to put an animation or a film into one picture, of which the last would stay."""
    if frames is None and info.rereadable and info.format == "apng":
        frames = len(frame_times(info))  # its header is not asked
    if (frames or 1) > 1:
        raise UsageError(
            f"{path.name}: is one picture; {info.path.name} has {frames}; name an .apng, .webp or "
            f".gif, or pictures such as {path.stem}_%03d{path.suffix}"
        )


def picture_pattern(output: Path) -> NumberedName | None:
    """Return the names that an output asks for as `%05d.png` does; None where it is one file's
    name.
    """
    container = container_of(output)
    a_picture = container.pictures is not None or container.muxer == "webp"
    return numbered(output) if a_picture else None


def _pattern(info: Source, named: Path | None) -> NumberedName | None:
    """Return the numbered names of the result, if that is a picture for each frame."""
    pattern, a_picture = None, named is None
    if named is not None and named != STDOUT:
        pattern = picture_pattern(named)
        a_picture = container_of(named).pictures is not None or pattern is not None
    if info.is_sequence and a_picture:
        raise UsageError(f"{info.path}: are pictures; name the film that they are to become")
    if pattern is not None and _a_still(info):
        raise UsageError(f"{named}: numbers many pictures; {info.path.name} is one: name a file")
    return pattern


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
        found = spans_of(options.source.clips, times, info.video.time_base, info.begin)
    except UsageError as error:
        raise UsageError(f"{info.path}: {error.text}") from error
    return found, count(found, times)


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
    return {"off": ScanMode.PROGRESSIVE, "bwdif": ScanMode.INTERLACED, "ivtc": ScanMode.TELECINED}[
        asked
    ]


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


def _label(target: TargetSize, options: UpscaleOptions) -> str:
    """Return `4x`, or `1080p` if a height was asked for; `4x_90-100` of a part."""
    sized = options.size.height is not None or options.size.fit is not None
    label = f"{target.height}p" if sized else f"{float(target.scale):g}x"
    return "_".join((label, *(str(clip) for clip in options.source.clips)))


def folder_label(options: UpscaleOptions) -> str:
    """Return the label of a folder of pictures, each of which has a size of its own."""
    size = options.size
    if size.height is not None or size.fit is not None:
        return f"{size.height}p" if size.fit is None else "{}x{}".format(*size.fit)
    return f"{float(size.scale or default_scale(options)):g}x"


def check_named(output: Path | None, options: UpscaleOptions) -> None:
    """Refuse a name before its source is fetched. Raises UsageError, OutputError."""
    if output is None or output == STDOUT or output.is_dir():
        return
    pattern = picture_pattern(output)
    if pattern is not None:
        _check_numbers(None, output, pattern, options)
    else:
        _check_output(None, output, options)


def _check_numbers(
    source: Path | None, path: Path, pattern: NumberedName, options: UpscaleOptions
) -> None:
    folder = pattern.folder.absolute()
    if pattern.is_too_long:
        raise UsageError(f"{path}: the name is too long")
    if not folder.is_dir():
        if not folder.parent.is_dir():
            raise OutputError(f"{folder.parent}: there is no such folder")
        return  # it will be made
    for file in (source, source.resolve()) if source is not None else ():
        named_so = pattern.number(file.name) is not None and file.exists()
        if named_so and file.absolute().parent.samefile(folder):
            raise UsageError(f"{path}: the pictures may not take the place of {file.name}")
    for name in sorted(folders_in(folder)):
        if pattern.number(name) is not None:
            raise UsageError(f"{folder / name}: is a folder; name other pictures with <output>")
    # A job that was killed while its pictures got their names goes on with that.
    if options.encode.overwrite or JobStore(folder_of(path)).delivers_pictures():
        return
    if there := sum(pattern.number(name) is not None for name in names_in(folder)):
        raise OutputExists(
            f"{path}: {there} pictures of such names are there already; "
            f"use <encode.overwrite>, or another <output>"
        )


def _check_output(source: Path | None, output: Path, options: UpscaleOptions) -> None:
    if is_too_long(output.name):
        raise UsageError(f"{output}: the name is too long; choose a shorter one with <output>")
    if output.exists():
        if source is not None and source.exists() and output.samefile(source):
            raise UsageError(f"{output}: the result may not take the place of its source")
        if not output.is_file():
            kind = "a folder" if output.is_dir() else "no plain file"
            raise UsageError(f"{output}: is {kind}; name a file")
        is_ours = JobStore(folder_of(output)).result_at(output) is not None
        if not (options.encode.overwrite or is_ours):
            error = OutputExists(
                f"{output}: is there already; use <encode.overwrite>, or another <output>"
            )
            error.output = output
            raise error
        check_replaceable(output)
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{output.parent}: there is no such folder")


def default_scale(options: UpscaleOptions) -> int:
    """Return the scale of the model that is named, without loading it where the catalogue knows."""
    try:
        return find(options.model.name).scale
    except LookupError:
        return load(options.model).scale
