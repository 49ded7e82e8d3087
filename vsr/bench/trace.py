"""What a trace of torch.profiler says about the streams of a device, and about the host's waits.

A trace is Chrome's JSON: events with a kind, a beginning and a length in microseconds. Work on
the device carries its stream; a call of the host carries the number of the work that it asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

LOOP = "vsr loop"  # the annotation around what is looked at

Span = tuple[float, float]  # from, to, in microseconds
Event = Mapping[str, Any]

# Calls that hold the host until the device has come to something, or that may.
_WAITS = re.compile(
    r"cuda(Stream|Device|Event)Synchronize|cuda(Memcpy|Memcpy2D|Memset|Malloc|Free|HostAlloc|"
    r"MallocHost|FreeHost|HostRegister|HostUnregister)|cu(Stream|Ctx|Event)Synchronize|"
    r"cu(Memcpy(?!\w*Async)\w+|MemAlloc|MemFree|ModuleLoadData)(_v2)?"
)
_OURS = re.compile(r"(vsr|benchmarks)[/\\].*\.py\(\d+\)")


@dataclass(frozen=True, kw_only=True)
class TracedStream:
    """One stream."""

    name: str  # upload, compute, download; other
    stream: int
    busy: float  # microseconds
    share: float  # of the time looked at
    copied: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A time in which the compute stream had nothing to do."""

    start: float  # microseconds since the loop began
    length: float
    host: str  # what the host waited in for most of it; empty: in nothing


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A call that held the host, by where it was made."""

    call: str
    where: str
    count: int
    total: float  # microseconds


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All of it; times in microseconds."""

    length: float
    streams: tuple[TracedStream, ...]
    copies: float  # time in which something was copied on a stream of its own
    overlapped: float  # of that, how much beside computation
    gaps: tuple[Gap, ...]  # the longest first
    waits: tuple[Wait, ...]  # likewise


def timeline(events: Iterable[Event]) -> Timeline:
    """Read a trace's `traceEvents`, within the annotation `LOOP`, or all of it where there is none.

    Raises ValueError where no kernel ran on any stream.
    """
    timed = [e for e in events if e.get("ph") == "X" and "dur" in e]
    device = [e for e in timed if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    if not any(e["cat"] == "kernel" for e in device):
        raise ValueError("the trace has no kernel of a CUDA device")
    loop = [e for e in timed if e["name"] == LOOP and e.get("cat") == "user_annotation"]
    around = [_span(e) for e in loop or timed]
    window = min(a for a, _ in around), max(b for _, b in around)
    device = [e for e in device if window[0] <= _span(e)[0] < window[1]]
    streams = sorted({_stream(e) for e in device})
    spans = {s: merged(_span(e) for e in device if _stream(e) == s) for s in streams}
    compute = max(streams, key=lambda s: _length(_span(e) for e in device if _is(e, s, "kernel")))
    length = window[1] - window[0]
    traced = tuple(_traced_stream(s, compute, device, spans[s], length) for s in streams)
    copies = merged(_span(e) for e in device if e["cat"] == "gpu_memcpy" and _stream(e) != compute)
    host = [e for e in timed if window[0] <= _span(e)[0] < window[1]]
    calls = _calls(host, device)
    return Timeline(
        length=length,
        streams=traced,
        copies=_length(copies),
        overlapped=_length(common(copies, spans[compute])),
        gaps=_gaps(spans[compute], window[0], calls),
        waits=_waits(calls, host),
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order, those that touch as one."""
    made: list[Span] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end)
        else:
            made.append((start, end))
    return made


def common(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """Return what lies in both; each in order, without overlaps."""
    made, a, b = [], 0, 0
    while a < len(one) and b < len(other):
        start, end = max(one[a][0], other[b][0]), min(one[a][1], other[b][1])
        if start < end:
            made.append((start, end))
        if one[a][1] < other[b][1]:
            a += 1
        else:
            b += 1
    return made


def _span(event: Event) -> Span:
    return float(event["ts"]), float(event["ts"]) + float(event["dur"])


def _length(spans: Iterable[Span]) -> float:
    return sum(end - start for start, end in spans)


def _stream(event: Event) -> int:
    return int(event["args"]["stream"])


def _is(event: Event, stream: int, kind: str) -> bool:
    return event["cat"] == kind and _stream(event) == stream


def _traced_stream(
    stream: int, compute: int, device: list[Event], spans: list[Span], length: float
) -> TracedStream:
    copies = [e for e in device if _is(e, stream, "gpu_memcpy")]
    up, down = (any(way in e["name"] for e in copies) for way in ("HtoD", "DtoH"))
    name = "other" if up == down else "upload" if up else "download"
    return TracedStream(
        name="compute" if stream == compute else name,
        stream=stream,
        busy=_length(spans),
        share=_length(spans) / length,
        copied=sum(int(e["args"].get("bytes", 0)) for e in copies),
    )


def _calls(host: list[Event], device: list[Event]) -> list[tuple[str, Event]]:
    """Return the host's calls that wait, by name. A copy from or to pageable memory is one, too."""
    pageable = {e["args"].get("correlation") for e in device if "pageable" in e["name"].lower()}
    found = []
    for e in host:
        if e.get("cat") not in ("cuda_runtime", "cuda_driver"):
            continue
        if _WAITS.fullmatch(e["name"]):
            found.append((e["name"], e))
        elif "Memcpy" in e["name"] and e.get("args", {}).get("correlation") in pageable:
            found.append((f"{e['name']} of pageable memory", e))
    return found


def _gaps(busy: list[Span], begin: float, calls: list[tuple[str, Event]]) -> tuple[Gap, ...]:
    found = []
    for (_, start), (end, _) in pairwise(busy):
        shares = [(_length(common([(start, end)], [_span(e)])), name) for name, e in calls]
        longest, name = max(shares, default=(0.0, ""))
        found.append(
            Gap(
                start=start - begin,
                length=end - start,
                host=name if 2 * longest > end - start else "",
            )
        )
    return tuple(sorted(found, key=lambda gap: -gap.length))


def _waits(calls: list[tuple[str, Event]], host: list[Event]) -> tuple[Wait, ...]:
    places = [
        e
        for e in host
        if e.get("cat") == "cpu_op"
        or (e.get("cat") == "python_function" and _OURS.search(e["name"]))
    ]
    found: dict[tuple[str, str], list[float]] = {}
    for name, e in calls:
        found.setdefault((name, _where(e, places)), []).append(float(e["dur"]))
    waits = (
        Wait(call=call, where=where, count=len(took), total=sum(took))
        for (call, where), took in found.items()
    )
    return tuple(sorted(waits, key=lambda wait: -wait.total))


def _where(call: Event, places: list[Event]) -> str:
    """Return the innermost function of ours around it, if stacks were recorded, and PyTorch's
    operator.
    """
    start, end = _span(call)
    around = [
        e
        for e in places
        if e.get("tid") == call.get("tid") and e["ts"] <= start and _span(e)[1] >= end
    ]
    around.sort(key=lambda e: float(e["dur"]))
    innermost = {str(e["cat"]): str(e["name"]) for e in reversed(around)}
    found = (innermost.get(kind) for kind in ("python_function", "cpu_op"))
    return ", ".join(name for name in found if name) or "unknown"
