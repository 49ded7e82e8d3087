"""Promise: every pixel format that a decoder may hand out is read without loss, or refused."""

from __future__ import annotations

import av
import pytest
import torch

from vsr.frame import Layout
from vsr.media.format.pixel_formats import fill, layout_of, pix_fmt_of, planes_of, working_format

# What common decoders put out. Value: the working format.
COMMON = {
    "yuv420p": "yuv420p", "yuvj420p": "yuvj420p", "nv12": "yuv420p", "p010le": "yuv420p10le",
    "yuv422p10le": "yuv422p10le", "yuyv422": "yuv422p", "yuv444p12le": "yuv444p12le",
    "yuv411p": "yuv411p", "yuv410p": "yuv410p", "yuva420p": "yuva420p", "gray": "gray",
    "gray10le": "gray10le", "gray16be": "gray16le", "ya8": "gbrap", "rgb24": "gbrp",
    "bgra": "gbrap", "rgb48be": "gbrp16le", "pal8": "gbrap", "gbrp10le": "gbrp10le",
    "monow": "gray",
}  # fmt: skip


@pytest.mark.parametrize(("pix_fmt", "want"), COMMON.items())
def test_common_formats(pix_fmt: str, want: str) -> None:
    name, layout = working_format(pix_fmt)
    assert name == want
    source = layout_of(pix_fmt)
    assert source is not None
    assert layout.bits >= source.bits
    assert layout.alpha >= source.alpha
    assert (layout.sub_x, layout.sub_y) == (source.sub_x, source.sub_y)


@pytest.mark.parametrize("pix_fmt", ["cuda", "gbrpf32le", "vaapi", "nonsense"])
def test_what_holds_no_picture_is_refused(pix_fmt: str) -> None:
    with pytest.raises(ValueError, match=pix_fmt):
        working_format(pix_fmt)


@pytest.mark.parametrize("size", [(64, 48), (65, 33), (1, 1)])
@pytest.mark.parametrize(
    "layout",
    [
        Layout(family="yuv", sub_x=1, sub_y=1),
        Layout(family="yuv", sub_x=1, bits=10),
        Layout(family="rgb"),
        Layout(family="rgb", bits=16, alpha=True),
        Layout(family="gray", bits=12),
        Layout(family="yuv", sub_x=1, sub_y=1, alpha=True),
    ],
    ids=lambda x: x.name if isinstance(x, Layout) else str(x),
)
def test_planes_go_in_and_out_unchanged(layout: Layout, size: tuple[int, int]) -> None:
    frame = av.VideoFrame(*size, pix_fmt_of(layout))
    planes = tuple(
        torch.randint(0, 2**layout.bits, shape).to(layout.dtype)
        for shape in layout.plane_sizes(*size)
    )
    fill(frame, planes, layout)
    back = planes_of(frame, layout)
    assert all(torch.equal(a, b) for a, b in zip(planes, back, strict=True))


def test_rgb_planes_are_in_the_order_of_their_name() -> None:
    frame = av.VideoFrame(4, 4, "gbrp")
    fill(frame, tuple(torch.full((4, 4), v).byte() for v in (10, 20, 30)), Layout(family="rgb"))
    assert frame.reformat(format="rgb24").to_ndarray()[0, 0].tolist() == [10, 20, 30]


def test_planes_are_not_copied() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    first = planes_of(frame, Layout(family="yuv", sub_x=1, sub_y=1))[0]
    first.fill_(77)
    assert frame.to_ndarray()[0, 0] == 77
