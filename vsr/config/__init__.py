"""Where the values of options come from: presets, files, the environment, the command line."""

from vsr.config.layers import Layer, Settled, settle
from vsr.config.places import beside, preset_names, preset_text, save_preset, user_layer
from vsr.config.reader import read_layer

__all__ = [
    "Layer",
    "Settled",
    "beside",
    "preset_names",
    "preset_text",
    "read_layer",
    "save_preset",
    "settle",
    "user_layer",
]
