"""A film with all that a pipe has to carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import judge


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """2 s: picture with B-frames, two sounds, subtitles."""
    (tmp_path / "a.srt").write_text("1\n00:00:00,200 --> 00:00:01,400\nhello\n")
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i",
        "anoisesrc=d=2:a=0.1:r=48000", "-i", str(tmp_path / "a.srt"), "-map", "0", "-map", "1",
        "-map", "1", "-map", "2", "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-g", "20",
        "-c:a:0", "libopus", "-c:a:1", "flac", "-c:s", "srt", "-metadata", "title=Piped",
        str(tmp_path / "film.mkv"),
    )  # fmt: skip
    return tmp_path / "film.mkv"
