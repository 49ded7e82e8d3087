"""What each container can hold, and what a stream becomes that does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vsr.errors import UsageError
from vsr.options import Codec, PipeFormat

# No number is drawn by lot for the file and each track: the same film is the same bytes.
SAME_BYTES = {"fflags": "+bitexact"}
_TEXT = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text", "eia_608"})
# What converting text loses, by its codec.
_LOST = {"ass": "styling", "ssa": "styling", "eia_608": "placing"}


ContainerKind = Literal["film", "animation", "still"]  # of the result: see `vsr/jobs/outputs`


@dataclass(frozen=True, kw_only=True)
class Container:
    """By ffmpeg's names. `None` in a set of codecs: any."""

    muxer: str
    usual: Codec  # when nobody asks for another
    video: frozenset[str] | None
    sound: bool = True  # whether it holds any; which codecs, its muxer is asked
    lossless: tuple[str, ...] = ()  # encoders of sound that packs without loss, the usual first
    copied_video: frozenset[str] = frozenset()  # beside what `video` names, by copy alone
    subtitles: frozenset[str] = frozenset()
    text: str | None = None  # what a text subtitle becomes that cannot be copied
    covers: bool = False
    attachments: bool = False
    data: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    kind: ContainerKind = "film"
    as_pictures: bool = False  # whether a name with a number asks for a file for each frame
    shifts: bool = False  # cannot begin before zero: all timestamps are later by as much
    untimed: bool = False  # frames follow each other at a constant rate
    alpha: Codec | None = None  # what is usual there for what can be seen through
    planar: bool = False  # holds YUV and grey only, without transparency


_MP4 = Container(
    muxer="mp4",
    usual="h264",
    video=frozenset({"h264", "hevc", "av1", "vp9", "ffv1"}),
    copied_video=frozenset({"mpeg4", "mpeg2video", "mpeg1video", "mjpeg"}),
    lossless=("alac", "flac"),
    subtitles=frozenset({"mov_text"}),
    text="mov_text",
    covers=True,
    data=frozenset({"gpmd"}),
    options={"movflags": "+faststart"},
)
_MKV = Container(
    muxer="matroska",
    usual="h264",
    alpha="ffv1",
    video=None,
    lossless=("flac",),
    subtitles=frozenset(
        {"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
    ),
    text="subrip",
    covers=True,
    attachments=True,
    options=SAME_BYTES,
)


def _animation(name: Codec, *, as_pictures: bool = False) -> Container:
    return Container(
        muxer=name,
        usual=name,
        video=frozenset({name}),
        sound=False,
        kind="animation",
        as_pictures=as_pictures,
    )


def _still(usual: Codec, codec: str) -> Container:
    return Container(
        muxer="image2",
        usual=usual,
        video=frozenset({codec}),
        sound=False,
        kind="still",
        as_pictures=True,
    )


CONTAINERS: Mapping[str, Container] = {
    ".gif": _animation("gif"),
    ".apng": _animation("apng"),
    ".webp": _animation("webp", as_pictures=True),
    ".png": _still("png", "png"),
    ".jpg": _still("jpeg", "mjpeg"),
    ".jpeg": _still("jpeg", "mjpeg"),
    ".mkv": _MKV,
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container(
        muxer="mov",
        usual="h264",
        alpha="prores",
        video=frozenset({"h264", "hevc", "prores"}),
        copied_video=frozenset({"mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "ffv1", "dnxhd"}),
        lossless=("alac",),
        subtitles=frozenset({"mov_text", "eia_608"}),
        text="mov_text",
        data=frozenset({"gpmd"}),
        options={"movflags": "+faststart"},
    ),
    ".webm": Container(
        muxer="webm",
        usual="av1",
        alpha="vp9",
        video=frozenset({"av1", "vp9", "vp8"}),
        subtitles=frozenset({"webvtt"}),
        text="webvtt",
        options=SAME_BYTES,
    ),
    ".ts": Container(
        muxer="mpegts",
        shifts=True,
        usual="h264",
        video=frozenset({"h264", "hevc"}),
        copied_video=frozenset({"mpeg4", "mpeg2video", "mpeg1video"}),
        lossless=("s302m",),
        subtitles=frozenset({"dvb_subtitle", "dvb_teletext", "arib_caption"}),
        data=frozenset({"bin_data", "klv", "timed_id3", "gpmd"}),
        options={"muxdelay": "0", "muxpreload": "0"},
    ),
}


# What goes through a pipe: y4m is what every program reads, NUT has timestamps and sound.
PIPES: Mapping[PipeFormat, Container] = {
    "nut": Container(muxer="nut", usual="raw", video=None),
    "y4m": Container(
        muxer="yuv4mpegpipe",
        usual="raw",
        video=frozenset({"rawvideo"}),
        sound=False,
        options={"strict": "-1"},  # more than 8 bits
        planar=True,
        untimed=True,
    ),
}
STDOUT = Path("-")


def container_of(path: Path) -> Container:
    """Choose by the output's name. Raises UsageError for a suffix that vsr does not write."""
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(CONTAINERS)
        raise UsageError(f"{path.name}: the output's name must end in one of {known}")
    return found


@dataclass(frozen=True, kw_only=True)
class StreamAction:
    """What becomes of a stream: carried (`codec` is "copy" or an encoder) or not, and why."""

    codec: str | None
    note: str | None = None
    lost: bool = False  # whether the note tells of a loss
    whole: bool = True  # False: without the packets that the muxer refuses
    options: Mapping[str, str] = field(default_factory=dict)  # ffmpeg's, for this stream
    channels: int = 0  # that sound has before it is encoded again


def video_action(container: Container, codec: str) -> StreamAction:
    """Decide about a video stream that is not the one that is upscaled."""
    if container.video is None or codec in container.video | container.copied_video:
        return StreamAction(codec="copy", note="another video stream is copied as it is")
    what = f"another video stream ({codec or 'unknown'}) does not fit {container.muxer}: left out"
    holds = kept_by(
        lambda other: other.video is None or codec in other.video | other.copied_video, "it"
    )
    return StreamAction(codec=None, note=what + holds, lost=True)


def subtitle_action(container: Container, codec: str) -> StreamAction:
    """Decide about subtitles: copied, made another kind of text, or left out."""
    if codec in container.subtitles:
        return StreamAction(codec="copy")
    if codec in _TEXT and container.text is not None:
        lost = f" (its {_LOST[codec]} is lost)" if codec in _LOST else ""
        return StreamAction(
            codec=container.text,
            note=f"{codec} subtitles do not fit {container.muxer}: "
            f"converted to {container.text}{lost}",
            lost=bool(lost),
        )
    said = f"{codec or 'unknown'} subtitles do not fit {container.muxer}: left out"
    return StreamAction(
        codec=None, note=said + kept_by(lambda other: codec in other.subtitles, "them"), lost=True
    )


def kept_by(holds: Callable[[Container], bool], what: str) -> str:
    """Return in words which other container would keep `what` was left out; "": none here."""
    found = next((suffix for suffix in _OTHERS if holds(CONTAINERS[suffix])), None)
    return "" if found is None else f"; {_ARTICLE.get(found, 'a')} {found} would keep {what}"


_OTHERS = (".mkv", ".mp4", ".mov", ".ts")  # the usual first
_ARTICLE = {".mkv": "an", ".mp4": "an"}
