"""Chooses and builds the engine for a model on a device."""

from __future__ import annotations

from fractions import Fraction

from vsr.engine.base import Engine
from vsr.engine.cuda.select import wants_cuda
from vsr.engine.device import choose_device, choose_precision, prepare_cpu
from vsr.engine.select import check_engine, wants_ncnn
from vsr.engine.torch_engine import PassThroughEngine, TorchEngine
from vsr.events import Sink, silent
from vsr.nets.arithmetic import fold_area
from vsr.nets.store import LoadedModel
from vsr.options import DeviceOptions


def build_engine(
    model: LoadedModel, scale: Fraction, options: DeviceOptions, sink: Sink = silent
) -> Engine:
    """Return an engine whose result is resized to `scale` afterwards, by as little as possible.

    Where `scale` is a whole part of the network's own (x2 of x4), the reduction is
    folded into the network's last convolution. Raises UsageError for a device,
    precision or engine that is not there.
    """
    device = choose_device(options.device.split(",")[0])
    precision, dtype = choose_precision(options.precision, device, options.engine)
    check_engine(options.engine, device, precision)
    if device.type == "cpu":
        prepare_cpu(options)
    if model.network is None:
        return PassThroughEngine(device=device)
    network = model.network
    if (factor := folding(model, scale)) > 1:
        network = fold_area(network, factor)
    if own := wants_cuda(options.engine, network, device, precision, sink):
        return own
    plain = TorchEngine(network, device=device, dtype=dtype, precision=precision)
    return wants_ncnn(options.engine, network, plain) or plain


def folding(model: LoadedModel, scale: Fraction) -> int:
    """Return by how much the network of an engine for `scale` is reduced; 1: not at all."""
    factor = model.scale / Fraction(scale)
    whole = factor > 1 and factor.denominator == 1 and model.scale % factor.numerator == 0
    return factor.numerator if whole and model.network is not None else 1
