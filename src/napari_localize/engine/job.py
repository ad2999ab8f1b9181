"""One request to the engine, as the client sees it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_localize.core.errors import Cancelled
from napari_localize.core.planes import PlaneSource
from napari_localize.engine.connection import Connection

logger = logging.getLogger(__name__)

OnEvent = Callable[[dict[str, Any]], object]


class Job:
    """A request that waits, runs or is over. Made by `Engine`, whose documentation lists the events."""

    def __init__(
        self,
        kind: str,
        planes: Sequence[PlaneSource],
        arguments: Mapping[str, Any],
        on_event: OnEvent | None,
        cancel: Callable[[Job], None],
    ) -> None:
        self.kind = kind
        self.planes = list(planes)
        self.arguments = dict(arguments)
        # What follows belongs to the engine, which changes it under its lock.
        self.number = 0
        self.connection: Connection | None = None
        self.started = False
        self.cancelling = False
        self.kill_timer: threading.Timer | None = None
        self._cancel = cancel
        self._on_event = on_event
        self._finished = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._finished.is_set()

    def cancel(self) -> None:
        """Ask the job to stop, and have it killed if it does not within seconds. Returns at once."""
        self._cancel(self)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result and return it. A callback must not wait here: nothing would ever arrive.

        Raises
        ------
        UserError
            When the request is at fault.
        Cancelled
            After `cancel` or `Engine.release`.
        EngineDied
            When the engine was killed or crashed.
        EngineError
            On any other fault of the job; the traceback is in ``details``.
        TimeoutError
            When there is no result after `timeout` seconds.
        """
        if not self._finished.wait(timeout):
            raise TimeoutError(f"the job has not finished within {timeout} seconds.")
        if self._error is not None:
            raise self._error
        return self._result

    def emit(self, event: dict[str, Any]) -> None:
        """Hand an event to the callback, whose own errors stop nothing."""
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                logger.exception("A callback failed on the engine's event %r.", event.get("event"))

    def finish(self, result: Any = None, error: Exception | None = None) -> None:
        """Set the outcome, wake those who wait for it, and send the last event."""
        if self.kill_timer is not None:
            self.kill_timer.cancel()
        self._result, self._error = result, error
        self.planes = []
        self._finished.set()
        if error is None:
            self.emit({"event": "done", "result": result})
        elif isinstance(error, Cancelled):
            self.emit({"event": "cancelled", "text": str(error)})
        else:
            self.emit({"event": "failed", "text": str(error), "error": error})
