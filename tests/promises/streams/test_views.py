"""Films of all around (360 degrees) and for two eyes (3D): what containers say of them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from tests.support.boxes import body, with_box

_TOP_BOTTOM, _LEFT_RIGHT = 1, 2  # as `st3d` numbers them
_YAW = 90 << 16
_HDR = (
    "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
)


def _box(name: bytes, inside: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(inside), name) + inside


def stereo(arrangement: int) -> bytes:
    return _box(b"st3d", struct.pack(">IB", 0, arrangement))


def sphere(bounds: tuple[int, int, int, int] = (0, 0, 0, 0)) -> bytes:
    """Equirectangular, turned by a quarter (Spherical Video V2)."""
    shape = _box(b"equi", struct.pack(">5I", 0, *bounds))
    head = _box(b"prhd", struct.pack(">I3i", 0, _YAW, 0, 0))
    return _box(b"sv3d", _box(b"svhd", b"\0\0\0\0test\0") + _box(b"proj", head + shape))


def film(path: Path, boxes: bytes, *codec: str) -> Path:
    encode = codec or ("-c:v", "libx264", "-pix_fmt", "yuv420p")
    judge.make(path, "testsrc2=s=128x64:r=25:d=0.4", *encode)
    path.write_bytes(with_box(path.read_bytes(), boxes))
    return path


def run(source: Path, output: Path) -> list[str]:
    result = vsr.upscale(source, output, model="nearest", scale=Fraction(2))
    return [note for note in result.notes if "cannot say" in note]


def said(path: Path) -> list[str]:
    lines = (line.strip() for line in judge.describe(path).splitlines())
    return [line for line in lines if line.startswith(("Stereo 3D", "Spherical"))]


@pytest.mark.parametrize("arrangement", [_TOP_BOTTOM, _LEFT_RIGHT])
def test_both_stay_in_mp4(tmp_path: Path, arrangement: int) -> None:
    output = tmp_path / "o.mp4"
    assert not run(film(tmp_path / "s.mp4", stereo(arrangement) + sphere()), output)
    data = output.read_bytes()
    assert body(data, b"st3d") == struct.pack(">IB", 0, arrangement)
    inside = body(data, b"sv3d")
    assert inside is not None
    assert struct.pack(">I4sI3i", 24, b"prhd", 0, _YAW, 0, 0) in inside
    assert struct.pack(">I4s5I", 28, b"equi", 0, 0, 0, 0, 0) in inside


@pytest.mark.parametrize("arrangement", [_TOP_BOTTOM, _LEFT_RIGHT])
def test_both_stay_in_matroska(tmp_path: Path, arrangement: int) -> None:
    source, output = film(tmp_path / "s.mp4", stereo(arrangement) + sphere()), tmp_path / "o.mkv"
    assert not run(source, output)
    assert said(output) == said(source)
    assert len(said(output)) == 2


def test_they_come_back_from_matroska(tmp_path: Path) -> None:
    plain = film(tmp_path / "p.mp4", stereo(_TOP_BOTTOM) + sphere())
    source, output = tmp_path / "s.mkv", tmp_path / "o.mp4"
    judge.ffmpeg("-i", str(plain), "-c", "copy", str(source))
    assert not run(source, output)
    assert body(output.read_bytes(), b"st3d") == struct.pack(">IB", 0, _TOP_BOTTOM)


def test_bounds_of_a_part_of_the_sphere(tmp_path: Path) -> None:
    quarter = 1 << 30
    source, output = film(tmp_path / "s.mp4", sphere((0, 0, quarter, quarter))), tmp_path / "o.mp4"
    assert not run(source, output)
    inside = body(output.read_bytes(), b"sv3d")
    assert inside is not None
    assert struct.pack(">I4s5I", 28, b"equi", 0, 0, 0, quarter, quarter) in inside


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_beside_hdr(tmp_path: Path, suffix: str) -> None:
    encode = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-x265-params", _HDR)
    source, output = film(tmp_path / "s.mp4", sphere(), *encode), tmp_path / f"o{suffix}"
    assert not run(source, output)
    text = judge.describe(output)
    assert "Spherical Mapping: equirectangular" in text
    assert "Mastering display metadata" in text
    assert "Content light level metadata" in text


@pytest.mark.parametrize(("suffix", "lost"), [(".mov", 1), (".ts", 2), (".gif", 2)])
def test_what_cannot_be_said_is_named(tmp_path: Path, suffix: str, lost: int) -> None:
    source, output = (
        film(tmp_path / "s.mp4", stereo(_TOP_BOTTOM) + sphere()),
        tmp_path / f"o{suffix}",
    )
    notes = run(source, output)
    assert len(notes) == lost
    assert "which part of it is for which eye (3D)" in notes[-1]
    if suffix == ".mov":
        assert any(line.startswith("Spherical") for line in said(output))
