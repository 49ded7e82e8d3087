"""Trials in a process of their own: what is tried there may crash, hang, or spoil a GPU.

The process is told on its standard input what to do, and answers in JSON. Whatever else becomes of
it means "refused".
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from vsr.children import shielded
from vsr.engine.base import fault_of
from vsr.engine.kernel_launch import KernelsUnavailable

# It finds what this process found, and nothing that lies in the folder where the user is.
_START = (
    "import sys, importlib; sys.path[:] = sys.argv[2:]; importlib.import_module(sys.argv[1]).main()"
)
SECONDS = 120  # until it counts as hung; compilers and drivers take long the first time


class TrialFailed(Exception):
    """The process did not answer; the message says what became of it."""


def ask(module: str, question: object, seconds: float | None = None) -> Any:
    """Return what `module`'s `main`, in a process of its own, answers. Raises TrialFailed.

    `question` is pickled, and the answer is of what JSON has. After `seconds`, by default
    `SECONDS`, it counts as hung.
    """
    seconds = SECONDS if seconds is None else seconds
    with shielded():
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, module, *sys.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    with process:  # which closes the pipes
        try:
            told, _ = process.communicate(pickle.dumps(question), seconds)
            return json.loads(told.strip().rpartition(b"\n")[2])
        except subprocess.TimeoutExpired:
            raise TrialFailed(f"hung in a trial of {seconds} seconds") from None
        except ValueError:
            code = process.returncode
            how = f"signal {-code}" if code < 0 else f"code {code}"
            raise TrialFailed(f"crashed in a trial ({how})") from None
        finally:
            process.kill()


def answer(find: Callable[[Any], object]) -> None:
    """Answer what this process was asked, in the process of the trial."""
    told = json.dumps(find(pickle.load(sys.stdin.buffer)))
    sys.stdout.write(told)
    sys.stdout.flush()


def ask_of_kernels(module: str, question: object) -> str | None:
    """Return why kernels are refused, in words, as `ask` finds out; None: they are right.

    Raises KernelsUnavailable where they cannot be had, which another run may find otherwise.
    """
    try:
        told = ask(module, question)
    except TrialFailed as error:
        return str(error)
    if told["missing"] is not None:
        raise KernelsUnavailable(told["missing"])
    reason: str | None = told["reason"]
    return reason


def answer_of_kernels(tried: Callable[[Any], str | None]) -> None:
    """Answer `ask_of_kernels` with what `tried` says is wrong with them; None: nothing."""

    def find(question: Any) -> dict[str, str | None]:
        try:
            return {"missing": None, "reason": tried(question)}
        except (KernelsUnavailable, torch.OutOfMemoryError) as error:
            return {"missing": str(error).splitlines()[0], "reason": None}
        except RuntimeError as error:
            if (words := fault_of(error)) is None:
                raise
            return {"missing": None, "reason": f"failed in a trial ({words})"}

    answer(find)
