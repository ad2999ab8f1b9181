from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_localize.core.detections import STATES, Detections
from napari_localize.engine import Engine

CHILD = [sys.executable, "-P", str(Path(__file__).with_name("child.py"))]
PATIENCE = 30.0


def wait_for(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> None:
    """Wait until something is true; fail when it does not become so."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.01)


class Events(list[dict[str, Any]]):
    """A callback that keeps what it gets."""

    def __call__(self, event: dict[str, Any]) -> None:
        self.append(event)

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self]

    def wait(self, name: str) -> None:
        wait_for(lambda: name in self.names, f"event {name!r}; there were {self.names}")


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., None]:
    return wait_for


@pytest.fixture(name="Events")
def _events() -> type[Events]:
    return Events


@pytest.fixture
def child() -> list[str]:
    """Return the command of an engine that needs no model."""
    return CHILD


@pytest.fixture
def random_detections() -> Callable[[int], Detections]:
    def make(n: int) -> Detections:
        rng = np.random.default_rng(0)
        corners = rng.uniform(0, 1e5, (n, 2))
        return Detections(
            np.hstack([corners, corners + rng.uniform(0.5, 100, (n, 2))]),
            rng.integers(0, 3, n),
            np.where(rng.random(n) < 0.5, np.nan, rng.random(n)),
            rng.permutation(n) + 2**40,
            class_names=("RBC", "wörd\n", ""),
            origins=rng.choice(["human", "nuclei@1", ""], n),
            states=rng.choice(STATES, n),
        )

    return make


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(CHILD) as engine:
        yield engine
    assert not engine.running
