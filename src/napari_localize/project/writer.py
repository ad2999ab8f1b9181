"""Writing changes down: at once, or behind the back of whoever must not wait."""

from __future__ import annotations

import atexit
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from napari_localize.core.errors import UserError
from napari_localize.core.steps import Change

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Write = Callable[[list[tuple[int, Change]]], None]
"""Stores changes of images, given by number, in one transaction; once it has ended without an error they are kept."""

OnError = Callable[[str], None]
OnSaved = Callable[[datetime], None]

_BATCH = 256
_BATCH_BOXES = 500_000
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
_AT_EXIT = 20.0


class DirectJournal:
    """Stores every change of an image before it returns.

    Parameters
    ----------
    image : int
        Its number.
    write : callable
        See `Write`.
    reserve : callable
        Gives so many new ids.
    """

    def __init__(self, image: int, write: Write, reserve: Callable[[int], NDArray[np.int64]]) -> None:
        self._image, self._write, self._reserve = image, write, reserve

    def record(self, change: Change) -> None:
        """Store a change.

        Raises
        ------
        UserError
            When it cannot be stored; nothing of it is.
        """
        self._write([(self._image, change)])

    def reserve_ids(self, n: int) -> NDArray[np.int64]:
        """Return (n,) ids that no box of the project has had."""
        return self._reserve(n)


class BackgroundJournal(DirectJournal):
    """Stores the changes of an image on another thread, in their order, and tries again until it can."""

    def __init__(self, image: int, writer: Writer, reserve: Callable[[int], NDArray[np.int64]]) -> None:
        super().__init__(image, writer.put, reserve)
        self._writer = writer

    def record(self, change: Change) -> None:
        """Take note of a change, which is on disk within a second; never waits."""
        super().record(change)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is stored; return whether it is."""
        return self._writer.flush(timeout)

    @property
    def pending(self) -> int:
        """Changes that are not stored yet."""
        return self._writer.pending


class Writer:
    """The thread that stores changes.

    Parameters
    ----------
    write : callable
        See `Write`.

    Attributes
    ----------
    error : str or None
        Why the last attempt failed; None when it did not.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._queue: deque[tuple[int, Change]] = deque()
        self._wake = threading.Condition()
        self._hurry = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._listeners: dict[int, tuple[OnError | None, OnSaved | None]] = {}
        self.error: str | None = None

    def listen(self, image: int, on_error: OnError | None, on_saved: OnSaved | None) -> None:
        """Call these on the writing thread: a sentence when it fails, and the time when all so far is stored.

        An image has one listener at most, the last one given.
        """
        self._listeners[image] = (on_error, on_saved)

    def put(self, changes: list[tuple[int, Change]]) -> None:
        """Take note of changes; never waits for the disk."""
        with self._wake:
            if self._closed:
                raise UserError("the project has been closed; open it again.")
            self._queue.extend(changes)
            if self._thread is None:
                # A daemon, lest a share that is gone keeps the program from ending; `_last_words` waits for a while.
                self._thread = threading.Thread(target=self._run, name="project writer", daemon=True)
                self._thread.start()
                atexit.register(self._last_words)
            self._wake.notify_all()

    @property
    def pending(self) -> int:
        """Changes that are not stored yet."""
        return len(self._queue)

    def flush(self, timeout: float | None = None, image: int | None = None) -> bool:
        """Wait until all changes, or those of an image, are stored, or storing has failed once more.

        Returns
        -------
        bool
            Whether they are stored.
        """
        with self._wake:
            if self._waiting(image):
                self._hurry, self.error = True, None
                self._wake.notify_all()
                self._wake.wait_for(lambda: not self._waiting(image) or self.error is not None, timeout)
            return not self._waiting(image)

    def _waiting(self, image: int | None) -> bool:
        return bool(self._queue) if image is None else any(of == image for of, _ in self._queue)

    def close(self, timeout: float | None = None) -> bool:
        """End the thread; what is pending is dropped, so `flush` first. Return whether it has ended."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is None:
            return True
        atexit.unregister(self._last_words)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _last_words(self) -> None:
        self.flush(_AT_EXIT)

    def _run(self) -> None:
        wait = _FIRST_WAIT
        batch = self._next()
        while batch is not None:
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the changes are kept and the window is told
                self._failed(error)
                with self._wake:
                    self._wake.wait_for(lambda: self._hurry or self._closed, wait)
                    self._hurry = False
                    if self._closed:
                        return
                wait = min(2 * wait, _LONGEST_WAIT)
                if not isinstance(error.__cause__, sqlite3.Error):
                    # Not the disk is at fault but one of the changes: those before it can be stored.
                    batch = batch[:1]
                continue
            wait = _FIRST_WAIT
            with self._wake:
                for _ in batch:
                    self._queue.popleft()
                self.error = None
                self._wake.notify_all()
                stored = not self._queue
            if stored:
                self._tell_saved()
            batch = self._next()

    def _next(self) -> list[tuple[int, Change]] | None:
        """Wait for something to write; None when there will be nothing more."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            batch: list[tuple[int, Change]] = []
            boxes = 0
            for item in self._queue:
                boxes += len(item[1].put) + len(item[1].removed)
                if batch and (len(batch) >= _BATCH or boxes > _BATCH_BOXES):
                    break
                batch.append(item)
            return batch

    def _failed(self, error: Exception) -> None:
        sentence = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        text = f"{len(self._queue)} changes are not saved yet: {sentence}"
        with self._wake:
            self.error = text
            self._wake.notify_all()
        for on_error, _ in list(self._listeners.values()):
            if on_error is not None:
                on_error(text)

    def _tell_saved(self) -> None:
        when = datetime.now().astimezone()
        for _, on_saved in list(self._listeners.values()):
            if on_saved is not None:
                on_saved(when)
