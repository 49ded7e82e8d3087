"""Pictures of linear light in floating point (OpenEXR, Radiance), as networks know pictures.

They were taught on pictures whose transfer is sRGB's, with samples from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import torch
from numpy.typing import NDArray

from vsr.media.format.pixel_formats import planes_raw

LINEAR = frozenset({"exr", "hdr"})  # ffmpeg's names of the codecs
_FORMATS = {"gray": "gray16le", "gbrp": "gbrp16le", "gbrap": "gbrap16le"}
_FLOATS = {"f32le": "<f4", "f16le": "<f2"}
_BRIGHTEST = 65504  # of a half, in place of what is infinite
_SRGB, _FULL = 13, 2  # ffmpeg's numbers of the transfer and the range
SAID = "holds linear light in floats: read as sRGB with 16 bit"


@dataclass(frozen=True)
class Clipped:
    """What is brighter than white, or darker than black, and has no place in the samples."""

    share: float  # of all pixels
    brightest: float  # 1 is white

    def __str__(self) -> str:
        return (
            f"{self.share:.2%} of its pixels lie outside of black and white (up to "
            f"{self.brightest:.4g} times white) and are clipped"
        )


def with_srgb(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame of linear floats as one of 16-bit samples with sRGB's transfer.

    Others are returned as they are. Its `opaque` tells what was clipped, if anything. OpenEXR's
    colours are multiplied by their alpha, those of the result are not.
    """
    kind, width, height = frame.format.name[:-5], frame.width, frame.height
    sample = _FLOATS.get(frame.format.name[-5:])
    if kind not in _FORMATS or sample is None:
        return frame
    planes = [
        np.frombuffer(bytes(plane), sample).reshape(plane.height, -1)[:height, :width]
        for plane in frame.planes
    ]
    planes = [np.nan_to_num(plane.astype(np.float64), posinf=_BRIGHTEST) for plane in planes]
    light, alpha = np.stack(planes[:3]), [plane.clip(0, 1) for plane in planes[3:]]
    for plane in alpha:
        light = light / np.where(plane > 0, plane, 1)
    made = av.VideoFrame(width, height, _FORMATS[kind])
    samples = [*_srgb(light.clip(0, 1)), *alpha]
    for target, plane in zip(planes_raw(made), samples, strict=True):
        whole = np.rint(plane * 65535).astype(np.uint16)
        target[:height, :width].copy_(torch.from_numpy(whole))
    made.pts, made.time_base, made.duration = frame.pts, frame.time_base, frame.duration
    made.color_trc, made.color_range = _SRGB, _FULL
    made.color_primaries = frame.color_primaries
    outside = ((light > 1) | (light < 0)).any(axis=0)
    if outside.any():
        made.opaque = Clipped(float(outside.mean()), float(light.max()))
    return made


def _srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the transfer of IEC 61966-2-1 of light from 0 to 1."""
    curve = 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, 12.92 * light, curve)
