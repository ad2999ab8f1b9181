"""The training loop's machinery: one step at a time, so that whoever drives it can watch, validate and stop."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from napari_localize.models.device import training_dtype
from napari_localize.models.heatmap.loss import heatmap_loss
from napari_localize.models.heatmap.network import HeatmapNetwork
from napari_localize.training.crops import Batch, CropRecipe, TrainingPlane, make_batch

HEAD = ("heatmap", "distances", "quality")
"""The network's last layers, by name."""

PREFETCHED = 2
"""Batches made ahead by a second thread."""


@dataclass(frozen=True)
class Recipe:
    """How the weights are moved.

    Attributes
    ----------
    learning_rate : float
        At its peak; it rises over `warmup` and falls along a cosine (Smith, "Super-Convergence", 2018).
    batch_size : int
        Crops in a step.
    weight_decay : float
        Of AdamW, on the convolutions only.
    warmup : float
        Part of the training in which the rate rises.
    averaging : float
        Largest decay of the moving average of the weights, which is what is kept.
    head_factor : float
        The last layers' learning rate relative to the others'.
    freeze_norm : bool
        Keep the statistics of the batch normalisation as they are.
    head_first : float
        Part of the training in which only the last layers learn, see `HeadFirst`.
    average : bool
        Whether the weights are mixed with the base's in the end, see `mix_with_base`.
    patience : int
        After so many checks in a row without a better one the training stops; 0 never stops it early.
    most_steps : int
        More steps than this are not taken, however much time there is; 0 for no limit.
    crops : CropRecipe
        How crops are made.
    """

    learning_rate: float = 2e-3
    batch_size: int = 8
    weight_decay: float = 0.01
    warmup: float = 0.05
    averaging: float = 0.998
    head_factor: float = 1.0
    freeze_norm: bool = False
    head_first: float = 0.0
    average: bool = False
    patience: int = 0
    most_steps: int = 0
    crops: CropRecipe = field(default_factory=CropRecipe)


class Optimisation:
    """A training under way.

    Parameters
    ----------
    network : HeatmapNetwork
        Trained in place.
    planes : sequence of TrainingPlane
        What to learn from.
    recipe : Recipe
        How.
    device : torch.device
        Where.
    seed : int
        The same seed, data, device and sequence of fractions give the same weights.
    """

    def __init__(
        self,
        network: HeatmapNetwork,
        planes: Sequence[TrainingPlane],
        recipe: Recipe,
        device: torch.device,
        seed: int,
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.steps = 0
        self._planes, self._recipe, self.device, self.seed = planes, recipe, device, seed
        self._dtype = training_dtype(device)
        self._optimizer = torch.optim.AdamW(_parameter_groups(network, recipe), recipe.learning_rate)
        # Only half precision with its short exponent needs scaled losses.
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
        self._worker = ThreadPoolExecutor(1, "batches")
        if device.type == "cpu":
            # The thread that makes batches must not contend with the one that learns for all the cores. PyTorch
            # keeps the number for each thread, and the last one that was given for threads to come.
            threads = torch.get_num_threads()
            self._worker.submit(_use_one_thread).result()
            torch.set_num_threads(threads)
        self._ahead: list[Future[Batch]] = []
        self._requested = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.shutdown(cancel_futures=True)

    def step(self, fraction: float) -> float:
        """Learn from one batch; `fraction` of the training lies behind. Return the loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * group["factor"] * _one_cycle(fraction, self._recipe.warmup)
        batch = self.next_batch()
        self.network.train()
        if self._recipe.freeze_norm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        pixels = self.on_device(batch.pixels)
        with self.precision():
            outputs = self.network(pixels)
        loss = heatmap_loss(outputs, batch.targets.to(self.device))
        self._optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        self.steps += 1
        if not math.isfinite(value):
            # One bad batch must not spoil the weights; the next one has other crops.
            return value
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._update_average()
        return value

    @torch.no_grad()
    def loss_on(self, batches: Sequence[Batch]) -> float:
        """Return the averaged weights' mean loss on given batches."""
        losses = []
        for batch in batches:
            pixels = self.on_device(batch.pixels)
            with self.precision():
                outputs = self.average(pixels)
            losses.append(float(heatmap_loss(outputs, batch.targets.to(self.device))))
        return float(np.mean(losses))

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on later."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps = self._requested = int(state["steps"])

    def precision(self) -> torch.autocast:
        """Return the context in which the network runs."""
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32)

    def on_device(self, pixels: Tensor) -> Tensor:
        """Return pixels where and in the order in which the network wants them."""
        return pixels.to(self.device, memory_format=torch.channels_last)

    def next_batch(self) -> Batch:
        """Return the next batch; those after it are being made."""
        while len(self._ahead) < PREFETCHED:
            # Each batch has a generator of its own: what is drawn does not depend on the threads' timing.
            rng = np.random.default_rng([self.seed, self._requested])
            classes = self.network.config.classes
            job = (self._planes, classes, self._recipe.batch_size, self._recipe.crops, rng)
            self._ahead.append(self._worker.submit(make_batch, *job))
            self._requested += 1
        return self._ahead.pop(0).result()

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average forgets fast, so that a short training is not dominated by its start.
        decay = min(self._recipe.averaging, (1 + self.steps) / (10 + self.steps))
        for kept, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(current, 1 - decay)
        for kept, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(current)


def _use_one_thread() -> None:
    torch.get_num_threads()  # a thread that has not asked yet takes the common number at its first operation
    torch.set_num_threads(1)


def _one_cycle(fraction: float, warmup: float) -> float:
    if fraction < warmup:
        return 0.1 + 0.9 * fraction / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warmup) / (1 - warmup))))


def _parameter_groups(network: HeatmapNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        factor = recipe.head_factor if name.partition(".")[0] in HEAD else 1.0
        decay = recipe.weight_decay if value.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(value)
    return [{"params": values, "weight_decay": decay, "factor": factor} for (factor, decay), values in groups.items()]
