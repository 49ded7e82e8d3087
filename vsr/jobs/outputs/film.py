"""A film in a container, with all that its source has beside the picture."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import SoundLost
from vsr.jobs.outputs.base import EncodedPicture, Output
from vsr.jobs.store import atomic_write
from vsr.media.format.encoders import EncoderPlan, kept_in
from vsr.media.source.kinds.base import Source
from vsr.media.write.concat import SAYS_DURATIONS
from vsr.media.write.mux import mux
from vsr.media.write.verify import EncodedVideo


@dataclass(frozen=True, kw_only=True)
class FilmOutput(Output):
    """A film: its segments are joined as they are, and then muxed with the source's streams."""

    def adapted(self, encoder: EncoderPlan) -> EncoderPlan:
        """Return the encoder, in the result's own container where that says durations."""
        muxer = self.container.muxer
        return kept_in(encoder, muxer) if muxer in SAYS_DURATIONS else encoder

    def segment_encoder(self, encoder: EncoderPlan) -> EncoderPlan:
        """Return the same encoder."""
        return encoder

    def muxer_options(self, source: Source, encoder: EncoderPlan) -> Mapping[str, str]:
        """Return what keeps a late start exact."""
        return exact(source, encoder)

    def complete(self, picture: EncodedPicture) -> Path:
        """Mux the picture with the source's other streams, and verify that all is there."""
        complete = picture.folder / f"joined{self.path.suffix}"
        encoder, written = picture.encoder.encoder, picture.written
        video = EncodedVideo(
            path=picture.path,
            codec=encoder.codec,
            hidden_alpha=encoder.codec == "vp9" and picture.encoder.layout.alpha,
            shape=picture.shape,
            frames=written.frames,
            first=written.first,
            last=written.last,
        )
        try:
            mux(
                video,
                picture.source,
                complete,
                self.container,
                pieces=picture.pieces,
                audio=picture.audio,
                sink=picture.sink,
            )
        except SoundLost as error:
            beside = _free(self.path)
            atomic_write.rename(complete, beside)
            raise SoundLost(f"{error.text}; the film without it is {beside}") from error
        return complete


def exact(source: Source, encoder: EncoderPlan) -> dict[str, str]:
    """Return options without which a late start would be rounded to milliseconds."""
    if encoder.encoder.container not in ("mp4", "mov"):
        return {}
    return {"movie_timescale": str(max(source.video.time_base.denominator, 1000))}


def _free(output: Path) -> Path:
    """Return a name beside the output's that nothing has yet."""
    for number in itertools.count(1):
        beside = output.with_stem(f"{output.stem}_no-audio{number if number > 1 else ''}")
        if not beside.exists():
            return beside
    raise AssertionError
