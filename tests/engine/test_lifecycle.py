"""Starting, stopping, cancelling, crashing: what remains of the child, and what the jobs are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from napari_localize.core.errors import Cancelled
from napari_localize.core.planes import ArrayPlane
from napari_localize.engine import Engine, EngineDied, Job, client

PATIENCE = 30.0

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def running_job(engine: Engine, Events: Any) -> Callable[[str], tuple[Job, Any]]:
    """Start a job and return it, with its events, when it is at work."""

    def start(kind: str) -> tuple[Job, Any]:
        events = Events()
        job = engine.submit(kind, [], {}, on_event=events)
        events.wait("message")
        return job, events

    return start


def test_cancel_is_polite(engine: Engine, running_job: Any) -> None:
    job, events = running_job("polite")
    pid = engine.pid
    job.cancel()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(4.0)
    events.wait("cancelled")
    assert "stopping" in events.names
    assert engine.pid == pid


def test_cancel_becomes_forced(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, wait_for: Any, running_job: Any
) -> None:
    monkeypatch.setattr(client, "KILL_AFTER", 0.2)
    job, _ = running_job("stubborn")
    pid = engine.pid
    assert pid is not None
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(PATIENCE)
    wait_for(lambda: gone(pid), "the child is gone")
    assert engine.submit("echo", [], {"value": 1}).result(PATIENCE) == 1
    assert engine.pid != pid


def test_a_job_that_waits_survives_the_forced_end_of_another(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, running_job: Any
) -> None:
    monkeypatch.setattr(client, "KILL_AFTER", 0.2)
    job, _ = running_job("stubborn")
    waiting = engine.submit("echo", [], {"value": "patient"})
    job.cancel()
    assert waiting.result(PATIENCE) == "patient"
    with pytest.raises(Cancelled):
        job.result(PATIENCE)


def test_a_training_that_is_stopping_may_keep_its_result(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, running_job: Any
) -> None:
    monkeypatch.setattr(client, "KILL_AFTER", 0.5)
    job, _ = running_job("train")
    job.cancel()
    assert job.result(PATIENCE) == "best so far"
    other, _ = running_job("slow_to_stop")
    other.cancel()
    with pytest.raises(Cancelled):
        other.result(PATIENCE)


def test_cancel_of_a_waiting_job(engine: Engine, running_job: Any) -> None:
    first, _ = running_job("polite")
    second = engine.submit("echo", [], {"value": 2})
    third = engine.submit("echo", [], {"value": 3})
    second.cancel()
    with pytest.raises(Cancelled):
        second.result(PATIENCE)
    assert not first.done
    first.cancel()
    assert third.result(PATIENCE) == 3


def test_cancel_while_the_engine_is_starting(monkeypatch: pytest.MonkeyPatch, child: list[str], Events: Any) -> None:
    monkeypatch.setenv("TEST_PREPARE_SECONDS", "60")
    with Engine(child) as engine:
        events = Events()
        job = engine.submit("echo", [], {"value": 2}, on_event=events)
        events.wait("starting")
        job.cancel()
        with pytest.raises(Cancelled):
            job.result(4.0)


def test_cancel_while_pixels_are_awaited(engine: Engine) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Slow(ArrayPlane):
        def read(self, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
            asked.set()
            answer.wait(PATIENCE)
            return super().read(y0, y1, x0, x1)

    job = engine.submit("sums", [Slow(np.ones((8, 8)))], {})
    assert asked.wait(PATIENCE)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(4.0)
    answer.set()
    (result,) = engine.submit("sums", [ArrayPlane(np.ones((8, 8)))], {}).result(PATIENCE)
    assert result["sum"] == 64


@posix
def test_a_killed_engine_is_explained_once_and_started_again(engine: Engine, running_job: Any) -> None:
    job, events = running_job("stubborn")
    waiting = engine.submit("echo", [], {"value": 1})
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for each in (job, waiting):
        with pytest.raises(EngineDied, match="was killed, most likely because the memory ran out"):
            each.result(PATIENCE)
    events.wait("failed")
    assert events.names.count("failed") == 1
    assert engine.submit("echo", [], {"value": 1}).result(PATIENCE) == 1


@posix
@pytest.mark.parametrize(
    ("how", "text"),
    [("segfault", r"segmentation fault\).*before the fall$"), ("exit", "exit status 3.*the roof is on fire")],
)
def test_a_crash_is_explained(engine: Engine, how: str, text: str) -> None:
    with pytest.raises(EngineDied, match=text) as caught:
        engine.submit("crash", [], {"how": how}).result(PATIENCE)
    assert "\n" not in str(caught.value)


def test_an_engine_that_talks_nonsense_is_ended() -> None:
    with Engine([sys.executable, "-c", "print('hello', flush=True); input()"]) as engine, pytest.raises(EngineDied):
        engine.submit("echo", [], {}).result(PATIENCE)


def test_an_engine_that_cannot_be_started_says_so() -> None:
    with Engine([str(Path("no") / "such" / "python")]) as engine, pytest.raises(EngineDied, match="cannot be started"):
        engine.submit("echo", [], {})


def test_release_stops_the_child_and_cancels_jobs(engine: Engine, running_job: Any) -> None:
    job, _ = running_job("stubborn")
    waiting = engine.submit("echo", [], {"value": 1})
    pid = engine.pid
    assert pid is not None
    engine.release()
    assert not engine.running
    assert gone(pid)
    for each in (job, waiting):
        with pytest.raises(Cancelled):
            each.result(PATIENCE)
    assert engine.submit("echo", [], {"value": 1}).result(PATIENCE) == 1


def test_an_idle_engine_is_stopped(engine: Engine, wait_for: Any, running_job: Any) -> None:
    job, _ = running_job("polite")
    engine.idle_seconds = 0.05
    pid = engine.pid
    assert pid is not None
    assert not job.done
    job.cancel()
    wait_for(lambda: gone(pid), "the engine has stopped")
    assert not engine.running
    assert engine.submit("echo", [], {"value": 1}).result(PATIENCE) == 1


def test_an_engine_that_is_only_started_stops_too(child: list[str], wait_for: Any) -> None:
    with Engine(child, idle_seconds=0.05) as engine:
        engine.start()
        wait_for(lambda: not engine.running, "the engine has stopped")


PARENT = """
import sys, threading
from napari_localize.engine import Engine
engine = Engine({child!r})
running = threading.Event()
engine.submit({kind!r}, [], {{"value": 1}}, on_event=lambda event: event["event"] == "message" and running.set())
running.wait(30)
print(engine.pid, engine._folder, flush=True)
{then}
"""


@pytest.fixture
def start_parent(child: list[str]) -> Iterator[Callable[[str, str], tuple[subprocess.Popen[str], int, Path]]]:
    """Start a process that has an engine at work; return it, the number of its child, and the engine's folder."""
    with ExitStack() as stack:

        def start(kind: str, then: str) -> tuple[subprocess.Popen[str], int, Path]:
            script = PARENT.format(child=child, kind=kind, then=then)
            command = [sys.executable, "-W", "error", "-c", script]
            parent = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
            stack.callback(parent.kill)
            assert parent.stdout is not None
            pid, folder = parent.stdout.readline().split(maxsplit=1)
            return parent, int(pid), Path(folder.strip())

        yield start


