"""Promise 3: the same pictures become the same file, on any processor and with any threads."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import vsr
from tests import repeatable
from tests.repeatable import Case, Surroundings, perturbed
from tests.support import judge
from vsr.frame import Layout
from vsr.media.format.encoders import plan_encoder
from vsr.media.format.repeatable import repeatable as made_repeatable
from vsr.options import Codec, EncodeOptions

_YUV420 = Layout(family="yuv", sub_x=1, sub_y=1)
# What was seen to differ: libx264 on AVX-512, and elsewhere by processor and threads; x265 in
# pictures that are narrow; libvpx and JPEG by threads.
_CASES = [
    Case(codec="h264", width=320, height=180, frames=48),
    Case(codec="h264", width=640, height=400, frames=12),
    *(Case(codec="h265", width=w, height=h, frames=12) for w, h in repeatable.ODD_SIZES),
    Case(codec="h265", width=64, height=64, frames=24),
    Case(codec="av1", width=64, height=64, frames=12),
    Case(codec="vp9", width=96, height=54, frames=12),
    Case(codec="jpeg", width=96, height=54, frames=1),
]
_WHERE = [
    Surroundings(name="as it is"),
    perturbed(85, threads=1, one_core=True),
    perturbed(170, threads=4, older=True),
]


def test_a_film_is_encoded_to_the_same_bytes_anywhere() -> None:
    """tests/repeatable.py does so for everything that the command line offers."""
    found = [repeatable.encode(_CASES, where) for where in _WHERE]
    for case, *hashes in zip(_CASES, *found, strict=True):
        assert "died" not in hashes, (case, hashes)
        assert len(set(hashes)) == 1, (case, hashes)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_what_the_user_says_is_added_and_wins(codec: Codec) -> None:
    name = "x264-params" if codec == "h264" else "x265-params"
    given = EncodeOptions(
        codec=codec, encoder_options=((name, "aq-mode=1"), (name, "ctu=16"), ("threads", "3"))
    )
    plan = plan_encoder(given, _YUV420)
    alone = made_repeatable(plan_encoder(EncodeOptions(codec=codec), _YUV420), 64, 64)
    settings = made_repeatable(plan, 64, 64).settings
    assert settings["threads"] == "3"
    assert settings[name] == f"{alone.settings[name]}:aq-mode=1:ctu=16"


@pytest.mark.parametrize(
    ("codec", "option"),
    [("h264", "x264-params=aq-mode=1"), ("h265", "x265-params=aq-mode=1"),
     ("av1", "svtav1-params=tune=0"), ("vp9", "cpu-used=5"), ("prores", "vendor=apl0")],
)  # fmt: skip
def test_encoders_say_nothing(
    bunny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], codec: Codec, option: str
) -> None:
    name, _, value = option.partition("=")
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        source=vsr.SourceOptions(clips=(vsr.Clip(duration=vsr.Moment(frame=3)),)),
        encode=EncodeOptions(codec=codec, encoder_options=((name, value),)),
    )
    vsr.upscale(bunny, tmp_path / ("out.mov" if codec == "prores" else "out.mkv"), options)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_repeated_is_said(tmp_path: Path) -> None:
    source = judge.make(tmp_path / "narrow.mkv", "testsrc2=s=16x64:r=25:d=0.2", "-c:v", "ffv1")
    for codec, said in (("h265", True), ("h264", False)):
        options = vsr.UpscaleOptions(
            model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1)),
            encode=EncodeOptions(codec=codec),  # type: ignore[arg-type]
        )  # fmt: skip
        result = vsr.upscale(source, tmp_path / f"{codec}.mkv", options)
        assert any("may write different bits" in note for note in result.notes) is said
