"""The networks that learn, and one step of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vsr.engine.device import choose_device, prepare_cpu
from vsr.errors import BrokenWeights, UsageError
from vsr.events import Sink
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network
from vsr.nets.reading import read_weights
from vsr.nets.store import licence_of_model, load
from vsr.nets.weight_files import models_folder
from vsr.options import DeviceOptions, ModelOptions
from vsr.train.data import TrainingBatch
from vsr.train.losses.features import Features, load_features
from vsr.train.losses.terms import charbonnier, consistency, gan, perceptual, temporal
from vsr.train.losses.unet import UNetDiscriminatorSN
from vsr.train.options import LossOptions, TrainOptions

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_BETAS = (0.9, 0.99)


def training_device(name: str) -> torch.device:
    """Return the device of that name, and have a CPU prepared. Raises UsageError."""
    device = choose_device(name)
    if device.type == "cpu":
        prepare_cpu(DeviceOptions())
    return device


def new_network(options: TrainOptions, sink: Sink) -> tuple[Network, str]:
    """Return (the network to begin with, its name). Raises ModelError, UsageError."""
    scale = options.damage.scale
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        if options.start == "srvgg":
            made: Network = SRVGGNetCompact(
                num_feat=options.num_feat, num_conv=options.num_block, upscale=scale
            )
            return made, "srvgg"
        if options.start == "rrdb":
            feat, blocks = options.num_feat, options.num_block
            return RRDBNet(scale=scale, num_feat=feat, num_block=blocks), "rrdb"
    loaded = load(ModelOptions(name=options.start), sink)
    if loaded.network is None:
        raise UsageError(f"<train.start> {options.start}: has nothing to learn")
    if loaded.network.scale != scale:
        raise UsageError(
            f"<train.start> {options.start}: enlarges by {loaded.network.scale}, and the damage is "
            f"of scale {scale}"
        )
    return loaded.network.train().requires_grad_(True), loaded.name


def _licence(start: str) -> str:
    """Return the licence of what is begun with, where it is known."""
    if start in ("srvgg", "rrdb"):
        return ""
    return licence_of_model(ModelOptions(name=start)) or ""


class Learner:
    """Networks, their averages and optimisers, and how many steps came to nothing."""

    def __init__(self, options: TrainOptions, device: torch.device, sink: Sink) -> None:
        self.options, self.device = options, device
        net, self.name = new_network(options, sink)
        self.net = net.to(device)
        self.ema = {name: value.detach().clone() for name, value in self.net.named_parameters()}
        self.optimiser = _adam(self.net, options.schedule.rate)
        self.licence = _licence(options.start)
        self.skipped = 0
        self.skipped_in_a_row = 0
        self._finite = True
        self.disc: UNetDiscriminatorSN | None = None
        self.disc_optimiser: torch.optim.Adam | None = None
        if options.stage == "gan":
            self.disc = _discriminator(options).to(device)
            self.disc_optimiser = _adam(self.disc, options.schedule.rate)
        self.features: Features | None = None
        if (kind := options.loss.perceptual) != "off":
            folder = models_folder(ModelOptions())
            self.features = load_features(kind, options.loss.features, folder).to(device)
        self._dtype = _TYPES[options.precision]
        half = options.precision == "fp16" and device.type == "cuda"
        self.scalers = [torch.amp.GradScaler(device.type, enabled=half) for _ in range(2)]

    # --- a step ---

    def step(self, batch: TrainingBatch, number: int) -> dict[str, float]:
        """Learn from one batch; returns the losses and the gradient's norm, `number` from 0 on."""
        rate = rate_at(self.options, number)
        self._finite = True
        high = batch.high.to(self.device)
        assert batch.low is not None
        low = batch.low.to(self.device)
        with self._autocast():
            found = self.net(low.flatten(0, 1)).float()
        told = self._generator_step(found, high, rate)
        if self.disc is not None:
            told |= self._disc_step(found.detach(), batch.real.to(self.device), rate)
        self._average(number)
        self.skipped += not self._finite
        self.skipped_in_a_row = 0 if self._finite else self.skipped_in_a_row + 1
        return told | {"rate": rate}

    def _generator_step(self, found: Tensor, high: Tensor, rate: float) -> dict[str, float]:
        with self._autocast():
            losses = self._losses(found, high)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        self.scalers[0].scale(total).backward()  # type: ignore[no-untyped-call]
        norm = self._apply(self.net, self.optimiser, self.scalers[0], rate)
        return {name: float(loss.detach()) for name, loss in losses.items()} | {"norm": norm}

    def _losses(self, found: Tensor, high: Tensor) -> dict[str, Tensor]:
        """Return each with its weight in it."""
        loss, frames = self.options.loss, high.shape[1]
        want = high.flatten(0, 1)
        made: dict[str, Tensor] = {}
        if loss.l1:
            made["l1"] = loss.l1 * (found - want).abs().mean()
        if loss.charbonnier:
            made["charbonnier"] = loss.charbonnier * charbonnier(found, want)
        if self.features is not None:
            seen = perceptual(found, want, self.features)
            made["perceptual"] = loss.perceptual_weight * seen
        if loss.consistency:
            scale = self.options.damage.scale
            made["consistency"] = loss.consistency * consistency(found, want, scale)
        if loss.temporal and frames > 1:
            clips = found.reshape(-1, frames, *found.shape[1:])
            made["temporal"] = loss.temporal * temporal(clips, high)
        if self.disc is not None:
            self.disc.requires_grad_(False)
            made["gan"] = loss.gan_weight * gan(self.disc(found).float(), True, loss.gan)
            self.disc.requires_grad_(True)
        return made

    def _disc_step(self, fake: Tensor, real: Tensor, rate: float) -> dict[str, float]:
        assert self.disc is not None
        assert self.disc_optimiser is not None
        self.disc_optimiser.zero_grad(set_to_none=True)
        told = {}
        for name, pictures, is_real in (("real", real.flatten(0, 1), True), ("fake", fake, False)):
            with self._autocast():
                logits = self.disc(pictures).float()
                loss = gan(logits, is_real, self.options.loss.gan)
            self.scalers[1].scale(loss).backward()  # type: ignore[no-untyped-call]
            told[f"d_{name}"] = float(loss.detach())
        self._apply(self.disc, self.disc_optimiser, self.scalers[1], rate)
        return told

    def _apply(
        self,
        net: nn.Module,
        optimiser: torch.optim.Adam,
        scaler: torch.amp.GradScaler,
        rate: float,
    ) -> float:
        """Take the step, unless its gradient is no number; returns the gradient's norm."""
        scaler.unscale_(optimiser)
        _mean_of_all(net.parameters())
        limit = self.options.schedule.clip or math.inf
        norm = float(nn.utils.clip_grad_norm_(net.parameters(), limit))
        for group in optimiser.param_groups:
            group["lr"] = rate
        if math.isfinite(norm):
            scaler.step(optimiser)
        else:
            self._finite = False
        scaler.update()
        return norm

    def _average(self, number: int) -> None:
        """Update the average, which is short at first: what the first steps were is soon
        forgotten.
        """
        share = min(self.options.schedule.ema, (number + 1) / (number + 10))
        with torch.no_grad():
            for name, value in self.net.named_parameters():
                self.ema[name].lerp_(value, 1 - share)

    def _autocast(self) -> torch.autocast:
        on = self._dtype != torch.float32
        return torch.autocast(self.device.type, self._dtype if on else None, enabled=on)

    # --- what a checkpoint holds ---

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it, but for `scalers`: each process has its own."""
        held = {
            "net": self.net.state_dict(), "ema": self.ema, "skipped": self.skipped,
            "optimiser": self.optimiser.state_dict(),
            "skipped_in_a_row": self.skipped_in_a_row,
        }  # fmt: skip
        if self.disc is not None and self.disc_optimiser is not None:
            held["disc"] = self.disc.state_dict()
            held["disc_optimiser"] = self.disc_optimiser.state_dict()
        return held

    def load(self, held: Mapping[str, Any]) -> None:
        """Restore a `state`. Raises KeyError, RuntimeError, ValueError for another's."""
        self.net.load_state_dict(held["net"])
        self.ema = {name: value.to(self.device) for name, value in held["ema"].items()}
        self.skipped, self.skipped_in_a_row = held["skipped"], held["skipped_in_a_row"]
        self.optimiser.load_state_dict(held["optimiser"])
        if self.disc is not None and self.disc_optimiser is not None:
            self.disc.load_state_dict(held["disc"])
            self.disc_optimiser.load_state_dict(held["disc_optimiser"])

    def averaged(self) -> dict[str, Tensor]:
        """Return the weights to give away: the average, and what is no parameter."""
        return {**self.net.state_dict(), **self.ema}


