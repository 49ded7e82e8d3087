"""Promise 4 for sound: it arrives in any container, or the run says why and fails."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vsr
from tests import sound
from tests.support import judge
from vsr.errors import OutputError
from vsr.events import Event, WarningNote
from vsr.media.write.verify import EncodedVideo, PromisedStream, verify

ROOT = Path(__file__).parents[3]
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.8")


# --- each codec into each container ---

# What must come of them; where a word is missing, any lossy codec. The full table is
# `python -m tests.sound`.
TABLE = {
    "pcm_bluray": ("pcm_s24le, exact", "pcm_s24le, exact", "pcm_s24le, exact", "", "s302m, exact"),
    "pcm_s8": ("pcm_u8, exact", "pcm_s16le, exact", "copied", "", "s302m, exact"),
    "pcm_u16le": ("pcm_s16le, exact", "pcm_s16le, exact", "pcm_s16le, exact", "", "s302m, exact"),
    "pcm_s24le_planar": ("pcm_s24le, exact",) * 3 + ("", "s302m, exact"),
    "adpcm_ima_qt": ("", "", "copied", "", ""),
    "nellymoser": ("", "", "copied", "", ""),
    "libvorbis": ("copied",) * 4 + ("",),
    "truehd": ("copied", "alac, exact", "alac, exact", "", "s302m, exact"),
    "pcm_mulaw": ("copied", "", "copied", "", ""),
    "mp2": ("copied", "copied", "copied", "", "copied"),
}  # fmt: skip


@pytest.mark.parametrize("encoder", TABLE)
def test_each_codec_arrives_in_each_container(tmp_path: Path, encoder: str) -> None:
    source = sound.film(tmp_path, encoder)
    assert source is not None
    for suffix, expected in zip(sound.CONTAINERS, TABLE[encoder], strict=True):
        came = sound.check(source, tmp_path / f"out{suffix}")
        assert came == expected if expected else came in ("aac", "libopus"), (suffix, came)


def test_mp3_at_a_rate_that_mp4_does_not_know(tmp_path: Path) -> None:
    source = sound.film(tmp_path, "libmp3lame", rate="8000", channels="1")
    assert source is not None
    came = [sound.check(source, tmp_path / f"out{s}") for s in sound.CONTAINERS]
    assert came == ["copied", "aac", "copied", "libopus", "copied"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("codec", ["pcm_f32be", "wavpack"])
def test_floats_above_full_scale_stay_what_they_are(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    source, output = tmp_path / "s.mkv", tmp_path / f"o{suffix}"
    if codec == "pcm_f32be":
        source = tmp_path / "s.mov"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "sine=f=440:r=48000:d=0.8,volume=20",
                 "-map", "0", "-map", "1", "-c:v", "mpeg4", "-c:a", codec, "-sample_fmt:a",
                 "flt" if codec == "pcm_f32be" else "fltp", str(source))  # fmt: skip
    sound.upscaled(source, output)
    got, want = sound.samples(output), sound.samples(source)
    assert np.abs(want).max() > 2
    assert np.array_equal(got, want)


def test_vorbis_of_mp4_is_copied_into_matroska(tmp_path: Path) -> None:
    """Its first packet lies before zero and is not played, which Matroska cannot say of it."""
    source, output = tmp_path / "s.mp4", tmp_path / "o.mkv"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "sine=d=0.8", "-map", "0", "-map", "1",
                 "-c:v", "mpeg4", "-c:a", "libvorbis", str(source))  # fmt: skip
    assert sound.check(source, output) == "copied"


def test_gsm_of_a_film_becomes_what_matroska_holds(tmp_path: Path) -> None:
    """No encoder here makes it; its frames of 33 bytes begin with the four bits 1101."""
    dice = np.random.default_rng(0).integers(0, 256, (50, 33), np.uint8)
    dice[:, 0] = 0xD0 | (dice[:, 0] & 0x0F)
    (tmp_path / "s.gsm").write_bytes(dice.tobytes())
    source = tmp_path / "s.mov"
    judge.ffmpeg(*PICTURE, "-f", "gsm", "-i", str(tmp_path / "s.gsm"), "-map", "0", "-map", "1",
                 "-c:v", "mpeg4", "-c:a", "copy", str(source))  # fmt: skip
    assert "gsm" in sound.sounds(source)[0]
    output = tmp_path / "o.mkv"
    notes = sound.upscaled(source, output)
    assert any("gsm audio does not fit matroska: re-encoded to" in note for note in notes)
    assert len(sound.samples(output)) >= 50 * 160


def test_channels_without_names_are_kept_in_number(tmp_path: Path) -> None:
    source = tmp_path / "s.mov"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "aevalsrc=0.1|0.2|0.3:c=3c:d=0.8:s=48000",
                 "-map", "0", "-map", "1", "-c:v", "mpeg4", "-c:a", "pcm_s16le",
                 str(source))  # fmt: skip
    for suffix in (".webm", ".ts", ".mkv"):
        output = tmp_path / f"o{suffix}"
        notes = sound.upscaled(source, output)
        heard = sound.samples(output)
        assert heard.size
        if suffix == ".mkv":
            assert np.array_equal(heard, sound.samples(source)), notes


# --- torn packets ---


def torn(folder: Path, codec: str) -> Path:
    """A recording whose receiver has lost two packets of the sound's data."""
    whole = folder / "whole.ts"
    judge.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i",
                 "sine=d=2:r=48000", "-map", "0", "-map", "1", "-c:v", "libx264", "-c:a", codec,
                 "-pix_fmt", "yuv420p", str(whole))  # fmt: skip
    data = whole.read_bytes()
    packets = [data[n : n + 188] for n in range(0, len(data), 188)]
    of_sound = [n for n, p in enumerate(packets) if (p[1] & 0x1F) << 8 | p[2] == 0x101]
    for place in (3, 2):
        del packets[of_sound[len(of_sound) // 4 * place - 1]]
    path = folder / "torn.ts"
    path.write_bytes(b"".join(packets))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
@pytest.mark.parametrize("codec", ["aac", "ac3", "mp2"])
def test_a_torn_packet_does_not_cost_the_track(tmp_path: Path, codec: str, suffix: str) -> None:
    """What the muxer takes is copied; what it refuses is counted."""
    source, output = torn(tmp_path, codec), tmp_path / f"o{suffix}"
    notes = sound.upscaled(source, output)
    said = [note for note in notes if "torn packet" in note]
    lost = int(said[0].split(": audio: ")[1].split()[0]) if said else 0
    if codec == "aac" and suffix != ".ts":
        assert lost == 2, notes
    assert not any("re-encoded" in note for note in notes), notes
    there, got = (judge.packets(path, "a:0") for path in (source, output))
    assert len(got) == len(there) - lost
    assert len(sound.samples(output)) > 0.9 * 2 * 48000
    gap = judge.packets(source, "v:0")[0].pts - there[0].pts
    assert abs(judge.packets(output, "v:0")[0].pts - got[0].pts - gap) < Fraction(1, 100)


# --- sound that nobody can decode ---


def unheard(folder: Path) -> Path:
    """A film whose sound is of a codec that nobody has heard of."""
    source = folder / "s.mkv"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "sine=d=0.8", "-map", "0", "-map", "1",
                 "-c:v", "mpeg4", "-c:a", "libvorbis", str(source))  # fmt: skip
    source.write_bytes(source.read_bytes().replace(b"A_VORBIS", b"A_NOBODY"))
    return source


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(ROOT / "vsr_cli.py"), "upscale", *map(str, arguments), "-q",
               "-m", "nearest", "-s", "1"]  # fmt: skip
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


