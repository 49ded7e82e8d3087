"""The colours of each frame of a GIF, by ffmpeg's palettegen and paletteuse."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.filter import Graph

from vsr.media.read.interlace import graph_from, pulled

# Ordered dithering: unlike error diffusion it does not crawl where the picture stands still. Of its
# scales the faintest is the smallest and the most like the source (benchmarks/gif.py).
_DITHER = "new=1:dither=bayer:bayer_scale=5:alpha_threshold=128"


class PaletteFilter:
    """RGBA pictures in, pictures of a few colours out, one palette a picture; None ends it."""

    def __init__(self, colours: int) -> None:
        """Take `colours`, 2 to 256, of which one is what can be seen through."""
        self._colours = colours
        self._graph: Graph | None = None

    def __call__(self, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Put a picture in, or None for the end; yield what is finished."""
        if picture is not None and self._graph is None:
            self._graph = _graph(picture, self._colours)
        if self._graph is not None:
            self._graph.vpush(picture)
            yield from pulled(self._graph)


def _graph(picture: av.VideoFrame, colours: int) -> Graph:
    graph, source = graph_from(picture)
    split = graph.add("split")
    kind = f"stats_mode=single:reserve_transparent=1:max_colors={colours}"
    generate = graph.add("palettegen", kind)
    use = graph.add("paletteuse", _DITHER)
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(generate, 0)
    split.link_to(use, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
