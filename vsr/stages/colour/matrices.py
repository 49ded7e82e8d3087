"""RGB of the codings of colour that are more than a weighted luma and two differences from it.

YCgCo and the luma of other primaries are linear, too; constant luminance and ICtCp (ITU-R BT.2020
and BT.2100; ITU-T H.273, section 8.3) are sums of light, so their way to R'G'B' leads through the
transfer function and back. Nothing is clipped: what is darker than black keeps its sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from vsr.frame import CHROMATICITIES, HLG, PQ, Colour, Matrix

_Curve = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]  # to light, and back
_Rows = tuple[tuple[float, float, float], ...]


# Of 4096 parts: BT.2100 tables 5 and 7.
_LMS_OF_RGB = ((1688, 2146, 262), (683, 2951, 462), (99, 309, 3688))
_ICTCP_OF_LMS = {
    PQ: ((2048, 2048, 0), (6610, -13613, 7003), (17933, -17390, -543)),
    HLG: ((2048, 2048, 0), (3625, -7465, 3840), (9500, -9212, -288)),
}


def rgb_of(first: Tensor, second: Tensor, third: Tensor, colour: Colour) -> Tensor:
    """Map (N, H, W) each, of one size: luma in 0..1, chroma in -0.5..0.5 -> (N, 3, H, W) R'G'B'.

    For the matrices that `shares` of `vsr.stages.colour.convert` has no numbers for.
    """
    if colour.matrix is Matrix.YCGCO:
        rest = first - second
        return torch.stack((rest + third, first + second, rest - third), 1)
    if colour.matrix is Matrix.ICTCP:
        return _of_ictcp(first, second, third, colour.transfer)
    constant = colour.matrix is Matrix.BT2020_CL
    # BT.2020 rounds its own.
    kr, kb = (0.2627, 0.0593) if constant else derived_weights(colour.primaries)
    if colour.matrix is Matrix.DERIVED_NCL:
        blue, red = first + 2 * (1 - kb) * second, first + 2 * (1 - kr) * third
        return _with_green(first, blue, red, kr, kb)
    return _of_constant_luminance(first, second, third, kr, kb)


@lru_cache(maxsize=16)
def derived_weights(primaries: int) -> tuple[float, float]:
    """Return (Kr, Kb) of H.273's equations 32 to 37: the share of white's light that red and blue
    are.
    """
    points = CHROMATICITIES[primaries]
    x, y = points[0::2], points[1::2]
    columns = torch.tensor(
        [[x[n] / y[n], 1.0, (1 - x[n] - y[n]) / y[n]] for n in range(4)], dtype=torch.float64
    ).T
    shares = torch.linalg.solve(columns[:, :3], columns[:, 3])
    return float(shares[0]), float(shares[2])


def _with_green(luma: Tensor, blue: Tensor, red: Tensor, kr: float, kb: float) -> Tensor:
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return torch.stack((red, green, blue), 1)


def _of_constant_luminance(luma: Tensor, cb: Tensor, cr: Tensor, kr: float, kb: float) -> Tensor:
    """Convert where luma is the curve's value of luminance, and each difference is scaled to
    +-0.5.
    """
    to_light, to_signal = _CAMERA

    def primary(difference: Tensor, k: float) -> Tensor:
        below, above = (float(to_signal(torch.tensor(v, dtype=torch.float64))) for v in (1 - k, k))
        return luma + torch.where(difference > 0, 2 * (1 - above), 2 * below) * difference

    blue, red = primary(cb, kb), primary(cr, kr)
    light = _with_green(to_light(luma), to_light(blue), to_light(red), kr, kb)
    # Red and blue are known as they are; only green comes out of the light.
    return torch.stack((red, to_signal(light[:, 1]), blue), 1)


def _of_ictcp(intensity: Tensor, ct: Tensor, cp: Tensor, transfer: int) -> Tensor:
    to_light, to_signal = _CURVES[transfer]
    lms = _mixed(_inverse(_ICTCP_OF_LMS[transfer]), (intensity, ct, cp))
    light = _mixed(_inverse(_LMS_OF_RGB), tuple(to_light(one) for one in lms))
    return torch.stack([to_signal(one) for one in light], 1)


def _mixed(rows: _Rows, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return one sum of the three parts for each row; a matrix product would run in TF32 on
    CUDA.
    """
    return tuple(
        (parts[0] * row[0]).add_(parts[1], alpha=row[1]).add_(parts[2], alpha=row[2])
        for row in rows
    )


@lru_cache(maxsize=4)
def _inverse(rows: tuple[tuple[int, int, int], ...]) -> _Rows:
    inverse = torch.linalg.inv(torch.tensor(rows, dtype=torch.float64) / 4096)
    return tuple((float(row[0]), float(row[1]), float(row[2])) for row in inverse)


# --- transfer functions, each in both directions; light and signal are 1 at their nominal peak ---

_ALPHA, _BETA = 1.09929682680944, 0.018053968510807  # H.273, below table 3
_M1, _M2 = 2610 / 16384, 2523 / 32  # SMPTE ST 2084
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_A = 0.17883277  # ARIB STD-B67
_B, _C = 1 - 4 * _A, 0.5 - _A * math.log(4 * _A)
_BRIGHTEST = 1.5  # signal; just below 2 the curve of ST 2084 has no value any more


def _signed(curve: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: curve(x.abs()) * x.sign()


def _camera_light(e: Tensor) -> Tensor:
    return torch.where(e < 4.5 * _BETA, e / 4.5, ((e + _ALPHA - 1) / _ALPHA) ** (1 / 0.45))


def _camera_signal(light: Tensor) -> Tensor:
    return torch.where(light < _BETA, 4.5 * light, _ALPHA * light**0.45 - (_ALPHA - 1))


def _pq_light(e: Tensor) -> Tensor:
    # The root is close to 1: what it is less than 1 keeps fp32's digits, and with them the dark
    # parts of a saturated colour, which are small differences of large sums of light.
    less = torch.expm1(e.clamp(1e-9, _BRIGHTEST).log() / _M2)
    return ((1 - _C1 + less).clamp_min_(0) / (_C2 - _C3 - _C3 * less)) ** (1 / _M1)


def _pq_signal(light: Tensor) -> Tensor:
    root = light**_M1
    return ((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2


def _hlg_light(e: Tensor) -> Tensor:
    return torch.where(e <= 0.5, e * e / 3, (((e - _C) / _A).exp() + _B) / 12)


def _hlg_signal(light: Tensor) -> Tensor:
    bright = _A * (12 * light - _B).clamp_min(1e-6).log() + _C
    return torch.where(light <= 1 / 12, (3 * light).sqrt(), bright)


_CAMERA: _Curve = (_signed(_camera_light), _signed(_camera_signal))
_CURVES: Mapping[int, _Curve] = {
    PQ: (_signed(_pq_light), _signed(_pq_signal)),
    HLG: (_signed(_hlg_light), _signed(_hlg_signal)),
}
