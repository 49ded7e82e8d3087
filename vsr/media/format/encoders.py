"""The encoders that can be asked for: their quality scales, presets and pixel formats."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import av

from vsr.errors import UsageError
from vsr.frame import Colour, Layout, Matrix, Range, Siting
from vsr.media.format.hdr import HdrMetadata, encoder_parameters
from vsr.media.format.pixel_formats import layout_of
from vsr.options import Codec, EncodeOptions


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One way to write video, by ffmpeg's names."""

    name: str  # of the encoder
    codec: str  # of what it writes
    quality: str | None  # the option that --crf sets; None: no such scale
    # Default quality, the same for those that have such a scale, and hardly told from what went
    # in at normal distance. The presets are chosen by benchmarks/encoders.py.
    crf: float | None = None
    preset: str | None = None
    presets: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)  # always set
    formats: tuple[str, ...] = ()  # pixel formats, the plainest first
    container: str = "mp4"  # of the picture alone; keeps its exact timestamps
    hardware: bool = False
    colour: Colour | None = None  # the only one that it can write
    palette: int | None = None  # to so many colours the pictures are reduced first
    untagged: bool = False  # no colours can be told: a player guesses
    full_range: bool = True  # whether it can tell a player
    sitings: frozenset[Siting] = frozenset(Siting)  # of chroma, that its bitstream can tell
    captions: bool = False  # whether it writes those that come with its frames


_X26X = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_LISTS = ("x264-params", "x265-params", "svtav1-params")
_LEFT = frozenset({Siting.LEFT})
_AV1_SITINGS = frozenset({Siting.LEFT, Siting.TOPLEFT})
_NVENC = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
_420 = ("yuv420p", "yuv420p10le")
_ALL = (
    *_420, "yuv422p", "yuv422p10le", "yuv444p", "yuv444p10le",
)  # fmt: skip

