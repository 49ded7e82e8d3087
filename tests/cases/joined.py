"""Recordings that were joined, torn or changed on the way, mostly of MPEG-TS."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from tests.cases.case import X264, Case, command, moving, tone

MPEG2 = "-c:v mpeg2video -q:v 4"


def _joined(
    file: str, hows: Sequence[str], *, seconds: float = 0.6, size: str = "128x96",
    sound: bool = True, cut: int = 0, in_turn: bool = False,
) -> Case:  # fmt: skip
    """Pieces that `cat` would put behind each other, the later ones without `cut` bytes."""

    def make(folder: Path) -> None:
        pieces = []
        for n, how in enumerate(hows):
            piece = folder / f"piece{n}{Path(file).suffix}"
            graphs = [moving(seconds, size), tone(seconds, pitch=440 * (n + 1))]
            command(piece, graphs[: 1 + sound], how)
            pieces.append(piece.read_bytes()[cut if n else 0 :])
            piece.unlink()
        (folder / file).write_bytes(b"".join(pieces))

    frames = len(hows) * round(seconds * 25)
    return Case(file=file, make=make, frames=frames, rate=Fraction(25), in_turn=in_turn,
                # The longer of sound and picture is waited for.
                loose=Fraction(len(hows) - 1, 10) if sound else Fraction(0))  # fmt: skip


def _torn_index(folder: Path) -> None:
    """Without the index and the last 700 bytes before it."""
    path = folder / "noindex_avi.avi"
    command(path, [moving(1), tone(1)], "-c:v mpeg4 -vtag XVID -bf 0 -q:v 4 -c:a libmp3lame")
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"idx1") - 700])


_LATER = "-output_ts_offset 0.64"
_VP8 = "-c:v libvpx -deadline realtime -pix_fmt yuv420p -c:a libopus"
CASES = (
    Case(file="noindex_avi.avi", make=_torn_index),
    _joined("sarchange_ts.ts", [f"{MPEG2} -aspect 4:3 -c:a mp2",
                                f"{MPEG2} -aspect 16:9 -c:a mp2 {_LATER}"], size="180x144"),
    _joined("pidchange_ts.ts", [f"{X264} -g 12 -c:a aac",
                                f"{X264} -g 12 -c:a aac {_LATER} -mpegts_start_pid 0x200"],
            in_turn=True),
    _joined("ac3change_ts.ts", [f"{X264} -g 12 -c:a ac3 -ac 6 -b:a 384k",
                                f"{X264} -g 12 -c:a ac3 -ac 2 -b:a 192k -output_ts_offset 0.84"],
            seconds=0.8),
    _joined("back_flv.flv", [f"{X264} -g 10 -c:a aac -ar 44100 -output_ts_offset 10",
                             f"{X264} -g 10 -c:a aac -ar 44100"], seconds=0.8, cut=13),
    _joined("cat_mkv.mkv", [X264] * 2, sound=False),
    _joined("cat3_mkv.mkv", [X264] * 3, sound=False),
    _joined("cat_webm.webm", [_VP8] * 2),
)  # fmt: skip
