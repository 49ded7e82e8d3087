"""The tags of a film as a whole and of its streams: which are kept, stale, or do not fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import LENIENT
from vsr.media.source.streams import StreamInfo, stream_info
from vsr.media.write.provenance import MADE_BY
from vsr.version import __version__

# What other programs wrote about the source's video, and is no longer true of ours.
_STALE = (
    "BPS", "BPS-eng", "DURATION", "DURATION-eng", "ENCODER", "NUMBER_OF_BYTES",
    "NUMBER_OF_BYTES-eng", "NUMBER_OF_FRAMES", "NUMBER_OF_FRAMES-eng", "_STATISTICS_TAGS",
    "_STATISTICS_TAGS-eng", "_STATISTICS_WRITING_APP", "_STATISTICS_WRITING_APP-eng",
    "_STATISTICS_WRITING_DATE_UTC", "_STATISTICS_WRITING_DATE_UTC-eng", "alpha_mode", "encoder",
)  # fmt: skip
# What was true of the source's file alone.
_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands")
_OWN = frozenset({*_OF_THE_FILE, "encoder", "duration", "handler_name", "vendor_id"})
_DATE = "creation_time"
# Of phones and cameras: `com.apple.quicktime.location.ISO6709`. MP4 and MOV keep any name, but only
# instead of those that music players know, so it is asked for where there are such.
_PHONES = "com."
_LISTED = 8


def stale_tags(ours: Collection[int]) -> list[str]:
    """Return arguments for ffmpeg that drop the stale tags of the streams `ours`.

    And that say of the picture who made it, where other encoders say that.
    """
    stale = [word for n in ours for name in _STALE for word in (f"-metadata:s:{n}", f"{name}=")]
    return [*stale, "-metadata:s:0", f"encoder={MADE_BY}{__version__}"]


def main_of(source: Source) -> StreamInfo:
    """Return the stream that is upscaled."""
    return next(s for s in source.streams if s.index == source.video.index)


def kept_tags(source: Source, carried: Sequence[StreamInfo]) -> list[str]:
    """Return arguments for ffmpeg that keep what it does not copy, and drop what is stale.

    `carried`: the streams of the result in their order, the picture's first.
    """
    words = [f"{name}=" for name in source.tags if name.lower() in _OF_THE_FILE]
    if (date := source.tags.get(_DATE)) is not None:
        words.append(f"{_DATE}={date.partition(';')[0]}")  # it may be there in two forms
    arguments = [argument for word in words for argument in ("-metadata", word)]
    for n, stream in enumerate(carried):
        if stream.title and stream.kind in ("audio", "video", "subtitle"):
            # MP4 writes it as a title and reads it as a name.
            for word in (f"title={stream.title}", "name="):
                arguments += [f"-metadata:s:{n}", word]
    return arguments


def movie_flags(source: Source) -> str:
    """Return what MP4's and MOV's muxer is asked for, beside the container's own."""
    phones = any(name.lower().startswith(_PHONES) for name in source.tags)
    return "+use_metadata_tags" if phones else ""


@dataclass(frozen=True, kw_only=True)
class WrittenTags:
    """What a written file says: names of its tags, titles of its streams, how many chapters."""

    names: frozenset[str] = frozenset()
    titles: frozenset[str] = frozenset()
    chapters: int = 0


def written_tags(path: Path) -> WrittenTags:
    """Read back the tags of the file `path`."""
    with av.open(str(path.absolute()), **LENIENT) as container:
        streams = [stream_info(stream) for stream in container.streams]
        names = {*container.metadata, *container.streams[0].metadata}
        return WrittenTags(
            names=frozenset(name.lower() for name in names),
            titles=frozenset(one.title for one in streams if one.title is not None),
            chapters=len(container.chapters()),
        )


def lost(
    source: Source, carried: Iterable[StreamInfo], there: WrittenTags, *, chapters: int
) -> Iterator[str]:
    """Yield in words what the source says and the result does not, of its `carried` streams too.

    `chapters`: how many it is to have.
    """
    if chapters and not there.chapters:
        yield f"the list of its {chapters} chapters"
    names = [name for name in source.tags if not _is_there(name.lower(), there.names)]
    if names:
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        yield f"what its tags say ({', '.join(sorted(names)[:_LISTED])}{more})"
    for stream in carried:
        if stream.title and stream.title not in there.titles and stream.kind != "attachment":
            yield f"the title tag of stream {stream.index} ({stream.title})"


def _is_there(name: str, names: Collection[str]) -> bool:
    """Whether the tag is among `names`, in another language at least, or says nothing of a film."""
    return name in _OWN or name in names or name.rpartition("-")[0] in names
