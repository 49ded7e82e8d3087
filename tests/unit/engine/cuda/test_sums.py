"""Promises of the sums of fp16: where they are taken, how far they are off, what overflows."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from tests.support.cuda.host.fixtures import needs_host, needs_nvrtc
from tests.support.cuda.networks import draw
from tests.unit.engine.cuda.test_kernels import (
    ARCHITECTURES,
    check,
    exact,
    growth,
    network,
    plan_on,
    rrdbnet,
)
from vsr.engine.cuda.compact_plan import CompactPlan
from vsr.engine.cuda.engine import source
from vsr.engine.cuda.nvrtc import Nvrtc

pytestmark = needs_host


def test_errors_grow_as_the_length_of_short_sums_says() -> None:
    """Against sums of fp32, on the same picture: none is added up for longer than it should be."""
    given, x = (
        network(middle=3),
        torch.rand(1, 3, 9, 17, generator=torch.Generator().manual_seed(3)),
    )
    want, errors = exact(given, x), {}
    plans = {short: plan_on(given, 86, short) for short in (0, 1, 2, 12)}
    for short, plan in plans.items():
        check(given, x, 86, short=short)
        errors[short] = float((draw(plan, x, 2).planes - want).square().mean().sqrt())
    for short, plan in plans.items():
        assert isinstance(plan, CompactPlan)
        assert 0.75 < errors[short] / errors[0] / growth(plan) < 1.1


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_sums_are_short_where_that_doubles_the_rate(arch: int) -> None:
    """In the layers in the middle; the last one's sums are what is seen."""
    plan = plan_on(network(), arch)
    text = Nvrtc().ptx(source(plan.sources), architecture=80, options=plan.options)
    kinds = {
        name: set(re.findall(r"mma\.sync\.aligned\.m16n8k16\.row\.col\.(\w+)", body))
        for name, body in re.findall(r"\.entry (\w+)\((.*?)\n\}", text, re.DOTALL)
    }
    fast = arch in (86, 89, 120)
    assert kinds == {"first": {"f32"}, "middle": {"f16" if fast else "f32"}, "last": {"f32"}}
    assert plan.short_sums == fast
    assert not plan_on(rrdbnet(), arch).short_sums


def test_short_sums_beyond_fp16_are_not_numbers() -> None:
    """Although the whole sum would fit: 100,000 and as much below zero, one after the other."""
    given = network(upscale=1, act="relu")
    first, middle = (given.body[n] for n in (0, 2))
    assert isinstance(first, nn.Conv2d)
    assert isinstance(middle, nn.Conv2d)
    assert first.bias is not None
    first.weight.zero_()
    first.bias.fill_(100)
    middle.weight.zero_()
    middle.weight[5, 40, 1, 1], middle.weight[5, 60, 1, 1] = 1000, -1000
    x = torch.rand(1, 3, 3, 4)
    assert exact(given, x).isfinite().all()
    plans = {short: plan_on(given, 86, short) for short in (0, 1)}
    made = {short: draw(plan, x, 1).planes.isfinite() for short, plan in plans.items()}
    assert made[0].all()
    assert not made[1].any()
