"""Chooses and builds the engine for a model on a device."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from vsr.engine.base import Engine
from vsr.engine.cuda.joined_engine import joined_engine_for
from vsr.engine.cuda.kernel_runner import CudaKernelRunner
from vsr.engine.cuda.select import cuda_engine_for
from vsr.engine.device import choose_device, choose_precision, prepare_cpu
from vsr.engine.in_a_row import engines_in_a_row
from vsr.engine.kernel_launch import KernelRunner
from vsr.engine.precision_trial import runs_in
from vsr.engine.select import check_engine, ncnn_engine_for
from vsr.engine.torch_engine import PassThroughEngine, TorchEngine
from vsr.engine.vulkan import trial as vulkan_trial
from vsr.engine.vulkan.select import asks_vulkan, faster_gpu, vulkan_engine
from vsr.errors import UsageError
from vsr.events import Sink, silent
from vsr.nets.arithmetic import fold_area
from vsr.nets.network import Network
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
    if model.then is not None:

        def build(one: LoadedModel, scale: Fraction, options: DeviceOptions) -> Engine:
            return build_engine(one, scale, options, sink)

        return engines_in_a_row(build, model, scale, options)
    name = options.device.split(",")[0]
    if asks_vulkan(name, options.engine):
        prepare_cpu(options)
        if model.network is None:
            return PassThroughEngine(device=torch.device("cpu"))
        return vulkan_engine(_folded(model, scale), name, options.precision)
    device = choose_device(name)
    precision, dtype = choose_precision(options.precision, device, options.engine)
    check_engine(options.engine, device, precision)
    if device.type == "cpu":
        prepare_cpu(options)
    if model.network is None:
        return PassThroughEngine(device=device)
    network = _folded(model, scale)
    if not runs_in(network, device, precision):
        if options.precision != "auto":
            raise UsageError(f"<device.precision> {precision}: is not for this network")
        precision, dtype = "fp32", torch.float32
        check_engine(options.engine, device, precision)
    if own := cuda_engine_for(options.engine, network, device, precision, sink):
        return own
    free = (name, options.engine, options.precision) == ("auto", "auto", "auto")
    if free and device.type == "cpu" and (gpu := faster_gpu(network, sink)):
        return gpu
    if joined := joined_engine_for(options.engine, network, device, precision, sink):
        return joined
    plain = TorchEngine(network, device=device, dtype=dtype, precision=precision)
    return ncnn_engine_for(options.engine, network, plain) or plain


def kernel_runner(device: torch.device) -> KernelRunner:
    """Return what runs our own kernels on a CUDA device. Raises KernelsUnavailable."""
    return CudaKernelRunner(device)


def vulkan_gpus() -> list[dict[str, Any]]:
    """Return what Vulkan sees: `index`, `name`, `driver`, and whether it is `software`.

    Raises TrialFailed where a driver crashes or hangs.
    """
    return vulkan_trial.find_gpus()


def _folded(model: LoadedModel, scale: Fraction) -> Network:
    """Return the model's network, reduced as far as `scale` allows it."""
    assert model.network is not None
    factor = folding(model, scale)
    return fold_area(model.network, factor) if factor > 1 else model.network


def folding(model: LoadedModel, scale: Fraction) -> int:
    """Return by how much the network of an engine for `scale` is reduced; 1: not at all."""
    factor = model.scale / Fraction(scale)
    last = model.then or model
    whole = factor > 1 and factor.denominator == 1 and last.scale % factor.numerator == 0
    return factor.numerator if whole and last.network is not None and last.network.folds else 1
