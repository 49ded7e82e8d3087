"""What a job was begun with: all that decides its pixels, so that no other work is joined to it."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vsr.engine.base import Engine
from vsr.jobs.plan.plan import Plan
from vsr.jobs.run.context import is_clean
from vsr.jobs.store.job_store import FORMAT
from vsr.media.source.spans import Span
from vsr.nets.store import LoadedModel
from vsr.options import UpscaleOptions, leaves, to_dict
from vsr.stages.device.stage import consistency
from vsr.version import __version__

_CAME_LATER = ("model.then",)  # not there where nobody asks: jobs begun before them go on
# So do those that lack these options, with what makes the same pixels: (before, after).
_SAME_PIXELS = {
    "options.model.consistent": ((None, "off"), ("off", None), ("auto", None)),
    "options.model.strength": ((None, 1.0),),
}


def fingerprint(
    plan: Plan,
    segments: Sequence[Span],
    model: LoadedModel,
    engine: Engine,
    options: UpscaleOptions,
) -> dict[str, Any]:
    """Return the fingerprint as plain JSON types. Raises OSError where the source cannot be
    read.
    """
    own = chosen(options)
    del own["model"]["name"]  # the weights tell which, not what their file is called
    own["model"].pop("then", None)
    del own["device"]["precision"], own["device"]["engine"]  # "auto" is what it came to
    clean = is_clean(plan.source)
    if options.model.consistent == "auto" and not consistency(
        engine, options.model, clean_source=clean
    ):
        del own["model"]["consistent"]  # it came to what was made before there was the option
    # What "auto" came to; only then, so that jobs that were begun before go on.
    cut = plan.source.video.hidden if options.source.crop is not None else ()
    return {
        "format": FORMAT,
        "vsr": __version__,
        "av": importlib.metadata.version("av"),
        "torch": importlib.metadata.version("torch"),
        "ncnn": importlib.metadata.version("ncnn") if engine.name in ("ncnn", "vulkan") else None,
        "source": plan.source.identity(),
        "options": own,
        "weights": weights_of(model),
        "engine": [engine.name, engine.precision],
        "size": [plan.target.width, plan.target.height, *cut],
        "scan": plan.scan.value,
        "encoder": [plan.encoder.encoder.name, plan.encoder.pix_fmt, plan.encoder.settings],
        "container": plan.output.container.muxer,
        "parts": [[segment.start, segment.end, segment.at] for segment in segments],
    }


def chosen(options: UpscaleOptions) -> dict[str, Any]:
    """Return those of the options that decide what is made, by the names that they had first.

    So a job that was begun before an option was renamed is still the same job.
    """
    decisive = to_dict(options)
    for leaf in leaves(UpscaleOptions):
        group, name = leaf.path.split(".")
        value = decisive[group].pop(name)
        if value is None and leaf.path in _CAME_LATER:
            continue
        if leaf.option.changes_result:
            decisive[group][leaf.first_path.partition(".")[2]] = value
    return decisive


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return, in words, what is not the same any more."""
    words = []
    present = {leaf.first_path: leaf.path for leaf in leaves(UpscaleOptions)}
    taken_over = taken_over_from(old.get("engine"), new.get("engine")) is not None
    for name, before, after in _flat(old, new):
        if taken_over and (name == "engine" or (name == "ncnn" and after is None)):
            continue
        if (before, after) in _SAME_PIXELS.get(name, ()):
            continue
        if name in ("source", "weights", "parts") or name.startswith("source."):
            words.append({"weights": "the weights", "parts": "its parts"}.get(name, "the source"))
        else:
            shown = name.removeprefix("options.")
            words.append(f"{present.get(shown, shown)}: {before} -> {after}")
    return list(dict.fromkeys(words))


def taken_over_from(before: Sequence[str] | None, after: Sequence[str] | None) -> str | None:
    """Return in words whose work another engine goes on with; None: it is the same one, or may not.

    Both are a name and a precision. A GPU may fail in the middle of a film. What our kernels have
    made is what PyTorch makes in that precision, to the last bit but one. A processor has no fp16:
    what Vulkan has stored in 16 bits goes on in any of its precisions, and the rest in fp32.
    """
    if not before or not after:
        return None
    if before[0].startswith("cuda") and after[0] == "torch" and before[1] == after[1]:
        return "PyTorch goes on with what our CUDA kernels have begun"
    close = before[1] == "fp16" or after[1] == "fp32"
    if before[0] == "vulkan" and after[0] in ("torch", "ncnn") and close:
        return f"{after[0]} goes on in {after[1]} with what Vulkan has begun in {before[1]}"
    return None


def _flat(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _flat(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    elif old != new:
        yield name, old, new


def weights_of(model: LoadedModel) -> str:
    """Return the sha256 of a network's numbers, whatever file they came from."""
    digest = hashlib.sha256(model.name.encode())
    for one in (model, model.then):
        if one is None or one.network is None:
            continue
        digest.update(one.network.origin.encode())
        for key, tensor in sorted(one.network.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
