"""Parts of a film: exact to the frame and, where the container can say it, to the sample."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vsr
from tests.support import judge
from vsr.cli import cli as commands
from vsr.errors import UsageError, VsrError
from vsr.media.source.probe import probe
from vsr.media.source.spans import SecondsSpan
from vsr.media.write import trim, trim_packets

SAME = vsr.SizeOptions(scale=Fraction(1))


def clip(source: Path, output: Path, *clips: str) -> vsr.Result:
    """The parts, losslessly and in the source's size, so that frames can be compared."""
    parts = tuple(vsr.Clip.parse(text) for text in clips)
    return vsr.upscale(
        source,
        output,
        vsr.UpscaleOptions(
            model=vsr.ModelOptions(name="nearest"),
            size=SAME,
            source=vsr.SourceOptions(clips=parts, deinterlace="off"),
            encode=vsr.EncodeOptions(codec="ffv1" if output.suffix == ".mkv" else None),
        ),
    )


def sound(path: Path, stream: str = "a:0") -> np.ndarray:
    """Decoded, (samples, channels), as a player starts it: from time 0 on."""
    data = judge.ffmpeg("-i", f"file:{path}", "-map", f"0:{stream}", "-f", "s16le", "-")
    return np.frombuffer(data, np.int16)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """4 s of picture with a long GOP and B-frames, PCM, Opus, subtitles and chapters."""
    (tmp_path / "a.srt").write_text(
        "1\n00:00:00,200 --> 00:00:01,400\nhello\n\n2\n00:00:02,000 --> 00:00:03,800\nthere\n\n"
        "3\n00:00:03,900 --> 00:00:03,950\nbye\n"
    )
    (tmp_path / "a.meta").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One=1\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=4000\ntitle=Two\n"
    )
    judge.ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=4", "-f", "lavfi", "-i",
        "sine=f=440:beep_factor=4:d=4:r=48000", "-i", str(tmp_path / "a.srt"), "-f", "ffmetadata",
        "-i", str(tmp_path / "a.meta"), "-map", "0", "-map", "1", "-map", "1", "-map", "2",
        "-map_metadata", "3", "-c:v", "libx264", "-g", "250", "-bf", "3", "-pix_fmt", "yuv420p",
        "-c:a:0", "pcm_s16le", "-c:a:1", "libopus", "-c:s", "srt", "-metadata:s:a:1",
        "language=deu", "-disposition:a:1", "comment", str(tmp_path / "talk.mkv"),
    )  # fmt: skip
    return tmp_path / "talk.mkv"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1-2", 25, 50), ("1.01-2", 26, 50), ("25f-50f", 25, 50), ("1+1", 25, 50),
        ("10f+3f", 10, 13), ("0:03-", 75, 100), ("0:00:02.5+0.021", 63, 64),
        ("-0:00.5", 0, 13),  # 12.5 frames: the 13th is shown at 0.48
        ("99f-", 99, 100), ("3-60", 75, 100),
    ],
)  # fmt: skip
def test_a_clip_takes_these_frames_and_no_other(
    talk: Path, tmp_path: Path, text: str, first: int, last: int
) -> None:
    output = tmp_path / "part.mkv"
    result = clip(talk, output, text)
    want, got = judge.frames(talk)[first:last], judge.frames(output)
    assert [f.digest for f in got] == [f.digest for f in want]
    assert [f.pts for f in got] == [f.pts - want[0].pts for f in want]
    assert result.frames == last - first
    assert not any("audio" in note for note in result.notes)


def test_sound_is_cut_to_the_sample_where_the_container_can_say_it(
    bunny: Path, tmp_path: Path
) -> None:
    whole = sound(bunny).reshape(-1, 2)
    for suffix in (".mp4", ".mov"):
        output = tmp_path / f"part{suffix}"
        clip(bunny, output, "1.5-3")
        got = sound(output).reshape(-1, 2)
        first = round(1.5 * 44100)
        want = whole[first : first + len(got)]
        # The packets are copies; only the noise that an AAC decoder makes up may differ.
        assert np.abs(got.astype(int) - want).max() <= 4
        assert 0 <= len(got) - 1.5 * 44100 < 1024  # a packet is not opened at its end
        digests = {p.digest for p in judge.packets(bunny, "a:0")}
        assert all(p.digest in digests for p in judge.packets(output, "a:0"))


