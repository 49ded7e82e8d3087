"""Whether what runners need is there."""

from __future__ import annotations

import importlib.util

from vsr.errors import UsageError


def check_ray() -> None:
    """Raise UsageError where Ray, an extra, is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("<device.cluster>: install it, pip install 'vsr-upscale[cluster]'")
