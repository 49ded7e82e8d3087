"""ffmpeg's pixel formats and our layouts: which is which, and what to convert first."""

from __future__ import annotations

import re

import av
import torch

from vsr.frame import Layout

# Planar formats whose planes are used as they are. Plane order of gbrp is G, B, R.
_YUV = {
    (0, 0): "yuv444p",
    (1, 0): "yuv422p",
    (1, 1): "yuv420p",
    (0, 1): "yuv440p",
    (2, 0): "yuv411p",
    (2, 2): "yuv410p",
}
_GBR_TO_RGB = (2, 0, 1)


def layout_of(pix_fmt: str) -> Layout | None:
    """Return the layout that holds all of `pix_fmt`, or None for what has no picture planes."""
    try:
        form = av.VideoFormat(pix_fmt)
    except ValueError:
        return None
    components = form.components
    # Floating point only comes from exotic stills; swscale aborts the process on some of it.
    if (
        not components
        or re.search(r"f(16|32)[lb]e$", pix_fmt)
        or max(c.bits for c in components) > 16
    ):
        return None
    alpha = any(c.is_alpha for c in components)
    bits = max(8, *(c.bits for c in components))
    if pix_fmt == "pal8":
        return Layout(family="rgb", alpha=True)
    if form.is_rgb or pix_fmt.startswith(("bayer", "xyz")):
        return Layout(family="rgb", bits=bits, alpha=alpha)
    if len(components) - alpha == 1:
        return Layout(family="gray", bits=bits, alpha=alpha)
    # Asked about a picture of 16x16, a chroma component tells its subsampling.
    chroma = av.VideoFormat(pix_fmt, 16, 16).components[1]
    sub = ((16 // chroma.width).bit_length() - 1, (16 // chroma.height).bit_length() - 1)
    return Layout(family="yuv", bits=bits, sub_x=sub[0], sub_y=sub[1], alpha=alpha)


def pix_fmt_of(layout: Layout) -> str:
    """Return the planar pixel format with exactly these planes, as far as ffmpeg has one."""
    depth = "" if layout.bits <= 8 else f"{layout.bits}le"
    if layout.family == "rgb":
        return ("gbrap" if layout.alpha else "gbrp") + depth
    if layout.family == "gray":
        # There is no planar grey with alpha: it becomes RGB with alpha.
        return f"gbrap{depth}" if layout.alpha else f"gray{depth}"
    name = _YUV[layout.sub_x, layout.sub_y]
    if layout.alpha:
        name = name.replace("yuv", "yuva")
    return name + depth


def working_format(pix_fmt: str) -> tuple[str, Layout]:
    """Return (pixel format, layout) that a frame of `pix_fmt` is brought to without loss.

    Itself where its planes can be used as they are; else the planar format with
    the same samples (nv12 -> yuv420p, rgb24 -> gbrp, pal8 -> gbrap). Raises
    ValueError for formats that hold no picture in memory.
    """
    layout = layout_of(pix_fmt)
    if layout is None:
        raise ValueError(pix_fmt)
    if pix_fmt.startswith("yuvj"):  # yuv420p under the name that says full range
        return pix_fmt, layout
    for bits in dict.fromkeys((layout.bits, 10, 12, 14, 16)):
        if bits < layout.bits:
            continue
        candidate = layout.replace(bits=bits)
        if candidate.family == "gray" and candidate.alpha:
            candidate = candidate.replace(family="rgb")
        name = pix_fmt_of(candidate)
        if _exists(name):
            return name, candidate
    if layout.alpha:  # a layout that has no alpha form, such as 4:4:0
        return working_format("yuva444p16le" if layout.family == "yuv" else "gbrap16le")
    raise ValueError(pix_fmt)


def _exists(name: str) -> bool:
    try:
        av.VideoFormat(name)
    except ValueError:
        return False
    return True


def planes_of(frame: av.VideoFrame, layout: Layout) -> tuple[torch.Tensor, ...]:
    """Return the planes of a frame in its working format, without copying; in our order."""
    sizes = layout.plane_sizes(frame.width, frame.height)
    # A plane keeps its frame's memory alive for as long as the tensor lives.
    tensors = [torch.from_dlpack(plane) for plane in frame.planes]  # type: ignore[attr-defined]
    if layout.family == "rgb":
        tensors[:3] = [tensors[i] for i in _GBR_TO_RGB]
    return tuple(t[: size[0], : size[1]] for t, size in zip(tensors, sizes, strict=True))


def fill(frame: av.VideoFrame, planes: tuple[torch.Tensor, ...], layout: Layout) -> None:
    """Copy our planes into a frame of `pix_fmt_of(layout)`."""
    order = list(range(len(planes)))
    if layout.family == "rgb":
        order[:3] = [_GBR_TO_RGB.index(i) for i in range(3)]
    for target, plane in zip(planes_raw(frame), (planes[i] for i in order), strict=True):
        target[: plane.shape[0], : plane.shape[1]].copy_(plane)


def planes_raw(frame: av.VideoFrame) -> list[torch.Tensor]:
    """Return the planes of a frame as they lie in memory, without copying."""
    return [torch.from_dlpack(plane) for plane in frame.planes]  # type: ignore[attr-defined]
