"""Disks, shares, other windows and other people's files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.project.conftest import NONE, box, boxes_of, do, many

from napari_localize.core.errors import UserError
from napari_localize.core.steps import Change
from napari_localize.project import open_project
from napari_localize.project import schema as schema_module
from napari_localize.project.database import FILE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    """A project with two boxes, closed."""
    with open_project(tmp_path / "p", create=True) as project:
        project.add_array("i", (50, 50), "YX").journal().record(do({}, {1: box(), 2: box(5)}))
    return tmp_path / "p.localize"


def change_file(path, *statements):
    connection = sqlite3.connect(path / FILE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# Another window


def test_a_second_window_may_look(path):
    with open_project(path) as first, open_project(path) as second:
        assert first.read_only_reason is None
        assert "is open already in this program since 20" in second.read_only_reason
        assert len(boxes_of(second.image("i").load())) == 2
        with pytest.raises(UserError, match="open for reading only"):
            second.image("i").journal().record(do({}, {9: box()}))
        first.image("i").journal().record(do({}, {9: box()}))
        assert len(boxes_of(second.image("i").load())) == 3
    with open_project(path) as again:
        assert again.read_only_reason is None


def test_the_reason_says_who_has_it(path):
    script = f"""
        import sys
        from napari_localize.project import open_project
        with open_project({str(path)!r}) as project:
            print(project.read_only_reason, flush=True)
            sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "None\n"
        with open_project(path) as project:
            assert f"(process {child.pid}) since 20" in project.read_only_reason
            assert project.read_only_reason.endswith("so here it is opened for reading only.")
        child.kill()
    # Whoever died has it no longer.
    with open_project(path) as project:
        assert project.read_only_reason is None


@pytest.mark.parametrize(("pid", "free"), [(1 << 22, True), (os.getpid(), False)])
def test_a_share_without_locks_asks_whether_the_process_lives(path, monkeypatch, pid, free):
    import socket

    def refuse(file):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("napari_localize.project.lock._lock", refuse)
    (path / "lock").write_text(f'{{"user": "x", "host": "{socket.gethostname()}", "pid": {pid}, "since": "2020"}}')
    with open_project(path) as project:
        assert (project.read_only_reason is None) == free


# Where nothing can be written


def test_a_project_that_cannot_be_written_is_opened_for_reading(path, monkeypatch):
    def refuse(self, mode="r", *args, **kwargs):
        if self.name == "lock":
            raise PermissionError(13, "Permission denied")
        return original(self, mode, *args, **kwargs)

    original = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("napari_localize.project.database.os.access", lambda *_: False)
    before = sorted(file.name for file in path.iterdir())
    with open_project(path) as project:
        assert "cannot be written to (Permission denied)" in project.read_only_reason
        assert len(boxes_of(project.image("i").load())) == 2
    assert sorted(file.name for file in path.iterdir()) == before


