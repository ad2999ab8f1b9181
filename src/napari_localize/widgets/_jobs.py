"""Running one job of the engine from a dock, without ever waiting in the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, ClassVar, Protocol

from qtpy.QtCore import QObject, QTimer, Signal, Slot

from napari_localize.core.errors import Cancelled, UserError

OnEvent = Callable[[dict[str, Any]], None]

_POLL_MS = 25
_TURN_S = 0.01


class Job(Protocol):
    """What the engine hands out for a piece of work."""

    def cancel(self) -> None:
        """Ask the work to stop."""

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the outcome and return it, or raise why there is none."""


class _Run:
    """One job and the thread that starts it and waits for it."""

    def __init__(self, begin: Callable[[OnEvent], Job]) -> None:
        self.inbox: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._begin = begin
        self._job: Job | None = None
        self._stop = False
        self._lock = threading.Lock()
        threading.Thread(target=self._work, name="napari-localize job", daemon=True).start()

    def cancel(self) -> None:
        with self._lock:
            self._stop = True
            job = self._job
        if job is not None:
            job.cancel()

    def _work(self) -> None:
        try:
            job = self._begin(lambda event: self.inbox.put(("news", event)))
            with self._lock:
                self._job = job
                stop = self._stop
            if stop:
                job.cancel()
            self.inbox.put(("finished", job.result()))
        except Cancelled:
            self.inbox.put(("cancelled", None))
        except UserError as error:
            self.inbox.put(("failed", str(error)))
        except Exception as error:  # noqa: BLE001
            # Whatever went wrong in the engine or on the way to it must reach the user, not a log.
            self.inbox.put(("failed", str(error) or type(error).__name__))


class _Heir(QObject):
    """What is left when a runner is gone: it stops the job that nobody waits for any more.

    An object of its own with a real slot, as a Python function called by ``destroyed`` would meet an
    object half taken apart.
    """

    _waiting: ClassVar[set[_Heir]] = set()

    def __init__(self, runs: list[_Run]) -> None:
        super().__init__()
        self._runs = runs
        self._waiting.add(self)

    @Slot()
    def cancel(self) -> None:
        self._waiting.discard(self)
        for run in self._runs:
            run.cancel()


class JobRunner(QObject):
    """One job at a time; its news reach the GUI thread as Qt signals.

    The job's own threads fill a queue that a timer of the GUI thread empties, a few milliseconds at a
    time, so that no Qt object is touched from another thread and no burst of news holds up the window.
    """

    news = Signal(object)
    """An event of the running job."""
    finished = Signal(object)
    """The job's result."""
    failed = Signal(str)
    """One sentence."""
    cancelled = Signal()
    busy_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._current: list[_Run] = []
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._deliver)
        self.destroyed.connect(_Heir(self._current).cancel)

    @property
    def busy(self) -> bool:
        """Whether a job is under way, cancelled or not."""
        return bool(self._current)

    def start(self, begin: Callable[[OnEvent], Job]) -> None:
        """Let `begin` start a job, in another thread, with a function to send its events to."""
        if self.busy:
            raise RuntimeError("a job is running already")
        self._current.append(_Run(begin))
        self._timer.start()
        self.busy_changed.emit(True)

    def cancel(self) -> None:
        """Ask the running job to stop; ``cancelled``, ``finished`` or ``failed`` follows."""
        for run in self._current:
            run.cancel()

    def abandon(self) -> None:
        """Stop the running job and hear no more of it."""
        self.cancel()
        if self.busy:
            self._end()

    def _end(self) -> None:
        self._timer.stop()
        self._current.clear()
        self.busy_changed.emit(False)

    def _deliver(self) -> None:
        until = perf_counter() + _TURN_S
        while self._current and perf_counter() < until:
            try:
                kind, payload = self._current[0].inbox.get_nowait()
            except Empty:
                return
            if kind == "news":
                self.news.emit(payload)
                continue
            self._end()
            if kind == "finished":
                self.finished.emit(payload)
            elif kind == "failed":
                self.failed.emit(payload)
            else:
                self.cancelled.emit()
