"""Requests, events, pixels and errors, with a child process whose jobs need no model."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.engine import Engine, EngineError

PATIENCE = 30.0


def test_events_of_a_first_job_come_in_order(engine: Engine, Events: Any) -> None:
    assert not engine.running
    events = Events()
    job = engine.submit("echo", [], {"value": [1, None, "ü"]}, on_event=events)
    assert job.result(PATIENCE) == [1, None, "ü"]
    assert engine.running
    assert job.done
    events.wait("done")
    assert [name for name in events.names if name != "starting"] == ["ready", "started", "done"]
    assert events[-1]["result"] == [1, None, "ü"]
    assert engine.device_text == "Computing on nothing."


def test_a_started_engine_stays_warm(engine: Engine) -> None:
    engine.start()
    pid = engine.pid
    assert pid is not None
    for value in range(3):
        assert engine.submit("echo", [], {"value": value}).result(PATIENCE) == value
    assert engine.pid == pid


def test_jobs_run_one_after_the_other(engine: Engine) -> None:
    order: list[tuple[int, str]] = []
    jobs = [
        engine.submit(
            "tiles",
            [ArrayPlane(np.ones((64, 64), np.uint8))],
            {"tile": 16},
            on_event=lambda event, number=number: order.append((number, event["event"])),
        )
        for number in range(3)
    ]
    assert [job.result(PATIENCE) for job in jobs] == [4096.0] * 3
    work = [number for number, name in order if name in ("started", "progress", "done")]
    assert work == sorted(work)
    assert [(number, name) for number, name in order if name == "queued"] == [(1, "queued"), (2, "queued")]


@pytest.mark.parametrize("dtype", ["bool", "uint8", ">u2", "int32", "float16", "float32", "float64", "longdouble"])
def test_pixels_of_every_type_arrive(engine: Engine, dtype: str) -> None:
    pixels = (np.arange(5 * 7 * 3) % 2).reshape(5, 7, 3).astype(dtype)
    (result,) = engine.submit("sums", [ArrayPlane(pixels)], {}).result(PATIENCE)
    assert result["shape"] == [5, 7, 3]
    assert result["sum"] == pixels.sum()


@pytest.mark.parametrize("shape", [(3000, 3000, 1), (3, 1_500_000, 2), (1, 1, 1), (700, 900, 7)])
def test_rectangles_larger_than_the_shared_memory_arrive_whole(engine: Engine, shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 1000, shape).astype(np.float64)
    (result,) = engine.submit("sums", [ArrayPlane(values)], {}).result(PATIENCE)
    assert tuple(result["shape"]) == shape
    assert result["sum"] == values.sum()


def test_pixels_are_read_lazily_and_not_in_the_calling_thread(engine: Engine, Events: Any) -> None:
    class Spy(ArrayPlane):
        def __init__(self, data: Any) -> None:
            super().__init__(data)
            self.threads: set[int] = set()
            self.largest = 0

        def read(self, y0: int, y1: int, x0: int, x1: int) -> np.ndarray[Any, Any]:
            self.threads.add(threading.get_ident())
            self.largest = max(self.largest, (y1 - y0) * (x1 - x0))
            return super().read(y0, y1, x0, x1)

    plane = Spy(np.broadcast_to(np.uint8(1), (100_000, 100_000)))
    events = Events()
    job = engine.submit("tiles", [plane], {"tile": 256}, on_event=events)
    events.wait("progress")
    job.cancel()
    events.wait("cancelled")
    assert plane.largest == 256 * 256
    assert threading.get_ident() not in plane.threads


def test_many_boxes_arrive_in_both_directions(engine: Engine, Events: Any, random_detections: Any) -> None:
    sent = random_detections(300_000)
    events = Events()
    got = engine.submit("boxes", [], {"detections": sent, "times": 3}, on_event=events).result(PATIENCE)
    assert isinstance(got, Detections)
    np.testing.assert_array_equal(got.boxes, sent.boxes)
    assert [len(event["detections"]) for event in events if event["event"] == "boxes"] == [300_000] * 3


def test_a_users_mistake_keeps_its_sentence(engine: Engine, Events: Any) -> None:
    events = Events()
    job = engine.submit("fail", [], {"kind": "user"}, on_event=events)
    with pytest.raises(UserError, match=r"^the image has no pixels; choose another\.$"):
        job.result(PATIENCE)
    events.wait("failed")
    assert isinstance(events[-1]["error"], UserError)


def test_exhausted_memory_is_explained(engine: Engine) -> None:
    with pytest.raises(UserError, match="memory of the device is not enough"):
        engine.submit("fail", [], {"kind": "memory"}).result(PATIENCE)


@pytest.mark.parametrize("kind", ["bug", "unsendable"])
def test_a_bug_is_one_sentence_with_details(engine: Engine, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EngineError) as caught:
        engine.submit("fail", [], {"kind": kind}).result(PATIENCE)
    assert "\n" not in str(caught.value)
    assert "child.py" in caught.value.details
    assert any("Traceback" in record.getMessage() for record in caplog.records)
    assert engine.submit("echo", [], {"value": 1}).result(PATIENCE) == 1


def test_unknown_kinds_fail(engine: Engine) -> None:
    with pytest.raises(EngineError, match="'dance'"):
        engine.submit("dance", [], {}).result(PATIENCE)


class Broken(ArrayPlane):
    def __init__(self, error: Exception | None) -> None:
        super().__init__(np.zeros((4, 4)))
        self.error = error

    def read(self, y0: int, y1: int, x0: int, x1: int) -> np.ndarray[Any, Any]:
        if self.error is not None:
            raise self.error
        return np.zeros((y1 - y0, 1, 1))


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (UserError("the file is gone; find it."), UserError, "^the file is gone; find it.$"),
        (OSError("disk on holiday"), EngineError, "pixels of the image cannot be read.*disk on holiday"),
        (None, EngineError, r"shape \(4, 1, 1\) instead of \(4, 4, 1\)"),
    ],
)
def test_unreadable_pixels_fail_the_job_only(
    engine: Engine, error: Exception | None, expected: type[Exception], text: str
) -> None:
    with pytest.raises(expected, match=text):
        engine.submit("sums", [Broken(error)], {}).result(PATIENCE)
    (result,) = engine.submit("sums", [ArrayPlane(np.ones((4, 4)))], {}).result(PATIENCE)
    assert result["sum"] == 16


def test_a_callback_that_raises_stops_nothing(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    def callback(event: dict[str, Any]) -> None:
        raise RuntimeError("a clumsy callback")

    job = engine.submit("echo", [], {"value": 5}, on_event=callback)
    assert job.result(PATIENCE) == 5
    assert engine.submit("echo", [], {"value": 6}).result(PATIENCE) == 6
    assert "A callback failed" in caplog.text


def test_callbacks_may_use_the_engine(engine: Engine, Events: Any) -> None:
    second: list[Any] = []

    def callback(event: dict[str, Any]) -> None:
        if event["event"] == "done":
            second.append(engine.submit("echo", [], {"value": "second"}, on_event=more))

    more = Events()
    engine.submit("echo", [], {"value": "first"}, on_event=callback).result(PATIENCE)
    more.wait("done")
    assert second[0].result(0) == "second"


def test_what_libraries_print_does_not_disturb(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "napari_localize.engine.child")
    assert engine.submit("chatter", [], {}).result(PATIENCE) == ""
    engine.release()
    lines = [record.getMessage() for record in caplog.records if record.name == "napari_localize.engine.child"]
    assert "a library prints" in lines
    assert "and so does C code" in lines
    assert max(map(len, lines)) <= 2000


def test_two_engines_side_by_side(child: list[str]) -> None:
    planes = [ArrayPlane(np.full((300, 300), value, np.uint16)) for value in (1, 2)]
    with Engine(child) as first, Engine(child) as second:
        jobs = [
            each.submit("tiles", [plane], {"tile": 50}) for each, plane in zip((first, second), planes, strict=True)
        ]
        assert [job.result(PATIENCE) for job in jobs] == [90_000.0, 180_000.0]
        assert first.pid != second.pid


def test_requests_that_do_not_fit_together_are_refused_at_once(engine: Engine) -> None:
    plane = ArrayPlane(np.zeros((4, 4)))
    with pytest.raises(UserError, match="2 regions"):
        engine.predict([plane], "nuclei", PredictSettings(), regions=[None, None])
    with pytest.raises(UserError, match="0 sets of boxes"):
        engine.train([plane], [], TrainSettings(), names=["a"])
    assert not engine.running


def test_a_result_can_be_waited_for_with_a_limit(engine: Engine) -> None:
    job = engine.submit("polite", [], {})
    with pytest.raises(TimeoutError):
        job.result(0.01)
