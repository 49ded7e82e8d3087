"""Films in an object store come out as those in a folder, also where the store fails at times.

Nodes of a cluster that share one there: `python -m tests.cluster_lives --store lost`.
"""

from __future__ import annotations

import importlib.util
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vsr
from tests.promises.jobs.test_cluster import options
from tests.support import judge
from tests.support.jobs import After
from tests.support.object_server import BUCKET, object_server
from vsr import objects as module
from vsr.errors import InputError, OutputExists, Stopped, UsageError
from vsr.events import Event, Note
from vsr.jobs.store.registry import stores
from vsr.objects import Objects, ObjectsFailed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("obstore", "moto", "flask")),
        reason="obstore or moto is not installed",
    ),
]
PLACE = f"s3://{BUCKET}/job"


@pytest.fixture(scope="module", params=["none", "errors", "lost"])
def bucket(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    with object_server(request.param) as environment:
        yield environment


@pytest.fixture
def place(bucket: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """An empty folder in the store; the film lies there."""
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    objects = Objects(PLACE)
    for name in objects.names():
        objects.remove(name)
    objects.put("in.mkv", judge.talkie(tmp_path / "in.mkv", 4))
    return objects


def test_a_film_goes_on_where_it_was_and_comes_out_the_same(place: Objects, tmp_path: Path) -> None:
    chosen, one = options(None), tmp_path / "one.mkv"
    vsr.upscale(tmp_path / "in.mkv", one, chosen)
    with pytest.raises(Stopped):
        vsr.upscale(f"{PLACE}/in.mkv", f"{PLACE}/out.mkv", chosen, stop=After(2))
    there = place.names()
    assert "out.mkv" not in there
    assert sum(name.endswith(".json") for name in there) == 3  # the job, two segments
    for name in there:
        assert b"very-secret" not in (place.get(name) or b"")
    assert not [store for store in stores() if store.is_relative_to(tmp_path / "cache")]
    notes: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    # As another machine goes on with it, which has no copies.
    (tmp_path / "cache").rename(tmp_path / "gone")
    vsr.upscale(f"{PLACE}/in.mkv", f"{PLACE}/out.mkv", chosen, sink=listen)
    assert any(note.startswith("resuming: 2 of 10") for note in notes)
    assert place.get("out.mkv") == one.read_bytes()
    assert sorted(place.names()) == ["in.mkv", "out.mkv"]
    assert not list((tmp_path / "cache").rglob("out.mkv*"))


def _stopped(*words: str, after: str = '"progress"') -> str:
    """Run a command, and stop it after a line; returns the rest of what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "vsr", *words, "--progress", "json"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        for line in run.stderr:
            if after in line:
                break
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == Stopped.exit_code, rest
    return rest


@pytest.mark.parametrize("bucket", ["none"], indirect=True)
def test_a_stop_says_how_to_go_on_and_that_works(
    place: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    words = ["-m", "bicubic", "--scale", "2", "--segment", "0.2", "--workers", "1"]
    source, local = f"{PLACE}/in.mkv", tmp_path / "local.mkv"
    said = _stopped("upscale", source, "-o", f"{PLACE}/out.mkv", *words)
    assert "go on with the same command, here or on another machine" in said
    assert "jobs resume" not in said
    said = _stopped("upscale", source, "-o", str(local), *words)
    assert f"vsr jobs resume {local}" in said
    resume = [sys.executable, "-m", "vsr", "jobs", "resume", str(local)]
    subprocess.run(resume, check=True, capture_output=True)
    assert local.exists()


@pytest.mark.parametrize("bucket", ["none"], indirect=True)
def test_what_is_there_is_not_replaced(place: Objects) -> None:
    place.put("out.mkv", b"somebody's")
    with pytest.raises(OutputExists, match=r"job/out.mkv: is there already"):
        vsr.upscale(f"{PLACE}/in.mkv", f"{PLACE}/out.mkv", options(None))
    assert place.get("out.mkv") == b"somebody's"
    with pytest.raises(InputError, match="is not there"):
        vsr.upscale(f"{PLACE}/none.mkv", f"{PLACE}/other.mkv", options(None))
    with pytest.raises(UsageError, match="is no address of the form"):
        vsr.upscale(f"{PLACE}/in.mkv", "s3://nothing", options(None))


@pytest.mark.parametrize("bucket", ["small"], indirect=True)
def test_large_objects_go_in_requests_that_are_small(
    place: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 8 << 20)
    large, other, copy = (tmp_path / name for name in ("large", "other", "copy"))
    large.write_bytes(random.Random(0).randbytes(20 << 20))
    other.write_bytes(large.read_bytes()[::-1])
    assert place.put("large", large, only_new=True)
    assert not place.put("large", other, only_new=True)
    # As if the other machine had not been there when this one looked.
    monkeypatch.setattr(Objects, "size", lambda *_: None)
    assert not place.put("large", other, only_new=True)
    place.fetch("large", copy)
    assert copy.read_bytes() == large.read_bytes()
    assert sorted(place.names()) == ["in.mkv", "large"]
    assert place.put("large", other)
    place.fetch("large", copy)
    assert copy.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("bucket", ["none"], indirect=True)
def test_an_object_that_is_changed_while_it_is_read_is_refused(
    place: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore

    monkeypatch.setattr(module, "_AT_ONCE", 5)
    place.put("it", b"eight by")
    get = obstore.get

    def change(*given: Any, **more: Any) -> Any:
        answer = get(*given, **more)
        place.put("it", b"others..")
        return answer

    monkeypatch.setattr(obstore, "get", change)
    with pytest.raises(ObjectsFailed, match="job/it"):
        place.fetch("it", tmp_path / "it")
    place.put("empty", b"")
    place.fetch("empty", tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b""
