"""Where the files of weights are, without reading them: no PyTorch is needed to list them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import platformdirs

from vsr.nets.catalogue import Model
from vsr.options import ModelOptions

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".param", ".bin")  # of files with weights


def models_folder(options: ModelOptions) -> Path:
    """Return where downloaded weights are kept and dropped-in ones are found."""
    return options.folder or Path(platformdirs.user_cache_dir("vsr", appauthor=False)) / "models"


def packaged(model: Model) -> tuple[Path, Path] | None:
    """Return the .param and .bin files that came with the install, if they did."""
    if model.package is None:
        return None
    # Found, not imported: its code is not ours to run.
    spec = importlib.util.find_spec(model.package.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    files = (folder / f"{model.package.stem}.param", folder / f"{model.package.stem}.bin")
    return files if all(f.is_file() for f in files) else None


def whereabouts(model: Model, options: ModelOptions) -> Path | None:
    """Return where the weights of `model` lie now; None if they would have to be fetched."""
    if (files := packaged(model)) is not None:
        return files[1]
    if model.file is None:
        return None
    path = models_folder(options) / model.file
    return path if path.is_file() else None
