from __future__ import annotations

import threading

import pytest

from napari_localize.core.errors import Cancelled, UserError
from napari_localize.widgets._jobs import JobRunner


class Work:
    """A job that ends when told to."""

    def __init__(self, outcome=None):
        self.outcome = outcome
        self.may_end = threading.Event()
        self.cancelled = threading.Event()

    def begin(self, on_event):
        self.on_event = on_event
        for number in range(500):
            on_event({"event": "progress", "number": number})
        return self

    def cancel(self):
        self.cancelled.set()
        self.outcome = Cancelled()
        self.may_end.set()

    def result(self, timeout=None):
        assert self.may_end.wait(60)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def runner(qtbot):
    runner = JobRunner()
    runner.heard = []
    runner.news.connect(lambda news: runner.heard.append(news["number"]))
    runner.finished.connect(lambda result: runner.heard.append(("finished", result)))
    runner.failed.connect(lambda text: runner.heard.append(("failed", text)))
    runner.cancelled.connect(lambda: runner.heard.append("cancelled"))
    return runner


def test_news_come_in_order_and_the_result_last(runner, until):
    work = Work("result")
    runner.start(work.begin)
    assert runner.busy
    with pytest.raises(RuntimeError, match="running already"):
        runner.start(work.begin)
    work.may_end.set()
    until(lambda: not runner.busy)
    assert runner.heard == [*range(500), ("finished", "result")]


@pytest.mark.parametrize("error", [UserError("mend it."), RuntimeError("it broke."), ValueError()])
def test_a_failure_is_one_sentence(runner, error, until):
    work = Work(error)
    work.may_end.set()
    runner.start(work.begin)
    until(lambda: not runner.busy)
    assert runner.heard[-1] == ("failed", str(error) or "ValueError")


def test_a_job_that_cannot_even_begin_fails(runner, until):
    def begin(on_event):
        raise UserError("no engine.")

    runner.start(begin)
    until(lambda: not runner.busy)
    assert runner.heard == [("failed", "no engine.")]


def test_cancel_is_obeyed_also_before_the_job_has_begun(runner, until):
    work, may_begin = Work(), threading.Event()

    def begin(on_event):
        assert may_begin.wait(60)
        return work.begin(on_event)

    runner.start(begin)
    runner.cancel()
    may_begin.set()
    until(lambda: not runner.busy)
    assert work.cancelled.is_set()
    assert runner.heard[-1] == "cancelled"


def test_of_an_abandoned_job_nothing_more_is_heard(runner, until):
    work, next_work = Work(), Work("second")
    runner.start(work.begin)
    runner.abandon()
    assert work.cancelled.wait(60)
    assert not runner.busy
    runner.heard.clear()
    next_work.may_end.set()
    runner.start(next_work.begin)
    until(lambda: not runner.busy)
    assert runner.heard == [*range(500), ("finished", "second")]


def test_a_runner_that_goes_away_cancels_its_job(until):
    work = Work()
    runner = JobRunner()
    runner.start(work.begin)
    runner.deleteLater()
    del runner
    until(work.cancelled.is_set)