ENCODERS: Mapping[Codec, Encoder] = {
    "h264": Encoder(
        name="libx264", codec="h264", quality="crf", crf=17, preset="faster", presets=_X26X,
        # Its fastest code reads memory that was never written, and rounds otherwise elsewhere.
        options={"x264-params": "cpu-independent=1"}, formats=_ALL, captions=True,
    ),
    "h265": Encoder(
        name="libx265", codec="hevc", quality="crf", crf=19, preset="medium", presets=_X26X,
        options={"x265-params": "log-level=none:info=0", "a53cc": "1"}, captions=True,
        formats=(*_ALL, "yuv420p12le", "yuv422p12le", "yuv444p12le"),
    ),
    "av1": Encoder(
        name="libsvtav1", codec="av1", quality="crf", crf=26, preset="8",
        presets=tuple(str(n) for n in range(14)), formats=_420, sitings=_AV1_SITINGS,
    ),
    "vp9": Encoder(
        name="libvpx-vp9", codec="vp9", quality="crf", crf=18, sitings=_LEFT,
        # One thread writes other bits than two, but no more than two do.
        options={"b": "0", "cpu-used": "2", "row-mt": "1", "threads": "8"},
        formats=("yuv420p", "yuv422p", "yuv444p", "yuva420p"),
    ),
    "ffv1": Encoder(
        name="ffv1", codec="ffv1", quality=None, sitings=_LEFT,
        options={"level": "3", "slicecrc": "1", "g": "1"},
        formats=(
            *_ALL, "yuv420p12le", "yuv422p12le", "yuv444p12le", "yuv420p16le", "yuv422p16le",
            "yuv444p16le", "gray", "gray10le", "gray16le", "bgr0", "bgra",
            "gbrp10le", "gbrp16le", "gbrap10le", "gbrap16le",
            "yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva444p10le",
        ),
    ),
    "prores": Encoder(
        name="prores_ks", codec="prores", quality=None, preset="hq",
        presets=("proxy", "lt", "standard", "hq", "4444", "4444xq"),
        options={"vendor": "apl0"}, container="mov", sitings=_LEFT,
        full_range=False,
        formats=("yuv422p10le", "yuv444p10le", "yuva444p10le"),
    ),
    "gif": Encoder(
        name="gif", codec="gif", quality=None, formats=("rgba",), container="gif", palette=256,
    ),
    "apng": Encoder(
        name="apng", codec="apng", quality=None, container="apng", options={"pred": "paeth"},
        formats=("rgb24", "rgba", "rgb48be", "rgba64be"),
    ),
    "webp": Encoder(
        name="libwebp_anim", codec="webp", quality=None, options={"quality": "92"},
        formats=("bgra",), container="webp",
    ),
    "png": Encoder(
        name="png", codec="png", quality=None, container="image2", options={"pred": "mixed"},
        formats=("gray", "gray16be", "rgb24", "rgba", "rgb48be", "rgba64be"),
    ),
    "jpeg": Encoder(
        name="mjpeg", codec="mjpeg", quality=None, container="image2", formats=("yuv444p",),
        options={  # q 2; several threads write other bits
            "flags": "+qscale", "global_quality": "236", "strict": "unofficial", "threads": "1",
        },
        colour=Colour(
            matrix=Matrix.BT470BG, range=Range.FULL, primaries=1, transfer=13,
            siting=Siting.CENTER,
        ),
    ),
    "raw": Encoder(
        name="rawvideo", codec="rawvideo", quality=None, container="nut", untagged=True,
        formats=(
            *_ALL, "yuv420p12le", "yuv422p12le", "yuv444p12le", "yuv420p16le", "yuv422p16le",
            "yuv444p16le", "gray", "gray10le", "gray16le", "rgb24", "rgba",
            "gbrp10le", "gbrp16le", "gbrap10le", "yuva420p", "yuva422p", "yuva444p",
            "yuva420p10le", "yuva444p10le",
        ),
    ),
    "h264_nvenc": Encoder(
        name="h264_nvenc", codec="h264", quality="cq", crf=19, preset="p5", presets=_NVENC,
        options={"rc": "vbr", "b": "0"}, formats=("yuv420p", "yuv444p"), hardware=True,
        captions=True,
    ),
    "hevc_nvenc": Encoder(
        name="hevc_nvenc", codec="hevc", quality="cq", crf=21, preset="p5", presets=_NVENC,
        options={"rc": "vbr", "b": "0"}, formats=("yuv420p", "p010le", "yuv444p"), hardware=True,
        captions=True,
    ),
    "av1_nvenc": Encoder(
        name="av1_nvenc", codec="av1", quality="cq", crf=25, preset="p5", presets=_NVENC,
        options={"rc": "vbr", "b": "0"}, formats=("yuv420p", "p010le"), hardware=True,
        sitings=_AV1_SITINGS, captions=True,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EncoderPlan:
    """An encoder with everything that was chosen for one output."""

    encoder: Encoder
    pix_fmt: str
    layout: Layout
    settings: dict[str, str]  # the encoder's options, complete
    description: str  # "h264 crf 17"


def plan_encoder(
    options: EncodeOptions, source: Layout, *, hdr: HdrMetadata | None = None, planar: bool = False
) -> EncoderPlan:
    """Choose the pixel format nearest to the source's and check every option.

    `planar`: only YUV and grey will do, without transparency.

    Raises UsageError for a quality, preset or option that the encoder does not
    have, and for a depth that it cannot write.
    """
    codec = options.codec or "h264"
    encoder = ENCODERS[codec]
    if encoder.name not in av.codecs_available:
        raise UsageError(f"<encode.codec> {codec}: this build of PyAV has no {encoder.name}")
    if planar:
        formats = tuple(f for f in encoder.formats if f.startswith(("yuv4", "gray")))
        encoder = dataclasses.replace(encoder, formats=formats)
    pix_fmt = _choose_format(encoder, options, source)
    layout = layout_of(pix_fmt)
    assert layout is not None
    settings, words = dict(encoder.options), [str(codec)]
    if options.colours is not None:
        encoder = _reduced(encoder, options.colours)
        words.append(f"{options.colours} colours")
    if codec == "vp9" and layout.alpha:  # it lies beside the picture, where MP4 has no place
        encoder = dataclasses.replace(encoder, container="webm")
        settings["auto-alt-ref"] = "0"  # frames that are not shown have no alpha
    crf = options.crf if options.crf is not None else encoder.crf
    if options.crf is not None and encoder.quality is None:
        raise UsageError(f"<encode.crf>: {codec} has no such scale")
    if encoder.quality is not None and crf is not None:
        _check_quality(encoder, crf, codec)
        settings[encoder.quality] = f"{crf:g}"
        words.append(f"{encoder.quality} {crf:g}")
    if (preset := _preset(encoder, options, layout)) is not None:
        settings["profile" if encoder.codec == "prores" else "preset"] = preset
        words.append(preset)
    _check_names(encoder, options.encoder_options)
    if hdr is not None and (told := encoder_parameters(hdr, encoder.name)) is not None:
        words.append("HDR10")
        _add(settings, (told,))
    _add(settings, options.encoder_options)
    if codec == "webp":
        lossy = settings.get("lossless", "0") == "0"
        words.append(f"quality {settings['quality']}" if lossy else "lossless")
    if layout.bits > 8:
        words.append(f"{layout.bits} bit")
    return EncoderPlan(
        encoder=encoder,
        pix_fmt=pix_fmt,
        layout=layout,
        settings=settings,
        description=" ".join(words),
    )


def _preset(encoder: Encoder, options: EncodeOptions, layout: Layout) -> str | None:
    """Return the preset, or of ProRes the profile; None where there is none."""
    if options.preset is None:
        full_chroma = layout.sub_x == 0 or layout.alpha
        return "4444" if encoder.codec == "prores" and full_chroma else encoder.preset
    if options.preset not in encoder.presets:
        listed = ", ".join(encoder.presets) or "none"
        raise UsageError(
            f"<encode.preset> {options.preset}: {options.codec or 'h264'} has {listed}"
        )
    return options.preset


def _add(settings: dict[str, str], given: Iterable[tuple[str, str]]) -> None:
    """Set what is given; lists of the encoder's own parameters add up, and later ones win."""
    for name, value in given:
        lists = name in _LISTS and name in settings
        settings[name] = f"{settings[name]}:{value}" if lists else value


def _reduced(encoder: Encoder, colours: int) -> Encoder:
    """Return the same, with palettes of so many colours."""
    if encoder.palette is None:
        raise UsageError(f"<encode.colours>: {encoder.name} has no palette; GIF has one")
    return dataclasses.replace(encoder, palette=colours)


def one_file_each(plan: EncoderPlan) -> EncoderPlan:
    """Return the same, with each frame as a picture of its own in ffmpeg's numbered files."""
    name = {"libwebp_anim": "libwebp"}.get(plan.encoder.name, plan.encoder.name)
    encoder = dataclasses.replace(plan.encoder, name=name, container="image2")
    return dataclasses.replace(plan, encoder=encoder)


def kept_in(plan: EncoderPlan, muxer: str) -> EncoderPlan:
    """Return the same, with the picture in ffmpeg's container `muxer` until it is joined with the
    rest.
    """
    return dataclasses.replace(plan, encoder=dataclasses.replace(plan.encoder, container=muxer))


def _choose_format(encoder: Encoder, options: EncodeOptions, source: Layout) -> str:
    """Return the format that loses least of the source: chroma, then depth, then alpha; no more."""
    want_bits = options.bits or min(source.bits, 16)
    keeps_rgb = any(name.startswith(("gbr", "rgb", "bgr")) for name in encoder.formats)
    family = "yuv" if source.family == "rgb" and not keeps_rgb else source.family
    sub = (source.sub_x, source.sub_y)
    if source.family != "yuv" and not keeps_rgb and encoder.codec != "prores":
        sub = (1, 1)  # pictures, GIFs and grey film become the video that every player shows
    if options.chroma == "420":
        sub = (1, 1)

    def cost(name: str) -> tuple[bool, bool, bool, bool, int, int, bool]:
        layout = layout_of(name)
        assert layout is not None
        lost_chroma = max(layout.sub_x - sub[0], 0) + max(layout.sub_y - sub[1], 0)
        extra = max(sub[0] - layout.sub_x, 0) + max(sub[1] - layout.sub_y, 0)
        return (
            layout.family == "gray" and source.family != "gray",
            layout.family != family,
            source.alpha and not layout.alpha,
            layout.bits < want_bits,
            lost_chroma,
            abs(layout.bits - want_bits) + 4 * extra,
            layout.alpha != source.alpha,
        )

    best = min(encoder.formats, key=cost)
    chosen = layout_of(best)
    if options.chroma == "420" and chosen is not None and (chosen.sub_x, chosen.sub_y) != sub:
        raise UsageError(f"<encode.chroma> 420: {options.codec} cannot write that here")
    if options.bits is not None and chosen is not None and chosen.bits != options.bits:
        raise UsageError(f"<encode.bits> {options.bits}: {options.codec} cannot write that here")
    return best


def _check_quality(encoder: Encoder, crf: float, codec: str) -> None:
    assert encoder.quality is not None
    known = {o.name: o for o in _options(encoder)}
    option = known.get(encoder.quality)
    top = min(option.max, 63.0) if option is not None and option.max > 0 else 63.0
    if encoder.codec in ("h264", "hevc"):
        top = min(top, 51.0)
    if not 0 <= crf <= top:
        raise UsageError(f"<encode.crf> {crf:g}: {codec} takes 0 to {top:g}")


def _options(encoder: Encoder) -> list[av.codec.context.CodecOption]:
    known = av.CodecContext.create(encoder.name, "w").supported_options
    return [*known.private, *known.generic]


def _check_names(encoder: Encoder, given: tuple[tuple[str, str], ...]) -> None:
    """Refuse an option that ffmpeg does not know: it would be ignored, and the typo never be
    seen.
    """
    if not given:
        return
    known = {option.name for option in _options(encoder)}
    for name, _ in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"<encode.encoder_options> {name}: {encoder.name} has no such option{hint}"
            )
