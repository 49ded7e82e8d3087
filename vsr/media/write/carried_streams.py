"""The source's streams beside the picture: what is tried with each, and what is said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vsr.events import Note, Sink, WarningNote
from vsr.media.format.containers import (
    Container,
    StreamAction,
    kept_by,
    subtitle_action,
    video_action,
)
from vsr.media.source.kinds.base import Source
from vsr.media.source.streams import StreamInfo
from vsr.media.write.audio_streams import audio_actions
from vsr.media.write.tags import WrittenTags, lost
from vsr.media.write.verify import ArrivedAudio, packets_in

Carried = tuple[StreamInfo, StreamAction]


@dataclass
class CarriedStream:
    """A stream of the source, what is being tried with it, and what can be tried else."""

    stream: StreamInfo
    action: StreamAction | None  # None: it is left out
    others: Iterator[StreamAction]
    why: str = ""  # it was not carried as it is
    empty: bool = False  # in the part that is wanted
    torn: int = 0  # packets that are left out

    @property
    def carried(self) -> list[Carried]:
        """The stream and what becomes of it; nothing if it is left out."""
        return [] if self.action is None else [(self.stream, self.action)]

    def try_next(self, why: str, without_torn: Callable[[CarriedStream], bool]) -> None:
        """Take the next action, after the last one failed because of `why`.

        `without_torn`: provides a copy that lacks the torn packets, if there are any.
        """
        self.why = why
        for action in self.others:
            if action.whole or without_torn(self):
                self.action = action
                return
        self.action = None

    def is_lost_sound(self, source: Source) -> bool:
        """Return whether this is sound with packets in it, and is left out."""
        if self.stream.kind != "audio" or self.action is not None or self.empty:
            return False
        return packets_in(source.path, self.stream.index) != 0

    def tell(self, arrived: ArrivedAudio | None, source: Source, sink: Sink) -> None:
        """Say what became of it, unless that is a copy."""
        what = self.stream.kind
        if self.action is None:
            said, lost = f"{what} {self.why}: left out", not self.empty
        else:
            said, lost = self.action.note or "", self.action.lost
            if arrived is not None and arrived.channels < self.action.channels:
                said += f", {self.action.channels} channels become {arrived.channels}"
        _say(said, source, self.stream, sink, lost=lost)
        if self.torn and self.action is not None:
            packets = f"{self.torn} torn packet{'s' * (self.torn > 1)}"
            _say(f"{what}: {packets} left out", source, self.stream, sink, lost=True)


def _say(text: str, source: Source, stream: StreamInfo, sink: Sink, *, lost: bool) -> None:
    if text and lost:
        sink(WarningNote(text=f"{source.path.name}: stream {stream.index}: {text}"))
    elif text:
        sink(Note(text=f"stream {stream.index}: {text}"))


def can_be_cut(one: CarriedStream, source: Source, sink: Sink) -> bool:
    """Return whether clips of the stream can be made; say so where not."""
    kind = one.stream.kind
    if kind in ("video", "data"):
        _say(f"{kind} cannot be cut: left out", source, one.stream, sink, lost=True)
    return kind not in ("video", "data")


def left_out(source: Source, container: Container, *, sink: Sink) -> None:
    """Say which streams the container leaves out; `LiveAudio` tells of those that it can hear."""
    streams_of(source, container, Path(), audio=not container.sound, sink=sink)
    if not source.format.endswith(_PICTURES):
        for what in lost(source, (), WrittenTags(), chapters=source.chapters):
            text = f"{what} does not fit {container.muxer}: left out"
            sink(WarningNote(text=f"{source.path.name}: {text}"))


_PICTURES = ("_pipe", "image2", "gif", "apng", "webp")  # whose notes have a way of their own


def streams_of(
    source: Source, container: Container, folder: Path, *, audio: bool, sink: Sink
) -> list[CarriedStream]:
    """Return what the result is to have beside the picture; say what it is not to have.

    `folder`: for small files.
    """
    found = []
    for stream in source.streams:
        if stream.index == source.video.index or (stream.kind == "audio" and not audio):
            continue
        if stream.kind == "audio" and container.sound:
            actions = audio_actions(source, stream.index, container, folder)
            found.append(
                CarriedStream(stream, next(actions, None), actions, why="cannot be decoded")
            )
            continue
        action = _action(stream, source, container)
        _say(action.note or "", source, stream, sink, lost=action.lost)
        if action.codec is not None:
            found.append(CarriedStream(stream, dataclasses.replace(action, note=None), iter(())))
    return found


def _action(  # noqa: PLR0911 (a table of kinds)
    stream: StreamInfo, source: Source, container: Container
) -> StreamAction:
    gone = f"does not fit {container.muxer}: left out"
    if stream.kind == "audio":
        return StreamAction(codec=None, note=f"sound {gone}", lost=True)
    if stream.kind == "subtitle" and not stream.codec:
        return StreamAction(codec=None, note="subtitle of an unknown codec is left out", lost=True)
    # From elsewhere they come without durations, and MP4 would lose the last one.
    if stream.codec == "dvd_subtitle" and "mp4" in source.format and container.muxer == "mp4":
        return StreamAction(codec="copy")
    if stream.kind == "subtitle":
        return subtitle_action(container, stream.codec)
    if stream.kind == "cover":
        if container.covers:
            return StreamAction(codec="copy")
        kept = kept_by(lambda other: other.covers, "it")
        return StreamAction(codec=None, note=f"cover art {gone}{kept}", lost=True)
    if stream.kind == "attachment":
        if container.attachments:
            return StreamAction(codec="copy")
        return StreamAction(
            codec=None, note=f"an attachment (a font?) {gone}; an .mkv would keep it", lost=True
        )
    if stream.kind == "video":
        return video_action(container, stream.codec)
    if stream.codec == "tmcd" and container.muxer in ("mp4", "mov", "matroska", "webm"):
        return StreamAction(codec=None)  # it is a tag of the video, too, and written anew from that
    if "mp4" in source.format and source.chapters and stream.codec == "bin_data":
        return StreamAction(
            codec=None
        )  # the text track of the chapters, which are carried as chapters
    if stream.codec in container.data:
        return StreamAction(codec="copy")
    kept = kept_by(lambda other: stream.codec in other.data, "it")
    note = f"data ({stream.codec or 'unknown'}) {gone}{kept}"
    return StreamAction(codec=None, note=note, lost=True)
