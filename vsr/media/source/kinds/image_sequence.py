"""Pictures that are read as one film: the files of a folder or a pattern, one frame each."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av

from vsr.errors import InputError
from vsr.events import Sink, WarningNote
from vsr.frame import Layout
from vsr.media.format.animation import is_webp, webp_pictures
from vsr.media.format.decoder import decoded
from vsr.media.format.still_image import ImageMetadata, header, matrix_of, notes_of, orientation_of
from vsr.media.source.image_list import ImageList, list_files
from vsr.media.source.kinds.base import Source
from vsr.media.source.opening import open_source
from vsr.media.source.probe import probe
from vsr.media.source.streams import StreamInfo, main_video
from vsr.options import ColourOptions

_RATE = Fraction(25)  # frames per second, where nobody says; ffmpeg's own default
_READERS = 4  # pictures that are decoded at once: a PNG keeps one core busy for long
_RICHER = {"gray": 0, "yuv": 1, "rgb": 2}  # what holds the colours of all


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What a picture's header tells."""

    size: tuple[int, int]
    orientation: int  # as EXIF counts them; 1: upright
    kind: tuple[str, ...]  # pictures of the same kind are decoded to the same planes


@dataclass(frozen=True, kw_only=True)
class ImageSequence(Source):
    """The files of a folder or a pattern, one frame each."""

    only_pictures: ClassVar[bool] = True
    is_sequence: ClassVar[bool] = True

    listing: ImageList

    def decode(self, start: int | None, sink: Sink) -> Iterator[av.VideoFrame]:
        """Yield the frames, from number `start` on; several are decoded at once.

        A damaged picture is passed over with a note; the one before it stays for its time.
        Raises InputError for one that is gone, or of another size.
        """
        listing, video = self.listing, self.video
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="vsr-picture")
        ahead: deque[Future[av.VideoFrame | None]] = deque()
        done = start or 0

        def landed() -> Iterator[av.VideoFrame]:
            nonlocal done
            name, picture = listing.pictures[done], ahead.popleft().result()
            done += 1
            if picture is None:
                sink(WarningNote(text=f"{name}: damaged; the picture before it stays"))
                return
            size = (picture.width, picture.height)
            if video.hidden.seen(*size) != (video.width, video.height):
                raise _differs(listing.folder / name, size, listing, (video.width, video.height))
            picture.pts, picture.time_base, picture.duration = done - 1, video.time_base, 1
            yield picture

        try:
            for name in listing.pictures[done:]:
                ahead.append(pool.submit(self.picture, listing.folder / name))
                if len(ahead) > _READERS:
                    yield from landed()
            while ahead:
                yield from landed()
        finally:
            pool.shutdown(cancel_futures=True)

    def picture(self, path: Path) -> av.VideoFrame | None:
        """Decode one picture; None for a damaged one. Raises InputError for one that is gone."""
        try:
            if is_webp(path):
                return next(webp_pictures(path))
            with open_source(path) as container:
                stream = main_video(container, path)
                return next(decoded(container, stream, lambda packet, error: None), None)
        except InputError:
            raise
        except (av.FFmpegError, OSError):
            return None

    def known_times(self) -> Sequence[int]:
        """Return the numbers of the pictures."""
        return range(len(self.listing.pictures))

    def metadata(self) -> ImageMetadata:
        """Return nothing: what one picture has is not the film's."""
        return ImageMetadata(None, None)

    def identity(self) -> dict[str, Any]:
        """Return the number of the pictures, and a hash of their names and sizes."""
        digest = hashlib.sha256()
        for name in self.listing.pictures:
            size = (self.listing.folder / name).stat().st_size
            digest.update(os.fsencode(name) + f"\0{size}\0".encode())
        return {"pictures": len(self.listing.pictures), "sha256": [digest.hexdigest()]}


