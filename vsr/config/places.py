"""The places that hold settings: beside the film, the user's folder, and the presets."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

from vsr.config.layers import Layer
from vsr.config.reader import read_layer
from vsr.errors import OutputError, OutputExists, UsageError, cause

_SHIPPED = Path(__file__).parents[1] / "presets"
BESIDE = "vsr.toml"


def user_folder() -> Path:
    """Return where the user's settings and presets are: VSR_CONFIG, or the platform's place."""
    named = os.environ.get("VSR_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("vsr", appauthor=False)


def user_layer() -> Layer | None:
    """Read the user's own settings; None where there are none. Raises UsageError."""
    path = user_folder() / "config.toml"
    return read_layer(path, str(path)) if path.is_file() else None


def beside(sources: Sequence[Path]) -> Layer | None:
    """Read the vsr.toml beside the sources, or in them if they are folders; None: there is none.

    Raises UsageError, also where the films of one command have different ones.
    """
    found: dict[Path, Layer | None] = {}
    for source in sources:
        with suppress(OSError):  # a name that no file can have is refused where it is read
            folder = source if source.is_dir() else source.parent
            path = (folder / BESIDE).absolute()
            if path not in found:
                there = path.is_file()
                found[path] = read_layer(path, str(path), is_beside=True) if there else None
    layers = list(found.items())
    for path, layer in layers[1:]:
        first, other = layers[0]
        if _content(layer) != _content(other):
            raise UsageError(
                f"{first} and {path}: films with different settings beside them; "
                f"give a command for each folder"
            )
    return layers[0][1] if layers else None


def _content(layer: Layer | None) -> object:
    return None if layer is None else (layer.values, layer.preset)


def preset_names() -> dict[str, Layer]:
    """Return all presets by their names, the shipped ones first; a user's own may replace one.

    Raises UsageError for one that cannot be read.
    """
    shipped = {path.stem: path for path in sorted(_SHIPPED.glob("*.toml"))}
    own = {path.stem: path for path in sorted((user_folder() / "presets").glob("*.toml"))}
    return {name: _preset(name, path) for name, path in {**shipped, **own}.items()}


def preset(name: str) -> Layer:
    """Return the preset of that name. Raises UsageError with a suggestion."""
    return _preset(name, _file(name))


def preset_text(name: str) -> str:
    """Return the preset's file as it stands, with the reason beside each choice.

    Raises UsageError.
    """
    path = _file(name)
    _preset(name, path)  # what is no preset is shown as none
    return path.read_text(encoding="utf-8")


def save_preset(name: str, text: str, *, overwrite: bool) -> Path:
    """Write a preset of the user's own; returns its file. Raises UsageError, OutputError."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) is None:
        raise UsageError(f"{name}: a preset's name has small letters, digits, - and _ only")
    if (_SHIPPED / f"{name}.toml").is_file():
        raise UsageError(f"{name}: comes with vsr; choose another name")
    path = user_folder() / "presets" / f"{name}.toml"
    if path.exists() and not overwrite:
        raise OutputExists(f"{path}: is there already; use <encode.overwrite>, or another name")
    new = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        read_layer(new, name, is_preset=True)
        os.replace(new, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({cause(error)})") from error
    finally:
        new.unlink(missing_ok=True)
    return path


def _file(name: str) -> Path:
    for folder in (user_folder() / "presets", _SHIPPED):
        path = folder / f"{name}.toml"
        if re.fullmatch(r"[\w-]+", name) and path.is_file():
            return path
    known = [path.stem for f in (user_folder() / "presets", _SHIPPED) for path in f.glob("*.toml")]
    near = difflib.get_close_matches(name.casefold(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`vsr presets` lists them"
    raise UsageError(f"{name}: no preset is called so; {hint}")


def _preset(name: str, path: Path) -> Layer:
    return read_layer(path, f"preset {name}", is_preset=True)
