"""How true what vsr says of the future is: `vsr probe` beforehand, the time left meanwhile.

    python benchmarks/estimates.py [--with "-s 2"] [--again] FILM...

Each film is estimated, upscaled, and estimated again; the mean of both estimates, between which
the run lies, is divided by what the run took and its picture weighs. Then the time that was left,
as the run told it when so much of it was over, is divided by what was left. `--again` stops each
run in its middle and goes on with it: the time left is that of the second half.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import click
from script import run_script

VSR = (sys.executable, "-m", "vsr")
_SHARES = (0.1, 0.25, 0.5, 0.75)  # of the run's frames, when it is asked how long it still takes

Told = list[tuple[float, dict[str, Any]]]  # when, and what


def probed(film: Path, options: Sequence[str]) -> dict[str, Any]:
    """What `vsr probe` expects."""
    line = [*VSR, "probe", str(film), *options, "--json"]
    output: dict[str, Any] = json.loads(subprocess.check_output(line))["output"]
    return output


def upscaled(film: Path, output: Path, options: Sequence[str], *, until: float = 1.0) -> Told:
    """What a run told; `until`: the share of its frames after which it is stopped."""
    line = [*VSR, "upscale", str(film), "-o", str(output), *options, "--progress", "json"]
    told: Told = []
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for text in run.stderr:
            if not text.startswith("{"):
                continue  # what a signal makes it say stands there in words
            event = json.loads(text)
            told.append((time.monotonic(), event))
            done = event["event"] == "progress" and event["frames"] > until * event["total"]
            if until < 1 and done:
                run.send_signal(signal.SIGINT)
                until = 1.0
    return told


def picture_bytes(result: Path) -> int:
    """The picture's own packets."""
    with av.open(str(result)) as container:
        return sum(packet.size for packet in container.demux(video=0))


def left(told: Told) -> str:
    """Ratios of the time left, as it was told, to what was left until the process had ended."""
    ended = told[-1][0]
    progress = [(at, event) for at, event in told if event["event"] == "progress"]
    if not progress:
        return "over before it was told"
    first, last = progress[0][1]["frames"], progress[-1][1]["frames"]
    ratios = []
    for share in _SHARES:
        wanted = first + share * (last - first)
        at, event = next(one for one in progress if one[1]["frames"] >= wanted)
        ratios.append(f"{event['seconds_left'] / (ended - at):5.2f}")
    return " ".join(ratios)


@click.command()
@click.argument("films", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--with", "given", default="", help="Options of the run.")
@click.option("--again", is_flag=True, help="Stop each run in its middle, and go on with it.")
def main(films: tuple[Path, ...], given: str, again: bool) -> None:
    """Print the ratios of each film."""
    options = shlex.split(given)
    shares = " ".join(f"{share:5.0%}" for share in _SHARES)
    click.echo(f"{'film':28} {'took':>8} {'time':>6} {'size':>6}  left at {shares}")
    with tempfile.TemporaryDirectory(prefix="vsr-estimates-") as name:
        for film in films:
            output = Path(name) / f"{film.stem}.mkv"
            first = probed(film, options)
            if again:
                upscaled(film, output, [*options, "--segment", "2"], until=0.5)
            began = time.monotonic()
            told = upscaled(film, output, [*options, *(["--segment", "2"] if again else [])])
            took = told[-1][0] - began
            second = probed(film, options)
            seconds, size = ((first[key] + second[key]) / 2 for key in ("seconds", "bytes"))
            ratio = "" if again else f"{seconds / took:6.2f}"
            told_size = f"{size / picture_bytes(output):6.2f}"
            click.echo(f"{film.name:28} {took:7.1f}s {ratio:>6} {told_size}{'':10}{left(told)}")


if __name__ == "__main__":
    run_script(main)
