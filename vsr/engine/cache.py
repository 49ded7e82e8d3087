"""Networks that are loaded once and used for many films and pictures."""

from __future__ import annotations

import copy
from fractions import Fraction

from vsr.engine.base import Engine
from vsr.engine.build import build_engine, folding
from vsr.events import Sink, silent
from vsr.nets.store import LoadedModel, load
from vsr.options import DeviceOptions, ModelOptions


class EngineCache:
    """Models and engines, kept by the options that they were made from.

    Hand the same one to several runs and weights are read once. Not for several threads.
    """

    def __init__(self) -> None:
        self._models: dict[ModelOptions, LoadedModel] = {}
        self._engines: dict[tuple[ModelOptions, int, DeviceOptions], tuple[Engine, str]] = {}

    def model(self, options: ModelOptions, sink: Sink = silent) -> LoadedModel:
        """Load a model once, as `vsr.nets.store.load`, whose errors it raises."""
        if options not in self._models:
            self._models[options] = load(options, sink)
        return self._models[options]

    def engine(
        self, options: ModelOptions, scale: Fraction, device: DeviceOptions, sink: Sink = silent
    ) -> Engine:
        """Build an engine once, as `build_engine` for that model."""
        model = self.model(options)
        key = (options, folding(model, scale), device)
        engine, precision = self._engines.get(key, (None, ""))
        # One that went over to fp32 stays there; the next picture is to be done as if alone.
        if engine is None or engine.precision != precision:
            # An engine changes its network; another one may be asked for later.
            own = copy.deepcopy(model)
            engine = build_engine(own, scale, device, sink)
            self._engines[key] = (engine, engine.precision)
        return engine