def test_from_the_films_beginning_the_decoder_gets_going_too(bunny: Path, tmp_path: Path) -> None:
    """MP4 hides the encoder's priming; the first samples are wrong without it."""
    whole = sound(bunny).reshape(-1, 2)
    for text in ("0-1", "0f-24f", "-1"):
        output = tmp_path / "part.mp4"
        output.unlink(missing_ok=True)
        clip(bunny, output, text)
        got = sound(output).reshape(-1, 2)
        assert np.abs(got.astype(int) - whole[: len(got)]).max() <= 4


def test_elsewhere_sound_keeps_its_distance_from_the_picture(bunny: Path, tmp_path: Path) -> None:
    output = tmp_path / "part.mkv"
    clip(bunny, output, "1.5-3")
    source = {p.digest: p.pts for p in judge.packets(bunny, "a:0")}
    got = judge.packets(output, "a:0")
    assert all(abs(p.pts + Fraction(3, 2) - source[p.digest]) <= Fraction(1, 1000) for p in got)
    packet = Fraction(1024, 44100)
    assert got[0].pts < packet
    assert abs(got[-1].pts + packet - Fraction(3, 2)) < packet


def test_pcm_is_cut_to_the_sample_everywhere(talk: Path, tmp_path: Path) -> None:
    output = tmp_path / "part.mkv"
    clip(talk, output, "1.24-2.68")
    assert np.array_equal(sound(output), sound(talk)[round(1.24 * 48000) : round(2.68 * 48000)])


def test_several_clips_are_joined_in_the_order_given(talk: Path, tmp_path: Path) -> None:
    output = tmp_path / "part.mkv"
    clip(talk, output, "3-3.4", "0.4-1", "3-3.4")
    want = judge.frames(talk)
    want = [*want[75:85], *want[10:25], *want[75:85]]
    got = judge.frames(output)
    assert [f.digest for f in got] == [f.digest for f in want]
    assert [f.pts for f in got] == [Fraction(n, 25) for n in range(35)]
    whole = sound(talk)
    parts = [whole[round(a * 48000) : round(b * 48000)] for a, b in ((3, 3.4), (0.4, 1), (3, 3.4))]
    assert np.array_equal(sound(output), np.concatenate(parts))
    opus = judge.packets(output, "a:1")
    steps = [b.pts - a.pts for a, b in pairwise(opus)]
    assert min(steps) > 0
    assert max(steps) <= Fraction(41, 1000)  # at a seam: never more than one packet is missing


def test_subtitles_chapters_and_tags_of_the_part(talk: Path, tmp_path: Path) -> None:
    output = tmp_path / "part.mkv"
    clip(talk, output, "1-3")
    text = judge.ffmpeg("-i", str(output), "-map", "0:s", "-f", "srt", "-").decode()
    assert "00:00:00,000 --> 00:00:00,400\nhello" in text
    assert "00:00:01,000 --> 00:00:02,000\nthere" in text
    assert "bye" not in text
    said = judge.describe(output)
    assert "start 0.000000, end 0.500000" in said
    assert "start 0.500000, end 2.000000" in said
    assert "One=1" in said
    assert "(deu)" in said
    assert "(comment)" in said
    mp4 = tmp_path / "part.mp4"
    clip(talk, mp4, "1-3")
    assert "mov_text" in judge.describe(mp4)
    assert "start 0.500000, end 2.000000" in judge.describe(mp4)


def test_variable_frame_rate_and_gaps(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 91, 200, 1000, 1033, 1500]
    times = "+".join(f"eq(N,{n})*{t}" for n, t in enumerate(stamps))
    source = judge.make(
        tmp_path / "vfr.mkv", "testsrc2=s=64x48:r=10:d=0.8",
        "-vf", f"settb=1/1000,setpts='{times}'", "-fps_mode", "passthrough",
        "-enc_time_base", "1/1000", "-c:v", "libx264", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    output = tmp_path / "part.mkv"
    clip(source, output, "0.085-1.2", "3f-5f")
    want = [0, 109, 909, 942, 1109, 1218]  # 91 200 1000 1033, until 1200; then 91 200
    assert [f.pts for f in judge.frames(output)] == [Fraction(t, 1000) for t in want]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.ts", ["-c:v", "libx264", "-c:a", "mp2", "-muxdelay", "5"]),
        ("a.avi", ["-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"]),
        ("a.webm", ["-c:v", "libvpx-vp9", "-c:a", "libopus"]),
        ("a.flv", ["-c:v", "flv1", "-c:a", "mp3", "-ar", "44100"]),
        ("a.mov", ["-c:v", "prores", "-c:a", "alac"]),
        ("a.gif", []),
        ("a.webp", ["-vf", "hue=h=20*n"]),
        ("a.h264", ["-c:v", "libx264", "-an"]),
    ],
)
def test_every_kind_of_file_is_cut_at_the_same_frames(
    tmp_path: Path, name: str, arguments: list[str]
) -> None:
    film = ["-map", "0", "-map", "1", "-g", "20"] if name not in ("a.gif", "a.webp") else []
    source = judge.make(
        tmp_path / name, "testsrc2=s=64x48:r=25:d=2", *film, *arguments,
        inputs=["-f", "lavfi", "-i", "anoisesrc=d=2:a=0.1"],
    )  # fmt: skip
    whole, part = tmp_path / "whole.mkv", tmp_path / "part.mkv"
    clip(source, whole)
    clip(source, part, "30f-40f")
    want, got = judge.frames(whole)[30:40], judge.frames(part)
    assert [f.digest for f in got] == [f.digest for f in want]
    if "Audio" in judge.describe(source):
        heard, full = judge.packets(part, "a:0"), judge.packets(whole, "a:0")
        shift = want[0].pts
        places = {p.digest: p.pts for p in full}
        assert len(heard) > 3
        assert all(abs(p.pts + shift - places[p.digest]) <= Fraction(2, 1000) for p in heard)