@pytest.mark.parametrize("piped", [False, True])
def test_a_film_that_would_lose_all_sound_is_an_error(tmp_path: Path, piped: bool) -> None:
    """The picture is kept beside the result's name; --no-audio is content with it."""
    source, output = unheard(tmp_path), tmp_path / "o.mkv"
    data = source.read_bytes() if piped else b""
    ended = run("-" if piped else source, "-o", output, stdin=data)
    assert ended.returncode == 1
    last = ended.stderr.decode().splitlines()[-1]
    beside = tmp_path / "o_no-audio.mkv"
    assert last.startswith("vsr: "), ended.stderr
    assert str(beside) in last
    assert "--no-audio" in last
    assert len(judge.frames(beside)) == 20
    assert {path.name for path in tmp_path.iterdir()} == {"s.mkv", beside.name}
    again = run("-" if piped else source, "-o", output, "--no-audio", stdin=data)
    assert (again.returncode, again.stderr) == (0, b"")
    assert len(judge.frames(output)) == 20


def test_a_second_sound_is_enough_and_the_lost_one_is_said(tmp_path: Path) -> None:
    source, output = tmp_path / "both.mkv", tmp_path / "o.mp4"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "sine=d=0.8", "-map", "0", "-map", "1", "-map",
                 "1", "-c:v", "mpeg4", "-c:a:0", "libvorbis", "-c:a:1", "aac",
                 str(source))  # fmt: skip
    source.write_bytes(source.read_bytes().replace(b"A_VORBIS", b"A_NOBODY"))
    heard: list[Event] = []
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=vsr.SizeOptions(scale=Fraction(1))
    )
    vsr.upscale(source, output, options, sink=heard.append)
    lost = [event.text for event in heard if isinstance(event, WarningNote)]
    assert lost == ["both.mkv: stream 1: audio of an unknown codec: left out"]
    want = [packet.digest for packet in judge.packets(source, "a:1")]
    assert [packet.digest for packet in judge.packets(output, "a:0")] == want