def rate_at(options: TrainOptions, number: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    schedule = options.schedule
    rate = schedule.rate * min(1.0, (number + 1) / max(schedule.warm_up, 1))
    if schedule.decay:
        rate *= 0.5 * (1 + math.cos(math.pi * min(number / schedule.steps, 1.0)))
    return rate


def _adam(net: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(net.parameters(), lr=rate, betas=_BETAS)


def _discriminator(options: TrainOptions) -> UNetDiscriminatorSN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed + 1)
        disc = UNetDiscriminatorSN(options.disc_feat)
    if options.discriminator is not None:
        path: Path = options.discriminator
        try:
            disc.load_state_dict(read_weights(path))
        except RuntimeError as error:
            raise BrokenWeights(f"{path}: not the discriminator of {options.disc_feat} features "
                                "that it should be") from error  # fmt: skip
    return disc


def _mean_of_all(parameters: Iterable[nn.Parameter]) -> None:
    """Average gradients over the processes that share a batch; all at once, as one array.

    The networks are small and plain, and there may be two of them: this does for both what
    DistributedDataParallel would, where anybody can read it.
    """
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()


def losses_named(loss: LossOptions, stage: str) -> str:
    """Return `l1 1, gan 0.1 (vanilla)`: for the note in the weights."""
    named = {"l1": loss.l1, "charbonnier": loss.charbonnier, "consistency": loss.consistency,
             "temporal": loss.temporal}  # fmt: skip
    words = [f"{name} {weight:g}" for name, weight in named.items() if weight]
    if loss.perceptual != "off":
        words.append(f"perceptual {loss.perceptual_weight:g} ({loss.perceptual})")
    if stage == "gan":
        words.append(f"gan {loss.gan_weight:g} ({loss.gan})")
    return ", ".join(words)
