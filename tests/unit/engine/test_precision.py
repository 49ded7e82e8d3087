"""Promise: who names an engine gets its precision, whatever the processor would do by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import pytest
import torch

from vsr.engine.build import build_engine
from vsr.errors import UsageError
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions, EngineName, Precision


def built(monkeypatch: pytest.MonkeyPatch, engine: EngineName, precision: Precision) -> str:
    """What a processor with 16-bit matrix instructions, this one or not, comes to."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)
    model = LoadedModel(name="random", network=network, scale=2, kernel="bicubic")
    options = DeviceOptions(device="cpu", engine=engine, precision=precision)
    made = build_engine(model, Fraction(2), options)
    return f"{made.name} {made.precision}"


def test_an_engine_that_is_named_brings_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ncnn")
    assert built(monkeypatch, "ncnn", "auto") == "ncnn fp32"
    assert built(monkeypatch, "torch", "auto") == "torch bf16"
    assert built(monkeypatch, "auto", "auto") == "torch bf16"


def test_a_precision_that_is_named_is_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(monkeypatch, "auto", "bf16") == "torch bf16"
    assert built(monkeypatch, "torch", "fp32") == "torch fp32"
    pytest.importorskip("ncnn")
    with pytest.raises(UsageError, match="works on a CPU in fp32, not on cpu in bf16"):
        built(monkeypatch, "ncnn", "bf16")


def test_what_is_hidden_of_the_processor_is_not_used() -> None:
    """PyTorch would emulate it, slowly."""
    code = (
        "import torch; from vsr.engine.device import choose_precision as choose\n"
        "print(choose('auto', torch.device('cpu'))[0])"
    )
    hidden = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | hidden,
    )  # fmt: skip
    assert done.stdout == "fp32\n"
