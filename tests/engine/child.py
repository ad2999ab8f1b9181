"""An engine with kinds of jobs that need no model: what the tests start instead of the real one."""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from typing import Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.engine.server import Task, serve


def echo(task: Task) -> Any:
    return task.arguments["value"]


def sums(task: Task) -> list[dict[str, Any]]:
    results = []
    for plane in task.planes:
        height, width, _ = plane.shape
        pixels = plane.read(0, height, 0, width)
        results.append({"shape": pixels.shape, "dtype": pixels.dtype.str, "sum": float(pixels.sum(dtype=np.float64))})
    return results


def tiles(task: Task) -> float:
    plane, size, total = task.planes[0], task.arguments["tile"], 0.0
    height, width, _ = plane.shape
    for y in range(0, height, size):
        for x in range(0, width, size):
            if task.should_stop():
                raise Cancelled
            tile = plane.read(y, min(y + size, height), x, min(x + size, width))
            total += float(tile.sum(dtype=np.float64))
            task.emit({"event": "progress", "done": y * width + x, "total": height * width})
    return total


def boxes(task: Task) -> Detections:
    given: Detections = task.arguments["detections"]
    for _ in range(task.arguments["times"]):
        task.emit({"event": "boxes", "plane": 0, "detections": given})
    return given


def polite(task: Task) -> None:
    task.emit({"event": "message", "text": "running"})
    while not task.should_stop():
        time.sleep(0.01)
    raise Cancelled("The job was cancelled.")


def stubborn(task: Task) -> None:
    task.emit({"event": "message", "text": "running"})
    while True:
        time.sleep(0.01)


def slow_to_stop(task: Task) -> str:
    """Finish its work after it has noticed that it shall stop, as a training does."""
    task.emit({"event": "message", "text": "running"})
    while not task.should_stop():
        time.sleep(0.01)
    time.sleep(1)
    return "best so far"


def fail(task: Task) -> None:
    kind = task.arguments["kind"]
    if kind == "user":
        raise UserError("the image has no pixels; choose another.")
    if kind == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if kind == "unsendable":
        task.emit({"event": "message", "text": object()})
    raise ZeroDivisionError("first line\nsecond line")


def chatter(task: Task) -> str:
    sys.stdout.write("a library prints\n")
    sys.stdout.flush()
    os.write(1, b"and so does C code\n")
    os.write(2, b"x" * 100_000 + b"\n")
    return sys.stdin.read()


def crash(task: Task) -> None:
    if task.arguments["how"] == "segfault":
        os.write(2, b"before the fall\n")
        faulthandler._sigsegv()  # type: ignore[attr-defined]
    os.write(2, b"the roof is on fire\n")
    os._exit(3)


def prepare() -> str:
    time.sleep(float(os.environ.get("TEST_PREPARE_SECONDS", "0")))
    return "Computing on nothing."


if __name__ == "__main__":
    kinds = (echo, sums, tiles, boxes, polite, stubborn, slow_to_stop, fail, chatter, crash)
    serve({function.__name__: function for function in kinds} | {"train": slow_to_stop}, prepare)
