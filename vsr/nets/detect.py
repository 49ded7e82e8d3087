"""Builds a network from its weights alone: names and shapes tell which one it is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import Tensor

from vsr.errors import BrokenWeights
from vsr.nets.network import Network
from vsr.nets.rrdbnet import RRDBNet
from vsr.nets.srvgg import SRVGGNetCompact
from vsr.options import Activation

State = dict[str, Tensor]

_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
_PREFIX = re.compile(r"^(module\.)?(netG\.)?")

# BSRGAN and RealSR wrote the same network under other names.
_BSRGAN = (
    (re.compile(r"^RRDB_trunk\.(\d+)\.RDB(\d)\."), r"body.\1.rdb\2."),
    (re.compile(r"^trunk_conv\."), "conv_body."),
    (re.compile(r"^upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"^HRconv\."), "conv_hr."),
)
# So did the first ESRGAN, by position; its x4 tail always has these numbers.
_OLD_ESRGAN = (
    (re.compile(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\."), r"body.\1.rdb\2.conv\3."),
    (re.compile(r"^model\.1\.sub\.\d+\."), "conv_body."),
    (re.compile(r"^model\.0\."), "conv_first."),
    (re.compile(r"^model\.3\."), "conv_up1."),
    (re.compile(r"^model\.6\."), "conv_up2."),
    (re.compile(r"^model\.8\."), "conv_hr."),
    (re.compile(r"^model\.10\."), "conv_last."),
)


def unwrap(loaded: object) -> State:
    """Return the bare state dict inside a checkpoint. Raises BrokenWeights if there is none."""
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            return unwrap(loaded[key])
    if not isinstance(loaded, Mapping) or not loaded:
        raise BrokenWeights("holds no network weights")
    state: State = {}
    for key, tensor in loaded.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise BrokenWeights("holds something else than a network's weights")
        state[_PREFIX.sub("", key)] = tensor
    return state


def _canonical(state: State) -> State:
    if "model.0.weight" in state:
        rules: tuple[tuple[re.Pattern[str], str], ...] = _OLD_ESRGAN
    elif "trunk_conv.weight" in state:
        rules = _BSRGAN
    else:
        return state
    return {_renamed(name, rules): tensor for name, tensor in state.items()}


def _renamed(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, new in rules:
        if pattern.match(name):
            return pattern.sub(new, name)
    return name


def _count(state: State, pattern: str) -> int:
    numbers = [int(m[1]) for name in state if (m := re.match(pattern, name))]
    count = max(numbers) + 1 if numbers else 0
    if count > len(state):
        raise BrokenWeights("layers that are counted but not there")
    return count


def _detect_rrdbnet(state: State) -> RRDBNet:
    num_feat, channels = state["conv_first.weight"].shape[:2]
    unshuffle = math.isqrt(channels // 3)
    if state["conv_last.weight"].shape[0] != 3:
        raise BrokenWeights("an RRDBNet whose result is not RGB")
    if unshuffle not in (1, 2, 4) or 3 * unshuffle**2 != channels:
        raise BrokenWeights(f"RRDBNet with {channels} input channels: only 3, 12 and 48 are known")
    return RRDBNet(
        scale=4 // unshuffle,
        num_feat=num_feat,
        num_block=_count(state, r"body\.(\d+)\."),
        num_grow_ch=state["body.0.rdb1.conv1.weight"].shape[0],
    )


def _detect_srvgg(state: State, activation: Activation) -> SRVGGNetCompact:
    num_feat, num_in = state["body.0.weight"].shape[:2]
    last = _count(state, r"body\.(\d+)\.") - 1
    upscale = math.isqrt(state[f"body.{last}.weight"].shape[0] // 3)
    if num_in != 3:
        raise BrokenWeights(f"a compact network of {num_in} channels instead of RGB")
    prelu = "body.1.weight" in state  # ReLU and LeakyReLU have no parameters to tell them by
    return SRVGGNetCompact(
        num_feat=num_feat,
        num_conv=(last - 2) // 2,
        upscale=upscale,
        act_type="prelu" if prelu else activation,
    )


def from_state(loaded: object, *, activation: Activation = "relu") -> Network:
    """Build the network that these tensors are the weights of, and load them.

    `loaded`: a checkpoint as `torch.load` returns it: bare, or wrapped in
    `params_ema`, `params` and their like; RRDBNet in the BasicSR, BSRGAN or old
    ESRGAN layout, or SRVGGNetCompact. `activation`: of a compact network without
    PReLU parameters, which cannot be read from shapes.

    Returns a `Network` in eval mode, float32. Raises BrokenWeights.
    """
    state = _canonical(unwrap(loaded))
    try:
        network: Network
        if "conv_first.weight" in state:
            network = _detect_rrdbnet(state)
        elif "body.0.weight" in state and state["body.0.weight"].dim() == 4:
            network = _detect_srvgg(state, activation)
        else:
            raise BrokenWeights("neither an RRDBNet nor an SRVGGNetCompact")
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except (KeyError, ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        if isinstance(error, BrokenWeights):
            raise
        detail = " ".join(str(error).split())[:160]
        raise BrokenWeights(f"weights that do not fit together ({detail})") from error
    return network.eval().requires_grad_(False)
