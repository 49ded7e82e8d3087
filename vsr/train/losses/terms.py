"""What training makes small. Pictures are (N, 3, H, W), clips (N, T, 3, H, W), RGB in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr.train.losses.features import WEIGHTS, Features
from vsr.train.options import GanKind

_EPS = 1e-3  # of Charbonnier's root


def charbonnier(found: Tensor, want: Tensor) -> Tensor:
    """Return () mean of sqrt(d^2 + eps^2): L1 that is smooth at 0."""
    return ((found - want).square() + _EPS**2).sqrt().mean()


def perceptual(found: Tensor, want: Tensor, features: Features) -> Tensor:
    """Return () weighted L1 between the maps of a network that sees (Johnson et al., 2016)."""
    with torch.no_grad():
        targets = features(want)
    total = found.new_zeros(())
    for weight, mine, theirs in zip(WEIGHTS, features(found), targets, strict=True):
        total = total + weight * (mine - theirs).abs().mean()
    return total


def gan(logits: Tensor, real: bool, kind: GanKind) -> Tensor:
    """Return () how far the verdict is from `real`: cross entropy, or least squares."""
    want = torch.full_like(logits, float(real))
    if kind == "vanilla":
        return F.binary_cross_entropy_with_logits(logits, want)
    return F.mse_loss(logits, want)


def consistency(found: Tensor, want: Tensor, scale: int) -> Tensor:
    """Return () L1 at the low resolution: what `found` is there, colours above all, `want` is
    too.
    """
    return (F.avg_pool2d(found, scale) - F.avg_pool2d(want, scale)).abs().mean()


def temporal(found: Tensor, want: Tensor) -> Tensor:
    """Return () L1 of the changes from frame to frame of clips: what flickers in one alone."""
    return (found.diff(dim=1) - want.diff(dim=1)).abs().mean()
