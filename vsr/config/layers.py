"""Layers of values, the nearest of which wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vsr.options import OptionField, UpscaleOptions, leaves


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Values of options, by their paths, that come from one place."""

    name: str  # of the place, as people read it
    values: Mapping[str, Any]
    preset: str | None = None  # that the place names
    about: str = ""  # what a preset is for
    is_typed: bool = False  # for this command, and not written down for many


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What came out: values, where each is from, and what was left out for what reason."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)  # lines for people


def settle(layers: Sequence[Layer], preset: Callable[[str], Layer]) -> Settled:
    """Return the values of all layers, the nearest first, by these rules.

    A nearer place wins. In one place an option wins over the preset that is named there, and of
    the presets only the nearest counts. Of options that exclude each other (`one_of`) those of
    the nearest place count. What goes with a value (`belongs_to`: the crf with the codec) and was
    written down is left out where a nearer place has put another value there.

    `preset` returns the layer of a preset's name.
    """
    settled = Settled()
    options = {leaf.path: leaf for leaf in leaves(UpscaleOptions)}
    for layer in _with_preset(layers, preset):
        nearer = dict(settled.values)
        for path, value in layer.values.items():
            if path in nearer:
                continue
            if (reason := _reason_against(options[path], layer, nearer, options)) is not None:
                settled.left_out.append(f"{options[path].flag[2:]} of {layer.name}: {reason}")
                continue
            settled.values[path] = value
            settled.origins[path] = layer.name
    return settled


def _with_preset(layers: Sequence[Layer], preset: Callable[[str], Layer]) -> list[Layer]:
    """Return the layers, with that of the preset behind the one that names it."""
    found, is_chosen = [], False
    for layer in layers:
        found.append(layer)
        if layer.preset is not None and not is_chosen:
            found.append(preset(layer.preset))
            is_chosen = True
    return found


def _reason_against(
    leaf: OptionField,
    layer: Layer,
    nearer: Mapping[str, Any],
    options: Mapping[str, OptionField],
) -> str | None:
    """Return why a value does not count; None: it does."""
    group, owner = leaf.option.one_of, leaf.option.belongs_to
    if group is not None:
        for path in nearer:
            if options[path].option.one_of == group:
                return f"{options[path].flag[2:]} is nearer"
    if layer.is_typed or owner is None or owner not in nearer:
        return None
    if nearer[owner] == layer.values.get(owner):
        return None
    return f"{options[owner].flag[2:]} {nearer[owner]} is nearer"
