"""Edges of a picture that its container hides: MP4's clean aperture, Matroska's PixelCrop."""

from __future__ import annotations

from typing import NamedTuple

import torch

from vsr.frame import Layout


class HiddenEdges(NamedTuple):
    """Columns and rows of the decoded picture that are not to be seen."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def seen(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of what is seen of such a picture; all of it if that is nothing.

        A picture that changes on the way may be smaller than what was to be hidden.
        """
        inside = width - self.left - self.right, height - self.top - self.bottom
        return inside if min(inside) > 0 else (width, height)

    def and_hidden(self, *, left: int, right: int, top: int, bottom: int) -> HiddenEdges:
        """Return these edges and, inside them, others."""
        return HiddenEdges(
            self.left + left, self.right + right, self.top + top, self.bottom + bottom
        )

    def cut_off(self, planes: tuple[torch.Tensor, ...], layout: Layout) -> tuple[torch.Tensor, ...]:
        """Return what is seen of `planes`, each (H, W), without copying."""
        height, width = planes[0].shape
        if (size := self.seen(width, height)) == (width, height):
            return planes
        halved = layout.family == "yuv"
        result = []
        for n, (plane, (rows, columns)) in enumerate(
            zip(planes, layout.plane_sizes(*size), strict=True)
        ):
            chroma = halved and n in (1, 2)
            y = self.top >> (layout.sub_y if chroma else 0)
            x = self.left >> (layout.sub_x if chroma else 0)
            result.append(plane[y : y + rows, x : x + columns])
        return tuple(result)

    def __str__(self) -> str:
        """Return which edges they are, for people."""
        named = (f"{count} {name}" for name, count in self._asdict().items() if count)
        return ", ".join(named)


NOTHING_HIDDEN = HiddenEdges()
