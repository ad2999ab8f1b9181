"""Changes are written behind the back of the window, whatever the disk does."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest
from tests.project.conftest import box, boxes_of, do

from napari_localize.core.errors import UserError
from napari_localize.project import open_project
from napari_localize.project.writer import Writer


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_changes_are_on_disk_within_a_second(tmp_path):
    saved = []
    with open_project(tmp_path / "a", create=True) as project:
        image = project.add_array("i", (50, 50), "YX")
        journal = image.journal(background=True, on_saved=saved.append)
        journal.record(do({}, {1: box()}))
        wait_for(lambda: saved, 1.0)
        with open_project(tmp_path / "a", read_only=True) as other:
            assert boxes_of(other.image("i").load()) == {1: box()}
        assert journal.pending == 0
        assert saved[0].tzinfo is not None


def test_loading_waits_for_what_is_on_its_way(image):
    journal = image.journal(background=True)
    for number in range(100):
        journal.record(do({1: box(number)} if number else {}, {1: box(number + 1)}))
    assert boxes_of(image.load()) == {1: box(100)}


class Disk:
    """Stores changes, unless told to stall or to fail."""

    def __init__(self):
        self.kept = []
        self.errors = []
        self.go = threading.Event()
        self.go.set()
        self.calls = 0

    def write(self, changes):
        self.calls += 1
        self.go.wait(10)
        if self.errors:
            raise self.errors.pop(0)
        self.kept += [image for image, _ in changes]


def disk_error():
    error = UserError("the disk or the share cannot be reached.")
    error.__cause__ = sqlite3.OperationalError("disk I/O error")
    return error


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def writer(disk):
    made = Writer(disk.write)
    yield made
    disk.go.set()
    made.close()


def test_a_slow_disk_keeps_nobody_waiting(disk, writer):
    disk.go.clear()
    began = time.monotonic()
    for number in range(1000):
        writer.put([(number, do({}, {1: box()}))])
    assert time.monotonic() - began < 1.0
    assert not writer.flush(0.1)
    assert writer.pending == 1000
    disk.go.set()
    assert writer.flush(10)
    assert disk.kept == list(range(1000))


def test_what_the_disk_refuses_is_tried_again_in_order(disk, writer):
    told, saved = [], []
    writer.listen(1, told.append, saved.append)
    disk.errors = [disk_error(), disk_error()]
    for number in range(5):
        writer.put([(number, do({}, {1: box()}))])
    wait_for(lambda: disk.kept == [0, 1, 2, 3, 4])
    assert len(told) == 2
    assert "not saved yet: the disk or the share cannot be reached." in told[0]
    wait_for(lambda: saved)
    assert writer.error is None


def test_flush_says_that_the_disk_still_fails(disk, writer):
    disk.errors = [disk_error() for _ in range(100)]
    writer.put([(1, do({}, {1: box()}))])
    began = time.monotonic()
    assert not writer.flush(60)
    assert time.monotonic() - began < 5
    assert "cannot be reached" in writer.error
    assert writer.pending == 1
    disk.errors = []
    assert writer.flush(10)
    assert disk.kept == [1]


def test_one_impossible_change_lets_those_before_it_through(disk, writer):
    kept = []

    def write(changes):
        if any(image == 3 for image, _ in changes):
            raise UserError("box 3 belongs to another image.")
        kept.extend(image for image, _ in changes)

    writer = Writer(write)
    try:
        for number in range(5):
            writer.put([(number, do({}, {1: box()}))])
        wait_for(lambda: kept == [0, 1, 2])
        wait_for(lambda: writer.pending == 2)
    finally:
        writer.close()


def test_a_change_that_reached_the_disk_before_it_failed_is_not_written_twice(project, image, monkeypatch):
    """A share may lose the answer to a commit that it has carried out."""

    class Connection:
        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            return getattr(self.real, name)

        def execute(self, statement, *values):
            result = self.real.execute(statement, *values)
            if statement == "COMMIT":
                project.database._connection = self.real
                raise sqlite3.OperationalError("disk I/O error")
            return result

    project.database._connection = Connection(project.database._connection)
    journal = image.journal(background=True)
    journal.record(do({}, {1: box()}, "draw"))
    wait_for(lambda: journal.pending == 0)
    history = image.load().history
    assert history.undo().text == "draw"
    assert history.undo() is None


def test_a_project_with_unsaved_edits_stays_open(tmp_path, monkeypatch):
    project = open_project(tmp_path / "a", create=True)
    image = project.add_array("i", (50, 50), "YX")
    journal = image.journal(background=True)

    def fail(changes):
        raise disk_error()

    monkeypatch.setattr(project.writer, "_write", fail)
    journal.record(do({}, {1: box()}))
    with pytest.raises(UserError, match="stays open, as 1 changes are not saved yet: the disk"):
        project.close()
    assert journal.pending == 1
    monkeypatch.setattr(project.writer, "_write", project.write)
    project.close()
    with open_project(tmp_path / "a") as again:
        assert boxes_of(again.image("i").load()) == {1: box()}
    with pytest.raises(UserError, match="has been closed"):
        journal.record(do({}, {1: box()}))


def test_a_script_and_the_window_do_not_wait_for_each_other(project, image):
    journal = image.journal(background=True)
    with project.edit("look while somebody draws") as edit:
        journal.record(do({}, {50: box(50)}, "draw"))
        time.sleep(0.05)
        assert len(project.detections("cells")) == 0
        edit.finish("cells")
    assert list(boxes_of(image.load())) == [50]
    assert image.load().history.undo_text == "draw"


def test_a_disk_that_hangs_does_not_keep_the_program_from_closing(tmp_path, monkeypatch):
    project = open_project(tmp_path / "a", create=True)
    journal = project.add_array("i", (50, 50), "YX").journal(background=True)
    go = threading.Event()
    monkeypatch.setattr(project.writer, "_write", lambda changes: go.wait(20))
    monkeypatch.setattr("napari_localize.project.store._CLOSE_TIMEOUT", 0.2)
    journal.record(do({}, {1: box()}))
    with pytest.raises(UserError, match="the disk does not answer"):
        project.close()
    project.close(force=True)
    go.set()
    assert project.writer.close()
    project.database.close()
    project._unlock()
