"""What would be done with a film: size, encoder, container and name, before any work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import OutputError, OutputExists, UsageError
from vsr.media.containers import CONTAINERS, PIPES, STDOUT, Container, container_of
from vsr.media.encoders import ENCODERS, EncoderPlan, plan_encoder
from vsr.media.index import count, frame_times, span_ahead, spans_of
from vsr.media.probe import SourceInfo
from vsr.media.scan import Scan, detect_scan
from vsr.media.spans import Span
from vsr.nets.catalogue import find
from vsr.nets.store import load
from vsr.options import Codec, UpscaleOptions
from vsr.stages.size import Target, target_size

_STYLED = frozenset({"ass", "ssa"})
_ANIMATIONS = {"gif": ".gif", "apng": ".apng", "webp": ".webp"}  # by the demuxer's name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done with a film; made without loading a network."""

    source: SourceInfo
    output: Path
    container: Container
    target: Target
    codec: Codec
    encoder: EncoderPlan
    scan: Scan  # what will be undone
    spans: tuple[Span, ...]  # the parts that are wanted; none: the whole
    frames: int | None  # estimate


def plan(
    info: SourceInfo, output: Path | None, options: UpscaleOptions, *, default_scale: int
) -> Plan:
    """Settle size, encoder, container and name. Raises UsageError, OutputError.

    `output` None: beside the source; a folder: in there; else the name itself.
    """
    video = info.video
    into_folder = output is not None and output.is_dir()
    if output == STDOUT:
        suffix, container = "", PIPES[options.encode.pipe_format]
    elif output is None or into_folder:
        suffix = _default_suffix(info, options)
        container = container_of(Path(f"x{suffix}"))
    else:
        suffix, container = output.suffix, container_of(output)
    codec = options.encode.codec or _usual(container, info)
    encode = dataclasses.replace(options.encode, codec=codec)
    layout = video.layout
    if codec == "vp9" and container.muxer == "mp4":
        layout = layout.replace(alpha=False)  # no place for it there
    encoder = plan_encoder(encode, layout, hdr=video.hdr, planar=container.planar)
    target = target_size(
        video.width, video.height, options.size, default_scale=default_scale, layout=encoder.layout
    )
    path = output
    if path is None or into_folder:
        folder = info.path.parent if path is None else path
        path = folder / f"{info.path.stem}_{_label(target, options)}{suffix}"
    if container.video is not None and encoder.encoder.codec not in container.video:
        raise UsageError(f"{path.name}: a {container.muxer} file cannot hold {codec} video")
    if path != STDOUT:
        _check_output(info.path, path, options)
    wanted, frames = _wanted(info, options)
    if container.pictures is not None and (frames or 1) > container.pictures:
        raise UsageError(f"{path.name}: is one picture; {info.path.name} has {frames}")
    return Plan(
        source=info,
        output=path,
        container=container,
        target=target,
        codec=codec,
        encoder=encoder,
        scan=_scan(info, options),
        spans=wanted,
        frames=frames,
    )


def spans(info: SourceInfo, options: UpscaleOptions) -> tuple[Span, ...]:
    """The parts of the film that are wanted; none: the whole. Raises UsageError, InputError."""
    return _wanted(info, options)[0]


def _wanted(info: SourceInfo, options: UpscaleOptions) -> tuple[tuple[Span, ...], int | None]:
    """The parts, and how many frames they hold."""
    if not options.source.clips:
        return (), info.video.frames
    if info.pipe is not None:
        return (span_ahead(options.source.clips, info.video.time_base, info.begin),), None
    times = frame_times(info)
    found = spans_of(options.source.clips, times, info.video.time_base, info.begin)
    return found, count(found, times)


def _usual(container: Container, info: SourceInfo) -> Codec:
    """What is usual in the container; in WebM, what can be seen through is VP9."""
    return "vp9" if container.muxer == "webm" and info.video.transparent else container.usual


def _scan(info: SourceInfo, options: UpscaleOptions) -> Scan:
    asked = options.source.deinterlace
    if asked == "auto":
        return detect_scan(info)
    return {"off": Scan.PROGRESSIVE, "bwdif": Scan.INTERLACED, "ivtc": Scan.TELECINED}[asked]


def _default_suffix(info: SourceInfo, options: UpscaleOptions) -> str:
    """The source's own kind of file, where it can hold the result; else Matroska."""
    own = _ANIMATIONS.get(info.format.split(",")[0].removesuffix("_pipe"), info.path.suffix.lower())
    asked = options.encode.codec
    if info.of_kind("attachment") or any(s.codec in _STYLED for s in info.of_kind("subtitle")):
        return ".mkv"
    fitting = CONTAINERS.get(own)
    if fitting is not None:
        codec = ENCODERS[asked or fitting.usual].codec
        if fitting.video is None or codec in fitting.video:
            return own
    if asked in _ANIMATIONS:
        return _ANIMATIONS[asked]
    a_still = info.format.endswith(("_pipe", "image2"))  # of a kind that is not written
    return ".png" if a_still else ".mkv"


def _label(target: Target, options: UpscaleOptions) -> str:
    """`4x`, or `1080p` if a height was asked for; `4x_90-100` of a part."""
    sized = options.size.height is not None or options.size.fit is not None
    label = f"{target.height}p" if sized else f"{float(target.scale):g}x"
    return "_".join((label, *(str(clip) for clip in options.source.clips)))


def _check_output(source: Path, output: Path, options: UpscaleOptions) -> None:
    if output.exists():
        if source.exists() and output.samefile(source):
            raise UsageError(f"{output}: the result may not take the place of its source")
        if not output.is_file():
            kind = "a folder" if output.is_dir() else "no plain file"
            raise UsageError(f"{output}: is {kind}; name a file")
        if not options.encode.overwrite:
            raise OutputExists(f"{output}: is there already; use --overwrite, or another -o")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{output.parent}: there is no such folder")


def default_scale(options: UpscaleOptions) -> int:
    """The scale of the model that is named, without loading it where the catalogue knows."""
    try:
        return find(options.model.name).scale
    except LookupError:
        return load(options.model).scale
