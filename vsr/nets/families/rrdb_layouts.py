"""The names that RRDBNet's weights have had elsewhere: in BSRGAN and RealSR, and in old ESRGAN."""

from __future__ import annotations

import re

from vsr.nets.network import State, count_layers

_BSRGAN = (
    (re.compile(r"^RRDB_trunk\.(\d+)\.RDB(\d)\."), r"body.\1.rdb\2."),
    (re.compile(r"^trunk_conv\."), "conv_body."),
    (re.compile(r"^upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"^HRconv\."), "conv_hr."),
)
# By position. Behind conv_first (0) and the blocks (1) come three places a stage: it enlarges,
# convolves, and bends; then conv_hr, a place for its bend, and conv_last.
_OLD_ESRGAN = (
    (re.compile(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\."), r"body.\1.rdb\2.conv\3."),
    (re.compile(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv1x1\."), r"body.\1.rdb\2.conv1x1."),
    (re.compile(r"^model\.1\.sub\.\d+\."), "conv_body."),
    (re.compile(r"^model\.0\."), "conv_first."),
)

_Rules = tuple[tuple[re.Pattern[str], str], ...]


def canonical(state: State) -> State:
    """Return the same weights under the official names; as they are, where the layout is none."""
    if "model.0.weight" in state:
        rules = _OLD_ESRGAN + _tail(count_layers(state, "model.") - 1)
    elif "trunk_conv.weight" in state:
        rules = _BSRGAN
    else:
        return state
    return {_renamed(name, rules): tensor for name, tensor in state.items()}


def _tail(last: int) -> _Rules:
    """Return the names of what follows the blocks, where `last` is conv_last's place."""
    places = [(place, f"conv_up{place // 3}") for place in range(3, last - 2, 3)]
    places += [(last - 2, "conv_hr"), (last, "conv_last")]
    return tuple((re.compile(rf"^model\.{place}\."), f"{name}.") for place, name in places)


def _renamed(name: str, rules: _Rules) -> str:
    for pattern, new in rules:
        if pattern.match(name):
            return pattern.sub(new, name)
    return name
