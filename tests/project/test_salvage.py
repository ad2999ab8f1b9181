from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from tests.project.conftest import NONE, box, boxes_of, do, many, rows

from napari_localize.core.errors import UserError
from napari_localize.core.steps import Change
from napari_localize.project import open_project
from napari_localize.project.database import FILE
from napari_localize.project.salvage import repair_project

BOXES = 5000


@pytest.fixture
def path(tmp_path):
    with open_project(tmp_path / "p", create=True) as project:
        journal = project.add_array("i", (50, 50), "YX").journal()
        journal.record(Change("propose", "m@1", many(BOXES, project.reserve_ids(BOXES)), NONE))
        journal.record(do({}, {BOXES + 1: box(state="added")}, "draw"))
    return tmp_path / "p.localize"


def pages_of(path, name):
    connection = sqlite3.connect(path / FILE)
    pages = [number for (number,) in connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (name,))]
    connection.close()
    return pages


def destroy(path, pages):
    with (path / FILE).open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(np.random.default_rng(page).bytes(4096))


def test_what_can_be_read_is_kept_and_the_rest_is_said(path):
    with open_project(path) as project:
        before = boxes_of(project.image("i").load())
    try:
        pages = pages_of(path, "boxes")
    except sqlite3.OperationalError:
        pytest.skip("this SQLite cannot say which page holds what")
    destroy(path, pages[10:12])
    with open_project(path) as project:
        assert any("damaged" in text for text in _problems(project))
    report = repair_project(path)
    with open_project(path) as project:
        after = boxes_of(project.image("i").load())
        assert project.check() == []
        assert project.image("i").load().history.undo_text == "draw"
        assert project.reserve_ids(1)[0] == BOXES + 2
    lost = len(before) - len(after)
    assert 0 < lost < 400
    assert after == {key: before[key] for key in after}
    assert f"1 images, {len(after)} boxes and 2 entries of the journal were kept." in report
    assert f"{lost} boxes were lost." in report
    (kept,) = path.glob("damaged-*.sqlite")
    assert str(kept) in report[-1]


def _problems(project):
    try:
        return project.check()
    except UserError as error:
        return [str(error)]


def test_counts_and_index_are_made_anew(path):
    connection = sqlite3.connect(path / FILE)
    connection.execute("UPDATE summary SET boxes = boxes + 1")
    connection.execute("DELETE FROM box_index WHERE id < 10")
    connection.execute("INSERT INTO planes (image, position) VALUES (99, '')")
    connection.commit()
    connection.close()
    with open_project(path) as project:
        problems = project.check()
    assert any("counts do not agree" in text for text in problems)
    assert any("index of places does not agree with 9 boxes" in text for text in problems)
    assert any("1 planes of images that are not in the project" in text for text in problems)
    repair_project(path)
    with open_project(path) as project:
        assert project.check() == []
        assert len(boxes_of(project.image("i").load())) == BOXES + 1


def test_classes_and_origins_that_are_lost_leave_their_boxes(path):
    connection = sqlite3.connect(path / FILE)
    connection.execute("DELETE FROM classes WHERE name = 'dot'")
    connection.execute("DELETE FROM origins WHERE name = 'm@1'")
    connection.commit()
    connection.close()
    repair_project(path)
    with open_project(path) as project:
        boxes = boxes_of(project.image("i").load()).values()
        assert len(boxes) == BOXES + 1
        assert {each.label for each in boxes} == {"cell", "lost 2"}
        assert {each.origin for each in boxes} == {"human", "lost 1"}


def test_planes_that_are_none_go_with_what_lies_on_them(path):
    with open_project(path) as project:
        stack = project.add_array("stack", (3, 50, 50), "TYX")
        good, bad = box(state="added", plane=(1,)), box(state="added", plane=(2,))
        keys = project.reserve_ids(2).tolist()
        stack.journal().record(do({}, dict(zip(keys, (good, bad), strict=True)), "draw"))
        stack.journal().record(Change("propose", "", rows({}), NONE, finished=frozenset({(0,), (2,)})))
    connection = sqlite3.connect(path / FILE)
    connection.execute("UPDATE planes SET position = '-1' WHERE position = '2'")
    connection.commit()
    connection.close()
    with open_project(path) as project, pytest.raises(UserError, match="'-1' makes no sense"):
        project.planes()
    assert "1 boxes were lost." in repair_project(path)
    with open_project(path) as project:
        assert project.check() == []
        assert len(project.planes()) == 4
        loaded = project.image("stack").load()
        assert boxes_of(loaded) == {keys[0]: good}
        assert loaded.finished == {(0,)}


def test_a_plane_before_the_first_is_never_stored(path):
    with open_project(path) as project:
        stack = project.add_array("stack", (3, 50, 50), "TYX")
        for change in (
            do({}, {BOXES + 2: box(state="added", plane=(-1,))}),
            Change("propose", "", rows({}), NONE, finished=frozenset({(-1,)})),
        ):
            with pytest.raises(UserError, match="has no plane -1"):
                stack.journal().record(change)
        assert project.check() == []
        assert len(project.planes(stack)) == 3


def test_what_cannot_be_read_at_all_stays_as_it_is(path):
    (path / FILE).write_bytes(b"nothing of it left" * 1000)
    with pytest.raises(UserError, match="nothing can be read of"):
        repair_project(path)
    assert (path / FILE).read_bytes().startswith(b"nothing")
    assert sorted(file.name for file in path.iterdir()) == ["lock", FILE]


def test_an_open_project_is_not_mended(path):
    with open_project(path), pytest.raises(UserError, match="close it first"):
        repair_project(path)