def test_what_a_dead_process_left_in_the_log_is_read_from_there_too(path, tmp_path, monkeypatch):
    script = f"""
        import os, signal
        from napari_localize.project import open_project
        from tests.project.conftest import box, do
        project = open_project({str(path)!r})
        project.image("i").journal().record(do({{}}, {{3: box(9)}}))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=False)
    assert (path / f"{FILE}-wal").stat().st_size
    monkeypatch.setattr("napari_localize.project.database.os.access", lambda *_: False)
    with open_project(path, read_only=True) as project:
        assert sorted(boxes_of(project.image("i").load())) == [1, 2, 3]
    assert (path / f"{FILE}-wal").stat().st_size


def test_a_full_disk_loses_nothing(path):
    with open_project(path) as project:
        image, other = project.image("i"), project.add_array("other", (5, 5), "YX")
        connection = project.database._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        told = []
        journal = image.journal(background=True, on_error=told.append)
        rows = many(5000, project.reserve_ids(5000))
        journal.record(Change("propose", "m@1", rows, NONE))
        journal.record(do({1: box()}, {1: box(7)}))
        assert not journal.flush(10)
        assert "2 changes are not saved yet" in told[0]
        assert "the disk is full" in told[0]
        # Other images can be looked at meanwhile.
        with pytest.raises(UserError, match="the disk is full"):
            image.load()
        assert len(other.load().rows) == 0
        with pytest.raises(UserError, match="the disk is full"):
            image.journal().record(Change("propose", "m@1", rows, NONE))
        connection.execute("PRAGMA max_page_count = 1000000")
        assert journal.flush(10)
        assert len(image.load().rows) == 5002
        assert boxes_of(image.load())[1] == box(7)
        assert project.check() == []


class Share:
    """A connection to a share that is gone until it is back."""

    def __init__(self, real):
        self.real = real
        self.gone = True

    def __getattr__(self, name):
        return getattr(self.real, name)

    def execute(self, statement, *values):
        if self.gone:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_WRITE"
            raise error
        return self.real.execute(statement, *values)


def test_a_share_that_went_and_came_back_loses_nothing(path):
    with open_project(path) as project:
        image = project.image("i")
        first = project.database._connection
        project.database._connection = Share(first)
        told = []
        journal = image.journal(background=True, on_error=told.append)
        journal.record(do({}, {7: box()}))
        # The connection is made anew, as the old one would not work again.
        assert journal.flush(10) or journal.flush(10)
        assert "the disk or the share cannot be reached" in told[0]
        assert project.database._connection is not first
        assert sorted(boxes_of(image.load())) == [1, 2, 7]


def test_on_file_servers_there_is_no_write_ahead_log(path, monkeypatch):
    monkeypatch.setattr("napari_localize.project.database.is_remote", lambda folder: True)
    with open_project(path) as project:
        with project.database.reading() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        project.image("i").journal().record(do({}, {7: box()}))
        assert sorted(boxes_of(project.image("i").load())) == [1, 2, 7]


# Other people's files


def test_a_project_of_a_newer_version_is_opened_for_reading(path):
    change_file(path, "PRAGMA user_version = 99", "ALTER TABLE boxes ADD COLUMN mask BLOB", "CREATE TABLE more (id)")
    with open_project(path) as project:
        assert "was made by a newer version of napari-localize" in project.read_only_reason
        assert sorted(boxes_of(project.image("i").load())) == [1, 2]
        with pytest.raises(UserError, match="open for reading only"):
            project.image("i").journal().record(do({}, {7: box()}))


def test_a_project_of_an_older_version_is_brought_up_to_date(path, monkeypatch):
    added = (*schema_module.MIGRATIONS, ("ALTER TABLE images ADD COLUMN note TEXT",))
    monkeypatch.setattr(schema_module, "MIGRATIONS", added)
    monkeypatch.setattr(schema_module, "VERSION", 2)
    monkeypatch.setattr(schema_module.migrate, "__defaults__", (2,))
    monkeypatch.setattr("napari_localize.project.database.VERSION", 2)
    for _ in range(2):
        with open_project(path) as project:
            assert sorted(boxes_of(project.image("i").load())) == [1, 2]
            with project.database.reading() as connection:
                assert connection.execute("PRAGMA user_version").fetchone() == (2,)
                assert connection.execute("SELECT note FROM images").fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("CREATE TRIGGER evil AFTER INSERT ON boxes BEGIN DELETE FROM images; END", "holds 'evil'"),
        ("CREATE VIEW evil AS SELECT * FROM boxes", "holds 'evil'"),
        ("CREATE TABLE evil (id)", "holds 'evil'"),
        ("CREATE INDEX evil ON boxes (abs(x0))", "holds 'evil'"),
        ("DROP TABLE areas", "lacks 'areas'"),
        ("ALTER TABLE boxes ADD COLUMN evil REAL AS (x0 + 1)", "holds 'boxes'"),
        ("PRAGMA application_id = 1", "is the database of another program"),
        ("PRAGMA user_version = 0", "which is not how a project is made"),
        ("PRAGMA user_version = -5", "which is not how a project is made"),
    ],
)
def test_a_database_that_is_not_ours_is_not_opened(path, statement, sentence):
    change_file(path, statement)
    with pytest.raises(UserError, match=sentence) as raised:
        open_project(path)
    assert "\n" not in str(raised.value)


def test_a_newer_version_may_not_bring_what_runs_by_itself(path):
    change_file(path, "PRAGMA user_version = 99", "CREATE VIEW evil AS SELECT * FROM boxes")
    with pytest.raises(UserError, match="holds 'evil'"):
        open_project(path)


@contextmanager
def one_sentence_at_most():
    text = ""
    try:
        yield
    except UserError as error:
        text = str(error)
    assert "\n" not in text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE boxes SET plane = 999",
        "UPDATE boxes SET class = 999",
        "UPDATE boxes SET origin = 999",
        "UPDATE boxes SET x1 = x0",
        "UPDATE boxes SET x1 = 1e300",
        "UPDATE boxes SET x1 = 9e999",
        "UPDATE boxes SET score = 7",
        "UPDATE boxes SET id = -id",
        "UPDATE planes SET position = 'x'",
        "UPDATE images SET shape = '[1'",
        "UPDATE images SET shape = '[1, 2, 3]'",
        "UPDATE images SET shape = '{}'",
        "UPDATE images SET shape = '[999999999999, 5, 5]', axes = 'TYX'",
        "UPDATE meta SET value = 'x'",
        "UPDATE meta SET value = '99999999999999999999999'",
        "UPDATE journal SET payload = zeroblob(1000000)",
        "UPDATE journal SET target = 5, action = 'undo'",
    ],
)
def test_values_that_make_no_sense_get_a_sentence_at_most(path, statement):
    change_file(path, statement)
    with one_sentence_at_most(), open_project(path) as project:
        for image in project.images():
            image.load()
            image.planes()
        project.planes()
        project.undo()
        project.check()


@pytest.mark.parametrize("content", [b"", b"text", b"SQLite format 3\0", b"SQLite format 3\0" + bytes(4096)])
def test_what_is_no_database_gets_a_sentence(path, content):
    (path / FILE).write_bytes(content)
    with pytest.raises(UserError, match="database"):
        open_project(path)


def test_no_project_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no project at"):
        open_project(tmp_path / "nothing")
    (tmp_path / "full.localize").mkdir()
    (tmp_path / "full.localize" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="exists already"):
        open_project(tmp_path / "full", create=True)
    with pytest.raises(UserError, match="cannot make"):
        open_project(tmp_path / "no" / "where", create=True)


def test_damage_anywhere_gets_a_sentence(path):
    content = (path / FILE).read_bytes()
    chance = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content)
        at = int(chance.integers(100, len(content) - 600))
        broken[at : at + 500] = chance.bytes(500)
        (path / FILE).write_bytes(bytes(broken))
        with one_sentence_at_most(), open_project(path) as project:
            project.image("i").load()
            project.planes()
            project.check()
