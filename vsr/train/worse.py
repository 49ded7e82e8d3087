"""A film, a picture or a sheet of samples, made worse: what `vsr degrade` does."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vsr.errors import InputError, OutputError, OutputExists, UsageError
from vsr.events import Finished, Note, Progress, Sink, Started, silent
from vsr.frame import Colour, Frame, Layout, Matrix, Range, Siting
from vsr.media.format.contact_sheet import write_png
from vsr.media.format.containers import container_of
from vsr.media.format.encoders import plan_encoder
from vsr.media.source.image_list import is_picture
from vsr.media.source.kinds.base import Source
from vsr.media.write.writer import VideoFormat, write_frames
from vsr.options import EncodeOptions
from vsr.stages.colour.convert import from_rgb
from vsr.train.degrade.draws import draw
from vsr.train.degrade.pipeline import apply_film, check_size, degrade
from vsr.train.degrade.settings import Damage
from vsr.train.film import codes, frames, opened, pieces, rgb, stacked

_PIECE = 24_000_000  # pixels that are damaged together, at most
_FRAMES = 48
_WALK = 2000  # frames that are drawn for a film; behind them values walk back and forth
_COLUMNS = 4  # of a sheet
_CRF = 12  # of the result: what it loses is as nothing beside the damage


def degrade_file(
    path: Path,
    output: Path,
    damage: Damage,
    *,
    seed: int = 0,
    sheet: int = 0,
    overwrite: bool = False,
    sink: Sink = silent,
) -> Path:
    """Write the damaged film or picture `output`, or a sheet of `sheet` samples of `path`.

    A film has one draw for all of its frames, in which values walk. Its sound is left out, and
    sides are cut to what `damage.scale` and 4:2:0 divide. Raises InputError, UsageError,
    OutputError.
    """
    if output.exists() and not overwrite:
        raise OutputExists(f"{output}: is there already; <encode.overwrite> replaces it")
    if output.exists() and path.exists() and output.samefile(path):
        raise UsageError(f"{output}: is the source")
    if output.is_dir():
        raise OutputError(f"{output}: is a folder")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: cannot be written (there is no folder {output.parent})")
    if is_picture(output.name) and output.suffix.lower() != ".png":
        raise UsageError(f"{output}: pictures are written as .png; give it that name")
    began = time.monotonic()
    source = opened(path)
    video = source.video
    check_size(video.height, video.width, damage)
    still = is_picture(output.name)
    if sheet and not still:
        raise UsageError(f"{output}: a sheet is a picture; call it .png")
    width, height = (side // damage.scale for side in (video.width, video.height))
    count = sheet or (1 if still else video.frames)
    sink(
        Started(
            source=path, output=output, frames=count, width=width, height=height, store=None,
            description=f"damage at scale 1/{damage.scale}, seed {seed} -> {width}x{height}",
        )
    )  # fmt: skip
    done = _sheet(source, output, damage, seed, sheet or 1) if still else 0
    done = done or _film(source, output, damage, seed, sink)
    sink(Finished(output=output, frames=done, seconds=time.monotonic() - began))
    return output


def _sheet(source: Source, output: Path, damage: Damage, seed: int, count: int) -> int:
    """Make a sheet of pictures from all over the film, each with a seed of its own, in rows."""
    length = source.duration or 0.0
    rows = min(_COLUMNS, count)
    tiles: list[Tensor] = []
    for n in range(count):
        start = length * n / count if source.video.frames != 1 and n else None
        with closing(frames(source, start=start)) as found:
            frame = next(found, None)
        if frame is None:
            raise InputError(f"{source.path}: no picture at {start or 0:.1f} s")
        tiles.append(degrade(rgb(frame)[None, None], [seed + n], damage)[0, 0])
    tiles += [torch.zeros_like(tiles[0])] * (-count % rows)
    lines = [torch.cat(tiles[n : n + rows], 2) for n in range(0, len(tiles), rows)]
    write_png(output, codes(torch.cat(lines, 1)).permute(1, 2, 0).numpy())
    return count


def _film(source: Source, output: Path, damage: Damage, seed: int, sink: Sink) -> int:
    container = container_of(output)
    options = EncodeOptions(codec=container.usual)
    if container.usual == "h264":
        # With it x264 gives other bits from run to run where 16 does not divide a side (measured).
        options = EncodeOptions(
            codec="h264", crf=_CRF, encoder_options=(("x264-params", "no-mbtree=1"),)
        )
    plan = plan_encoder(options, Layout(family="yuv", sub_x=1, sub_y=1), planar=True)
    video = source.video
    step = 2 * damage.scale
    size = (video.height // step * step, video.width // step * step)
    if any(stream.kind == "audio" for stream in source.streams):
        sink(Note(text=f"{source.path.name}: its sound is left out"))
    matrix = video.colour.matrix if video.layout.family == "yuv" else Matrix.BT709
    colour = dataclasses.replace(
        video.colour, matrix=matrix, range=Range.LIMITED, siting=Siting.LEFT
    )
    part = output.with_name(f".{output.stem}.{os.getpid()}{output.suffix}")
    done = 0
    try:
        written = write_frames(
            _damaged(source, size, damage, seed, plan.layout, colour, sink), part, plan,
            VideoFormat(
                width=size[1] // damage.scale, height=size[0] // damage.scale, colour=colour,
                rate=video.rate, time_base=video.time_base,
                sample_aspect_ratio=video.sample_aspect_ratio or Fraction(1),
                display_matrix=video.display_matrix,
            ),
            muxer_options=container.options, muxer=container.muxer,
        )  # fmt: skip
        with closing(written):
            for done, _ in enumerate(written, start=1):
                sink(Progress(frames=done))
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)
    return done


def _damaged(  # noqa: PLR0917
    source: Source,
    size: tuple[int, int],
    damage: Damage,
    seed: int,
    layout: Layout,
    colour: Colour,
    sink: Sink,
) -> Iterator[Frame]:
    """Damage piece by piece, which is the same as in one: what looks at other frames, an encoder
    above all, sees the whole film go by.
    """
    height, width = size
    length = max(min(_FRAMES, _PIECE // (height * width)), 1)
    drawn = draw(seed, damage, clips=1, frames=_WALK)  # not of the film's length: an estimate
    waiting: deque[Frame] = deque()  # without planes, for what an encoder holds back
    with closing(frames(source, sink=sink)) as found:
        runs = _runs(pieces(found, length), source, waiting)
        cut = (run[..., :height, :width] for run in runs)
        for pictures in apply_film(cut, drawn, damage):
            for picture in pictures:
                planes = tuple(plane[0] for plane in from_rgb(picture[None], layout, colour))
                yield waiting.popleft().with_planes(planes, layout, colour)


def _runs(
    found: Iterable[Sequence[Frame]], source: Source, waiting: deque[Frame]
) -> Iterator[Tensor]:
    """Yield runs (T, 3, H, W); their frames are noted in `waiting`."""
    for run in found:
        waiting.extend(frame.with_planes((), frame.layout, frame.colour) for frame in run)
        yield stacked(run, source)
