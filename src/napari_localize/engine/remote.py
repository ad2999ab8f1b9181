"""The engine's view of an image that lies with the client."""

from __future__ import annotations

import itertools
import mmap
import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import Cancelled, UserError
from napari_localize.engine import memory
from napari_localize.engine.errors import EngineError
from napari_localize.engine.protocol import Message

_POLL = 0.1


class PixelStore:
    """Asks the client for rectangles and takes them out of the shared memory; for any number of threads.

    Parameters
    ----------
    shared : mmap
        `memory.SLOTS` slots of equal size.
    send : callable
        Sends a message to the client.
    """

    def __init__(self, shared: mmap.mmap, send: Callable[[Message], None]) -> None:
        self._shared = shared
        self._send = send
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, _Read] = {}
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.room = len(shared) // memory.SLOTS
        for slot in range(memory.SLOTS):
            self._free.put(slot * self.room)

    def read(
        self, job: int, plane: int, rectangle: tuple[int, int, int, int], should_stop: Callable[[], bool]
    ) -> NDArray[Any]:
        """Return the pixels of a rectangle, or those of its first rows when not all fit into a slot.

        Raises
        ------
        Cancelled
            When `should_stop` says so before the pixels are there.
        """
        offset = self._take_slot(should_stop)
        read = _Read(offset)
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = read
        self._send(
            {"event": "read", "job": job, "read": number, "plane": plane, "rectangle": rectangle}
            | {"offset": offset, "room": self.room}
        )
        while not read.answered.wait(_POLL):
            if should_stop():
                with self._lock:
                    # The client may be writing; the slot becomes free when it has answered.
                    read.abandoned = not read.answered.is_set()
                if read.abandoned:
                    raise Cancelled("The job was cancelled.")
        try:
            if "error" in read.answer:
                raise _error(read.answer["error"])
            shape = tuple(int(n) for n in read.answer["shape"])
            return memory.load(self._shared, offset, self.room, shape, str(read.answer["dtype"]))
        finally:
            self._free.put(offset)

    def answer(self, message: Message) -> None:
        """Take the client's answer to a request."""
        with self._lock:
            read = self._waiting.pop(int(message["read"]))
            read.answer = message
            read.answered.set()
            if read.abandoned:
                self._free.put(read.offset)

    def _take_slot(self, should_stop: Callable[[], bool]) -> int:
        while True:
            try:
                return self._free.get(timeout=_POLL)
            except queue.Empty:
                if should_stop():
                    raise Cancelled("The job was cancelled.") from None


class RemotePlane:
    """A `PlaneSource` whose pixels are asked for when they are needed."""

    def __init__(
        self,
        store: PixelStore,
        job: int,
        index: int,
        shape: tuple[int, int, int],
        should_stop: Callable[[], bool],
    ) -> None:
        self._store = store
        self._job = job
        self._index = index
        self._shape = shape
        self._should_stop = should_stop
        self._item_size = 8  # until the first pixels are here

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of channels."""
        return self._shape

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Return the (y1 - y0, x1 - x0, C) pixels of a rectangle inside the plane."""
        columns = max(1, self._store.room // (8 * self._shape[2]))
        if x1 - x0 > columns:
            parts = [self.read(y0, y1, x, min(x + columns, x1)) for x in range(x0, x1, columns)]
            return np.concatenate(parts, axis=1)
        parts = []
        while y0 < y1 or not parts:
            rows = max(1, self._store.room // max(1, (x1 - x0) * self._shape[2] * self._item_size))
            part = self._store.read(self._job, self._index, (y0, min(y0 + rows, y1), x0, x1), self._should_stop)
            self._item_size = part.itemsize
            parts.append(part)
            y0 += len(part)
            if len(part) == 0:
                break
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Read:
    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.answered = threading.Event()
        self.answer: Message = {}
        self.abandoned = False


def _error(error: dict[str, Any]) -> Exception:
    if error["kind"] == "user":
        return UserError(error["text"])
    return EngineError(error["text"], error.get("details", ""))
