"""Promise: a weight file can be anything, and nothing of it is run, nor takes memory it has not."""

from __future__ import annotations

import _codecs
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vsr.errors import BrokenWeights
from vsr.nets import reading
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.pickles import refuse_what_is_not_needed
from vsr.nets.reading import read_weights

TRAP = "trap"  # what a file that is run leaves


class Calls:
    """Unpickled, it calls."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def _good() -> dict[str, Any]:
    return dict(SRVGGNetCompact(num_feat=8, num_conv=1).state_dict())


def _saved(value: object, **how: Any) -> bytes:
    held = io.BytesIO()
    torch.save(value, held, **how)
    return held.getvalue()


def _archive(change: Callable[[str, bytes], bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    """A good file, entry by entry changed."""
    held = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(_saved(_good()))) as old,
        zipfile.ZipFile(held, "w", packing) as new,
    ):
        for one in old.infolist():
            new.writestr(one.filename, change(one.filename, old.read(one)))
    return held.getvalue()


def _pickled_in(name: str, value: object) -> bytes:
    def change(entry: str, data: bytes) -> bytes:
        return pickle.dumps(value, protocol=2) if entry.endswith(name) else data

    return _archive(change)


def _safetensors(header: dict[str, Any], body: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _script() -> bytes:
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and people have such files
        jit: Any = torch.jit
        jit.save(jit.trace(torch.nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)), held)
    return held.getvalue()


def _repeated(dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """A network of 600 MB that fits together, of which the file has one number."""
    wide, zero = 4096, torch.zeros(1, dtype=dtype)
    shapes = {
        "0.weight": (wide, 3, 3, 3), "0.bias": (wide,), "1.weight": (wide,), "3.weight": (wide,),
        "2.weight": (wide, wide, 3, 3), "2.bias": (wide,), "4.weight": (12, wide, 3, 3),
        "4.bias": (12,),
    }  # fmt: skip
    return {f"body.{name}": zero.expand(shape) for name, shape in shapes.items()}


def _compact(feat: int, scale: int) -> dict[str, Any]:
    outputs = 3 * scale**2
    shapes = {
        "0.weight": (feat, 3, 3, 3), "0.bias": (feat,), "1.weight": (feat,),
        "2.weight": (outputs, feat, 3, 3), "2.bias": (outputs,),
    }  # fmt: skip
    return {f"body.{name}": torch.zeros(shape) for name, shape in shapes.items()}


def _doubled(times: int) -> object:
    value: object = "a"
    for _ in range(times):  # each of whose bytes becomes two
        value = Calls(_codecs.encode, value, "utf-8" if value == "a" else "hex")
    return value


def _endless() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["model"] = inner
    return inner


def _conv(**shape: object) -> bytes:
    words = " ".join(f"{key}={value}" for key, value in shape.items()).replace("k", "")
    return f"7767517\n2 2\nInput data 0 1 data\nConvolution c 1 1 data output {words}\n".encode()


_HUGE = [2**20, 2**20, 3, 3]
KINDS: dict[str, Callable[[], dict[str, bytes]]] = {
    "code in a plain pickle.pth": lambda: {"": pickle.dumps(Calls(os.mkdir, TRAP), protocol=2)},
    "code in an archive.pth": lambda: {"": _saved({"params": Calls(os.mkdir, TRAP)})},
    "code as it was saved once.pth": lambda: {
        "": _saved({"a": Calls(os.mkdir, TRAP)}, _use_new_zipfile_serialization=False)
    },
    "code behind a key.ckpt": lambda: {"": _saved({**_good(), "callbacks": [Calls(exec, "1")]})},
    "code by eval.pt": lambda: {
        "": pickle.dumps(Calls(eval, f"__import__('os').mkdir('{TRAP}')"), protocol=2)
    },
    "code in the archive's own pickle.pth": lambda: {
        "": _pickled_in("data.pkl", Calls(os.system, f"mkdir {TRAP}"))
    },
    "a whole module.pth": lambda: {"": _saved(torch.nn.Linear(2, 2))},
    "a script.pt": lambda: {"": _script()},
    "a packed bomb.pth": lambda: {
        "": _archive(
            lambda n, d: bytes(300 << 20) if "/data/" in n else d, zipfile.ZIP_DEFLATED
        )
    },
    "bytes repeated without end.pth": lambda: {"": _saved(_repeated())},
    "half of them repeated.pth": lambda: {"": _saved(_repeated(torch.float16))},
    "a mapping in itself.pth": lambda: {"": _saved(_endless())},
    "mappings a thousand deep.pth": lambda: {"": _deep(1000)},
    "bytes that are only counted.pth": lambda: {
        "": pickle.dumps({"a": [Calls(bytearray, 1 << 30)]}, protocol=2)
    },
    "bytes that are only counted, in an archive.pth": lambda: {
        "": _pickled_in("data.pkl", {"a": Calls(bytearray, 1 << 30)})
    },
    "bytes that double.pth": lambda: {"": _pickled_in("data.pkl", _doubled(30))},
    "no weights but their shapes.pth": lambda: {
        "": _saved(
            {"params_ema": {n: t.to("meta") for n, t in _good().items()}, "m": torch.zeros(9999)}
        )
    },
    "sparse weights.pth": lambda: {"": _saved({n: t.to_sparse() for n, t in _good().items()})},
    "complex numbers.pth": lambda: {
        "": _saved({n: t.to(torch.complex64) for n, t in _good().items()})
    },
    "layers of no width.pth": lambda: {"": _saved(_compact(0, scale=2))},
    "enlarging by a hundred.pth": lambda: {"": _saved(_compact(1, scale=100))},
    "a header longer than the file.safetensors": lambda: {"": _safetensors({}, length=2**40)},
    "tensors that are not there.safetensors": lambda: {
        "": _safetensors({"a": {"dtype": "F32", "shape": _HUGE, "data_offsets": [0, 2**42]}})
    },
    "tensors outside.safetensors": lambda: {
        "": _safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [2**40, 2**40 + 4]}})
    },
    "layers that are only counted.pth": lambda: {
        "": _saved(_good() | {f"body.{10**8}.weight": torch.zeros(3)})
    },
    "weights wider than they are.param": lambda: {
        "": _conv(k0=2**40, k1=3, k6=2**50), ".bin": bytes(64)
    },
    "fewer than none.param": lambda: {"": _conv(k0=8, k1=3, k6=-1), ".bin": bytes(64)},
    "training of SPAN that would multiply.pth": lambda: {"": _saved(_wide_span())},
}  # fmt: skip


def _deep(levels: int) -> bytes:
    value: dict[str, Any] = _good()
    for _ in range(levels):
        value = {"model": value}
    held = io.BytesIO()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * levels)
    try:
        torch.save(value, held)
    finally:
        sys.setrecursionlimit(limit)
    return held.getvalue()


def _wide_span() -> dict[str, Any]:
    """Two long vectors, whose product takes a gigabyte."""
    long = 4000
    conv = {
        "conv.0": (1, long, 1, 1), "conv.1": (1, 1, 3, 3), "conv.2": (long, 1, 1, 1),
        "sk": (8, 3, 1, 1),
    }  # fmt: skip
    state = {f"conv_1.{n}.weight": torch.zeros(shape) for n, shape in conv.items()}
    state |= {f"conv_1.{n}.bias": torch.zeros(1) for n in conv}
    state |= {"block_1.c1_r.sk.weight": torch.zeros(8, 8, 1, 1)}
    return state | {
        "upsampler.0.weight": torch.zeros(12, 8, 3, 3),
        "conv_cat.weight": torch.zeros(1),
    }


CHILD = """
import json, resource, sys
from vsr.errors import BrokenWeights
from vsr.nets import store
from vsr.options import ModelOptions
store.load(ModelOptions())  # what libraries take is taken
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = {}
for path in sys.argv[1:]:
    try:
        store.load(ModelOptions(name=path))
        told[path] = "loaded"
    except BrokenWeights as error:
        told[path] = f"refused: {error}"
    except BaseException as error:
        told[path] = f"{type(error).__name__}: {error}"
