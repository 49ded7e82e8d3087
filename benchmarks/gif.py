"""How a GIF gets its 256 colours: size and likeness of several ways, on three clips, in one run.

    python benchmarks/gif.py

Big Buck Bunny, a pan over a photograph, and a drawing that moves on a flat ground, 2.5 s each. SSIM
of all channels as ffmpeg has it, against the pictures that went in. `scale` is that of the ordered
dithering: the larger, the fainter its dots.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import click
from script import run_script

from vsr.media.ffmpeg import find_ffmpeg

_SAMPLES = Path(__file__).parent.parent / "samples"
CLIPS = {
    "bunny": ("-t", "2.5", "-i", str(_SAMPLES / "bunny.mp4"), "-vf", "scale=640:-2:flags=lanczos"),
    "photo": ("-loop", "1", "-r", "20", "-t", "2.5", "-i", str(_SAMPLES / "squirrel.png"), "-vf",
              "scale=960:-2,crop=480:270:n*4:n*2"),
    "drawing": ("-f", "lavfi", "-i", "testsrc2=s=480x270:r=20:d=2.5"),
}  # fmt: skip
_EACH = "palettegen=stats_mode=single:reserve_transparent=1"
_ONE = "palettegen=stats_mode=diff:reserve_transparent=1"
_NEW = "paletteuse=new=1:alpha_threshold=128:dither=bayer"
_OLD = "paletteuse=alpha_threshold=128:dither=bayer"
WAYS = {
    "a palette each, scale 3": (_EACH, f"{_NEW}:bayer_scale=3"),
    "a palette each, scale 5": (_EACH, f"{_NEW}:bayer_scale=5"),
    "a palette each, scale 5, rectangle": (_EACH, f"{_NEW}:bayer_scale=5:diff_mode=rectangle"),
    "one palette, scale 3": (_ONE, f"{_OLD}:bayer_scale=3"),
    "one palette, scale 5": (_ONE, f"{_OLD}:bayer_scale=5"),
    "one palette, scale 5, rectangle": (_ONE, f"{_OLD}:bayer_scale=5:diff_mode=rectangle"),
    "one palette, error diffusion": (_ONE, "paletteuse=alpha_threshold=128:dither=sierra2_4a"),
    "one palette of 128, scale 5, rectangle": (
        f"{_ONE}:max_colors=128", f"{_OLD}:bayer_scale=5:diff_mode=rectangle",
    ),
}  # fmt: skip


def _ffmpeg(*arguments: str) -> str:
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-y", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stderr


@click.command()
def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for clip, source in CLIPS.items():
            film, gif = Path(name) / f"{clip}.mkv", Path(name) / "x.gif"
            _ffmpeg(*source, "-c:v", "ffv1", "-pix_fmt", "bgra", str(film))
            print(clip)
            for way, (generate, use) in WAYS.items():
                graph = f"split[a][b];[a]{generate}[p];[b][p]{use}"
                _ffmpeg("-i", str(film), "-filter_complex", graph, str(gif))
                compare = "[0]format=gbrp[a];[1]format=gbrp[b];[a][b]ssim"
                log = _ffmpeg("-i", str(gif), "-i", str(film), "-lavfi", compare, "-f", "null", "-")
                found = re.search(r"All:([\d.]+)", log)
                likeness = float(found[1]) if found else float("nan")
                print(f"  {way:40} {gif.stat().st_size / 1e6:6.2f} MB  SSIM {likeness:.4f}")


if __name__ == "__main__":
    run_script(main)