@pytest.mark.parametrize("name", ["long.mkv", "long.ts"])
def test_far_into_a_film_nothing_changes(tmp_path: Path, name: str) -> None:
    source = judge.make(
        tmp_path / name, "testsrc2=s=32x32:r=5:d=75", "-map", "0", "-map", "1", "-g", "40",
        "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "mp2",
        inputs=["-f", "lavfi", "-i", "anoisesrc=d=75:a=0.1"],
    )  # fmt: skip
    output = tmp_path / "part.mkv"
    clip(source, output, "70-72")
    want, got = judge.frames(source)[350:360], judge.frames(output)
    assert [f.digest for f in got] == [f.digest for f in want]
    places = {p.digest: p.pts for p in judge.packets(source, "a:0")}
    heard = judge.packets(output, "a:0")
    assert len(heard) > 70
    assert all(abs(p.pts + want[0].pts - places[p.digest]) <= Fraction(2, 1000) for p in heard)


def test_a_clip_of_an_interlaced_film_equals_that_part_of_the_whole(tmp_path: Path) -> None:
    source = judge.make(
        tmp_path / "i.mkv", "testsrc2=s=720x576:r=50:d=1", "-vf", "interlace",
        "-c:v", "ffv1", "-flags", "+ildct",
    )  # fmt: skip
    options = vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=SAME,
        source=vsr.SourceOptions(deinterlace="bwdif"),
        encode=vsr.EncodeOptions(codec="ffv1"),
    )
    whole = vsr.upscale(source, tmp_path / "whole.mkv", options).output
    clips = (vsr.Clip.parse("10f-15f"),)
    options = vsr.UpscaleOptions(
        model=options.model,
        size=SAME,
        source=vsr.SourceOptions(deinterlace="bwdif", clips=clips),
        encode=options.encode,
    )
    part = vsr.upscale(source, tmp_path / "part.mkv", options).output
    got = [f.digest for f in judge.frames(part)]
    assert got == [f.digest for f in judge.frames(whole)[10:15]]


def test_a_clip_of_a_gif_keeps_its_delays(tmp_path: Path) -> None:
    source = judge.make(tmp_path / "a.gif", "testsrc2=s=32x32:r=10:d=2")
    clip(source, tmp_path / "b.gif", "0.5-1")
    got = judge.frames(tmp_path / "b.gif")
    assert [f.pts for f in got] == [Fraction(n, 10) for n in range(5)]


def test_one_frame_of_a_film_is_a_picture(bunny: Path, tmp_path: Path) -> None:
    result = clip(bunny, tmp_path / "still.png", "36f+1f")
    assert result.frames == 1
    assert judge.size_of(tmp_path / "still.png") == (320, 180)


@pytest.mark.parametrize(
    ("text", "words"),
    [("9-10", "behind the film's last frame"), ("3-2", "before it starts"),
     ("2-2", "before it starts"), ("1.001-1.002", "no frame")],
)  # fmt: skip
def test_a_clip_without_frames_is_told(bunny: Path, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        clip(bunny, tmp_path / "x.mp4", text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "-", "a-b", "1:2:3:4-", "1-2-3", "-5+", "1e3-2", "5f"])
def test_what_is_no_clip_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"no (clip|time) such as"):
        vsr.Clip.parse(text)


