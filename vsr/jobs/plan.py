"""What would be done with a film: size, encoder, container and name, before any work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import OutputError, OutputExists, UsageError
from vsr.media.containers import CONTAINERS, Container, container_of
from vsr.media.encoders import ENCODERS, EncoderPlan, one_file_each, plan_encoder
from vsr.media.folder import Numbered, is_picture, names_in, numbered
from vsr.media.probe import SourceInfo
from vsr.media.scan import Scan, detect_scan
from vsr.media.still import is_lossless
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
    pattern: Numbered | None = None  # a file for each frame, of these names


def plan(
    info: SourceInfo,
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
    suffix = named.suffix if named is not None else _default_suffix(info, options)
    container = container_of(named or Path(f"x{suffix}"))
    pattern = _pattern(info, named, container)
    if options.source.fps is not None and info.pictures is None and pattern is None:
        raise UsageError(f"--fps: is for pictures; {info.path.name} keeps its own rate")
    codec = options.encode.codec or container.usual
    encode = dataclasses.replace(options.encode, codec=codec)
    if codec == "webp" and info.format == "webp" and is_lossless(info.path):
        given = (("lossless", "1"), *encode.encoder_options)
        encode = dataclasses.replace(encode, encoder_options=given)
    encoder = plan_encoder(encode, video.layout, hdr=video.hdr)
    if pattern is not None:
        container = dataclasses.replace(container, muxer="image2", pictures=None)
        encoder = one_file_each(encoder)
    target = target_size(
        video.width, video.height, options.size, default_scale=default_scale, layout=encoder.layout
    )
    path = named
    if path is None:
        name = f"{stem or f'{info.path.stem}_{_label(target, options)}'}{suffix}"
        if stem is not None and suffix == info.path.suffix.lower():
            name = info.path.name
        path = (info.path.parent if output is None else output) / name
    if container.video is not None and encoder.encoder.codec not in container.video:
        raise UsageError(f"{path.name}: a {container.muxer} file cannot hold {codec} video")
    if container.pictures is not None and (video.frames or 1) > container.pictures:
        raise UsageError(f"{path.name}: is one picture; {info.path.name} has {video.frames}")
    if pattern is not None:
        _check_numbers(path, pattern, options)
    else:
        _check_output(info.path, path, options)
    return Plan(
        source=info,
        output=path,
        container=container,
        target=target,
        codec=codec,
        encoder=encoder,
        scan=_scan(info, options),
        pattern=pattern,
    )


def picture_pattern(output: Path) -> Numbered | None:
    """The names that an output asks for as `%05d.png` does; None where it is one file's name."""
    container = container_of(output)
    a_picture = container.pictures is not None or container.muxer == "webp"
    return numbered(output) if a_picture else None


def _pattern(info: SourceInfo, named: Path | None, container: Container) -> Numbered | None:
    """The numbered names of the result, if that is a picture for each frame."""
    pattern = picture_pattern(named) if named is not None else None
    a_picture = container.pictures is not None or pattern is not None
    if info.pictures is not None and (named is None or a_picture):
        raise UsageError(f"{info.path}: are pictures; name the film that they are to become")
    if pattern is not None and _a_still(info):
        raise UsageError(f"{named}: numbers many pictures; {info.path.name} is one: name a file")
    return pattern


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
    return ".png" if _a_still(info) else ".mkv"


def _a_still(info: SourceInfo) -> bool:
    """Whether the source is a single picture, of whatever kind."""
    named_so = is_picture(info.path.name) and info.video.frames == 1  # WebP; AVIF is an MP4
    return info.format.endswith(("_pipe", "image2")) or named_so


def _label(target: Target, options: UpscaleOptions) -> str:
    """`episode_4x.mkv`, or `episode_1080p.mkv` if a height was asked for."""
    if options.size.height is not None or options.size.fit is not None:
        return f"{target.height}p"
    return f"{float(target.scale):g}x"


def folder_label(options: UpscaleOptions) -> str:
    """As above for a folder of pictures, each of which has a size of its own."""
    size = options.size
    if size.height is not None or size.fit is not None:
        return f"{size.height}p" if size.fit is None else "{}x{}".format(*size.fit)
    return f"{float(size.scale or default_scale(options)):g}x"


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


def _check_numbers(path: Path, pattern: Numbered, options: UpscaleOptions) -> None:
    folder = pattern.folder.absolute()
    if not folder.is_dir():
        if not folder.parent.is_dir():
            raise OutputError(f"{folder.parent}: there is no such folder")
        return  # it will be made
    if options.encode.overwrite:
        return
    if there := sum(pattern.number(name) is not None for name in names_in(folder)):
        raise OutputExists(
            f"{path}: {there} pictures of such names are there already; "
            f"use --overwrite, or another -o"
        )


def default_scale(options: UpscaleOptions) -> int:
    """The scale of the model that is named, without loading it where the catalogue knows."""
    try:
        return find(options.model.name).scale
    except LookupError:
        return load(options.model).scale
