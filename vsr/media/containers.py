"""What each container can hold, and what a stream becomes that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vsr.errors import UsageError
from vsr.options import Codec, PipeFormat

_TEXT = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text"})
_LOSSLESS = frozenset({"flac", "alac", "truehd", "mlp", "tta", "wavpack", "ape"})


@dataclass(frozen=True, kw_only=True)
class Container:
    """By ffmpeg's names. `None` in a set of codecs: any."""

    muxer: str
    usual: Codec  # when nobody asks for another
    video: frozenset[str] | None
    audio: frozenset[str] | None
    lossless_audio: str = ""  # what lossless audio becomes that cannot be copied
    lossy_audio: str = ""
    copied_video: frozenset[str] = frozenset()  # beside what `video` names, by copy alone
    subtitles: frozenset[str] = frozenset()
    text: str | None = None  # what a text subtitle becomes that cannot be copied
    covers: bool = False
    attachments: bool = False
    data: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    pictures: int | None = None  # the most that it can hold
    untimed: bool = False  # frames follow each other at a constant rate
    planar: bool = False  # holds YUV and grey only, without transparency


_MP4_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "flac", "opus", "dts"})
_MP4 = Container(
    muxer="mp4",
    usual="h264",
    video=frozenset({"h264", "hevc", "av1", "vp9", "ffv1"}),
    copied_video=frozenset({"mpeg4", "mpeg2video", "mpeg1video", "mjpeg"}),
    audio=_MP4_AUDIO,
    lossless_audio="alac",
    lossy_audio="aac",
    subtitles=frozenset({"mov_text"}),
    text="mov_text",
    covers=True,
    data=frozenset({"gpmd"}),
    options={"movflags": "+faststart"},
)
_MKV = Container(
    muxer="matroska",
    usual="h264",
    video=None,
    audio=None,
    lossless_audio="flac",
    lossy_audio="aac",
    subtitles=frozenset(
        {"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
    ),
    text="subrip",
    covers=True,
    attachments=True,
)

_NO_AUDIO: frozenset[str] = frozenset()


def _animation(kind: Codec) -> Container:
    return Container(muxer=kind, usual=kind, video=frozenset({kind}), audio=_NO_AUDIO)


def _still(usual: Codec, codec: str) -> Container:
    return Container(
        muxer="image2", usual=usual, video=frozenset({codec}), audio=_NO_AUDIO, pictures=1
    )


CONTAINERS: Mapping[str, Container] = {
    ".gif": _animation("gif"),
    ".apng": _animation("apng"),
    ".webp": _animation("webp"),
    ".png": _still("png", "png"),
    ".jpg": _still("jpeg", "mjpeg"),
    ".jpeg": _still("jpeg", "mjpeg"),
    ".mkv": _MKV,
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container(
        muxer="mov",
        usual="h264",
        video=frozenset({"h264", "hevc", "prores"}),
        copied_video=frozenset({"mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "ffv1", "dnxhd"}),
        audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
        lossless_audio="alac",
        lossy_audio="aac",
        subtitles=frozenset({"mov_text"}),
        text="mov_text",
        data=frozenset({"gpmd"}),
        options={"movflags": "+faststart"},
    ),
    ".webm": Container(
        muxer="webm",
        usual="av1",
        video=frozenset({"av1", "vp9", "vp8"}),
        audio=frozenset({"opus", "vorbis"}),
        lossless_audio="libopus",
        lossy_audio="libopus",
        subtitles=frozenset({"webvtt"}),
        text="webvtt",
    ),
    ".ts": Container(
        muxer="mpegts",
        usual="h264",
        video=frozenset({"h264", "hevc"}),
        copied_video=frozenset({"mpeg4", "mpeg2video", "mpeg1video"}),
        audio=frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "dts", "opus"}),
        lossless_audio="aac",
        lossy_audio="aac",
        subtitles=frozenset({"dvb_subtitle"}),
        data=frozenset({"bin_data", "klv", "timed_id3", "gpmd"}),
        options={"muxdelay": "0", "muxpreload": "0"},
    ),
}


# What goes through a pipe: y4m is what every program reads, NUT has timestamps and sound.
PIPES: Mapping[PipeFormat, Container] = {
    "nut": Container(muxer="nut", usual="raw", video=None, audio=None),
    "y4m": Container(
        muxer="yuv4mpegpipe",
        usual="raw",
        video=frozenset({"rawvideo"}),
        audio=_NO_AUDIO,
        options={"strict": "-1"},  # more than 8 bits
        planar=True,
        untimed=True,
    ),
}
STDOUT = Path("-")


def container_of(path: Path) -> Container:
    """By the output's name. Raises UsageError for a suffix that vsr does not write."""
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(CONTAINERS)
        raise UsageError(f"{path.name}: the output's name must end in one of {known}")
    return found


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a stream: carried (`codec` is "copy" or an encoder) or not, and why."""

    codec: str | None
    note: str | None = None


def video_fate(container: Container, codec: str) -> Fate:
    """Of a video stream that is not the one that is upscaled."""
    if container.video is None or codec in container.video | container.copied_video:
        return Fate(codec="copy", note="another video stream is copied as it is")
    what = f"another video stream ({codec or 'unknown'})"
    return Fate(codec=None, note=f"{what} does not fit {container.muxer}: left out")


def audio_fate(container: Container, codec: str) -> Fate:
    if container.audio is None or codec in container.audio:
        return Fate(codec="copy")
    if container.muxer == "mov" and codec.startswith("pcm_"):
        return Fate(codec="copy")
    if not container.audio:
        return Fate(codec=None, note=f"sound does not fit {container.muxer}: left out")
    lossless = codec.startswith("pcm_") or codec in _LOSSLESS
    new = container.lossless_audio if lossless else container.lossy_audio
    how = " (lossless)" if lossless and new in ("flac", "alac") else ""
    return Fate(
        codec=new, note=f"{codec} audio does not fit {container.muxer}: re-encoded to {new}{how}"
    )


def subtitle_fate(container: Container, codec: str) -> Fate:
    if codec in container.subtitles:
        return Fate(codec="copy")
    if codec in _TEXT and container.text is not None:
        lost = " (its styling is lost)" if codec in ("ass", "ssa") else ""
        return Fate(
            codec=container.text,
            note=f"{codec} subtitles do not fit {container.muxer}: "
            f"converted to {container.text}{lost}",
        )
    return Fate(
        codec=None,
        note=f"{codec or 'unknown'} subtitles do not fit {container.muxer}: left out; "
        f"an .mkv would keep them",
    )
