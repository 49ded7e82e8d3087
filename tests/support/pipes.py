"""Standard input and output that a test fills and reads."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

import vsr

SAME = vsr.SizeOptions(scale=Fraction(1))


def options(**encode: Any) -> vsr.UpscaleOptions:
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"), size=SAME, encode=vsr.EncodeOptions(**encode)
    )


def clipped(text: str, **encode: Any) -> vsr.UpscaleOptions:
    source = vsr.SourceOptions(clips=(vsr.Clip.parse(text),))
    return vsr.UpscaleOptions(
        model=vsr.ModelOptions(name="nearest"),
        size=SAME,
        source=source,
        encode=vsr.EncodeOptions(**encode),
    )


@contextmanager
def stdin(monkeypatch: pytest.MonkeyPatch, write: Callable[[int], None]) -> Iterator[None]:
    """A pipe in place of standard input, into which a thread writes."""
    reading, writing = os.pipe()

    def run() -> None:
        try:
            write(writing)
        except BrokenPipeError:
            pass  # its reader has what it wants
        finally:
            os.close(writing)

    thread = threading.Thread(target=run)
    with open(reading, "rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        thread.start()
        yield
    thread.join()


def all_of(data: bytes) -> Callable[[int], None]:
    def write(descriptor: int) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


class Kept(io.BytesIO):
    """Standard output that a test can look at: not seekable, like a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *where: int) -> int:
        raise OSError("a pipe")


def stdout(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=kept, write=lambda text: None))
    return kept
