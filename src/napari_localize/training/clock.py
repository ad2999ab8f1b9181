"""How much of a training lies behind, when to look how good it is, and when that is enough."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CHECKS = 6
"""How often a training is validated."""

CHECK_SECONDS, CHECK_STEPS = 30.0, 100
"""A training of many seconds, or steps, is validated once in so many."""

VALIDATION_TIME = 0.15
"""Part of a training that goes into its validation, if there is a limit of time."""

MOST_SPARED = 0.25
"""Part of a training that is left at most for what is done before and after it."""


@dataclass
class Clock:
    """How much of a training is done: of a number of steps, or of a time.

    Parameters
    ----------
    steps : float or None
        How many there are; then the clock does not depend on time, and all is repeatable.
    limit : float
        Seconds, where `steps` is None.
    most : float
        So many steps are all that there is to do, even where seconds or other steps are left.
    """

    steps: float | None
    limit: float
    most: float = math.inf
    taken: float = 0.0
    fraction: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _next: float = 0.0
    _every: float = 1 / CHECKS

    def start(self) -> None:
        """Begin to count."""
        self._began = time.monotonic()
        wanted = self.limit / CHECK_SECONDS if self.steps is None else min(self.steps, self.most) / CHECK_STEPS
        self._every = 1 / max(CHECKS, wanted)
        self._next = self._every

    def spare(self, seconds: float) -> None:
        """End so much earlier, if there is a limit of time, for what comes beside the steps."""
        self.limit -= min(seconds, MOST_SPARED * self.limit)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def step(self, cost: float = 1.0) -> None:
        """Say that a step was taken, or something that took a part of one."""
        self.taken += cost
        self.fraction = self._done

    @property
    def _done(self) -> float:
        whole = self.taken / self.steps if self.steps else self.seconds / self.limit
        return max(whole, self.taken / self.most)

    @property
    def check_is_due(self) -> bool:
        """Whether it is time to look how good the model is."""
        return self.fraction >= min(self._next, 1.0)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Count the time in which the model is looked at; where that takes long it is done less often."""
        began = self.seconds
        yield
        self._next = self.fraction + self._every
        if self.steps is None:
            spent = (self.seconds - began) / self.limit
            self.fraction = self._done
            self._next = self.fraction + max(self._every, spent / VALIDATION_TIME)

    def done(self, epoch: int) -> tuple[float, float]:
        """Return what is done and what there is to do: epochs of so many steps, or seconds."""
        total = self.steps / epoch if self.steps else self.limit
        return min(1.0, self.fraction) * total, total


@dataclass
class Patience:
    """Waits for better checks.

    Parameters
    ----------
    checks : int
        So many in a row may be no better than the best one; 0 waits for ever.
    """

    checks: int
    best: float = math.inf
    waited: int = 0

    def is_over(self, loss: float) -> bool:
        """Take the next check's loss on the validation planes; return whether it was the last one to wait for."""
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(loss, self.best)
        return bool(self.checks) and self.waited >= self.checks

    @property
    def text(self) -> str:
        """A sentence that says why the training has ended."""
        return f"Stopped early: the last {self.waited} checks were no better than before (loss {self.best:.3f})."
