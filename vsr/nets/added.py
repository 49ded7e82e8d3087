"""Networks that people add to their models folder: from where, and what may be done with them.

Beside `NAME.pth` lies `NAME.pth.json`, which says so; a file without one was put there by hand.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.parse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from vsr.errors import BrokenWeights, DownloadError, MissingExtra, UnknownModel, UsageError
from vsr.events import Sink
from vsr.nets.catalogue import catalogue
from vsr.nets.download import download, sha256
from vsr.nets.weight_files import SUFFIXES, models_folder
from vsr.options import ModelOptions

if TYPE_CHECKING:
    from vsr.nets.network import Network

_RECORD = ".json"
_MOST = 1 << 20  # bytes of a description
_FETCHED = tuple(suffix for suffix in SUFFIXES if suffix not in (".param", ".bin"))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of a weight file."""

    name: str
    sha256: str
    bytes: int
    url: str | None = None
    licence: str | None = None  # as its author says it, mostly an SPDX name
    author: str | None = None
    family: str = ""
    scale: int = 0
    receptive_radius: int = 0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A weight file to be added."""

    file: str  # its name in the folder
    sha256: str
    url: str | None = None
    bytes: int | None = None
    licence: str | None = None
    author: str | None = None
    scale: int | None = None


def from_address(url: str, digest: str, *, name: str | None, licence: str | None) -> Wanted:
    """Return what is to be fetched from `url`. Raises UsageError where that cannot be."""
    parts = urllib.parse.urlsplit(url)
    own = Path(urllib.parse.unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"{url}: must be an address that begins with https:// or http://")
    suffix = Path(own).suffix.lower()
    if suffix not in _FETCHED:
        raise UsageError(f"{url}: must end in the name of a weight file, {', '.join(_FETCHED)}")
    return Wanted(
        file=_checked(f"{name or Path(own).stem}{suffix}"), sha256=_digest(digest), url=url,
        licence=licence,
    )  # fmt: skip


def from_description(path: Path) -> Wanted:
    """Return what a JSON file of OpenModelDB describes. Raises UsageError.

    Of its resources the first of PyTorch's is taken that is safetensors, or else any.
    """
    try:
        if path.stat().st_size > _MOST:
            raise UsageError(f"{path}: is no description of a model")
        told = json.loads(path.read_text(encoding="utf-8"))
        resources = [one for one in told["resources"] if one.get("platform") == "pytorch"]
        resources.sort(key=lambda one: one.get("type") != "safetensors")
        one, kind = resources[0], resources[0]["type"]
        urls = [url for url in one.get("urls", []) if isinstance(url, str)]
        scale, size = told.get("scale"), one.get("size")
        return Wanted(
            file=_checked(f"{path.stem}.{kind}"),
            sha256=_digest(one["sha256"]),
            url=next((url for url in urls if _leads_to_file(url)), urls[0] if urls else None),
            bytes=size if isinstance(size, int) else None,
            licence=_text(told.get("license")) or "none given",
            author=_text(told.get("author")),
            scale=scale if isinstance(scale, int) else None,
        )
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: describes no weight file as OpenModelDB does") from error


def add(wanted: Wanted, options: ModelOptions, sink: Sink, file: Path | None = None) -> Path:
    """Fetch what is wanted, or copy `file`, into the models folder; return where it is.

    A file that was there before stays, whatever it turns out to be; so does one that an extra is
    missing for. Raises DownloadError, MissingExtra, or BrokenWeights where it is not what was meant
    or no network that runs here.
    """
    from vsr.nets.reading import said_scale
    from vsr.nets.store import load_file_as_network

    target = models_folder(options) / wanted.file
    was_there = target.exists()
    if was_there and sha256(target) != wanted.sha256:
        raise UsageError(f"{target}: another file of that name is there; move it away first")
    if not was_there:
        _come_by(wanted, target, options, sink, file)
    try:
        # By the name that it has elsewhere, too: here it may be another.
        elsewhere = Path(urllib.parse.urlsplit(wanted.url or "").path).stem
        network = load_file_as_network(target, scale=wanted.scale or said_scale(elsewhere))
        if wanted.scale is not None and network.scale != wanted.scale:
            raise BrokenWeights(
                f"{target}: enlarges by {network.scale}, and is said to by {wanted.scale}"
            )
    except MissingExtra as error:
        if not was_there:  # so that its licence is known once the extra is there
            _write_record(target, wanted, None)
        raise MissingExtra(f"{error} (the file stays)") from error
    except BrokenWeights:
        if not was_there:
            target.unlink()
        raise
    _write_record(target, wanted, network)
    return target


def _write_record(target: Path, wanted: Wanted, network: Network | None) -> None:
    before = origin_of(target)
    if before is not None and before.sha256 != wanted.sha256:
        before = None
    origin = Origin(
        name=target.stem, sha256=wanted.sha256, bytes=target.stat().st_size, url=wanted.url,
        # What was known of it does not get lost where it is added again with less.
        licence=wanted.licence or (before.licence if before else None),
        author=wanted.author or (before.author if before else None),
        family=network.family if network else "",
        scale=network.scale if network else 0,
        receptive_radius=network.receptive_radius if network else 0,
    )  # fmt: skip
    _record(target).write_text(json.dumps(asdict(origin), indent=1), encoding="utf-8")


def _come_by(
    wanted: Wanted, target: Path, options: ModelOptions, sink: Sink, file: Path | None
) -> None:
    if file is not None:
        if not file.is_file():
            raise UnknownModel(f"{file}: there is no such weight file")
        if sha256(file) != wanted.sha256:
            raise BrokenWeights(f"{file}: is not the file that is meant (its sha256 differs)")
        part = target.with_name(target.name + ".part")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, part)
        os.replace(part, target)
    elif options.offline or wanted.url is None or not _leads_to_file(wanted.url):
        from_where = f" from {wanted.url}" if wanted.url else ""
        raise DownloadError(f"{wanted.file}: fetch it yourself{from_where}, and name the file here")
    else:
        download(
            wanted.url, target, size=wanted.bytes, digest=wanted.sha256, sink=sink,
            advice=f"fetch it yourself, and put it into {target.parent} as {target.name}",
        )  # fmt: skip


def own_files(options: ModelOptions) -> list[tuple[Path, Origin | None]]:
    """Return the weight files in the models folder that no entry of the catalogue has put there."""
    official = {model.file for model in catalogue()}
    try:
        found = sorted(models_folder(options).iterdir())
    except OSError:
        return []
    wanted = (p for p in found if p.suffix.lower() in SUFFIXES and p.name not in official)
    return [(path, origin_of(path)) for path in wanted]


def origin_of(path: Path) -> Origin | None:
    """Return what is known of a weight file; None: nothing, or a record unlike those of `add`."""
    kinds = get_type_hints(Origin)
    try:
        if _record(path).stat().st_size > _MOST:
            return None
        told = json.loads(_record(path).read_text(encoding="utf-8"))
        known = {name: value for name, value in told.items() if name in kinds}
        # People write records, too: several licences or authors are as good as in descriptions.
        known |= {name: _text(known[name]) for name in ("licence", "author") if name in known}
        if not all(isinstance(value, kinds[name]) for name, value in known.items()):
            return None
        return Origin(**known)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def licence_of(path: Path, notes: Mapping[str, str]) -> str | None:
    """Return the licence of a weight file, by its record or by `notes` inside it."""
    origin = origin_of(path)
    inside = (_text(notes.get(key)) for key in ("licence", "license", "modelspec.license"))
    return (origin.licence if origin else None) or next((text for text in inside if text), None)


def is_not_commercial(licence: str | None) -> bool:
    """Return whether a licence forbids commercial use, by its name."""
    forbidding = r"(?<![a-z])nc(?![a-z])|non[-_ ]?commercial"
    return licence is not None and bool(re.search(forbidding, licence.casefold()))


def _record(path: Path) -> Path:
    return path.with_name(path.name + _RECORD)


def _leads_to_file(url: str) -> bool:
    """Return whether an address is that of the file itself, and not of a page about it."""
    return url.startswith("http") and Path(urllib.parse.urlsplit(url).path).suffix in _FETCHED


def _checked(file: str) -> str:
    if not re.fullmatch(r"[\w][\w.+ -]{0,120}", file) or Path(file).suffix.lower() not in _FETCHED:
        raise UsageError(f"{file}: is no name for a weight file")
    known = {name.casefold() for model in catalogue() for name in (model.name, *model.aliases)}
    if Path(file).stem.casefold() in known:
        raise UsageError(f"{Path(file).stem}: is a model of that name already; name it otherwise")
    return file


def _digest(text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"{text}: a sha256 has 64 digits, 0 to 9 and a to f")
    return text.lower()


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        value = ", ".join(str(one) for one in value)
    return " ".join(str(value).split())[:200] if value else None
