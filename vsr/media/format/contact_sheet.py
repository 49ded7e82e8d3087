"""Pictures of our own making as files: samples side by side, sheets of them, parts of pages."""

from __future__ import annotations

import io
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


def webp(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Return (H, W, 3) RGB or (H, W, 4) RGBA as a WebP. `quality`: 0 to 100."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()
