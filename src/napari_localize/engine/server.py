"""The child process: reads requests, runs them one after the other, and ends when its parent does."""

from __future__ import annotations

import faulthandler
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn

from napari_localize.core.errors import Cancelled, UserError, is_out_of_memory
from napari_localize.engine import memory
from napari_localize.engine.errors import EngineError
from napari_localize.engine.protocol import Message, decode, encode
from napari_localize.engine.remote import PixelStore, RemotePlane

_PARENT_POLL = 1.0


class Task:
    """One job on its way through the child: what a job function gets beside its arguments.

    Attributes
    ----------
    planes : list of RemotePlane
    folder : str
        Where files for the client go.
    reads_to_the_end : bool
        Whether pixels are still wanted after a cancel, as by a training that keeps what it has learnt.
    """

    def __init__(self, server: Server, message: Message) -> None:
        self.reads_to_the_end = False
        self.number = int(message["job"])
        self.kind = str(message["kind"])
        self.arguments: dict[str, Any] = message["arguments"]
        self.folder = server.folder
        self.planes = [
            RemotePlane(server.pixels, self.number, index, (int(h), int(w), int(c)), self._should_stop_reading)
            for index, (h, w, c) in enumerate(message["planes"])
        ]
        self._send = server.send
        self._stop = threading.Event()
        self._stop_seen = False

    def emit(self, event: Mapping[str, Any]) -> None:
        """Send an event of this job."""
        self._send({**event, "job": self.number})

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._stop.set()

    def should_stop(self) -> bool:
        """Whether the job has been asked to stop; the client hears when the job has noticed."""
        if not self._stop.is_set():
            return False
        if not self._stop_seen:
            self._stop_seen = True
            self.emit({"event": "stopping", "text": "Stopping."})
        return True

    def _should_stop_reading(self) -> bool:
        return not self.reads_to_the_end and self.should_stop()


JobFunction = Callable[[Task], Any]


class Server:
    """The loops of the child.

    Parameters
    ----------
    incoming, outgoing : binary files
        Lines from and to the client.
    jobs : mapping of str to callable
        What runs for each kind of job; gets a `Task`, returns the result.
    prepare : callable
        Does the slow imports, in a thread right after the start; returns a sentence about the device.
    """

    def __init__(
        self,
        incoming: BinaryIO,
        outgoing: BinaryIO,
        jobs: Mapping[str, JobFunction],
        prepare: Callable[[], str],
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._jobs = jobs
        self._prepare = prepare
        self._prepared = threading.Event()
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._open: dict[int, Task] = {}
        self._queue: queue.SimpleQueue[Task] = queue.SimpleQueue()
        hello = self._receive()
        self.folder = str(hello["folder"])
        self.pixels = PixelStore(memory.attach(hello["memory"]), self.send)

    def run(self) -> NoReturn:
        """Serve until the client goes."""
        for target in (self._listen, self._watch_parent, self._get_ready):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()
        while True:
            self._work(self._queue.get())

    def send(self, message: Message) -> None:
        """Send a message to the client; for any thread."""
        data = encode(message)
        try:
            with self._write_lock:
                self._outgoing.write(data)
                self._outgoing.flush()
        except OSError:
            self._parent_gone()

    def _receive(self) -> Message:
        line = self._incoming.readline()
        if not line:
            self._parent_gone()
        return decode(line)

    def _listen(self) -> None:
        try:
            while True:
                self._handle(self._receive())
        except BaseException:  # noqa: BLE001 - see below
            # Without this thread nothing could reach the child any more.
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _handle(self, message: Message) -> None:
        match message["op"]:
            case "pixels":
                self.pixels.answer(message)
            case "job":
                self._enqueue(Task(self, message))
            case "cancel":
                self._cancel(int(message["job"]))
            case "exit":
                os._exit(0)
            case other:
                raise ValueError(f"unknown message {other!r}.")

    def _enqueue(self, task: Task) -> None:
        with self._lock:
            ahead = len(self._open)
            self._open[task.number] = task
        if ahead:
            text = f"Waiting for {ahead} other job{'s' if ahead > 1 else ''}."
            task.emit({"event": "queued", "ahead": ahead, "text": text})
        self._queue.put(task)

    def _cancel(self, number: int) -> None:
        with self._lock:
            task = self._open.get(number)
            if task is None:
                return
            task.cancel()
            waiting = next(iter(self._open)) != number
            if waiting:
                del self._open[number]
        if waiting:
            self._fail(task, Cancelled("The job was cancelled."))

    def _work(self, task: Task) -> None:
        with self._lock:
            if task.number not in self._open:
                return
        try:
            if not self._prepared.is_set():
                task.emit({"event": "starting", "text": "The engine is starting."})
            while not self._prepared.wait(0.1) and not task.should_stop():
                pass
            if task.should_stop():
                raise Cancelled("The job was cancelled.")
            task.emit({"event": "started"})
            if task.kind not in self._jobs:
                raise EngineError(f"The engine knows no job of the kind {task.kind!r}.")
            result = self._jobs[task.kind](task)
            self._forget(task)
            task.emit({"event": "done", "result": result})
        except Exception as error:  # noqa: BLE001 - the client reports it
            self._forget(task)
            self._fail(task, error)

    def _forget(self, task: Task) -> None:
        with self._lock:
            self._open.pop(task.number, None)

    def _fail(self, task: Task, error: Exception) -> None:
        task.emit({"event": "failed", "error": describe(error)})

    def _get_ready(self) -> None:
        try:
            text = self._prepare()
        except Exception as error:  # noqa: BLE001 - the jobs themselves will meet it again and report it
            traceback.print_exc()
            text = f"The engine cannot compute: {error}."
        self.send({"event": "ready", "text": text})
        self._prepared.set()

    def _watch_parent(self) -> None:
        # The end of the input says it at once, unless a process forked by the parent still holds the pipe open.
        if sys.platform != "win32":
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(_PARENT_POLL)
            self._parent_gone()

    def _parent_gone(self) -> NoReturn:
        # Nobody is left to use what lies there. After a proper "exit" the folder is the client's business.
        shutil.rmtree(getattr(self, "folder", ""), ignore_errors=True)
        os._exit(0)


def describe(error: Exception) -> dict[str, str]:
    """Return an error in the form in which the client gets it: its kind, one sentence, and the traceback."""
    details = "".join(traceback.format_exception(error))
    name = type(error).__name__
    if isinstance(error, UserError):
        return {"kind": "user", "text": str(error)}
    if isinstance(error, Cancelled):
        return {"kind": "cancelled", "text": str(error) or "The job was cancelled."}
    if isinstance(error, EngineError):
        return {"kind": "error", "text": str(error), "details": error.details or details}
    if is_out_of_memory(error):
        text = (
            "The memory of the device is not enough for this; close other programs that use it, "
            "lower the batch size, or choose the device cpu."
        )
        return {"kind": "user", "text": text}
    if isinstance(error, ImportError):
        text = f"A library cannot be loaded ({error}); run 'napari-localize doctor' to see what is wrong."
        return {"kind": "error", "text": text, "details": details}
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return {"kind": "error", "text": f"The engine failed with {name}: {first}", "details": details}


def serve(jobs: Mapping[str, JobFunction], prepare: Callable[[], str]) -> NoReturn:
    """Turn this process into an engine on its standard input and output."""
    # The pipes move to private descriptors. Whatever libraries print goes to standard error. And on Windows loading a
    # DLL asks for the type of the standard handles, which would hang while a thread is reading from one of them.
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server(incoming, outgoing, jobs, prepare).run()
