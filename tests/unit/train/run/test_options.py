"""What makes no sense is refused in a line that names the option, before anything is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from vsr.errors import UsageError
from vsr.train.degrade.settings import read_damage
from vsr.train.options import DataOptions, LossOptions, ScheduleOptions, TrainOptions


def _options(**values: Any) -> TrainOptions:
    parts: dict[str, Any] = {}
    for name, kind in (("data", DataOptions), ("loss", LossOptions), ("schedule", ScheduleOptions)):
        own = {key: values.pop(key) for key in list(values) if key in kind.__dataclass_fields__}
        parts[name] = kind(**own | ({"clean": (Path("x"),)} if name == "data" else {}))
    damage = read_damage(changes={key: values.pop(key) for key in ("pool",) if key in values})
    return TrainOptions(damage=damage, **parts, **values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip", -1.0), ("clip", math.nan), ("clip", math.inf), ("warm_up", -1),
        ("held_out", 5.0), ("held_out", 1.0), ("held_out", -1.0), ("held_out", math.nan),
        *((name, value) for value in (-1.0, math.nan, math.inf) for name in (
            "l1", "charbonnier", "perceptual_weight", "gan_weight", "consistency", "temporal")),
        ("num_block", -1), ("num_feat", 0), ("disc_feat", 0), ("seed", -1), ("seed", 2**63),
        ("pool", 0),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_named(name: str, value: float) -> None:
    with pytest.raises(UsageError) as caught:
        _options(**{name: value})
    said = str(caught.value)
    assert said.startswith(f"{name} ")
    assert "\n" not in said


@pytest.mark.parametrize(
    "values",
    [{}, {"gan_weight": 1.0}, {"temporal": 1.0}, {"stage": "gan", "gan_weight": 0.0}],
)
def test_a_training_without_a_loss_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no loss counts: l1"):
        _options(l1=0.0, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"stage": "gan"}, {"temporal": 1.0, "frames": 2}, {"perceptual": "lite0"},
        {"charbonnier": 1.0}, {"consistency": 1.0},
    ],
)  # fmt: skip
def test_one_loss_is_enough(values: dict[str, Any]) -> None:
    assert _options(l1=0.0, clip=0.0, warm_up=0, held_out=0.0, **values)
