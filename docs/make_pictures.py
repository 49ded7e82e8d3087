"""Makes the README's picture: one frame of the sample, enlarged by bicubic and by vsr.

Run it as `python docs/make_pictures.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import ffmpeg

import vsr
from vsr.media.ffmpeg import run

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "samples" / "bunny.mp4"
CROP = {"x": 60, "y": 60, "width": 560, "height": 480}  # of the 1280x720 result


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = folder / "frame.mkv"
        cut = ffmpeg.input(str(SAMPLE), ss=3.5).video
        run([cut], frame, {"vframes": 1, "vcodec": "ffv1"})
        halves = []
        for model in ("bicubic", vsr.options.DEFAULT_MODEL):
            large = folder / f"{model}.mkv"
            vsr.upscale(
                frame,
                large,
                vsr.UpscaleOptions(
                    model=vsr.ModelOptions(name=model), encode=vsr.EncodeOptions(codec="ffv1")
                ),
            )
            halves.append(ffmpeg.input(str(large)).video.crop(**CROP))
        both = ffmpeg.filter(halves, "hstack")
        run([both], HERE / "before_after.jpg", {"vframes": 1, "qscale": 3})


if __name__ == "__main__":
    main()
