"""One film, whole: probe, plan, run the pipeline, join with the sound, verify, name."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr.engine.base import Engine
from vsr.engine.build import build_engine
from vsr.errors import OutputError, OutputExists, UsageError
from vsr.events import Finished, Note, Once, Sink, Started, silent
from vsr.media.containers import CONTAINERS, Container, container_of
from vsr.media.encoders import EncoderPlan, plan_encoder
from vsr.media.ffmpeg import find_ffmpeg
from vsr.media.hdr import encoder_parameters
from vsr.media.mux import Picture as EncodedPicture
from vsr.media.mux import mux
from vsr.media.probe import SourceInfo, probe
from vsr.media.scan import Scan, detect_scan, undo
from vsr.media.tags import for_output, name_of
from vsr.nets.catalogue import find
from vsr.nets.store import load
from vsr.options import UpscaleOptions
from vsr.pipeline import run
from vsr.stages.size import Target, target_size
from vsr.stages.upscale import Picture

_STYLED = frozenset({"ass", "ssa"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done with a film; made without loading a network."""

    source: SourceInfo
    output: Path
    container: Container
    target: Target
    encoder: EncoderPlan
    scan: Scan  # what will be undone


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was done."""

    output: Path
    frames: int
    width: int
    height: int
    seconds: float  # wall time
    notes: tuple[str, ...]


def plan(
    info: SourceInfo, output: Path | None, options: UpscaleOptions, *, default_scale: int
) -> Plan:
    """Settle size, encoder, container and name. Raises UsageError, OutputError."""
    encoder = plan_encoder(options.encode, info.video.layout, hdr=info.video.hdr)
    video = info.video
    target = target_size(
        video.width, video.height, options.size, default_scale=default_scale, layout=encoder.layout
    )
    path = output or _default_output(info, target, options)
    container = container_of(path)
    if container.video is not None and encoder.encoder.codec not in container.video:
        raise UsageError(
            f"{path.name}: a {container.muxer} file cannot hold {options.encode.codec} video; "
            f"an .mkv can"
        )
    _check_output(info.path, path, options)
    return Plan(
        source=info,
        output=path,
        container=container,
        target=target,
        encoder=encoder,
        scan=_scan(info, options),
    )


def _scan(info: SourceInfo, options: UpscaleOptions) -> Scan:
    asked = options.source.deinterlace
    if asked == "auto":
        return detect_scan(info)
    return {"off": Scan.PROGRESSIVE, "bwdif": Scan.INTERLACED, "ivtc": Scan.TELECINED}[asked]


def _default_output(info: SourceInfo, target: Target, options: UpscaleOptions) -> Path:
    """Beside the source: `episode_4x.mkv`, or `episode_1080p.mkv` if a height was asked for."""
    suffix = info.path.suffix.lower()
    codec = {"h265": "hevc", "hevc_nvenc": "hevc", "h264_nvenc": "h264", "av1_nvenc": "av1"}.get(
        options.encode.codec, options.encode.codec
    )
    fitting = CONTAINERS.get(suffix)
    keeps = fitting is not None and (fitting.video is None or codec in fitting.video)
    styled = info.of_kind("attachment") or any(s.codec in _STYLED for s in info.of_kind("subtitle"))
    if styled or not keeps:
        plain = codec in ("h264", "hevc", "av1") and info.format in ("gif", "apng")
        suffix = ".mp4" if plain and not styled else ".mkv"
    if options.size.height is not None or options.size.fit is not None:
        label = f"{target.height}p"
    else:
        label = f"{float(target.scale):g}x"
    return info.path.with_name(f"{info.path.stem}_{label}{suffix}")


def _check_output(source: Path, output: Path, options: UpscaleOptions) -> None:
    if output.exists():
        if output.samefile(source):
            raise UsageError(f"{output}: the result may not take the place of its source")
        if output.is_dir():
            raise UsageError(f"{output}: is a folder; name a file")
        if not options.encode.overwrite:
            raise OutputExists(f"{output}: is there already; use --overwrite, or another -o")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{output.parent}: there is no such folder")


def upscale(
    source: Path | str,
    output: Path | str | None = None,
    options: UpscaleOptions | None = None,
    *,
    sink: Sink = silent,
) -> Result:
    """Upscale the film `source`, with all its streams, to `output`.

    `output` None: beside the source, see the result's `output`. The name appears
    only when the file is complete and verified. `sink` hears of progress and notes,
    from several threads. Raises the errors of `vsr.errors`.
    """
    options = options or UpscaleOptions()
    source, output = Path(source), Path(output) if output is not None else None
    began = time.monotonic()
    once = Once(sink)
    find_ffmpeg()  # before hours of work that would end without it
    info = probe(source, options.colour)  # a bad source is told before weights are fetched
    model = load(options.model, once)
    job = plan(info, output, options, default_scale=model.scale)
    engine = build_engine(model, job.target.scale, options.device)
    video = job.source.video
    for guess in video.guesses:
        once(Note(text=f"{source.name}: {guess}"))
    if video.hdr is not None and encoder_parameters(video.hdr, job.encoder.encoder.name) is None:
        once(Note(text=f"{source.name}: {options.encode.codec} cannot carry its HDR10 metadata"))
    if job.scan is Scan.INTERLACED:
        once(Note(text=f"{source.name}: is interlaced; deinterlaced with bwdif"))
    if job.scan is Scan.TELECINED:
        once(Note(text=f"{source.name}: is telecined; the film's own frames are restored"))
    if video.transparent and not job.encoder.layout.alpha:
        once(Note(text=f"{source.name}: its transparency does not fit {options.encode.codec}"))
    once(
        Started(
            source=source,
            output=job.output,
            frames=video.frames,
            width=job.target.width,
            height=job.target.height,
            description=describe(job, model.name, engine),
        )
    )
    picture = Picture(
        target=job.target,
        layout=job.encoder.layout,
        colour=for_output(
            video.colour, video.layout, job.encoder.layout, job.encoder.encoder.sitings
        ),
        kernel=model.kernel,
        anchored=options.model.keep_colours,
    )
    with _WorkFolder(job.output) as folder:
        encoded = folder / f"picture.{job.encoder.encoder.container}"
        written = run(
            job.source,
            encoded,
            filters=undo(job.scan, video.rate),
            engine=engine,
            picture=picture,
            encoder=job.encoder,
            options=options,
            sink=once,
        )
        joined = folder / f"joined{job.output.suffix}"
        mux(
            EncodedPicture(
                path=encoded,
                codec=job.encoder.encoder.codec,
                frames=written.frames,
                first=written.first,
                last=written.last,
            ),
            job.source,
            joined,
            job.container,
            sink=once,
        )
        os.replace(joined, job.output)
    seconds = time.monotonic() - began
    once(
        Finished(output=job.output, frames=written.frames, seconds=seconds, notes=tuple(once.notes))
    )
    return Result(
        output=job.output,
        frames=written.frames,
        width=job.target.width,
        height=job.target.height,
        seconds=seconds,
        notes=tuple(once.notes),
    )


def describe(job: Plan, model: str, engine: Engine) -> str:
    """The run in one line, for people."""
    video = job.source.video
    return (
        f"{model}, {engine.device} {engine.precision}, {video.width}x{video.height} -> "
        f"{job.target.width}x{job.target.height} {name_of(video.colour.matrix)}, "
        f"{job.encoder.description}"
    )


def default_scale(options: UpscaleOptions) -> int:
    """The scale of the model that is named, without loading it where the catalogue knows."""
    try:
        return find(options.model.name).scale
    except LookupError:
        return load(options.model).scale


class _WorkFolder:
    """A hidden folder beside the output: the same file system, so that a rename finishes."""

    def __init__(self, output: Path) -> None:
        self._parent = output.absolute().parent

    def __enter__(self) -> Path:
        try:
            self._path = Path(tempfile.mkdtemp(prefix=".vsr-", dir=self._parent))
        except OSError as error:
            raise OutputError(f"{self._parent}: cannot be written to ({error.strerror})") from error
        return self._path

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            shutil.rmtree(self._path)
