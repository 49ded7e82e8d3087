"""What hangs on frames, and pictures and colours whose bytes are made here."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.cases.case import X264, Case, by_command, command, moving, tone
from tests.support import judge

Array = NDArray[np.float64]

# --- SEI ---


def _escaped(message: bytes) -> bytes:
    """With the byte that keeps a start code from being seen in the middle."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", lambda _: b"\0\0\3", message)


def _captioned(stream: bytes) -> bytes:
    """A caption of CEA-608 that builds up over the frames, as A/53 puts it into H.264."""
    text = "HELLO CAPTION   "
    pairs = [(0x14, 0x20)] * 2 + [(0x14, 0x70)] * 2
    pairs += [(ord(a), ord(b)) for a, b in zip(text[::2], text[1::2], strict=True)]
    pairs += [(0x14, 0x2F)] * 2
    out, count = b"", 0
    for unit in re.split(rb"(?=\x00\x00\x00\x01|(?<!\x00)\x00\x00\x01)", stream):
        kind = unit[unit.find(b"\1") + 1] & 31 if unit else 0
        if kind in (1, 5):
            pair = pairs[count] if count < len(pairs) else (0, 0)
            odd = [x | 0x80 * (x.bit_count() % 2 == 0) for x in pair]
            message = b"\xb5\0\x31GA94\3" + bytes([0x41, 0xFF, 0xFC, *odd, 0xFF])
            out += b"\0\0\0\1\6" + _escaped(bytes([4, len(message)]) + message + b"\x80")
            count += 1
        out += unit
    return out


def _captions(folder: Path) -> None:
    command(folder / "x.h264", [moving(1)], f"{X264} -bf 0 -aud 0")
    (folder / "y.h264").write_bytes(_captioned((folder / "x.h264").read_bytes()))
    judge.ffmpeg("-r", "25", "-i", str(folder / "y.h264"), "-f", "lavfi", "-i", tone(1), "-map",
                 "0", "-map", "1", "-c:v", "copy", "-c:a", "ac3",
                 str(folder / "captions_ts.ts"))  # fmt: skip


