"""Promise: what some of a film took is carried over to all of it, start and keyframes once."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from tests.support import judge
from vsr.engine.cache import EngineCache
from vsr.events import Progress, WarningNote
from vsr.jobs.plan.plan import Plan, plan
from vsr.jobs.run import short_run
from vsr.jobs.run.context import Hooks
from vsr.jobs.run.short_run import ShortRun, expected
from vsr.media.read.keyframes import Keyframes, keyframes
from vsr.media.source.probe import probe
from vsr.options import JobOptions, ModelOptions, UpscaleOptions

OPTIONS = UpscaleOptions(model=ModelOptions(name="bicubic"), jobs=JobOptions(segment=2))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Keyframes]:
    """Six seconds of 60 frames with two keyframes, of which a result has four: one a part."""
    film = judge.make(
        tmp_path_factory.mktemp("film") / "film.mkv", "testsrc2=s=64x48:r=10:d=6",
        "-c:v", "libx264", "-g", "30", "-sc_threshold", "0", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    source = probe(film)
    return plan(source, None, OPTIONS, default_scale=4), keyframes(source)


def made(**more: object) -> ShortRun:
    """Eleven frames, a tenth of a second each after two seconds of start."""
    run = ShortRun(
        output=Path("trial.mkv"), frames=11, clips=1, share=1.0, start=2.0, seconds=1.0,
        key=1000.0, inner=100.0, warnings=(),
    )  # fmt: skip
    return dataclasses.replace(run, **more)  # type: ignore[arg-type]


def test_the_start_counts_once_and_each_frame_as_it_took(
    planned: tuple[Plan, Keyframes],
) -> None:
    def seconds(*runs: ShortRun, **more: float) -> float:
        found = expected(runs, *planned, OPTIONS, **more).seconds  # type: ignore[arg-type]
        assert found is not None
        return found

    assert seconds(made()) == pytest.approx(2 + 60 * 0.1)
    assert seconds(made(), made(seconds=3.0, start=9.0)) == pytest.approx(2 + 60 * 0.2)
    assert seconds(made(share=0.5)) == pytest.approx(2 + 60 * 0.2)
    assert seconds(made(), loading=3.0, workers=2) == pytest.approx(3 + 2 + 60 * 0.05)
    few = made(frames=2, start=0.0, seconds=3.0)  # of so few the start is not told apart
    assert seconds(few) == pytest.approx(60 * 1.5)


def test_keyframes_are_as_many_as_the_film_will_have(planned: tuple[Plan, Keyframes]) -> None:
    def size(**more: object) -> int | None:
        return expected([made(**more)], *planned, OPTIONS).bytes

    assert size() == pytest.approx(4 * 1000 + 56 * 100, rel=0.01)
    assert size(frames=5, clips=5, inner=None) is None  # keyframes alone, of a film that has more
    assert size(frames=10, clips=2, inner=None) == 60 * 1000  # a codec that has no others
    assert size(frames=60, clips=60, inner=None) == 60 * 1000  # it is all of the film


def test_the_clock_tells_the_start_from_the_rest(
    planned: tuple[Plan, Keyframes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One second goes by with each frame, five before the first one and three after the last."""
    now = 0.0

    def run(*arguments: object, **named: object) -> object:
        nonlocal now
        hooks = arguments[4]
        now += 4
        for number in range(1, 13):
            now += 1
            hooks.sink(Progress(frames=number))  # type: ignore[attr-defined]
        hooks.sink(WarningNote(text="lost"))  # type: ignore[attr-defined]
        now += 3
        output = judge.make(tmp_path / "trial.mkv", "testsrc2=s=64x48:r=10:d=1.2")
        return _Result(output=output, frames=12)

    monkeypatch.setattr(short_run, "upscale_one", run)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    film, _ = planned
    heard: list[object] = []
    hooks = Hooks(sink=heard.append)
    found = short_run.run_short(
        film, OPTIONS, (), tmp_path / "x.mkv", engines=EngineCache(), hooks=hooks
    )
    assert (found.start, found.seconds, found.steps) == (5.0, 14.0, 11)
    assert found.warnings == ("lost",)
    assert len(heard) == 13


@dataclasses.dataclass
class _Result:
    output: Path
    frames: int
