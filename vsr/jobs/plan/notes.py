"""What is said of a plan before the work begins: what it guesses, what it loses, what it is."""

from __future__ import annotations

from collections.abc import Iterator

from vsr.engine.base import Engine
from vsr.jobs.plan.plan import Plan
from vsr.media.format.colour_tags import name_of
from vsr.media.format.encoders import Encoder
from vsr.media.format.hdr import TELLS_LIGHT, encoder_parameters
from vsr.media.format.repeatable import unrepeatable
from vsr.media.read.interlace import ScanMode
from vsr.media.source.kinds.base import VideoInfo
from vsr.options import Codec, UpscaleOptions
from vsr.stages.temporal.deflicker import levels

# Codecs that devices play in hardware, mostly in 4:2:0 alone.
_IN_HARDWARE = frozenset({"h264", "hevc", "av1", "vp9"})


def notes(plan: Plan, options: UpscaleOptions) -> Iterator[str]:
    """Yield what the user should know before the work begins."""
    video = plan.source.video
    yield from video.guesses
    layout = plan.encoder.layout
    if layout.family == "yuv" and not layout.sub_y and plan.encoder.encoder.codec in _IN_HARDWARE:
        yield (
            f"stays {layout.name}, which few players decode in hardware; "
            f"they do <encode.chroma> 420"
        )
    if plan.scan is ScanMode.INTERLACED:
        yield "is interlaced; deinterlaced with bwdif"
    if plan.scan is ScanMode.FIELDS:
        yield "is interlaced; each field becomes a frame"
    if options.source.crop == "auto":
        hidden = str(video.hidden)
        yield f"black bars are cut off: {hidden}" if hidden else "has no black bars to cut off"
    if plan.scan is ScanMode.TELECINED:
        yield "is telecined; the film's own frames are restored"
    if options.temporal.deflicker and not levels(video.colour):
        yield "is HDR, whose light <temporal.deflicker> leaves as it is"


def losses(plan: Plan, options: UpscaleOptions) -> Iterator[str]:
    """Yield what of the picture the result cannot have."""
    video, layout = plan.source.video, plan.encoder.layout
    yield from plan.source.flaws()
    yield from video.beside
    encoder, muxer = plan.encoder.encoder, plan.output.container.muxer
    for fact in video.views.lost_in(muxer, plan.source.format) if video.views is not None else ():
        yield f"{muxer} cannot say {fact}"
    if video.colour.hdr:
        yield from _losses_of_hdr(video, plan.codec, encoder, muxer)
    if layout.bits < video.layout.bits and options.encode.bits is None:
        fewer = f"{video.layout.bits} bit become {layout.bits}"
        yield f"{fewer}, the most that {plan.codec} holds here"
    if video.hidden_alpha:
        yield f"the transparency of {video.codec} cannot be read; it is lost"
    if why := unrepeatable(plan.encoder, plan.target.width):
        yield why
    if video.transparent and not layout.alpha:
        holds = (
            "a .mov, .mkv or .webm would keep it"
            if not plan.output.container.alpha
            else "see <encode.codec>"
        )
        yield f"its transparency does not fit {plan.codec}; {holds}"


def _losses_of_hdr(video: VideoInfo, codec: Codec, encoder: Encoder, muxer: str) -> Iterator[str]:
    if encoder.untagged or encoder.codec in _TELLS_NO_TRANSFER:
        yield f"is HDR, which {codec} cannot say: the result will look pale"
    elif encoder.codec == "h264":
        yield (
            "is HDR, and hardly any device plays that from H.264; "
            "<encode.codec> h265 or av1 would do"
        )
    written = encoder_parameters(video.hdr, encoder.name) if video.hdr is not None else ("", "")
    if written is None and muxer not in TELLS_LIGHT:
        yield f"neither {codec} nor {muxer} can carry its HDR10 metadata"


_TELLS_NO_TRANSFER = frozenset({"gif", "webp", "mjpeg"})


def describe(plan: Plan, model: str, engine: Engine) -> str:
    """Return the run in one line, for people."""
    video = plan.source.video
    runtime = f"{engine.label} " if engine.label else ""
    return (
        f"{model}, {engine.device} {runtime}{engine.precision}, {video.width}x{video.height} -> "
        f"{plan.target.width}x{plan.target.height} {name_of(video.colour.matrix)}, "
        f"{plan.encoder.description}"
    )
