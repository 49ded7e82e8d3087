"""Options of what is read and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vsr.errors import UsageError
from vsr.options.table import option
from vsr.options.values import (
    Chroma,
    Clip,
    Codec,
    Deinterlace,
    MatrixChoice,
    PipeFormat,
    RangeChoice,
    crop,
    number,
    pair,
)


@dataclass(frozen=True, kw_only=True)
class ColourOptions:
    """What to believe about the source's colours when its tags are missing or wrong."""

    matrix: MatrixChoice = option(
        "auto", "--matrix", help="Read with this colour matrix, whatever the tags say."
    )
    range: RangeChoice = option(
        "auto",
        "--range",
        also={"tv": "limited", "mpeg": "limited", "pc": "full", "jpeg": "full"},
        help="Read with this range, whatever the tags say.",
    )


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What is read of the source."""

    clips: tuple[Clip, ...] = option(
        (),
        "--clip",
        common=True,
        parse=Clip.parse,
        metavar="START-END",
        help="Take only this part, as 1:20-1:30 or 80+10; repeatable: joined in the order given.",
    )
    follow: float | None = option(
        None,
        "--follow",
        changes_result=False,
        metavar="SECONDS",
        help="Read a file that is still being written, until it has not grown for so long.",
    )
    patience: float = option(
        30.0,
        "--timeout",
        changes_result=False,
        metavar="SECONDS",
        help="Give an address up that has sent nothing for so long.",
    )
    strict: bool = option(
        False,
        "--strict",
        changes_result=False,
        help="Decode all of the video first, and refuse it if anything in it is damaged.",
    )
    stream: int | None = option(
        None,
        "--stream",
        help="Upscale the video stream of this number, as `vsr probe` shows it.  [default: the "
        "main one]",
    )
    deinterlace: Deinterlace = option(
        "auto",
        "--deinterlace",
        help="Make interlaced film progressive: auto looks at the pictures; ivtc restores "
        "telecined film; bob makes a frame of each field, 50 a second of 25.",
    )
    crop: str | None = option(
        None,
        "--crop",
        metavar="auto|W:H:X:Y",
        help="Cut edges off first: auto cuts black bars that stay; else what is kept, and the "
        "columns and rows before it.",
    )
    fps: Fraction | None = option(
        None,
        "--fps",
        parse=number,
        metavar="NUMBER",
        help="Frames a second, 24 or 24000/1001, of a film that is made of pictures (default 25); "
        "of pictures that are made of a film, how many to take (default all).",
    )

    def __post_init__(self) -> None:
        if self.crop not in (None, "auto"):
            try:
                crop(self.crop)
            except UsageError as error:
                raise UsageError(f"<source.crop> {error.text}") from error
        for name, value in (("follow", self.follow), ("patience", self.patience)):
            if value is not None and not 0 < value <= 86400:
                raise UsageError(f"<source.{name}> {value:g}: must be a time in seconds")
        if self.fps is not None and not Fraction(1, 86400) <= self.fps <= 1000:
            raise UsageError(f"<source.fps> {self.fps}: must lie between one a day and 1000")


# What encoders and their programs are called elsewhere.
_CODEC_NAMES = {
    "hevc": "h265", "x265": "h265", "libx265": "h265", "h.265": "h265",
    "avc": "h264", "x264": "h264", "libx264": "h264", "h.264": "h264",
    "libsvtav1": "av1", "svt-av1": "av1", "svtav1": "av1", "libaom-av1": "av1",
    "libvpx-vp9": "vp9", "prores_ks": "prores", "jpg": "jpeg", "mjpeg": "jpeg",
    "rawvideo": "raw", "nvenc": "h264_nvenc", "nvenc_h264": "h264_nvenc",
    "nvenc_hevc": "hevc_nvenc", "h265_nvenc": "hevc_nvenc",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How the result is written."""

    codec: Codec | None = option(
        None,
        "--codec",
        common=True,
        also=_CODEC_NAMES,
        help="Encode the video so.  [default: what is usual in the container]",
    )
    pipe_format: PipeFormat = option(
        "nut",
        "--pipe-format",
        changes_result=False,
        help="Write standard output (-o -) as nut, with timestamps and sound, or y4m, with "
        "neither.",
    )
    crf: float | None = option(
        None,
        "--crf",
        common=True,
        belongs_to="encode.codec",
        help="Quality of the encoder, lower is better.  [default: by codec, high]",
    )
    preset: str | None = option(
        None,
        "--preset",
        belongs_to="encode.codec",
        help="Speed setting of the encoder, by its own names. At equal quality h264's veryfast is "
        "1.3 times as fast as its default and a tenth larger; --codec av1 is nearly as fast as "
        "that default and half as large, but older devices do not play it.  [default: by codec]",
    )
    bits: Literal[8, 10] | None = option(
        None,
        "--bits",
        belongs_to="encode.codec",
        help="Bits of a sample.  [default: as the source]",
    )
    chroma: Chroma = option(
        "auto",
        "--chroma",
        belongs_to="encode.codec",
        also={"4:2:0": "420", "yuv420p": "420", "yuv420": "420"},
        help="Chroma subsampling: auto as the source; 420 is what every player plays.",
    )
    colours: int | None = option(
        None,
        "--colours",
        belongs_to="encode.codec",
        metavar="N",
        help="Colours of a GIF, 4 to 256; fewer make it smaller.  [default: 256]",
    )
    encoder_options: tuple[tuple[str, str], ...] = option(
        (),
        "--encoder-option",
        belongs_to="encode.codec",
        parse=pair,
        metavar="K=V",
        help="Hand an option to the encoder, which has to know its name; repeatable.",
    )
    audio: bool = option(
        True,
        "--audio/--no-audio",
        common=True,
        changes_result=False,  # of the picture
        help="Keep the sound, or leave it out.",
    )
    overwrite: bool = option(
        False,
        "--overwrite",
        common=True,
        changes_result=False,
        help="Replace the output if it is there already.",
    )

    def __post_init__(self) -> None:
        if self.bits not in (None, 8, 10):
            raise UsageError(f"<encode.bits> {self.bits}: must be 8 or 10")
        if self.colours is not None and not 4 <= self.colours <= 256:
            raise UsageError(f"<encode.colours> {self.colours}: must lie between 4 and 256")
