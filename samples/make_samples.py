"""Makes the committed samples from the film that fetch_film.py brings.

python samples/make_samples.py
"""

from __future__ import annotations

from pathlib import Path

import ffmpeg
from fetch_film import fetch

from vsr.media.ffmpeg import run

HERE = Path(__file__).parent
SMALL = {"w": 320, "h": 180, "flags": "lanczos"}


def main() -> None:
    film = str(fetch())

    # Five seconds with their sound. The audio is copied, so it starts on its own packet.
    cut = ffmpeg.input(film, ss=117.0, t=5)
    picture = cut.video.filter("scale", **SMALL)
    coded = {"vcodec": "libx264", "crf": 20, "preset": "slow", "acodec": "copy"}
    run([picture, cut["a:0"]], HERE / "bunny.mp4", coded | {"movflags": "+faststart"})

    # One still.
    still = ffmpeg.input(film, ss=190.0).video.filter("scale", **SMALL)
    run([still], HERE / "squirrel.png", {"vframes": 1})

    # A looping GIF whose palette is its own.
    frames = ffmpeg.input(film, ss=452.0, t=1.5).video.filter("fps", 10)
    frames = frames.filter("scale", w=160, h=90, flags="lanczos").split()
    palette = frames[0].filter("palettegen", max_colors=128)
    gif = ffmpeg.filter([frames[1], palette], "paletteuse", dither="bayer", bayer_scale=4)
    run([gif], HERE / "glider.gif", {"loop": 0})


if __name__ == "__main__":
    main()
