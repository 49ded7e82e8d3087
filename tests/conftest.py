"""What several tests need: samples, tiny networks, and a place where nothing is downloaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.fixture
def bunny() -> Path:
    """5 s of Big Buck Bunny, 320x180 at 24 fps, with AAC stereo."""
    return SAMPLES / "bunny.mp4"


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    """No test may leave one of our threads behind, whatever went wrong in it."""
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith("vsr-")]
    assert not left


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's cache nor his settings reach into the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    monkeypatch.delenv("VSR_FFMPEG", raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device; this machine has none")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
