"""What came with the install, and what the user has set."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from vsr.config import preset_names, user_layer
from vsr.doctor.finding import Finding
from vsr.errors import BrokenWeights, FfmpegError, VsrError
from vsr.jobs.store.job_status import jobs
from vsr.media.ffmpeg import describe_ffmpeg
from vsr.nets.catalogue import catalogue
from vsr.nets.reading import read_weights
from vsr.nets.store import verify
from vsr.nets.weight_files import SUFFIXES, models_folder, packaged, whereabouts
from vsr.options import MetricsOptions, ModelOptions, UpscaleOptions, leaves
from vsr.version import __version__

# Variables that no option has.
_KNOWN = frozenset({
    "VSR_FFMPEG", "VSR_LOG", "VSR_DEBUG", "VSR_CONFIG", "VSR_PROGRESS", "VSR_FOR", "VSR_START",
    "VSR_END", "VSR_DURATION", "VSR_FEATURES", "VSR_KILLS",
})  # fmt: skip


def versions() -> Iterator[Finding]:
    """Yield the versions of what vsr is made of."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("av", "ncnn", "numpy", "pillow", "cv2"):
        package = {"cv2": "opencv-python-headless", "pillow": "pillow"}.get(name, name)
        if importlib.util.find_spec({"pillow": "PIL"}.get(name, name)) is not None:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = "?"
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    yield Finding(
        area="versions", state="good", text=f"vsr {__version__}: {listed}",
        facts={"vsr": __version__, **found},
    )  # fmt: skip
    if "ncnn" not in found:
        yield Finding(
            area="versions",
            state="advice",
            text="ncnn is not installed",
            advice="pip install 'vsr-upscale[ncnn]': 1.6 times as fast on processors without "
            "bf16, and any GPU with a Vulkan driver",
        )


def ffmpeg() -> Finding:
    """Return which ffmpeg is used, and what it lacks."""
    named = bool(os.environ.get("VSR_FFMPEG"))
    way_out = (
        "unset VSR_FFMPEG and take the one that comes with vsr, or name another one"
        if named
        else "pip install --force-reinstall imageio-ffmpeg"
    )
    try:
        program = describe_ffmpeg()
    except FfmpegError as error:
        return Finding(area="ffmpeg", state="broken", text=str(error), advice=way_out)
    facts = {"version": program.version, "named": named, "lacks": list(program.lacks)}
    whose = "that VSR_FFMPEG names" if named else "that comes with vsr"
    if program.lacks:
        text = f"the one {whose} lacks {', '.join(program.lacks)}"
        return Finding(area="ffmpeg", state="broken", text=text, advice=way_out, facts=facts)
    text = f"version {program.version}, {whose}; has all that is needed"
    return Finding(area="ffmpeg", state="good", text=text, facts=facts)


def weights() -> Iterator[Finding]:
    """Yield whether the weights that are here are what they should be."""
    options = ModelOptions(folder=_models_folder())
    here: list[str] = []
    away: list[str] = []
    for model in catalogue():
        if model.is_resizer:
            continue
        try:
            found = verify(model, options)
        except (BrokenWeights, OSError) as error:
            fetched = packaged(model) is None
            way = f"vsr models fetch {model.name}" if fetched else "install vsr anew"
            file = whereabouts(model, options)
            yield Finding(
                area="weights",
                state="broken",
                text=f"{model.name}: {error}",
                advice=f"delete {file.name if file else 'the file'}, then {way}",
            )
            continue
        (here if found is not None else away).append(model.name)
    yield Finding(
        area="weights", state="good",
        text=f"here and right: {', '.join(here) or 'none'}; to be fetched: "
        f"{', '.join(away) or 'none'}",
        facts={"here": here, "away": away},
    )  # fmt: skip
    yield from _own_weights(models_folder(options))


def _own_weights(folder: Path) -> Iterator[Finding]:
    """Yield the user's own files that cannot be read."""
    official = {model.file for model in catalogue()}
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for file in files:
        if file.suffix.lower() in SUFFIXES and file.name not in official:
            try:
                read_weights(file)
            except BrokenWeights as error:
                yield Finding(
                    area="weights", state="broken", text=f"{file.name}: {error}",
                    advice=f"get {file.name} anew, or delete it",
                )  # fmt: skip


def _models_folder() -> Path | None:
    named = os.environ.get("VSR_MODELS_DIR")
    return Path(named) if named else None


def settings() -> Iterator[Finding]:
    """Yield whether the user's settings can be read, and variables that nothing listens to."""
    try:
        layer = user_layer()
        presets = preset_names()
    except VsrError as error:
        yield Finding(
            area="settings", state="broken", text=error.text, advice="mend the file, or remove it"
        )
    else:
        there = "your config.toml is read" if layer is not None else "no config.toml of yours"
        yield Finding(
            area="settings", state="good", text=f"{there}; {len(presets)} presets",
            facts={"config": layer is not None},
        )  # fmt: skip
    known = {leaf.environment for tree in (UpscaleOptions, MetricsOptions) for leaf in leaves(tree)}
    for name in sorted(os.environ):
        if name.startswith("VSR_") and name not in known | _KNOWN:
            near = difflib.get_close_matches(name, known | _KNOWN, n=1)
            meant = f"did you mean {near[0]}?" if near else "docs/cli.md has what there is"
            yield Finding(
                area="settings", state="advice", advice=meant,
                text=f"{name} is set, and nothing listens to it",
            )  # fmt: skip


def work_left() -> Finding:
    """Return how many films were begun and are not done."""
    begun = list(jobs())
    left = sum(folder.is_dir() for folder in Path().glob(".vsr-????????"))
    size = sum(job.bytes for job in begun)
    stopped = [job for job in begun if job.process is None]
    return Finding(
        area="jobs",
        state="good",
        text=f"{len(begun)} begun and not done, {size / 1e6:.0f} MB of finished segments; "
        f"{left} work folders here, which the next run into this folder removes",
        advice="`vsr jobs` lists them; `vsr jobs resume` goes on, `vsr jobs remove` throws away"
        if stopped
        else None,
        facts={"begun": len(begun), "stopped": len(stopped), "bytes": size, "left": left},
    )
