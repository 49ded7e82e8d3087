"""Promises: the shipped weights are read right, judged by the ncnn runtime itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SAMPLES
from tests.support import judge
from vsr.errors import BrokenWeights
from vsr.nets import store
from vsr.nets.catalogue import find
from vsr.nets.ncnn import read_ncnn
from vsr.nets.weight_files import packaged
from vsr.options import ModelOptions

ncnn = pytest.importorskip("ncnn")


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        ("realesr-animevideov3", 320, 180),
        ("RealESRGAN_x4plus_anime_6B", 160, 90),
        ("RealESRGAN_x4plus", 96, 64),
        ("cugan2x", 120, 90),
        ("cugan2x-denoise3", 120, 90),
    ],
)
def test_the_shipped_networks_agree_with_ncnn(name: str, width: int, height: int) -> None:
    """Mean absolute difference <= 0.1/255, maximum <= 2/255, on a real frame."""
    frame = judge.rgb(SAMPLES / "squirrel.png", size=(320, 180))[0]
    frame = np.ascontiguousarray(frame[:height, :width].transpose(2, 0, 1) / 255, np.float32)
    files = packaged(find(name))
    if files is None and (package := find(name).package) is not None and package.extra is not None:
        pytest.skip(f"the extra `{package.extra}` is not installed")
    assert files is not None

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    assert net.load_param(str(files[0])) == 0
    assert net.load_model(str(files[1])) == 0
    extractor = net.create_extractor()
    cugan = name.startswith("cugan")  # whose files leave the edges to the caller
    given = np.pad(frame, ((0, 0), (18, 18), (18, 18)), mode="edge") if cugan else frame
    extractor.input("in0" if cugan else "data", ncnn.Mat(given))
    code, out = extractor.extract("out0" if cugan else "output")
    assert code == 0
    theirs = torch.from_numpy(np.array(out))

    network = store.load(ModelOptions(name=name)).network
    assert network is not None
    with torch.inference_mode():
        ours = network(torch.from_numpy(frame)[None])[0]
    difference = (ours - theirs).abs() * 255
    print(f"{name}: mean {difference.mean():.6f}/255, max {difference.max():.5f}/255")
    assert difference.mean() <= 0.1
    assert difference.max() <= 2


def _files(folder: Path) -> tuple[Path, Path]:
    files = packaged(find("realesr-animevideov3"))
    assert files is not None
    param, weights = folder / "net.param", folder / "net.bin"
    param.write_bytes(files[0].read_bytes())
    weights.write_bytes(files[1].read_bytes())
    return param, weights


def test_a_damaged_pair_is_refused(tmp_path: Path) -> None:
    param, weights = _files(tmp_path)
    sound_param, sound = param.read_text(), weights.read_bytes()
    for damaged in (sound[:-4], sound + b"\0\0\0\0", b"\1\2\3\4" + sound[4:], b""):
        weights.write_bytes(damaged)
        with pytest.raises(BrokenWeights):
            read_ncnn(param, weights)
    weights.write_bytes(sound)
    for text in ("", "nonsense", sound_param.replace("6=36864", "6=x"), sound_param[:400]):
        param.write_text(text)
        with pytest.raises(BrokenWeights):
            read_ncnn(param, weights)


def test_a_pair_of_the_users_own_works_by_path(tmp_path: Path) -> None:
    param, weights = _files(tmp_path)
    for path in (param, weights):
        loaded = store.load(ModelOptions(name=str(path)))
        assert loaded.scale == 4