def probe_pictures(path: Path, fps: Fraction | None, colour: ColourOptions) -> Source:
    """Return the pictures of the folder or pattern `path` as one film of `fps` frames per second.

    Reads every header, so that nothing is begun with pictures that do not go together.
    Raises InputError, which names the first that differs.
    """
    listing = list_files(path)
    if not listing.pictures:
        raise InputError(f"{path}: holds films, no pictures to make a film of")
    rate = fps or _RATE
    infos = [probe(one, colour) for one in _one_of_each_kind(listing)]
    video = max((i.video for i in infos), key=lambda v: _RICHER[v.layout.family])
    first = listing.folder / listing.pictures[0]
    head = _head(first)
    count = len(listing.pictures)
    video = dataclasses.replace(
        video,
        layout=_layout_of_all([i.video.layout for i in infos]),
        guesses=(*dict.fromkeys(g for i in infos for g in i.video.guesses), *_told(listing, fps)),
        transparent=any(i.video.transparent for i in infos),
        rate=rate,
        time_base=1 / rate,
        frames=count,
        display_matrix=matrix_of(head.orientation) if head.orientation != 1 else None,
    )
    return ImageSequence(
        path=listing.path,
        format="pictures",
        size=sum((listing.folder / name).stat().st_size for name in listing.pictures),
        duration=float(count / rate),
        any_start=False,
        start=Fraction(0),
        begin=Fraction(0),
        streams=(StreamInfo(index=0, kind="video", codec=video.codec, language=None, title=None),),
        chapters=0,
        video=video,
        listing=listing,
    )


def _told(listing: ImageList, fps: Fraction | None) -> Iterator[str]:
    """Yield what is to be said about the files."""
    if fps is None:
        yield f"no <source.fps> is given: read at {_RATE} pictures a second"
    if listing.missing:
        yield f"numbers that are missing: {listing.missing}; the pictures leave no gap for them"
    if listing.films:
        yield f"films in it that are passed over: {len(listing.films)}"
    if listing.others:
        yield f"passed over as no picture or film: {listing.passed_over}"
    if any(notes_of(listing.folder / listing.pictures[0])):
        yield "the pictures' colour profile and camera notes do not fit a film: left out"


def _one_of_each_kind(listing: ImageList) -> list[Path]:
    """Return a picture of each kind that there is. Raises InputError unless all go together."""
    kinds: dict[tuple[str, ...], Path] = {}
    first: _Head | None = None
    for name in listing.pictures:
        path = listing.folder / name
        head = _head(path)
        first = first or head
        if head.size != first.size:
            raise _differs(path, head.size, listing, first.size)
        if head.orientation != first.orientation:
            raise InputError(
                f"{path}: is turned in another way (EXIF) than {listing.pictures[0]}; "
                f"pictures of one film have to be alike"
            )
        kinds.setdefault(head.kind, path)
    return list(kinds.values())


def _differs(
    path: Path, size: tuple[int, int], listing: ImageList, first: tuple[int, int]
) -> InputError:
    return InputError(
        f"{path}: is {size[0]}x{size[1]}, but {listing.pictures[0]} is {first[0]}x{first[1]}; "
        f"pictures of one film have one size"
    )


def _head(path: Path) -> _Head:
    """Read a header by Pillow; by a whole probe where it does not know the format."""
    try:
        with header(path) as image:
            count = getattr(image, "n_frames", 1)
            orientation = orientation_of(image)
            tiles = getattr(image, "tile", None)  # the first tells the depth: RGB;16B
            coding = tiles[0].args if tiles else ""
            sampling = getattr(image, "layer", "")  # of a JPEG's chroma
            raw = coding if isinstance(coding, str) else (coding or [""])[0]
            kind = [image.format or "", image.mode, str(raw), str(sampling)]
            size = image.size
            if image.format == "TIFF":  # Pillow has turned it already
                size = tuple(image.getexif()[tag] for tag in (256, 257))
    except OSError:
        video = probe(path).video
        size, orientation, count = (video.width, video.height), 1, video.frames or 1
        kind = [video.codec, video.pix_fmt]
    if count > 1 and "MPO" not in kind:  # cameras put small copies behind the picture
        raise InputError(f"{path}: holds {count} pictures; a film is made of single ones")
    return _Head(size=size, orientation=orientation, kind=tuple(kind))


def _layout_of_all(layouts: list[Layout]) -> Layout:
    """Return the layout that holds each of `layouts`."""
    family = max((layout.family for layout in layouts), key=lambda f: _RICHER[f])
    yuv = [layout for layout in layouts if layout.family == "yuv" and family == "yuv"]
    return Layout(
        family=family,
        bits=max(layout.bits for layout in layouts),
        sub_x=min((layout.sub_x for layout in yuv), default=0),
        sub_y=min((layout.sub_y for layout in yuv), default=0),
        alpha=any(layout.alpha for layout in layouts),
    )
