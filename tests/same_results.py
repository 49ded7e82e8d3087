"""Print what twelve command lines make, so that two states of the program can be compared.

Run it before and after a change that should change no result:

    python tests/same_results.py > before.txt
    ... the change ...
    python tests/same_results.py | diff before.txt -

Each line is a hash of the decoded frames and samples of one lossless result, with their
timestamps. The networks are small and random, or shipped; the media are those of `samples/`.
Results differ between processors and versions of PyTorch: compare on one machine.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for a call as a script

from tests.conftest import tiny_weights  # noqa: E402
from tests.support import judge  # noqa: E402

_CPU = ("--device", "cpu", "--engine", "torch", "--precision", "fp32", "--threads", "1")


def _commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the twelve command lines by their names; "OUT" stands for the result."""
    bunny = str(ROOT / "samples" / "bunny.mp4")
    tiny = ("--model", str(tiny_weights(folder)), *_CPU)
    lossless = ("--codec", "ffv1", "-o", "OUT.mkv")
    still = judge.make(
        folder / "still.mkv", "testsrc=s=96x64:r=10:d=2", "-c:v", "ffv1", "-pix_fmt", "yuv420p"
    )
    old = judge.make(
        folder / "old.mkv", "mandelbrot=s=64x48:r=12,trim=end_frame=12", "-c:v", "ffv1",
        "-vf", "noise=alls=20:allf=t:all_seed=1,eq=brightness=0.1*sin(3*n):eval=frame",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip
    return {
        "bicubic": (bunny, "-m", "bicubic", "-s", "2", *lossless, "--duration", "1"),
        "compact network": (bunny, *tiny, *lossless, "--duration", "24f"),
        "shipped network": (bunny, "-s", "2", *_CPU, *lossless, "--duration", "2f"),
        "tiles": (bunny, *tiny, "--tile", "64", *lossless, "--duration", "4f"),
        "reuse": (str(still), *tiny, "--reuse", "safe", *lossless),
        "temporal filter": (
            bunny, *tiny, "--temporal-filter", "strong", *lossless, "--duration", "24f",
        ),
        "deflicker and grain": (
            str(old), "-s", "2", *_CPU, "--deflicker", "--grain", "0.5", *lossless,
        ),
        "clips": (bunny, *tiny, "--clip", "1-1.5", "--clip", "10f+8f", *lossless),
        "segments": (bunny, "-m", "lanczos", "--segment", "0.5", *lossless, "--duration", "2"),
        "GIF": (str(ROOT / "samples" / "glider.gif"), *tiny, "-o", "OUT.gif"),
        "transparency": (str(ROOT / "samples" / "squirrel.png"), *tiny, "-o", "OUT.png"),
        "folder": (str(_pictures(folder / "pictures")), *tiny, "-o", "OUT"),
    }  # fmt: skip


def _pictures(folder: Path) -> Path:
    """Write a folder of three small pictures."""
    folder.mkdir()
    judge.make(folder / "%02d.png", "testsrc2=s=48x32:r=3:d=1")
    return folder


def _digest(result: Path) -> str:
    """Hash every stream of a file, or of the files of a folder, as ffmpeg decodes them."""
    if result.is_dir():
        told = "".join(f"{path.name} {_digest(path)}\n" for path in sorted(result.iterdir()))
    else:
        told = judge.ffmpeg("-copyts", "-i", f"file:{result}", "-f", "framehash", "-").decode()
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def main() -> None:
    """Print a line for each command: its name and its result's hash."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "XDG_STATE_HOME": f"{name}/state", "OMP_NUM_THREADS": "1"}
        for number, (title, arguments) in enumerate(_commands(folder).items()):
            words = [word.replace("OUT", f"{name}/{number}") for word in arguments]
            subprocess.run(
                [sys.executable, str(ROOT / "vsr_cli.py"), "upscale", "-q", *words],
                check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            made = next(path for path in folder.iterdir() if path.stem == str(number))
            print(f"{title:20} {_digest(made)}", flush=True)


if __name__ == "__main__":
    main()
