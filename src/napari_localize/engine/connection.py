"""The client's end of one child process: its pipes, its memory and the threads that serve them."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from napari_localize.core.errors import UserError
from napari_localize.core.planes import PlaneSource
from napari_localize.engine import launch, memory
from napari_localize.engine.errors import EngineDied
from napari_localize.engine.protocol import Message, decode, encode

logger = logging.getLogger(__name__)
child_logger = logging.getLogger("napari_localize.engine.child")

_LONGEST_LINE = 2000
_KEPT_LINES = 200
_CRASHES = {
    -9: "it was killed, most likely because the memory ran out",
    -11: "it crashed (segmentation fault)",
    -15: "it was ended from outside",
    -6: "it crashed (aborted)",
    -7: "it crashed (bus error)",
    0xC0000005: "it crashed (access violation)",
    0xC0000017: "the memory ran out",
}


class Connection:
    """One running child.

    Parameters
    ----------
    command : sequence of str
        Starts the child.
    folder : Path
        Where the child puts files for the client.
    on_message : callable
        Gets what the child says, in the reader thread.
    on_end : callable
        Called once, in the reader thread, with this connection and a sentence, when the child is gone.
    planes_of : callable
        Gives the planes of a job by its number.

    Attributes
    ----------
    stopped : bool
        Whether the child was asked to end by `stop`.

    Raises
    ------
    EngineDied
        When the child cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        on_message: Callable[[Message], None],
        on_end: Callable[[Connection, str], None],
        planes_of: Callable[[int], Sequence[PlaneSource]],
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._planes_of = planes_of
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.stopped = False
        self._owner = os.getpid()
        self._memory = memory.SharedMemory()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=self._memory.descriptors,
                env=launch.environment(),
                **launch.options(),
            )
        except OSError as error:
            raise EngineDied(f"The engine cannot be started with {command[0]}: {error.strerror or error}.") from error
        finally:
            self._memory.close_descriptors()
        self.send({"op": "hello", "memory": self._memory.address, "folder": folder})
        self._threads = [
            threading.Thread(target=target, name=f"napari-localize engine {name}", daemon=True)
            for name, target in (
                ("errors", self._drain_errors),
                ("writer", self._write),
                ("pixels", self._serve_pixels),
                ("reader", self._read),
            )
        ]
        for thread in self._threads:
            thread.start()
        _open_connections.add(self)

    @property
    def pid(self) -> int:
        """Process number of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs, and is this process's own (not that of the process it was forked from)."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, message: Message) -> None:
        """Send a message; never blocks."""
        self._outgoing.put(encode(message))

    def kill(self) -> None:
        """End the child, and whatever it has started, at once."""
        if self._process.poll() is None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self, timeout: float = 2.0) -> None:
        """Ask the child to end, kill it when it does not, and wait until all its jobs have been told."""
        if self._owner != os.getpid():
            return
        self.stopped = True
        self.send({"op": "exit"})
        self._outgoing.put(None)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait(timeout)
        reader = self._threads[-1]
        if threading.current_thread() is not reader:
            reader.join(timeout)

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        # The child may end at any time; the reader thread notices and says so.
        with suppress(OSError), stream:
            while (data := self._outgoing.get()) is not None:
                stream.write(data)
                stream.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                try:
                    message = decode(line)
                    if message.get("event") == "read":
                        self._reads.put(message)
                    else:
                        self._on_message(message)
                except Exception:
                    logger.exception("The engine sent something unreadable: %.200r", line)
                    self.kill()
                    break
        self._outgoing.put(None)
        self._reads.put(None)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._threads[0].join(1)
        _open_connections.discard(self)
        self._on_end(self, self._epitaph())

    def _drain_errors(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        with stream:
            while line := stream.readline(_LONGEST_LINE):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._last_lines.append(text)
                    child_logger.debug("%s", text)

    def _epitaph(self) -> str:
        cause = _CRASHES.get(self._process.returncode, f"exit status {self._process.returncode}")
        # Below this line faulthandler lists stacks, which are for the log.
        lines = list(takewhile(lambda line: not line.startswith("Fatal Python error"), self._last_lines))
        telling = [line for line in lines if not line.startswith((" ", "Traceback"))]
        hint = f" Its last words: {telling[-1][:200]}" if telling else ""
        return f"The engine stopped unexpectedly: {cause}. Run again to start a new one.{hint}"

    def _serve_pixels(self) -> None:
        while (request := self._reads.get()) is not None:
            reply: Message = {"op": "pixels", "read": request["read"]}
            try:
                reply.update(self._pixels(request))
            except Exception as error:  # noqa: BLE001 - the job reports it
                reply["error"] = _describe(error)
            self.send(reply)

    def _pixels(self, request: Message) -> Message:
        plane = self._planes_of(int(request["job"]))[int(request["plane"])]
        y0, y1, x0, x1 = (int(value) for value in request["rectangle"])
        pixels = np.asarray(plane.read(y0, y1, x0, x1))
        expected = (y1 - y0, x1 - x0, plane.shape[2])
        if pixels.shape != expected:
            raise ValueError(f"the image gave pixels of the shape {pixels.shape} instead of {expected}.")
        if pixels.dtype.kind not in "buif":
            raise UserError(f"the image holds {pixels.dtype} numbers; convert it to real numbers first.")
        offset, room = int(request["offset"]), int(request["room"])
        shape, dtype = memory.store(self._memory.map, offset, room, pixels)
        return {"shape": shape, "dtype": dtype}


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, UserError):
        return {"kind": "user", "text": str(error)}
    text = f"The pixels of the image cannot be read ({type(error).__name__}: {error}); check that its file is there."
    return {"kind": "error", "text": text, "details": "".join(traceback.format_exception(error))}


_open_connections: set[Connection] = set()


@atexit.register
def _stop_all() -> None:
    for connection in list(_open_connections):
        connection.stop(timeout=1.0)
