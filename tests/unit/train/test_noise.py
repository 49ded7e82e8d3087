"""Noise: its moments and its distribution, against theory and SciPy."""

from __future__ import annotations

import numpy as np
import scipy.stats
import torch

from vsr.train.degrade.noise import gaussian, poisson


def _chance() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_gaussian_noise_is_normal_with_its_own_sigma() -> None:
    flat = torch.full((2, 3, 100, 100), 0.5)
    noisy = gaussian(flat, torch.tensor([3.0, 20.0]), torch.tensor([False, False]), _chance())
    for noise, sigma in zip((noisy - flat) * 255, (3.0, 20.0), strict=True):
        assert scipy.stats.kstest(noise.flatten().numpy(), "norm", (0, sigma)).pvalue > 0.01
        assert abs(np.corrcoef(noise[0].flatten(), noise[1].flatten())[0, 1]) < 0.05


def test_grey_noise_is_the_same_in_all_channels() -> None:
    flat = torch.full((2, 3, 50, 50), 0.5)
    for add in (gaussian, poisson):
        noisy = add(flat, torch.tensor([2.0, 2.0]), torch.tensor([True, False]), _chance()) - flat
        assert (noisy[0, 0] - noisy[0, 1]).abs().max() < 1e-6
        assert (noisy[1, 0] - noisy[1, 1]).abs().max() > 0.001


def test_poisson_noise_is_that_of_counted_light() -> None:
    """A picture of two values: 1 bit of quanta; of 200: 256 quanta make white."""
    values = torch.arange(200).repeat(500)[: 250 * 400].reshape(1, 1, 250, 400) / 255
    picture = values.expand(1, 3, -1, -1)
    noise = (poisson(picture, torch.ones(1), torch.tensor([False]), _chance()) - picture)[0]
    for code in (40, 150):
        counts = ((noise[values[0].expand(3, -1, -1) == code / 255] + code / 255) * 256).round()
        law = scipy.stats.poisson(code / 255 * 256)
        edges = np.array([-1, *np.unique(law.ppf(np.linspace(0.1, 0.9, 9))), 10**6])
        seen = np.histogram(counts.numpy(), edges + 0.5)[0]
        want = np.diff(law.cdf(edges)) * len(counts)
        assert scipy.stats.chisquare(seen, want * seen.sum() / want.sum()).pvalue > 0.001


def test_poisson_noise_grows_with_its_scale() -> None:
    picture = (torch.arange(256).repeat(64).reshape(1, 1, 64, 256) / 255).expand(2, 3, -1, -1)
    middle = (picture > 0.3) & (picture < 0.5)  # where nothing is clipped
    scales, grey = torch.tensor([0.05, 1.0]), torch.tensor([False, False])
    noise = poisson(picture, scales, grey, _chance()) - picture
    low, high = (noise[n][middle[n]].std() for n in range(2))
    assert abs(high / low - 20) < 1
    assert abs(high - (0.4 / 256) ** 0.5) < 0.002
