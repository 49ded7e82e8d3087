"""What is protected by DRM is called so, not damaged."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

import pytest

from tests.support import judge
from tests.support.boxes import boxes, grown_element
from vsr.errors import InputError
from vsr.media.source.probe import probe

KEY = "00112233445566778899aabbccddeeff"
SYSTEMS = {
    "Widevine": "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",
    "PlayReady": "9a04f079-9840-4286-ab92-e65be0885f95",
    "FairPlay": "94ce86fb-07ff-4f43-adb8-93d2fa968ca2",
}


def film(path: Path, *how: str) -> Path:
    return judge.make(path, "testsrc2=s=64x48:r=25:d=0.4", "-map", "0", "-map", "1", *how,
                      inputs=["-f", "lavfi", "-i", "sine=d=0.4"])  # fmt: skip


def common(path: Path, *systems: str) -> Path:
    """Encrypted by ISO/IEC 23001-7, with a box for each system that has the key."""
    film(path, "-pix_fmt", "yuv420p", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY,
         "-encryption_kid", KEY)  # fmt: skip
    data = bytearray(path.read_bytes())
    start, end = next((a, b) for name, a, b in boxes(bytes(data)) if name == b"moov")
    more = b""
    for system in systems:
        body = b"pssh" + bytes(4) + UUID(SYSTEMS[system]).bytes + bytes(4)
        more += struct.pack(">I", 4 + len(body)) + body
    struct.pack_into(">I", data, start, end - start + len(more))
    path.write_bytes(data[:end] + more + data[end:])
    return path


@pytest.mark.parametrize("systems", [(), ("Widevine", "PlayReady"), ("FairPlay",)])
def test_common_encryption_is_named_by_who_has_the_key(
    tmp_path: Path, systems: tuple[str, ...]
) -> None:
    path = common(tmp_path / "s.mp4", *systems)
    expected = ", ".join(systems) or "Common Encryption"
    with pytest.raises(InputError, match=rf"is encrypted \(DRM: {expected}\)"):
        probe(path)


def test_a_film_of_apples_shop(tmp_path: Path) -> None:
    path = film(tmp_path / "s.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", b"drmi\0\0\0\0"))
    with pytest.raises(InputError, match=r"is encrypted \(DRM: FairPlay\)"):
        probe(path)


def test_an_encrypted_track_of_webm(tmp_path: Path) -> None:
    path = film(tmp_path / "s.webm", "-c:v", "libvpx", "-c:a", "libopus")
    # ContentEncodings, ContentEncoding, its type, ContentEncryption, and by AES.
    inner = bytes.fromhex("6d808d 62408a 50338101 503584 47e18105")
    path.write_bytes(grown_element(path.read_bytes(), [0x18538067, 0x1654AE6B, 0xAE], inner))
    with pytest.raises(InputError, match=r"is encrypted \(DRM: Common Encryption\)"):
        probe(path)


def test_windows_media(tmp_path: Path) -> None:
    path = film(tmp_path / "s.wmv")
    data = path.read_bytes()
    size, objects = struct.unpack_from("<QI", data, 16)
    rights = struct.pack("<I", 0) + struct.pack("<I", 4) + b"DRM\0" + struct.pack("<II", 0, 0)
    named = UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e").bytes_le
    rights = named + struct.pack("<Q", 24 + len(rights)) + rights
    head = struct.pack("<QI", size + len(rights), objects + 1)
    path.write_bytes(data[:16] + head + data[28:size] + rights + data[size:])
    with pytest.raises(InputError, match=r"is encrypted \(DRM: Windows Media\)"):
        probe(path)


def test_a_scrambled_broadcast(tmp_path: Path) -> None:
    path = film(tmp_path / "s.ts", "-c:v", "mpeg2video", "-c:a", "mp2", "-b:v", "2M")
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] in (0x100, 0x101) and at > 40 * 188:
            data[at + 3] |= 0x80
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is encrypted \(DRM: a broadcaster's scrambling\)"):
        probe(path)


KEY_FORMATS = {
    "FairPlay": "com.apple.streamingkeydelivery", "PlayReady": "com.microsoft.playready",
    "Widevine": f"urn:uuid:{SYSTEMS['Widevine']}",
}  # fmt: skip


@pytest.mark.parametrize("system", KEY_FORMATS)
def test_a_playlist_names_who_has_its_keys(tmp_path: Path, system: str) -> None:
    key = f'METHOD=SAMPLE-AES,URI="skd://a",KEYFORMAT="{KEY_FORMATS[system]}"'
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-KEY:{key}\n#EXTINF:1,\ns.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match=rf"is encrypted \(DRM: {system}\)"):
        probe(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".wmv", ".ts"])
def test_what_is_not_encrypted_is_read(tmp_path: Path, suffix: str) -> None:
    assert probe(film(tmp_path / f"s{suffix}", "-pix_fmt", "yuv420p")).video.width == 64