def cli(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands, ["upscale", "-q", "-m", "nearest", *arguments])
    if isinstance(done.exception, VsrError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_the_commands_options(bunny: Path, tmp_path: Path) -> None:
    fast = ("-s", "1/2", "--preset", "ultrafast", "--json")
    output = str(tmp_path / "out.mp4")
    ways: tuple[tuple[str, ...], ...] = (
        ("--start", "1", "--end", "1.5"), ("--start", "24f", "--duration", "0.5"),
        ("--start", "0:01", "--duration", "12f"), ("--clip", "1+0.5"),
    )  # fmt: skip
    for way in ways:
        code, text = cli(str(bunny), "-o", output, "--overwrite", *fast, *way)
        assert (code, json.loads(text)["frames"]) == (0, 12)
    code, text = cli(str(bunny), "-o", output, "--clip", "1-2", "--start", "1")
    assert (code, "not together" in text) == (2, True)
    code, text = cli(str(bunny), "-o", output, "--start", "soon")
    assert (code, "no time such as" in text) == (2, True)
    code, text = cli(str(bunny), "-o", output, "--end", "2", "--duration", "1")
    assert (code, "not both" in text) == (2, True)


def test_clips_apart_are_files_of_their_own(bunny: Path, tmp_path: Path) -> None:
    fast = ("-s", "1/2", "--preset", "ultrafast", "--separate", "--clip", "0-0.5", "--clip", "1-2")
    code, _ = cli(str(bunny), "-o", str(tmp_path / "out.mp4"), *fast)
    assert code == 0
    counts = {p.name: len(judge.frames(p)) for p in tmp_path.iterdir()}
    assert counts == {"out_1.mp4": 12, "out_2.mp4": 24}
    folder = tmp_path / "there"
    folder.mkdir()
    code, _ = cli(str(bunny), "-o", str(folder), *fast)
    assert sorted(p.name for p in folder.iterdir()) == [
        "bunny_0.5x_0-0.5.mp4",
        "bunny_0.5x_1-2.mp4",
    ]


@pytest.mark.parametrize(
    ("codec", "encoder", "samples", "kinds"),
    [
        ("aac", "aac", 1024, ".mkv .mp4 .ts"), ("ac3", "ac3", 1536, ".mkv .mp4 .ts .avi"),
        ("eac3", "eac3", 1536, ".mkv .mp4 .ts"), ("flac", "flac", 4608, ".mkv .mp4"),
        ("mp3", "libmp3lame", 1152, ".mkv .mp4 .ts .avi"),
        ("opus", "libopus", 960, ".mkv .mp4 .ts"),
    ],
)  # fmt: skip
def test_seams_at_uneven_times(
    tmp_path: Path, codec: str, encoder: str, samples: int, kinds: str
) -> None:
    """Sound goes on without a hole or a step back, and keeps its place in each part."""
    for kind in kinds.split():
        source = judge.make(
            tmp_path / f"s{kind}", "testsrc2=s=32x32:r=25:d=6", "-map", "0", "-map", "1", "-c:v",
            "mpeg4", "-c:a", encoder, inputs=["-f", "lavfi", "-i", "anoisesrc=d=6:a=0.1:r=48000"],
        )  # fmt: skip
        for target in (".mp4", ".mkv", ".mov") if codec == "aac" else (".mp4", ".mkv"):
            whole, output = tmp_path / f"w{kind}{target}", tmp_path / f"o{kind}{target}"
            clip(source, whole)
            clip(source, output, "1.03-2.11", "97f+33f", "2.9-3.7")
            shown = [f.pts for f in judge.frames(whole)]
            seen = [f.pts for f in judge.frames(output)]
            first = [min(n for n, t in enumerate(shown) if t >= s) for s in (1.0295, 2.8995)]
            parts = [(first[0], 0), (97, 27), (first[1], 60)]
            assert len(seen) == 80
            heard = judge.packets(output, "a:0")
            steps = [b.pts - a.pts for a, b in pairwise(heard)]
            assert min(steps) > 0
            assert max(steps) <= 2 * Fraction(samples, 48000) + Fraction(2, 1000)
            places = {p.digest: p.pts for p in judge.packets(whole, "a:0")}
            shifts = [places[p.digest] - p.pts for p in heard]
            want = [shown[a] - seen[b] for a, b in parts]
            for shift in shifts:
                assert min(abs(shift - w) for w in want) <= Fraction(3, 1000), (kind, target)


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("a.wmv", "wmav2"), ("b.wmv", "wmav1"), ("a.avi", "adpcm_ms"), ("b.avi", "adpcm_ima_wav")],
)
def test_sound_in_blocks_can_be_decoded_afterwards(tmp_path: Path, name: str, encoder: str) -> None:
    source = judge.make(
        tmp_path / name, "testsrc2=s=32x32:r=25:d=4", "-map", "0", "-map", "1", "-c:v", "mpeg4",
        "-c:a", encoder, inputs=["-f", "lavfi", "-i", "anoisesrc=d=4:a=0.1:r=44100"],
    )  # fmt: skip
    output = tmp_path / "part.mkv"
    clip(source, output, "1-2", "2.5-3.5")
    assert abs(len(sound(output)) - 2 * 44100) < 8192
    places = {p.digest: p.pts for p in judge.packets(source, "a:0")}
    heard = judge.packets(output, "a:0")
    shifts = {round(float(places[p.digest] - p.pts), 1) for p in heard}
    assert shifts == {1.0, 1.5}


