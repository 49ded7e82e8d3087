"""What became of each stream of a source in its result, and of the tags of both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vsr.media.source.kinds.base import Source
from vsr.media.source.streams import StreamInfo, family

Fate = Literal["upscaled", "copied", "encoded again", "left out", "new"]


@dataclass(frozen=True, kw_only=True)
class StreamFate:
    """A stream of the source, of the result, or of both."""

    before: StreamInfo | None
    after: StreamInfo | None
    fate: Fate
    why: tuple[str, ...] = ()  # what the run said of it


@dataclass(frozen=True, kw_only=True)
class TagChange:
    """A tag that is not the same in the result."""

    name: str
    before: str | None
    after: str | None


def fates(source: Source, result: Source, said: Sequence[str]) -> list[StreamFate]:
    """Pair the streams of both, in the source's order; those that came new follow.

    `said`: notes of the run, of which those that name a stream are its reason.
    """
    left = [s for s in result.streams if s.index != result.video.index]
    found = []
    for stream in source.streams:
        if stream.index == source.video.index:
            after = next(s for s in result.streams if s.index == result.video.index)
            found.append(StreamFate(before=stream, after=after, fate="upscaled"))
            continue
        twin = _twin(stream, left)
        if twin is not None:
            left.remove(twin)
        found.append(
            StreamFate(
                before=stream, after=twin, fate=_fate(stream, twin), why=_reasons(stream, said)
            )
        )
    return found + [StreamFate(before=None, after=stream, fate="new") for stream in left]


def _twin(stream: StreamInfo, left: Sequence[StreamInfo]) -> StreamInfo | None:
    """Return the stream of the result that is most like one of the source, of its kind."""
    alike = [other for other in left if other.kind == stream.kind]

    def unlike(other: StreamInfo) -> tuple[bool, bool, bool, int]:
        return (
            other.language != stream.language,
            other.title != stream.title,
            family(other.codec) != family(stream.codec),
            other.index,
        )

    return min(alike, key=unlike, default=None)


def _fate(stream: StreamInfo, twin: StreamInfo | None) -> Fate:
    if twin is None:
        return "left out"
    return "copied" if family(twin.codec) == family(stream.codec) else "encoded again"


def _reasons(stream: StreamInfo, said: Sequence[str]) -> tuple[str, ...]:
    number = re.compile(rf"#{stream.index}\b|\b{stream.kind} (stream )?{stream.index}\b")
    return tuple(text for text in said if number.search(text))


def tags(source: Source) -> dict[str, str]:
    """Return the tags of the whole file."""
    with source.open() as container:
        return {str(name).lower(): str(value) for name, value in container.metadata.items()}


# What each muxer writes for itself.
_OWN = frozenset({
    "encoder", "major_brand", "minor_version", "compatible_brands", "duration",
    "creation_time",
})  # fmt: skip


def changed_tags(before: dict[str, str], after: dict[str, str]) -> list[TagChange]:
    """Return the tags that differ, without those that each muxer writes for itself."""
    return [
        TagChange(name=name, before=before.get(name), after=after.get(name))
        for name in {**before, **after}
        if name not in _OWN and before.get(name) != after.get(name)
    ]
