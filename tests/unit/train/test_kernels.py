"""Blur kernels against the formulas in float64 and against SciPy."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
import torch

from vsr.train.degrade.kernels import (
    GAUSSIAN,
    GENERALISED,
    PLATEAU,
    SIDE,
    bells,
    blur,
    sharpened,
    sincs,
)

_SIGMAS = ((0.2, 0.2), (3.0, 0.7), (1.5, 2.9))


def _bell(
    size: int, sigma: tuple[float, float], angle: float, beta: float, kind: int
) -> np.ndarray:
    """Pixel by pixel, in the axes of the bell."""
    kernel = np.zeros((SIDE, SIDE))
    half = size // 2
    for y in range(-half, half + 1):
        for x in range(-half, half + 1):
            along = x * math.cos(angle) + y * math.sin(angle)
            across = -x * math.sin(angle) + y * math.cos(angle)
            q = (along / sigma[0]) ** 2 + (across / sigma[1]) ** 2
            value = {
                GAUSSIAN: math.exp(-0.5 * q),
                GENERALISED: math.exp(-0.5 * q**beta),
                PLATEAU: 1 / (q**beta + 1),
            }[kind]
            kernel[y + SIDE // 2, x + SIDE // 2] = value
    kernel /= kernel.sum()
    return kernel


@pytest.mark.parametrize("kind", [GAUSSIAN, GENERALISED, PLATEAU])
def test_bells_follow_their_formulas(kind: int) -> None:
    for n, sigma in enumerate(_SIGMAS):
        size, angle, beta = (7, 13, 21)[n], (0.3, -2.0, 3.0)[n], (0.6, 1.7, 4.0)[n]
        found = bells(
            size=torch.tensor([size]),
            sigma=torch.tensor([sigma], dtype=torch.float64),
            angle=torch.tensor([angle], dtype=torch.float64),
            beta=torch.tensor([beta], dtype=torch.float64),
            shape=torch.tensor([kind]),
        )
        assert np.abs(found[0].numpy() - _bell(size, sigma, angle, beta, kind)).max() < 1e-12


def test_a_gaussian_is_scipys() -> None:
    """Of the same covariance, up to the sum."""
    angle, (a, b) = 0.7, (2.5, 1.1)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    y, x = np.mgrid[-10:11, -10:11]
    covariance = turn @ np.diag([a * a, b * b]) @ turn.T
    want = scipy.stats.multivariate_normal(cov=covariance).pdf(np.stack([x, y], -1))
    found = bells(
        size=torch.tensor([21]),
        sigma=torch.tensor([[a, b]], dtype=torch.float64),
        angle=torch.tensor([angle], dtype=torch.float64),
        beta=torch.ones(1, dtype=torch.float64),
        shape=torch.tensor([GAUSSIAN]),
    )
    assert np.abs(found[0].numpy() - want / want.sum()).max() < 1e-12


def test_sincs_follow_their_formula() -> None:
    for size, cutoff in ((7, math.pi / 3), (15, 2.0), (21, math.pi)):
        want = np.zeros((SIDE, SIDE))
        for y in range(-(size // 2), size // 2 + 1):
            for x in range(-(size // 2), size // 2 + 1):
                r = math.hypot(x, y)
                value = cutoff**2 / (4 * math.pi)
                if r:
                    value = cutoff * scipy.special.jv(1, cutoff * r) / (2 * math.pi * r)
                want[y + SIDE // 2, x + SIDE // 2] = value
        found = sincs(size=torch.tensor([size]), cutoff=torch.tensor([cutoff], dtype=torch.float64))
        assert np.abs(found[0].numpy() - want / want.sum()).max() < 1e-7


def test_each_picture_is_blurred_by_its_own_kernel() -> None:
    chance = torch.Generator().manual_seed(1)
    pictures = torch.rand(2, 3, 24, 31, generator=chance, dtype=torch.float64)
    kernels = torch.rand(2, SIDE, SIDE, generator=chance, dtype=torch.float64)
    found = blur(pictures, kernels).numpy()
    for n in range(2):
        for c in range(3):
            want = scipy.ndimage.correlate(
                pictures[n, c].numpy(), kernels[n].numpy(), mode="mirror"
            )
            assert np.abs(found[n, c] - want).max() < 1e-10


def test_the_target_is_sharpened_as_opencv_would() -> None:
    chance = np.random.default_rng(2)
    picture = scipy.ndimage.gaussian_filter(chance.random((160, 160, 3)), (2, 2, 0)) * 4 - 1.5
    picture = picture.clip(0, 1).astype(np.float32)
    soft = cv2.GaussianBlur(picture, (51, 51), 0)
    rest = picture - soft
    mask = cv2.GaussianBlur((np.abs(rest) * 255 > 10).astype(np.float32), (51, 51), 0)
    want = mask * np.clip(picture + 0.5 * rest, 0, 1) + (1 - mask) * picture
    found = sharpened(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    inside = slice(51, -51)
    assert np.abs(found - want)[inside, inside].max() < 1e-4
