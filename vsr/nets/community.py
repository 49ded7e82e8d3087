"""Networks of kinds that only spandrel knows (the extra `community`): weights in, a `Network` out.

What spandrel gets are tensors that were read by `reading`; its own reader of files is not used.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from vsr.errors import BrokenWeights, MissingExtra
from vsr.machine import free_host_memory
from vsr.nets.grey import for_rgb
from vsr.nets.network import Network, State, check_scale, float32

_SIDE = 64  # source pixels of the picture that its reach is measured on
_SEEN = 1 / 255 / 40  # of 0..1, from which on a difference counts
_STILL = 1 / 255 / 8  # of 0..1, that a piece may differ from the whole by
_FAR = 32  # source pixels that tiles share, where the network sees farther than is measured
_OVER = 8  # times the size of the weights, that it may take to build a network for them
_SPARE = 1 << 26  # bytes, besides
_WORKING = 8  # times that, for what is computed on the way and mostly dropped again
_GAPS = 16  # places without weights, such as activations, for each that has some
_PROBE = 1 << 30  # bytes of any one result while its reach is measured
_TOO_LARGE = "weights that claim a network larger than they are"
_PURPOSES = ("SR", "Restoration")
_INDEX = "https://download.pytorch.org/whl/"  # PyTorch's own: of each of its builds
_BUILDS = r"cpu|cu\d+|rocm[\d.]+|xpu"


def is_installed() -> bool:
    """Return whether spandrel is there."""
    return importlib.util.find_spec("spandrel") is not None


def _pip(wanted: str) -> str:
    """Return the command that installs `wanted` for the build of PyTorch that is here.

    A build from PyTorch's own index says so in its version, and no other torchvision fits it.
    """
    build = importlib.metadata.version("torch").partition("+")[2]
    index = f" --extra-index-url {_INDEX}{build}" if re.fullmatch(_BUILDS, build) else ""
    return f"pip install {wanted}{index}"


class CommunityNetwork(Network):
    """A network of spandrel's, which says itself what it can do; how far it sees is measured."""

    exports = folds = False
    is_tried = True

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.model = descriptor.model
        self._descriptor = descriptor
        self._family = str(descriptor.architecture.name)
        self.scale, self.num_feat = int(descriptor.scale), 64
        self._multiple = int(descriptor.size_requirements.multiple_of)
        half = ("fp16",) if descriptor.supports_half else ()
        brain = ("bf16",) if descriptor.supports_bfloat16 else ()
        self.precisions = frozenset({"fp32", *half, *brain})
        self._radius = 0

    @property
    def family(self) -> str:
        """See `Network`."""
        return self._family

    @property
    def origin(self) -> str:
        """See `Network`."""
        return f"spandrel {importlib.metadata.version('spandrel')}"

    @property
    def receptive_radius(self) -> int:
        """See `Network`; measured on noise, or, where it sees whole pictures, what tiles share."""
        return self._radius

    @property
    def multiple(self) -> int:
        """See `Network`."""
        return self._multiple

    @property
    def widest(self) -> int:
        """See `Network`: nobody says it; attention has several maps, and the result is one."""
        return 8 * self.num_feat + 3 * self.scale**2

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) -> (N, 3, scale * H, scale * W)."""
        out: Tensor = self._descriptor(x.contiguous())
        return out

    @torch.inference_mode()
    def measure(self, channels: int) -> None:
        """Find out how far a source pixel is seen in the result. Raises BrokenWeights where that
        takes more memory than such a small picture can need.
        """
        with Bounded(most=min(_PROBE, free_host_memory() // 4)):
            self._measure(channels)

    def _measure(self, channels: int) -> None:
        step, chance = self._multiple, torch.Generator().manual_seed(0)
        side = -(-_SIDE // (2 * step)) * 2 * step
        middle, reach = side // 2, 0
        for _ in range(2):
            one = torch.rand(1, channels, side, side, generator=chance)
            other = one.clone()
            place = slice(middle, middle + step)
            other[..., place, place] = 1 - other[..., place, place].round()
            seen = ((self(one) - self(other)).abs() > _SEEN).any(1)[0].nonzero()
            if len(seen):
                near, far = int(seen.min()) // self.scale, int(seen.max()) // self.scale
                reach = max(reach, middle - near, far - (middle + step - 1))
        # Weights that were not excited by this noise may see a little farther.
        self._radius = reach + reach // 4 + 2
        far = self._radius + 8 * step > side // 2
        if far or not self._keeps_still(one):
            self.sees_whole, self._radius = True, -(-_FAR // step) * step

    def _keeps_still(self, picture: Tensor) -> bool:
        """Return whether a piece of `picture` comes out as in the whole, wherever it is cut.

        Windows of attention lie otherwise in it, and means of the whole picture are other ones.
        """
        whole, radius, scale = self(picture), self._radius, self.scale
        for cut in (3 * self._multiple, 5 * self._multiple):
            piece = self(picture[..., cut:, cut:])
            inside = (..., slice(radius * scale, None), slice(radius * scale, None))
            same = whole[..., cut * scale :, cut * scale :]
            if float((piece[inside] - same[inside]).abs().max()) > _STILL:
                return False
        return True


def from_spandrel(state: State) -> Network:
    """Return the network of these weights in a kind that spandrel knows.

    Raises BrokenWeights; MissingExtra, with how to install it, where it is not there.
    """
    if not is_installed():
        install = _pip("'vsr-upscale[community]'")
        raise MissingExtra(f"a kind of network that is not known; more are with {install}")
    try:
        from spandrel import MAIN_REGISTRY, ImageModelDescriptor, UnsupportedModelError
    except (ImportError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise MissingExtra(
            f"spandrel, which may know this kind of network, does not start ({detail}); it wants "
            f"the torchvision that belongs to this PyTorch: {_pip('--force-reinstall torchvision')}"
        ) from error
    _refuse_what_is_only_counted(state)
    own = {name: float32(tensor) for name, tensor in state.items()}
    try:
        with warnings.catch_warnings(), Bounded.by(own):
            # Of what its networks have that newer PyTorch would not.
            warnings.simplefilter("ignore")
            descriptor = MAIN_REGISTRY.load(own)
    except UnsupportedModelError as error:
        raise BrokenWeights("a kind of network that neither vsr nor spandrel knows") from error
    if not isinstance(descriptor, ImageModelDescriptor) or descriptor.purpose not in _PURPOSES:
        raise BrokenWeights(f"{descriptor.architecture.name}: a network that is not for films")
    if descriptor.input_channels != descriptor.output_channels:
        raise BrokenWeights(
            f"a network of {descriptor.input_channels} channels to {descriptor.output_channels}"
        )
    check_scale(descriptor.scale)
    network = CommunityNetwork(descriptor)
    network.eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.measure(descriptor.input_channels)
    return for_rgb(network, descriptor.input_channels)


def _refuse_what_is_only_counted(state: State) -> None:
    """Raise BrokenWeights for names with numbers that so few tensors cannot have counted to.

    spandrel goes from 0 to each, however far that is.
    """
    most = _GAPS * len(state) + _GAPS
    if any(_number(part) > most for name in state for part in name.split(".")):
        raise BrokenWeights(_TOO_LARGE)


def _number(text: str) -> int:
    """Return the number that Python takes a text for; 0: it is none."""
    try:
        return int(text)
    except ValueError:
        return 0


class Bounded(TorchDispatchMode):
    """Lets only so much be made by PyTorch; raises BrokenWeights before more takes memory.

    What a file says of layers and widths is built before its weights are put in. Each operation is
    done without memory first, on PyTorch's `meta` device, which tells how large its results are.
    """

    def __init__(
        self,
        *,
        most: float,
        made: float = math.inf,
        computed: float = math.inf,
        calls: float = math.inf,
    ) -> None:
        """`most`: bytes of any one result; of all together, those `made` from nothing, and those
        `computed` from others.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._most, self._made, self._computed, self._calls = most, made, computed, calls

    @classmethod
    def by(cls, state: Mapping[str, Tensor]) -> Bounded:
        """Return what allows a network a few times the size of its weights."""
        size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        most = _OVER * size + _SPARE
        calls = 200 * len(state) + 10_000
        return cls(most=most, made=most, computed=_WORKING * most, calls=calls)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Ask what is made for its size before it is made."""
        kwargs = kwargs or {}
        self._calls -= 1
        if self._calls < 0:
            raise BrokenWeights(_TOO_LARGE)
        with self:  # in inference mode they come whole: what is inside counts, too
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
        if not any(one.alias_info for one in func._schema.returns):  # no view, nothing in place
            self._count(func, args, kwargs)
        return func(*args, **kwargs)

    def _count(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        size = _size_of_results(func, args, kwargs)
        if any(isinstance(one, Tensor) for one in tree_leaves((args, kwargs))):
            self._computed -= size
        else:
            self._made -= size
        if size > self._most or min(self._made, self._computed) < 0:
            raise BrokenWeights(_TOO_LARGE)


def _size_of_results(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Return bytes of what an operation would make, which takes none of them."""
    try:
        meta_args, meta_kwargs = tree_map_only(Tensor, _without_memory, (args, dict(kwargs)))
        if any(argument.name == "device" for argument in func._schema.arguments):
            meta_kwargs["device"] = torch.device("meta")
        out = func(*meta_args, **meta_kwargs)
    except Exception:  # where `meta` cannot tell: by the sizes that it is called with
        sizes = (one for one in args if isinstance(one, list | tuple))
        return max((4 * math.prod(s) for s in sizes if all(type(n) is int for n in s)), default=0)
    tensors = (one for one in tree_leaves(out) if isinstance(one, Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _without_memory(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
