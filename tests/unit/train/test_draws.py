"""10,000 draws against the TOML file, by chi-square and Kolmogorov-Smirnov tests."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from vsr.errors import InputError, UsageError
from vsr.train.degrade.draws import (
    draw_blur,
    draw_codec,
    draw_last,
    draw_noise,
    draw_resize,
    draw_video,
)
from vsr.train.degrade.settings import DAMAGE_FILE, read_damage

_COUNT = 10_000
_TOML = tomllib.loads(DAMAGE_FILE.read_text())
_SURE = 0.001  # of a false alarm, for each of the draws, which are the same in every run


def _as_told(seen: Sequence[Any], shares: Mapping[Any, float]) -> None:
    counts = Counter(seen)
    assert set(counts) <= set(shares)
    want = [share * len(seen) for share in shares.values()]
    assert scipy.stats.chisquare([counts[name] for name in shares], want).pvalue > _SURE


def _even(values: Any, low: float, high: float) -> None:
    assert scipy.stats.kstest(values, "uniform", (low, high - low)).pvalue > _SURE


@pytest.mark.parametrize("stage", ["first", "second"])
def test_blurs(stage: str) -> None:
    damage, told = read_damage(), _TOML[stage]["blur"]
    chance = np.random.default_rng(1)
    blur = draw_blur(chance, getattr(damage, stage).blur, damage.walk, _COUNT, 1)
    shares = {name: share * (1 - told["sinc"]) for name, share in told["kinds"].items()}
    _as_told(blur.kind, shares | {"sinc": told["sinc"]})
    _as_told(blur.size.tolist(), dict.fromkeys(told["sizes"], 1 / len(told["sizes"])))
    kinds = np.array(blur.kind)
    wide, slim = blur.sigma[:, 0].T
    _even(wide, *told["sigma"])
    skew = np.char.endswith(kinds, "aniso")
    assert (wide == slim)[~skew & (kinds != "sinc")].all()
    _even(slim[skew], *told["sigma"])
    _even(blur.angle[skew], *told["angle"])
    general = blur.beta[np.char.startswith(kinds, "generalized"), 0]
    _as_told((general < 1).tolist(), {True: 0.5, False: 0.5})
    _even(general[general < 1], told["beta"][0], 1)
    _even(general[general >= 1], 1, told["beta"][1])
    plateau = blur.beta[np.char.startswith(kinds, "plateau"), 0]
    _as_told((plateau == 1).tolist(), {True: 0.5, False: 0.5})
    small = blur.size < 13
    _even(blur.cutoff[small], math.pi / 3, math.pi)
    _even(blur.cutoff[~small], math.pi / 5, math.pi)


@pytest.mark.parametrize("stage", ["first", "second"])
def test_what_a_batch_draws_once(stage: str) -> None:
    damage, told = read_damage(), _TOML[stage]
    settings = getattr(damage, stage)
    chance = np.random.default_rng(2)
    blurs = [draw_blur(chance, settings.blur, damage.walk, 1, 1).on for _ in range(_COUNT)]
    share = told["blur"]["share"]
    if share == 1:
        assert all(blurs)
    else:
        _as_told(blurs, {True: share, False: 1 - share})
    factors, modes = zip(
        *(draw_resize(chance, settings.resize) for _ in range(_COUNT)), strict=True
    )
    _as_told(modes, told["resize"]["modes"])
    sizes = np.array(factors)
    _as_told(
        np.sign(sizes - 1).astype(int).tolist(),
        {1: told["resize"]["up"], -1: told["resize"]["down"], 0: told["resize"]["keep"]},
    )
    _even(sizes[sizes > 1], 1, told["resize"]["range"][1])
    _even(sizes[sizes < 1], told["resize"]["range"][0], 1)
    drawn = [draw_noise(chance, settings.noise, damage.walk, 1, 1) for _ in range(_COUNT)]
    share = told["noise"]["gaussian"]
    _as_told([kind for kind, _, _ in drawn], {"gaussian": share, "poisson": 1 - share})
    for kind, name in (("gaussian", "sigma"), ("poisson", "poisson")):
        _even([strength[0, 0] for k, strength, _ in drawn if k == kind], *told["noise"][name])
    grey = told["noise"]["grey"]
    _as_told([bool(g[0]) for _, _, g in drawn], {True: grey, False: 1 - grey})


def test_the_end() -> None:
    told = _TOML["last"]
    chance = np.random.default_rng(3)
    many = draw_last(chance, read_damage().last, _COUNT)
    _as_told(many.sinc.tolist(), {True: told["sinc"], False: 1 - told["sinc"]})
    _even(many.cutoff, math.pi / 3, math.pi)
    last = read_damage().last
    each = [draw_last(chance, last, 1) for _ in range(_COUNT)]
    _as_told([one.jpeg_last for one in each], {True: 0.5, False: 0.5})
    _as_told([one.mode for one in each], told["modes"])


def test_video() -> None:
    shares = {"halo": 0.1, "chroma": 0.5, "interlace": 0.25, "tape": 0.3, "codec": 0.9}
    damage = read_damage(changes={"video": {name: {"share": s} for name, s in shares.items()}})
    chance = np.random.default_rng(4)
    each = [draw_video(chance, damage.video) for _ in range(_COUNT)]
    for name, share in shares.items():
        seen = [getattr(one, name) is not None for one in each]
        _as_told(seen, {True: share, False: 1 - share})
    told = _TOML["video"]["codec"]
    codecs = [draw_codec(chance, damage.video.codec) for _ in range(_COUNT)]
    _as_told([one.codec for one in codecs], told["kinds"])
    _as_told([one.profile for one in codecs if one.profile], told["profiles"])
    _even([one.quality for one in codecs if one.codec == "x265"], *told["crf"])


def test_values_walk_from_frame_to_frame() -> None:
    damage = read_damage()
    blur = draw_blur(np.random.default_rng(5), damage.first.blur, damage.walk, 500, 40)
    steps = np.diff(blur.sigma[..., 0], axis=1)
    assert np.abs(steps).max() <= damage.walk.sigma
    inside = (blur.sigma[:, 1:, 0] > 0.2) & (blur.sigma[:, 1:, 0] < 3.0)
    _even(steps[inside & (np.abs(blur.sigma[:, :-1, 0] - 1.6) < 1.3)], -0.02, 0.02)
    assert blur.sigma.min() >= 0.2


def test_a_file_says_what_it_changes(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[first.blur]\nsinc = 0.5\nkinds = { iso = 1.0 }\n")
    damage = read_damage(own)
    assert damage.first.blur.sinc == 0.5
    assert damage.first.blur.kinds.values() == (1.0, 0, 0, 0, 0, 0)
    assert damage.first.blur.sigma == (0.2, 3.0)
    assert damage.second == read_damage().second


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[first.blur]\nsinc = 1.5\n", "sinc 1.5"),
        ("[first.blur]\nsigma = [3.0, 0.2]\n", "sigma"),
        ("[first.blur]\nsizes = [8]\n", "odd"),
        ("[first.blur]\nkinds = { iso = 0.5 }\n", "make 1, not 0.5"),
        ("[first.blur]\nsinq = 0.5\n", "sinq"),
        ("[first.resize]\nup = 0.9\n", "make 1"),
        ("scale = 0\n", "scale 0"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, text: str, words: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_damage(own)
    assert str(own) in str(caught.value)


def test_what_is_no_toml_is_unreadable(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_bytes(b"\xff\xfe[")
    with pytest.raises(InputError, match=r"own\.toml"):
        read_damage(own)