@posix
@pytest.mark.parametrize("forked", [False, True], ids=["alone", "a fork holds the pipes"])
def test_the_child_ends_when_its_parent_is_killed(forked: bool, wait_for: Any, start_parent: Any) -> None:
    fork = "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(120)\n"
    parent, pid, folder = start_parent("stubborn", (fork if forked else "") + "threading.Event().wait()")
    sleeper = int(parent.stdout.readline()) if forked and parent.stdout else None
    try:
        assert not gone(pid)
        assert folder.is_dir()
        parent.kill()
        parent.wait()
        wait_for(lambda: gone(pid), "the child is gone")
        assert not folder.exists()
    finally:
        if sleeper is not None:
            os.kill(sleeper, signal.SIGKILL)


@pytest.mark.parametrize("then", ["", "sys.exit(0)", "raise SystemExit", "engine = None"])
@pytest.mark.parametrize("kind", ["polite", "stubborn"])
def test_the_end_of_the_parent_is_quiet_and_ends_the_child(kind: str, then: str, start_parent: Any) -> None:
    parent, pid, folder = start_parent(kind, then)
    _, errors = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == 0
    assert errors == ""
    assert gone(pid)
    assert not folder.exists()


@posix
def test_ctrl_c_in_the_terminal_is_not_for_the_child(engine: Engine) -> None:
    engine.submit("echo", [], {"value": 0}).result(PATIENCE)
    assert engine.pid is not None
    assert os.getpgid(engine.pid) != os.getpgid(0)
    os.kill(engine.pid, signal.SIGINT)
    assert engine.submit("echo", [], {"value": 1}).result(PATIENCE) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_shared_memory_has_no_name(engine: Engine, Events: Any) -> None:
    events = Events()
    engine.submit("polite", [], {}, on_event=events)
    events.wait("message")
    maps = Path(f"/proc/{engine.pid}/maps").read_text().splitlines()
    shared = [line for line in maps if "napari-localize" in line and "rw-s" in line]
    assert len(shared) == 1
    assert shared[0].endswith("(deleted)")
