"""Promise 2: tags are read, honoured and written; what is missing is guessed as players do."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests.support import judge
from vsr.frame import Layout, Matrix, Range, Siting
from vsr.media.format.colour_tags import ColourTags, describe
from vsr.media.source.probe import probe
from vsr.options import ColourOptions

YUV = Layout(family="yuv", sub_x=1, sub_y=1)
NONE = ColourTags(matrix=2, range=0, primaries=2, transfer=2, siting=None)


@pytest.mark.parametrize(
    ("width", "height", "matrix", "primaries"),
    [
        (320, 240, Matrix.SMPTE170M, 6),
        (720, 480, Matrix.SMPTE170M, 6),
        (720, 576, Matrix.BT470BG, 5),
        (1024, 576, Matrix.BT470BG, 5),
        (1280, 536, Matrix.BT709, 1),
        (960, 720, Matrix.BT709, 1),
        (3840, 2160, Matrix.BT709, 1),
    ],
)
def test_guesses_follow_the_players(
    width: int, height: int, matrix: Matrix, primaries: int
) -> None:
    colour, said = describe(
        NONE, YUV, width=width, height=height, pix_fmt="yuv420p", options=ColourOptions()
    )
    assert (colour.matrix, colour.primaries) == (matrix, primaries)
    assert (colour.range, colour.siting) == (Range.LIMITED, Siting.LEFT)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("matrix", "written"),
    [
        ("bt709", "bt709"),
        ("smpte170m", "smpte170m"),
        ("bt470bg", "bt470bg/bt470bg/smpte170m"),  # whose curve is that of BT.601 today
        ("bt2020nc", "bt2020nc/bt2020/bt2020-10"),
    ],
)
def test_a_film_with_a_matrix_alone_gets_what_belongs_to_it(
    tmp_path: Path, matrix: str, written: str
) -> None:
    """Primaries and transfer, as H.273 lists them, and as another reader says them."""
    source, output = tmp_path / "s.mkv", tmp_path / "o.mkv"
    judge.make(
        source, "testsrc2=s=64x64:d=0.2:r=10", "-pix_fmt", "yuv420p", "-c:v", "libx264",
        "-vf", f"setparams=colorspace={matrix}:range=tv",
    )  # fmt: skip
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    vsr.upscale(source, output, options)
    assert f"(tv, {written}" in judge.video_line(output)


def test_the_user_knows_better_than_the_tags() -> None:
    tags = ColourTags(matrix=1, range=1, primaries=1, transfer=1, siting=None)
    options = ColourOptions(matrix="bt601", range="full")
    colour, said = describe(tags, YUV, width=1920, height=1080, pix_fmt="yuv420p", options=options)
    assert (colour.matrix, colour.range) == (Matrix.SMPTE170M, Range.FULL)
    assert said == ()


@pytest.mark.parametrize("siting", ["left", "center", "topleft", "top", "bottomleft", "bottom"])
def test_chroma_siting_is_read_from_the_file(tmp_path: Path, siting: str) -> None:
    path = judge.make(
        tmp_path / "s.mkv", "testsrc2=s=64x64:d=0.2:r=10",
        "-pix_fmt", "yuv420p", "-c:v", "libx264", "-chroma_sample_location", siting,
    )  # fmt: skip
    video = probe(path).video
    assert video.siting == siting
    assert video.colour.siting.name.lower() == siting


def test_full_range_jpeg_video_is_read_as_such(tmp_path: Path) -> None:
    path = judge.make(
        tmp_path / "j.mkv", "testsrc2=s=64x64:d=0.2:r=10", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg"
    )
    colour = probe(path).video.colour
    assert (colour.range, colour.siting) == (Range.FULL, Siting.CENTER)
