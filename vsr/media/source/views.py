"""Pictures of all around and for two eyes: what a frame says of them, and MP4's boxes for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.sidedata.sidedata import Type as SideDataType

from vsr.media.format.hdr import side_data

_MATROSKA = frozenset({"matroska", "webm"})
_EQUIRECTANGULAR, _CUBE, _TILE = range(3)  # ffmpeg's numbers
_SIDE_BY_SIDE, _TOP_BOTTOM = 1, 2
_PACKED = {_TOP_BOTTOM: 1, _SIDE_BY_SIDE: 2}  # as `st3d` numbers them
_SOURCE = b"vsr\0"
_WHERE = "; an .mkv or .mp4 would"


@dataclass(frozen=True, kw_only=True)
class Views:
    """How the picture is wrapped around the viewer, and where in it each eye's lies."""

    sphere: tuple[int, ...] | None = None  # projection; yaw, pitch, roll; left, top, right, bottom
    stereo: tuple[int, bool] | None = None  # ffmpeg's number; whether the right eye comes first

    def boxes(self) -> bytes:
        """Return `st3d` and `sv3d` (Spherical Video V2), as far as these can say it."""
        found = b""
        if self.stereo is not None and self._is_plain():
            found += struct.pack(">I4sIB", 13, b"st3d", 0, _PACKED[self.stereo[0]])
        if self.sphere is not None and self.sphere[0] <= _TILE:
            projection, yaw, pitch, roll, left, top, right, bottom = self.sphere
            head = _box(b"prhd", struct.pack(">I3i", 0, yaw, pitch, roll))
            if projection == _CUBE:
                shape = _box(b"cbmp", struct.pack(">3I", 0, 0, 0))
            else:
                shape = _box(b"equi", struct.pack(">5I", 0, top, bottom, left, right))
            told = _box(b"svhd", bytes(4) + _SOURCE)
            found += _box(b"sv3d", told + _box(b"proj", head + shape))
        return found

    def lost_in(self, muxer: str, source: str) -> Iterator[str]:
        """Yield in words what a file of `muxer` cannot say, of a film out of `source`'s format."""
        if self.sphere is not None:
            known = {"mp4": _TILE, "mov": _EQUIRECTANGULAR} | dict.fromkeys(_MATROSKA, _TILE)
            if self.sphere[0] > known.get(muxer, -1):
                yield f"that it is seen all around (360 degrees){_WHERE}"
        if self.stereo is not None:
            copied = "matroska" in source and muxer in _MATROSKA  # as a tag
            said = self._is_plain() and muxer in {"mp4", *_MATROSKA}
            if not copied and not said:
                yield f"which part of it is for which eye (3D){_WHERE if self._is_plain() else ''}"

    def _is_plain(self) -> bool:
        return self.stereo is not None and self.stereo[0] in _PACKED and not self.stereo[1]


def views_of(frame: av.VideoFrame) -> Views | None:
    """Return what the frame says, or None if that is nothing."""
    sphere = side_data(frame, SideDataType.SPHERICAL)
    stereo = side_data(frame, SideDataType.STEREO3D)
    kind, flags = struct.unpack_from("=2i", stereo) if stereo is not None else (0, 0)
    views = Views(
        sphere=struct.unpack_from("=4i4I", sphere) if sphere is not None else None,
        stereo=(kind, bool(flags & 1)) if kind else None,
    )
    return None if views == Views() else views


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body