def test_trouble_with_a_stream_costs_that_stream_alone(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Any, packet: Any) -> bool:
        if packet.stream_index == 2:
            packet.pts = packet.dts = 5  # every time, which no container takes
        return True

    monkeypatch.setattr(trim_packets.RisingTimestamps, "mend", refused)
    output = tmp_path / "part.mp4"
    result = clip(talk, output, "1-3")
    assert any("stream 2: audio writing failed" in note for note in result.notes), result.notes
    assert len(judge.frames(output)) == 50
    assert judge.describe(output).count("Audio:") == 1
    assert "Subtitle" in judge.describe(output)


def test_a_source_that_is_gone_is_an_error_of_its_own(talk: Path, tmp_path: Path) -> None:
    """InputError is an OSError too, and stays what it is."""
    source = probe(talk)
    talk.unlink()
    piece = SecondsSpan(start=Fraction(1), end=Fraction(2), at=Fraction(0))
    cuts = trim.cut(source, [1, 2], [piece], tmp_path, muxer="matroska")
    assert set(cuts.missing) == {1, 2}
    assert all("there is no such file" in why for why in cuts.missing.values())


def test_a_track_that_holds_nothing_in_the_part_is_named_so(talk: Path, tmp_path: Path) -> None:
    for suffix in (".mkv", ".mp4"):
        output = tmp_path / f"part{suffix}"
        result = clip(talk, output, "1.44-1.8")
        assert "stream 3: subtitle holds nothing in this part: left out" in result.notes
        assert not any("damaged" in note for note in result.notes)
        assert "Audio" in judge.describe(output)


def test_a_part_of_pictures_as_a_film(tmp_path: Path) -> None:
    folder, output = tmp_path / "pp", tmp_path / "pp.mkv"
    folder.mkdir()
    judge.make(folder / "%02d.png", "testsrc2=s=32x32:r=10:d=1")
    code, text = cli(str(folder), "-o", str(output), "--fps", "10", "--start", "5f", "-s", "1")
    assert code == 0, text
    assert len(judge.frames(output)) == 5


@pytest.mark.parametrize("kind", ["alt-ref", "h264", "open gop", "hevc", "mpeg2"])
def test_numbers_count_what_is_shown(tmp_path: Path, kind: str) -> None:
    """Not VP8's invisible packets, nor what a recording that begins amid a GOP cannot show."""
    picture = "testsrc2=s=128x96:r=25:d=8"
    if kind == "alt-ref":
        source = tmp_path / "a.webm"
        for n in ("1", "2"):
            judge.make(
                source, picture, "-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16",
                "-b:v", "100k", "-g", "60", "-pass", n, "-passlogfile", str(tmp_path / "log"),
            )  # fmt: skip
        assert len(judge.packets(source, "v:0")) > len(judge.frames(source))
    else:
        codec = {
            "h264": ["libx264", "-g", "50", "-bf", "2"],
            "open gop": ["libx264", "-g", "50", "-bf", "2", "-x264-params", "open-gop=1"],
            "hevc": ["libx265", "-x265-params", "log-level=none:keyint=50:open-gop=1:bframes=3"],
            "mpeg2": ["mpeg2video", "-g", "50", "-bf", "2"],
        }[kind]
        whole = judge.make(tmp_path / "a.ts", picture, "-pix_fmt", "yuv420p", "-c:v", *codec)
        source, data = tmp_path / "cut.ts", whole.read_bytes()
        source.write_bytes(data[len(data) // 188 // 4 * 188 :])
    want, output = judge.frames(source), tmp_path / "part.mkv"
    result = clip(source, output, "30f-40f", "60f+5f")
    assert result.frames == 15
    digests = [f.digest for f in judge.frames(output)]
    assert digests == [f.digest for f in [*want[30:40], *want[60:65]]]
