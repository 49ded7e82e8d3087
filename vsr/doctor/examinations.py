"""All examinations, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vsr.doctor import machine, programs, trials
from vsr.doctor.finding import Finding

# Each by itself: where one fails in a way that nobody has foreseen, the others go on.
_EXAMINATIONS: tuple[tuple[str, Callable[[], Finding | Iterable[Finding]]], ...] = (
    ("system", machine.system),
    ("versions", programs.versions),
    ("processor", machine.processors),
    ("memory", machine.memories),
    ("gpu", machine.gpus),
    ("disk", machine.disks),
    ("settings", programs.settings),
    ("jobs", programs.work_left),
    ("ffmpeg", programs.ffmpeg),
    ("weights", programs.weights),
    ("encoders", trials.encoders),
    ("engines", trials.engines),
    ("a film", trials.whole_run),
)


def examine() -> Iterator[Finding]:
    """Yield what is found out, as it is found out. Takes about ten seconds."""
    for area, look in _EXAMINATIONS:
        try:
            found = look()
            yield from (found,) if isinstance(found, Finding) else found
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            advice = "report it, with `vsr doctor --json`"
            yield Finding(area=area, state="broken", text=said, advice=advice)
