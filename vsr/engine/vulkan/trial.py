"""Vulkan GPUs, looked at and tried in a process of their own: a driver can crash or hang.

The process is told on its standard input, as JSON in a line, and for a trial the pickled network
behind it; it answers in JSON. Whatever else becomes of it means "refused".
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import subprocess
import sys
from typing import Any

import torch
from torch.nn import functional as F

from vsr.children import shielded
from vsr.engine.base import Engine
from vsr.nets.network import Network

_START = "import sys; sys.path[:] = sys.argv[1:]; import vsr.engine.vulkan.trial as t; t.main()"
_SECONDS = 120  # until it counts as hung; drivers compile for long the first time
_LEAST = {"fp32": 80.0, "fp16": 50.0}  # dB from PyTorch's fp32
_PICTURES = 4  # one alone may come out right by luck


def find_gpus() -> list[dict[str, Any]]:
    """Return the GPUs as `engine.gpus`; none where there is no runtime, or no driver."""
    if importlib.util.find_spec("ncnn") is None:
        return []
    answer = _ask({"list": True})
    return answer if isinstance(answer, list) else []


def try_gpu(index: int, precision: str, network: Network) -> str | None:
    """Return why the GPU is refused, in words; None: it is right."""
    held = io.BytesIO()
    torch.save(network, held)
    asked = {"index": index, "precision": precision}
    answer = _ask(asked, held.getvalue())
    if isinstance(answer, str):
        return answer
    if not answer["decibels"] >= _LEAST[precision]:
        return f"computed something else in a trial ({answer['decibels']:.0f} dB)"
    return None


def _ask(asked: dict[str, Any], more: bytes = b"") -> Any:
    """Return the answer of a process of its own; in words what became of it, if that is none."""
    with shielded():
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *sys.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    with process:  # which closes the pipes
        try:
            told, _ = process.communicate(json.dumps(asked).encode() + b"\n" + more, _SECONDS)
            return json.loads(told)
        except subprocess.TimeoutExpired:
            return f"hung in a trial of {_SECONDS} seconds"
        except ValueError:
            code = process.returncode
            return f"crashed in a trial ({f'signal {-code}' if code < 0 else f'code {code}'})"
        finally:
            process.kill()


def main() -> None:
    """Answer one question, in the process of the trial."""
    from vsr.engine.vulkan.engine import VulkanEngine, gpus

    asked = json.loads(sys.stdin.buffer.readline())
    if asked.get("list"):
        answer: Any = gpus()
    else:
        network = torch.load(io.BytesIO(sys.stdin.buffer.read()), weights_only=False)
        engine = VulkanEngine(network, asked["index"], precision=asked["precision"])
        answer = _compared(network, engine)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def _compared(network: Network, engine: Engine) -> dict[str, float]:
    chance, worst = torch.Generator().manual_seed(0), math.inf
    with torch.inference_mode():
        for _ in range(_PICTURES):
            coarse = torch.rand(1, 3, 12, 16, generator=chance)
            picture = F.interpolate(coarse, size=(48, 64), mode="bicubic").clamp(0, 1)
            error = (engine(picture) - network(picture)).double().square().mean()
            worst = min(worst, float((-10 * torch.log10(error + 1e-20)).nan_to_num(-1.0)))
    return {"decibels": worst}
