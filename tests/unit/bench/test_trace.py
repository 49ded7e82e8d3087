"""Promises about traces: what a stream did, what ran beside what, and who held the host."""

from __future__ import annotations

from typing import Any

import pytest

from vsr.bench.trace import LOOP, Gap, Wait, common, merged, timeline


def work(name: str, stream: int, start: float, length: float, **more: Any) -> dict[str, Any]:
    """Of the device: a kernel, or a copy by its name."""
    kind = "gpu_memcpy" if name.startswith("Memcpy") else "kernel"
    args = {"stream": stream, "device": 0, **more}
    return {"ph": "X", "cat": kind, "name": name, "ts": start, "dur": length, "args": args}


def host(kind: str, name: str, start: float, length: float, **more: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": kind, "name": name, "ts": start, "dur": length, "tid": 1, **more}


UP, DOWN = "Memcpy HtoD (Pinned -> Device)", "Memcpy DtoH (Device -> Pinned)"

# Two batches: the second is uploaded and the first downloaded beside the computation of the second.
TRACE: list[dict[str, Any]] = [
    {"ph": "M", "name": "process_name", "args": {}},
    {"ph": "i", "name": "Record Window End", "ts": 5000.0},
    work("warming up", 20, 0, 50),
    host("user_annotation", LOOP, 100, 900),
    work(UP, 13, 100, 40, bytes=1000),
    work("middle", 20, 150, 100),
    work("middle", 20, 250, 100),
    work(UP, 13, 160, 40, bytes=1000),
    work("middle", 20, 400, 200),
    work(DOWN, 27, 380, 100, bytes=9000),
    work("Memcpy HtoD (Pageable -> Device)", 20, 620, 5, bytes=64, correlation=7),
    work("middle", 20, 625, 100),
    work(DOWN, 27, 730, 50, bytes=9000),
    host("python_function", "torch/cuda/streams.py(90): synchronize", 360, 35),
    host("python_function", "/home/a/vsr/stages/upscale.py(372): _land", 350, 60),
    host("python_function", "/home/a/vsr/stages/upscale.py(133): __call__", 100, 800),
    host("cuda_runtime", "cudaEventSynchronize", 361, 30),
    host("cuda_runtime", "cudaEventSynchronize", 740, 45, tid=2),
    host("cpu_op", "aten::copy_", 600, 15),
    host("cuda_runtime", "cudaMemcpyAsync", 605, 8, args={"correlation": 7}),
    host("cuda_runtime", "cudaMemcpyAsync", 300, 8, args={"correlation": 9}),
    host("cuda_runtime", "cudaLaunchKernel", 310, 8, args={"correlation": 10}),
    host("cuda_runtime", "cudaStreamWaitEvent", 320, 1),
    host("cuda_runtime", "cudaDeviceSynchronize", 1500, 99),  # the profiler's own
]


def test_streams_are_known_by_what_they_do() -> None:
    found = timeline(TRACE)
    streams = {stream.name: (stream.stream, stream.busy, stream.copied) for stream in found.streams}
    assert streams == {
        "upload": (13, 80, 2000), "compute": (20, 505, 64), "download": (27, 150, 18000),
    }  # fmt: skip
    assert found.length == 900
    assert [stream.share for stream in found.streams] == pytest.approx(
        [80 / 900, 505 / 900, 150 / 900]
    )


def test_copies_beside_the_computation() -> None:
    found = timeline(TRACE)
    # 100..140, 160..200, 380..480, 730..780; computed is 150..350, 400..600, 620..725.
    assert (found.copies, found.overlapped) == (230, 120)


def test_gaps_of_the_compute_stream_the_longest_first_and_what_the_host_did() -> None:
    assert timeline(TRACE).gaps == (
        Gap(start=250, length=50, host="cudaEventSynchronize"),
        Gap(start=500, length=20, host=""),
    )


def test_every_wait_is_named_with_its_place() -> None:
    place = "/home/a/vsr/stages/upscale.py"
    assert timeline(TRACE).waits == (
        Wait(call="cudaEventSynchronize", where="unknown", count=1, total=45),
        Wait(call="cudaEventSynchronize", where=f"{place}(372): _land", count=1, total=30),
        Wait(
            call="cudaMemcpyAsync of pageable memory",
            where=f"{place}(133): __call__, aten::copy_", count=1, total=8,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call", "waits"),
    [
        ("cudaStreamSynchronize", True), ("cudaMalloc", True), ("cudaMemcpy", True),
        ("cuMemcpyDtoH_v2", True), ("cudaHostAlloc", True), ("cuCtxSynchronize", True),
        ("cuMemcpyDtoHAsync_v2", False), ("cudaMemcpyAsync", False), ("cuLaunchKernel", False),
        ("cudaGraphLaunch", False), ("cudaEventQuery", False), ("cudaMallocAsync", False),
    ],
)  # fmt: skip
def test_calls_that_wait_and_calls_that_do_not(call: str, waits: bool) -> None:
    found = timeline([work("middle", 20, 0, 9), host("cuda_runtime", call, 1, 2)])
    assert [wait.call for wait in found.waits] == [call] * waits


def test_a_trace_without_an_annotation_is_looked_at_as_a_whole() -> None:
    found = timeline([e for e in TRACE if e["name"] != LOOP])
    assert found.length == 1599


def test_a_trace_of_a_cpu_is_refused() -> None:
    with pytest.raises(ValueError, match="no kernel"):
        timeline([host("cpu_op", "aten::add", 0, 5)])


def test_spans() -> None:
    assert merged([(5, 6), (0, 2), (1, 3), (3, 4)]) == [(0, 4), (5, 6)]
    assert common([(0, 4), (5, 9)], [(1, 2), (3, 6), (8, 20)]) == [(1, 2), (3, 4), (5, 6), (8, 9)]
