"""What becomes of a stream of sound in a container: asked of the container's own muxer.

Tables of what fits age with every version of ffmpeg, and know nothing of sample rates. So the
stream's first packets are written into memory by the muxer, and read back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import ffmpeg
from av.audio.stream import AudioStream

from vsr.errors import FfmpegError
from vsr.media.ffmpeg import file_argument, plain_name, run, said_of
from vsr.media.format.containers import Container, StreamAction
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import open_source
from vsr.media.source.protocols import input_options
from vsr.media.write.muxer_trial import TRIED, comes_back, first_packets, holds, keeps_silence

_INTEGERS = ("u8", "s16", "s32", "s64")
_FLOATS = ("flt", "dbl")
_PER_CHANNEL = {"aac": 160, "libopus": 96}  # kbit/s, at which nobody hears a difference
_MOST = {"aac": 1280, "libopus": 510}
_OPUS_LAYOUTS = "aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono"


@dataclass(frozen=True, kw_only=True)
class _DecodedForm:
    """What a decoder makes of a stream."""

    codec: str
    lossless: bool
    kind: str  # of its samples: ffmpeg's name of the packed format
    bits: int  # of a sample
    rate: int
    layout: str  # the usual one, where the source names none
    named: bool  # whether it does
    channels: int


def audio_actions(
    source: Source, index: int, container: Container, folder: Path
) -> Iterator[StreamAction]:
    """Yield what can be tried with the source's sound `index`, the best first.

    As it is; without the packets that the muxer refuses; encoded again, without loss where
    the container has a codec for that. `folder`: for a small file. Raises InputError where the
    source cannot be opened.
    """
    fits: bool | None = True
    with open_source(source.path) as opened:
        stream = opened.streams[index]
        if not isinstance(stream, AudioStream) or stream.codec_context is None:
            sound = None  # no decoder here knows it, but a muxer may
        else:
            sound = _sound(source, stream)
            fits = holds(opened, stream, container.muxer)
    if sound is not None and fits is None:
        fits = _fits(source, index, container.muxer, folder)
    if fits:
        yield StreamAction(codec="copy")
    if sound is None:
        return
    if fits:
        yield StreamAction(codec="copy", whole=False)
    what = "cannot be copied" if fits else f"does not fit {container.muxer}"
    lossless = list(_lossless(sound, container))
    for encoder in [*lossless, *_lossy(container.muxer)]:
        how = " (lossless)" if encoder in lossless else ""
        yield StreamAction(
            codec=encoder,
            note=f"{sound.codec} audio {what}: re-encoded to {encoder}{how}",
            lost=not how or fits is True,
            options=_settings(encoder, sound),
            channels=sound.channels,
        )


def _fits(source: Source, index: int, muxer: str, folder: Path) -> bool:
    """Put the same question as `holds` to the ffmpeg program."""
    written = folder / "trial"
    whole = ffmpeg.input(
        file_argument(plain_name(source.path, folder)), **input_options(source.path)
    )
    try:
        run([whole[str(index)]], written, {"codec": "copy", "frames": TRIED, "f": muxer})
        with open_source(source.path) as opened:
            stream = opened.streams[index]
            assert isinstance(stream, AudioStream)
            return comes_back(str(written), stream.codec_context, first_packets(opened, stream))
    except (FfmpegError, av.FFmpegError, OSError, ValueError):
        return False
    finally:
        written.unlink(missing_ok=True)


def _sound(source: Source, stream: AudioStream) -> _DecodedForm:
    context = stream.codec_context
    form: av.AudioFormat | None = context.format  # damage may leave it open
    codec, kind = context.codec.canonical_name, form.packed.name if form is not None else ""
    layout, channels = context.layout.name, max(context.layout.nb_channels, 1)
    named = not layout.endswith(" channels")
    # The core of DTS, which decodes to floats, is lossy; what is beside it need not be.
    lossy = not kind or not context.codec.lossless or (codec == "dts" and kind in _FLOATS)
    return _DecodedForm(
        codec=codec,
        lossless=not lossy,
        kind=kind,
        bits=64 if lossy else _depth(source, stream.index, codec, kind),
        rate=context.sample_rate,
        layout=layout if named else av.AudioLayout(f"{channels}c").name,
        named=named,
        channels=channels,
    )


def _lossless(sound: _DecodedForm, container: Container) -> Iterator[str]:
    """Yield the encoders whose result has the same samples, the best first."""
    if not sound.lossless:
        return
    raw = {
        "flt": ("pcm_f32le", "pcm_f64le"), "dbl": ("pcm_f64le",), "u8": ("pcm_u8", "pcm_s16le"),
        "s16": ("pcm_s16le",), "s32": ("pcm_s24le",) * (sound.bits <= 24) + ("pcm_s32le",),
    }.get(sound.kind, ())  # fmt: skip
    packed = container.lossless if sound.bits <= 24 and sound.kind in _INTEGERS else ()
    is_raw = sound.codec.startswith("pcm_")
    for encoder in (*raw, *packed) if is_raw else (*packed, *raw):
        if encoder == "s302m":  # which PyAV has no encoder for
            if sound.rate == 48000 and sound.channels in (2, 4, 6, 8):
                yield encoder
        elif _is_held(encoder, container.muxer, sound):
            yield encoder


def _depth(source: Source, index: int, codec: str, kind: str) -> int:
    """Return how many bits of a sample are used; a decoder puts 24 of them into 32."""
    if kind != "s32":
        return {"u8": 8, "s16": 16}.get(kind, 64)
    if named := re.fullmatch(r"pcm_[su](\d+)[bl]e(?:_planar)?", codec):
        return int(named[1])
    said = said_of(source.path, input_options(source.path))
    line = re.search(rf"Stream #0:{index}\b.*\((\d+) bit\)", said)
    return int(line[1]) if line else 32


def _is_held(encoder: str, muxer: str, sound: _DecodedForm) -> bool:
    """Return whether the muxer takes what the encoder makes of silence in the stream's own
    terms.
    """
    row = _INTEGERS if sound.kind in _INTEGERS else _FLOATS
    wider = row[row.index(sound.kind) :]
    try:
        formats = av.codec.Codec(encoder, "w").audio_formats or ()
        fitting = {f.packed.name: f.name for f in formats if f.packed.name in wider}
        name = next(fitting[w] for w in wider if w in fitting)
        return keeps_silence(encoder, muxer, sound.rate, sound.layout, name)
    except (av.codec.codec.UnknownCodecError, StopIteration):
        return False


def _lossy(muxer: str) -> Iterator[str]:
    for encoder, form in (("aac", "fltp"), ("libopus", "flt")):
        if keeps_silence(encoder, muxer, 48000, "stereo", form):
            yield encoder


def _settings(encoder: str, sound: _DecodedForm) -> dict[str, str]:
    """Return the options of ffmpeg for one stream."""
    options = {}
    if encoder == "s302m":  # whose packets have 16 bits for their size
        options = {"strict": "-2", "filter": "asetnsamples=n=1024:p=0"}
    if not sound.named:  # which most encoders refuse
        options["filter"] = f"aformat=channel_layouts={sound.layout}"
    if encoder == "libopus":
        options["filter"] = _OPUS_LAYOUTS
    if encoder in _PER_CHANNEL:
        options["b"] = f"{min(_PER_CHANNEL[encoder] * sound.channels, _MOST[encoder])}k"
    return options