def test_sound_in_a_container_of_pictures_is_a_warning(tmp_path: Path, bunny: Path) -> None:
    source, output = tmp_path / "s.mp4", tmp_path / "o.gif"
    judge.ffmpeg("-i", str(bunny), "-t", "0.2", "-c", "copy", str(source))
    ended = run(source, "-o", output)
    assert ended.returncode == 0
    assert ended.stderr.decode() == "warning: s.mp4: stream 1: sound does not fit gif: left out\n"


def test_no_audio_leaves_out_the_sound_alone(tmp_path: Path, bunny: Path) -> None:
    output = tmp_path / "o.mkv"
    ended = run(bunny, "-o", output, "--no-audio", "--end", "0.2")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert not sound.sounds(output)
    assert "Video" in judge.describe(output)


# --- what arrived ---


@pytest.mark.parametrize("promised", ["mp3", "flac", ""])
def test_verify_compares_what_arrived_with_what_was_promised(tmp_path: Path, promised: str) -> None:
    path = tmp_path / "o.mkv"
    judge.ffmpeg(*PICTURE, "-f", "lavfi", "-i", "sine=d=0.8", "-map", "0", "-map", "1",
                 "-c:v", "mpeg4", "-c:a", "libmp3lame", str(path))  # fmt: skip
    picture = EncodedVideo(path=path, codec="mpeg4", hidden_alpha=False, frames=20,
                      shape=Fraction(4, 3),
                      first=Fraction(0), last=Fraction(19, 25))  # fmt: skip
    wanted = [PromisedStream(kind="video"), PromisedStream(kind="audio", codec=promised)]
    if promised == "flac":
        with pytest.raises(OutputError, match="0 flac audio streams instead of 1"):
            verify(path, picture, wanted, moved=False)
    else:
        (there,) = verify(path, picture, wanted, moved=False)
        assert there.packets == len(judge.packets(path, "a:0"))
    with pytest.raises(OutputError, match="1 audio streams instead of 2"):
        verify(path, picture, [PromisedStream(kind="audio")] * 2, moved=False)