def _each_scene(folder: Path) -> None:
    """HDR10+ (SMPTE ST 2094-40) beside HDR10."""
    scene = (
        '{"BezierCurveData":{"Anchors":[102,205,307,410,512,614,717,819,922],"KneePointX":0,'
        '"KneePointY":0},"LuminanceParameters":{"AverageRGB":50,"LuminanceDistributions":'
        '{"DistributionIndex":[1,5,10,25,50,75,90,95,99],"DistributionValues":'
        '[1,2,3,4,5,6,7,8,9]},"MaxScl":[100,100,100]},"NumberOfWindows":1,'
        '"TargetedSystemDisplayMaximumLuminance":400}'
    )
    told = folder / "scenes.json"
    told.write_text("[" + ",".join([scene] * 10) + "]")
    light = (
        "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:master-display="
        "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    )
    judge.make(
        folder / "hdr10plus_mp4.mp4", moving(0.4), "-c:v", "libx265", "-x265-params",
        f"log-level=none:repeat-headers=1:dhdr10-info={told}:{light}", "-pix_fmt", "yuv420p10le",
        "-tag:v", "hvc1",
    )  # fmt: skip


# --- subtitles that are pictures ---


def _subtitle_pictures(path: Path) -> Path:
    """One picture of 32 by 16, shown and taken away: a Blu-ray's subtitles."""
    width, height = 32, 16
    lines = (bytes([0, 0x80 | width, 1]) + b"\0\0") * height

    def segment(kind: int, pts: int, content: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", pts, 0, kind, len(content)) + content

    def composed(pts: int, shown: int) -> bytes:
        state = struct.pack(">HHBHBBBB", 128, 96, 16, shown, 0x80 * shown, 0, 0, shown)
        place = struct.pack(">HBBHH", 0, 0, 0, 20, 60) if shown else b""
        return segment(0x16, pts, state + place)

    window = segment(0x17, 9000, struct.pack(">BBHHHH", 1, 0, 20, 60, width, height))
    palette = bytes([0, 0, 0, 16, 128, 128, 0, 1, 235, 128, 128, 255])
    drawn = struct.pack(">HBB", 0, 0, 0xC0) + (len(lines) + 4).to_bytes(3, "big")
    path.write_bytes(
        composed(9000, 1) + window + segment(0x14, 9000, palette)
        + segment(0x15, 9000, drawn + struct.pack(">HH", width, height) + lines)
        + segment(0x80, 9000, b"") + composed(45000, 0) + segment(0x80, 45000, b"")
    )  # fmt: skip
    return path


def _divx_subtitles(folder: Path) -> None:
    pictures, disc = _subtitle_pictures(folder / "x.sup"), folder / "x.mkv"
    judge.ffmpeg("-i", str(pictures), "-c:s", "dvdsub", str(disc))
    judge.ffmpeg("-f", "lavfi", "-i", moving(1), "-i", str(disc), "-map", "0", "-map", "1", "-c:v",
                 "mpeg4", "-q:v", "5", "-c:s", "xsub", str(folder / "xsub_avi.avi"))  # fmt: skip


def _crc(data: bytes) -> bytes:
    """As the tables of MPEG-TS are checked by."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def _teletext(folder: Path) -> None:
    """DVB's subtitles, whose descriptor says that they are teletext."""
    path, pictures = folder / "teletext_ts.ts", _subtitle_pictures(folder / "x.sup")
    judge.ffmpeg("-f", "lavfi", "-i", moving(1), "-f", "lavfi", "-i", tone(1), "-i", str(pictures),
                 "-map", "0", "-map", "1", "-map", "2", "-c:v", "mpeg2video", "-q:v", "4", "-c:a",
                 "mp2", "-c:s", "dvbsub", "-metadata:s:s:0", "language=deu", str(path))  # fmt: skip
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        table = at + 5
        if data[at + 1] & 0x40 and data[table] == 2:
            end = table + 3 + ((data[table + 1] & 15) << 8 | data[table + 2])
            descriptor = data.find(b"\x59\x08", table, end)
            if descriptor > 0:
                data[descriptor] = 0x56
                data[end - 4 : end] = _crc(bytes(data[table : end - 4]))
    path.write_bytes(data)


# --- colours by the letter of H.273 ---

BARS = (
    (191, 191, 191), (191, 191, 40), (40, 191, 191), (40, 191, 40),
    (191, 40, 191), (191, 40, 40), (40, 40, 191), (30, 60, 90),
)  # fmt: skip


def _pq(light: Array) -> Array:
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    return ((c1 + c2 * light**m1) / (1 + c3 * light**m1)) ** m2


def _light(signal: Array) -> Array:
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = signal ** (1 / m2)
    return (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def _coded(folder: Path, name: str, parts: Array, spans: tuple[int, int], tags: str) -> None:
    scales = np.array([spans[0], spans[1], spans[1]])[:, None]
    codes = np.rint(256 * (scales * parts + np.array([[16], [128], [128]])))
    raw = np.repeat(np.repeat(codes.astype("<u2"), 16, 1)[:, None], 96, 1).tobytes()
    judge.ffmpeg("-f", "rawvideo", "-pix_fmt", "yuv444p16le", "-s", "128x96", "-r", "25", "-i", "-",
                 "-vf", f"setparams=range=tv:{tags}", "-c:v", "ffv1", str(folder / f"{name}.mkv"),
                 stdin=raw * 4)  # fmt: skip


def _ycgco(folder: Path) -> None:
    r, g, b = np.array(BARS).T / 255
    parts = np.stack([g / 2 + (r + b) / 4, g / 2 - (r + b) / 4, (r - b) / 2])
    tags = "colorspace=8:color_trc=1:color_primaries=1"
    _coded(folder, "ycgco_mkv", parts, (219, 219), tags)  # 219: H.273 equations 20 to 22


def _ictcp(folder: Path) -> None:
    mixed = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
    rows = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096
    parts = rows @ _pq(mixed @ _light(np.array(BARS).T / 255))
    tags = "colorspace=14:color_trc=16:color_primaries=9"
    _coded(folder, "ictcp_mkv", parts, (219, 224), tags)


# --- pictures, and a disc's folder ---


def _gradient(folder: Path, name: str) -> None:
    ramp = np.linspace(255, 0, 48).astype(np.uint8)[:, None].repeat(64, 1)
    Image.fromarray(np.dstack([ramp, ramp * 0, 255 - ramp])).save(folder / name)


def _cmyk(folder: Path) -> None:
    Image.new("RGB", (64, 48), (200, 60, 30)).convert("CMYK").save(folder / "cmyk_jpg.jpg",
                                                                  quality=95)  # fmt: skip


def _disc(folder: Path) -> None:
    inside = folder / "dvdfolder" / "VIDEO_TS"
    inside.mkdir(parents=True)
    for n in range(3):
        command(inside / f"VTS_01_{n}.VOB", [f"{moving(0.4, '180x144')},hue=h={n * 90}",
                tone(0.4, pitch=440 * (n + 1))],
                "-c:v mpeg2video -q:v 5 -aspect 4:3 -c:a ac3 -f vob")  # fmt: skip
    for name in ("VTS_01_0.IFO", "VTS_01_0.BUP"):
        (inside / name).write_bytes(bytes(4096))


_STILL = "testsrc=s=64x48:d=0.04"
CASES = (
    Case(file="captions_ts.ts", make=_captions),
    Case(file="hdr10plus_mp4.mp4", make=_each_scene),
    Case(file="xsub_avi.avi", make=_divx_subtitles),
    Case(file="teletext_ts.ts", make=_teletext),
    Case(file="ycgco_mkv.mkv", make=_ycgco, colours=BARS),
    Case(file="ictcp_mkv.mkv", make=_ictcp, colours=BARS),
    Case(file="cmyk_jpg.jpg", make=_cmyk),
    Case(file="pic_tga.tga", make=lambda folder: _gradient(folder, "pic_tga.tga")),
    Case(file="pic_ppm.ppm", make=lambda folder: _gradient(folder, "pic_ppm.ppm")),
    Case(file="pic_bmp.bmp", make=lambda folder: _gradient(folder, "pic_bmp.bmp")),
    by_command("pic_exr.exr", _STILL, how="-frames:v 1 -pix_fmt gbrpf32le"),
    by_command("pic_dpx.dpx", _STILL, how="-frames:v 1 -pix_fmt rgb48be"),
    by_command("pic_jp2.jp2", _STILL, how="-frames:v 1"),
    Case(file="dvdfolder", make=_disc),
)
