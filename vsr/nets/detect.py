"""Builds a network from its weights alone: names and shapes tell which one it is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vsr.errors import BrokenWeights
from vsr.nets.community import from_spandrel
from vsr.nets.families.table import FAMILIES
from vsr.nets.network import Hints, Network, State, check_scale
from vsr.options import Activation

# What training tools put weights into, the best first.
_WRAPPERS = (
    "model_state_dict", "state_dict", "params_ema", "params-ema", "g_ema", "net_g_ema", "params",
    "model", "net", "net_g", "netG", "generator",
)  # fmt: skip
# What ours and spandrel's raise of weights that do not fit together.
_MISFITS = (
    KeyError, ValueError, RuntimeError, IndexError, ArithmeticError, AssertionError, TypeError,
    AttributeError, NotImplementedError,
)  # fmt: skip
_DEEPEST = 4  # wrappers inside each other
_PREFIXES = ("module.", "_orig_mod.", "netG.", "net_g_ema.", "net_g.", "generator.", "g_ema.")


def unwrap(loaded: object) -> State:
    """Return the bare state dict inside a checkpoint. Raises BrokenWeights if there is none."""
    for _ in range(_DEEPEST):
        inner = _inside(loaded)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping) or not loaded:
        raise BrokenWeights("holds no network weights")
    state: State = {}
    for key, tensor in loaded.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise BrokenWeights("holds something else than a network's weights")
        state[key] = tensor
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _inside(loaded: object) -> object:
    if not isinstance(loaded, Mapping):
        return None
    return next((loaded[k] for k in _WRAPPERS if isinstance(loaded.get(k), Mapping)), None)


def from_state(
    loaded: object, *, activation: Activation = "relu", scale: int | None = None
) -> Network:
    """Build the network that these tensors are the weights of, and load them.

    `loaded`: a checkpoint as `torch.load` returns it: bare, or wrapped in
    `params_ema`, `params` and their like; of a kind that `families.table` lists. `activation`: of
    a compact network without PReLU parameters, which cannot be read from shapes; `scale`: what the
    file is said to enlarge by, for what they do not tell either.

    Returns a `Network` in eval mode, float32. Raises BrokenWeights.
    """
    state = unwrap(loaded)
    hints = Hints(activation=activation, scale=scale)
    try:
        family = next((family for family in FAMILIES if family.claims(state)), None)
        network = from_spandrel(state) if family is None else family.from_state(state, hints)
    except _MISFITS as error:
        if isinstance(error, BrokenWeights):
            raise
        detail = " ".join(str(error).split())[:160]
        raise BrokenWeights(f"weights that do not fit together ({detail})") from error
    check_scale(network.scale)
    return network.eval().requires_grad_(False)
