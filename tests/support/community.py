"""Small random networks of spandrel's kinds, as files; skips where spandrel does not start here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


def spandrel_here() -> None:
    """Skip the tests of a module, with the reason, where spandrel cannot be used."""
    try:
        import spandrel  # noqa: F401
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        pytest.skip(f"the extra `community` does not start here: {reason}", allow_module_level=True)


def _swinir() -> Any:
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(embed_dim=12, depths=[2], num_heads=[2], window_size=8, upscale=2,
                  mlp_ratio=2, upsampler="pixelshuffledirect")  # fmt: skip


def _hat() -> Any:
    from spandrel.architectures.HAT import HAT

    return HAT(embed_dim=12, depths=(2,), num_heads=(2,), window_size=16, upscale=2,
               compress_ratio=3, squeeze_factor=6, mlp_ratio=2)  # fmt: skip


def _dat() -> Any:
    from spandrel.architectures.DAT import DAT

    return DAT(embed_dim=32, depth=[2], num_heads=[2], split_size=[8, 16], upscale=2,
               expansion_factor=2.0, upsampler="pixelshuffledirect")  # fmt: skip


def _omnisr() -> Any:
    from spandrel.architectures.OmniSR import OmniSR

    return OmniSR(num_feat=16, res_num=1, up_scale=2)


def _realplksr() -> Any:
    from spandrel.architectures.PLKSR import RealPLKSR

    return RealPLKSR(dim=16, n_blocks=2, upscaling_factor=2, kernel_size=9)


def _mosr() -> Any:
    from spandrel.architectures.MoSR import MoSR

    return MoSR(n_block=2, dim=16, upscale=2)


def _span() -> Any:
    from spandrel.architectures.SPAN import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=12, upscale=2)


KINDS: dict[str, Callable[[], Any]] = {
    "SwinIR": _swinir, "HAT": _hat, "DAT": _dat, "OmniSR": _omnisr, "RealPLKSR": _realplksr,
    "MoSR": _mosr,
}  # fmt: skip
_ALL = KINDS | {"SPAN": _span}  # which vsr has itself


def random_file(name: str, folder: Path) -> tuple[Path, Any]:
    """Write random weights of one of `KINDS`, or of "SPAN", which vsr has itself; return the file,
    and the network of spandrel's.
    """
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of newer PyTorch
        network = _ALL[name]()
    path = folder / f"{name}.pth"
    torch.save({"params": network.state_dict()}, path)
    return path, network.eval()
