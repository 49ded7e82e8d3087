"""Pictures of our own making as PNG: samples side by side, sheets of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsr.errors import OutputError


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB, whole or not at all. Raises OutputError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        Image.fromarray(picture).save(part, "PNG")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)
