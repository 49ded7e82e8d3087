"""Upscaling of numpy arrays and PIL images, with a network that is loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from vsr.engine.cache import EngineCache
from vsr.errors import UsageError
from vsr.events import Sink, silent
from vsr.frame import Frame
from vsr.media.format.array_image import frames_of
from vsr.nets.store import with_own_colours
from vsr.options import DEFAULT_MODEL, OptionField, UpscaleOptions, keywords_of, with_keywords
from vsr.stages.device import upscaler
from vsr.stages.device.size import target_size
from vsr.stages.device.stage import OutputImage
from vsr.stages.temporal.deflicker import deflicker

ImageT = TypeVar("ImageT")

_GROUPS = ("model", "size", "device", "temporal")
_OF_FILMS = ("device.workers", "size.square")


class Upscaler:
    """Enlarges images: call it with one, as often as you like.

        with vsr.Upscaler("x4plus", scale=2) as upscale:
            large = upscale(array)

    Options are those of `vsr.upscale` that decide on pixels, by name: `scale`, `size`, `height`,
    `device`, `precision`, `tile`, `grain`... `sink` hears of notes and downloads. Not for several
    threads at once.

    Raises the errors of `vsr.errors`: for a model that is not there or broken, and for an option
    that is of films.
    """

    def __init__(
        self, model: str | Path = DEFAULT_MODEL, *, sink: Sink = silent, **chosen: Any
    ) -> None:
        table = keywords_of(UpscaleOptions)
        for name in chosen:
            if name in table and not _is_of_images(table[name]):
                raise UsageError(f"{name}: is an option of films; vsr.upscale takes it")
        self._options = with_keywords(UpscaleOptions(), {**chosen, "model": str(model)})
        if self._options.temporal.filter == "auto":
            raise UsageError("temporal_filter auto: looks at a film first; name light or strong")
        self._sink = sink
        self._engines: EngineCache | None = EngineCache()
        self._model = self._engines.model(self._options.model, sink)
        self._options = with_own_colours(self._model, self._options, sink)

    @property
    def scale(self) -> int:
        """By how much the network enlarges, if no size is asked for."""
        return self._model.scale

    def __call__(self, image: ImageT) -> ImageT:
        """Return `image` enlarged, as the same kind: its type, its mode, its number of channels.

        `image`: a numpy array, (H, W, 3 or 4) RGB or RGBA, uint8, uint16 or float32 in 0..1; or
        (N, H, W, 3 or 4), frames that follow each other; or a PIL image of mode L, RGB or RGBA.
        Alpha is not multiplied in. float32 is computed as 16 bits, so values outside 0..1 are
        clipped. What it was decoded from cannot be told: by default results are made consistent
        with `image`, as those of a PNG are; for what was coded with loss choose consistent="off".

        Raises UsageError for anything else, and OutOfMemory.
        """
        if self._engines is None:
            raise UsageError("this Upscaler is closed")
        given = frames_of(image)
        restored: ImageT = given.restore(list(self._upscaled(given.frames)))
        return restored

    def close(self) -> None:
        """Give back the network's memory."""
        self._engines = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _upscaled(self, frames: list[Frame]) -> Iterator[Frame]:
        assert self._engines is not None
        options, first = self._options, frames[0]
        target = target_size(
            first.width, first.height, options.size,
            default_scale=self._model.scale, layout=first.layout,
        )  # fmt: skip
        engine = self._engines.engine(
            options.model, Fraction(target.scale), options.device, self._sink
        )
        image = OutputImage(
            target=target, layout=first.layout, colour=first.colour,
            kernel=self._model.kernel, clean_source=True,
        )  # fmt: skip
        # Made anew: nothing that was upscaled in an earlier call has to do with this one.
        upscale = upscaler.Upscaler(engine, image, options, sink=self._sink)
        return upscale(deflicker(frames) if options.temporal.deflicker else frames)


def _is_of_images(leaf: OptionField) -> bool:
    return leaf.path.split(".")[0] in _GROUPS and leaf.path not in _OF_FILMS
