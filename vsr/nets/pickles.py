"""Looks through the pickles of a weight file for what they would call, without calling it.

PyTorch's `weights_only` runs no code of a file's, but it does call what many kinds of objects are
made by, and a few bytes make some of those as large as they say: `bytearray(1 << 40)`.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vsr.errors import BrokenWeights

# What tensors are made of, and what holds them: each as large as what the file has of it.
_NEEDED = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|(builtins|__builtin__) (set|complex)"
    r"|torch\._utils _rebuild_(tensor(_v2|_v3)?|parameter(_with_state)?)"
    r"|torch\._tensor _rebuild_from_type_v2"
    r"|torch\.nn\.parameter Parameter"
    r"|torch\.storage (Untyped|Typed)Storage"
    r"|torch (Tensor|Size|device|[A-Z]\w*Storage|u?int\w*|b?float\w*|bool|complex\w*)"
)
_ZIP = b"PK\x03\x04"
# The other ways to name what is called, none of which PyTorch writes, or reads so far.
_OTHER_WAYS = frozenset({"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
_IN_A_ROW = 5  # pickles at the beginning of a file as PyTorch wrote it before 1.6


def is_archive(path: Path) -> bool:
    """Return whether PyTorch would read this file as an archive."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def refuse_what_is_not_needed(path: Path) -> None:
    """Raise BrokenWeights for a file whose pickles name more than weights are made by.

    What is no pickle makes `pickletools` raise ValueError, and other errors.
    """
    for named in _names(path):
        if not _NEEDED.fullmatch(named):
            called = named.replace(" ", ".")[:80]
            raise BrokenWeights(f"not a plain weight file: it would call {called}")


def _names(path: Path) -> Iterator[str]:
    if is_archive(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".pkl"):
                    with archive.open(entry) as pickled:
                        yield from _names_in(pickled)
        return
    with path.open("rb") as file:
        for _ in range(_IN_A_ROW):
            yield from _names_in(file)


def _names_in(pickled: IO[bytes]) -> Iterator[str]:
    for op, arg, _ in pickletools.genops(pickled):
        if op.name == "GLOBAL":
            yield str(arg)
        elif op.name in _OTHER_WAYS:
            yield f"what {op.name} names"
