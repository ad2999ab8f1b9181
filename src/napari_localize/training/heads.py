"""The last layers first: they learn on features that the rest of the network has computed once."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor, nn

from napari_localize.models.heatmap.loss import Targets, heatmap_loss
from napari_localize.training.optimise import HEAD, Optimisation

CACHED_BATCHES = 8
"""Batches of crops whose features are kept."""

STEPS_PER_STEP = 12
"""Steps of the last layers that take about as long as one of the whole network."""

LEARNING_RATE = 0.01


class HeadFirst:
    """Learning of the last layers alone, in the place of an optimisation's first steps.

    Features of a fixed set of augmented crops are computed once, with the normalisation as it will be when the model
    runs; on them a step takes a small part of the time (linear probing before fine-tuning, Kumar et al., 2022).

    Parameters
    ----------
    training : Optimisation
        Its network's last layers are trained in place; its moving average takes them over in the end.
    """

    def __init__(self, training: Optimisation) -> None:
        self._training = training
        self._heads = [getattr(training.network, name) for name in HEAD]
        values = [value for head in self._heads for value in head.parameters()]
        self._optimizer = torch.optim.AdamW(values, LEARNING_RATE, weight_decay=0.0)
        self._features: list[Tensor] = []
        self._targets: list[Targets] = []
        self._rng = np.random.default_rng([training.seed, 2])
        self.steps = 0

    @property
    def looked(self) -> int:
        """Of how many batches the features are computed."""
        return len(self._features)

    @property
    def ready(self) -> bool:
        """Whether all features are computed."""
        return self.looked == CACHED_BATCHES

    def look(self) -> None:
        """Compute the features of one more batch."""
        training = self._training
        batch = training.next_batch()
        training.network.eval()
        with torch.no_grad(), training.precision():
            features = training.network.features(training.on_device(batch.pixels))
        self._features.append(features)
        self._targets.append(batch.targets.to(training.device))

    def step(self, fraction: float) -> float:
        """Learn from one batch of features; `fraction` of this part lies behind. Return the loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
        size = len(self._features[0])
        # Crops of different batches together, in other company each time.
        chosen = self._rng.integers(len(self._features), size=size).tolist()
        rows = self._rng.integers(size, size=size).tolist()
        features = torch.stack([self._features[batch][row] for batch, row in zip(chosen, rows, strict=True)])
        targets = Targets(
            **{
                one.name: torch.stack(
                    [getattr(self._targets[batch], one.name)[row] for batch, row in zip(chosen, rows, strict=True)]
                )
                for one in fields(Targets)
            }
        )
        loss = heatmap_loss(self._training.network.answers(features.float()), targets)
        self._optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        self.steps += 1
        if math.isfinite(value):
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([value for head in self._heads for value in head.parameters()], 10.0)
            self._optimizer.step()
        return value

    def finish(self) -> None:
        """Hand the layers on to the moving average, and let go of the features."""
        self._features.clear()
        self._targets.clear()
        for name in HEAD:
            getattr(self._training.average, name).load_state_dict(getattr(self._training.network, name).state_dict())