more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([told, more >> 10]))
"""


def test_hostile_files_are_refused_and_harmless(tmp_path: Path) -> None:
    files = []
    for name, make in KINDS.items():
        path = tmp_path / name
        for suffix, data in make().items():
            (path.with_suffix(suffix) if suffix else path).write_bytes(data)
        files.append(str(path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(CHILD), *files],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told, megabytes = json.loads(done.stdout)
    for path, outcome in told.items():
        assert outcome.startswith("refused: "), (path, outcome)
        assert "\n" not in outcome
        assert len(outcome) < 400
    assert not (tmp_path / TRAP).exists()
    assert megabytes < 200


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_however_a_pickle_names_what_it_calls(tmp_path: Path, protocol: int) -> None:
    """Newer protocols name by another operation, which must not be looked past."""
    path = tmp_path / "named.pth"
    path.write_bytes(pickle.dumps({"a": Calls(bytearray, 4)}, protocol=protocol))
    with pytest.raises(BrokenWeights, match="it would call"):
        refuse_what_is_not_needed(path)


def test_bytes_that_are_shared_count_as_what_they_become(tmp_path: Path) -> None:
    """Four times the file as they are, and sixteen times in float32."""
    once = torch.zeros(1 << 16, dtype=torch.int8)
    for times in (1, 4):
        path = tmp_path / f"{times}.pth"
        torch.save({f"a.{number}": once for number in range(times)}, path)
        if times == 1:
            assert len(read_weights(path)) == 1
        else:
            with pytest.raises(BrokenWeights, match="more than the file"):
                read_weights(path)


def test_weights_that_memory_cannot_hold_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "whole.pth"
    torch.save({"a": torch.zeros(1 << 16, dtype=torch.int8)}, path)
    monkeypatch.setattr(reading, "free_host_memory", lambda: 3 << 16)
    with pytest.raises(BrokenWeights, match="memory is too small"):
        read_weights(path)


def test_the_kinds_would_be_harmful_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its absence above says something."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(KINDS["code in a plain pickle.pth"]()[""])
    assert Path(TRAP).exists()
