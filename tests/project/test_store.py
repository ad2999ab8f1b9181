"""Changes of an image go to the disk and come back."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from tests.project.conftest import NONE, box, boxes_of, do, many, redo, rows, undo

from napari_localize.core.boxes import BoxRows
from napari_localize.core.errors import UserError
from napari_localize.core.lots import Lot
from napari_localize.core.steps import Area, Change
from napari_localize.project import open_project
from napari_localize.project.database import FILE
from napari_localize.project.lots import set_lot
from napari_localize.project.rows import rows_by_id

CLASSES = {"cell": "#111111", "dot": "#222222"}


def index_of(project, where="1"):
    with project.database.reading() as connection:
        return set(connection.execute(f"SELECT id, plane0, x0, x1, y0, y1 FROM box_index WHERE {where}"))


def test_a_new_project_is_empty(project):
    assert project.images() == []
    assert project.planes() == []
    assert project.read_only_reason is None


def test_boxes_come_back_as_they_were(tmp_path):
    boxes = {1: box(1), 2: box(0.1, "dot", "rejected"), 5: box(7, state="added", plane=(2, 3))}
    with open_project(tmp_path / "a", create=True) as project:
        image = project.add_array("movie", (4, 5, 20, 30), "tzyx")
        image.journal().record(do({}, boxes))
    with open_project(tmp_path / "a") as project:
        image = project.image("movie")
        assert (image.axes, image.shape) == ("TZYX", (4, 5, 20, 30))
        expected = {key: replace_xyxy(each) for key, each in boxes.items()}
        assert boxes_of(image.load()) == expected
        assert image.counts == {"cell": {"proposed": 1, "added": 1}, "dot": {"rejected": 1}}


def replace_xyxy(each):
    return each._replace(xyxy=tuple(np.float32(each.xyxy).tolist()))


def test_undo_and_redo_outlast_the_project(tmp_path):
    first, second = do({}, {1: box(1)}, "draw"), do({1: box(1)}, {1: box(5)}, "move")
    with open_project(tmp_path / "a", create=True) as project:
        journal = project.add_array("i", (50, 50), "YX").journal()
        journal.record(first)
        journal.record(second)
    with open_project(tmp_path / "a") as project:
        loaded = project.image("i").load()
        assert (loaded.history.undo_text, loaded.history.redo_text) == ("move", None)
        step = loaded.history.undo()
        assert (boxes_of(step.before), boxes_of(step.after)) == ({1: box(1)}, {1: box(5)})
        project.image("i").journal().record(undo(second))
    with open_project(tmp_path / "a") as project:
        loaded = project.image("i").load()
        assert boxes_of(loaded) == {1: box(1)}
        assert (loaded.history.undo_text, loaded.history.redo_text) == ("draw", "move")
        project.image("i").journal().record(undo(first))
    with open_project(tmp_path / "a") as project:
        history = project.image("i").load().history
        assert history.undo_text is None
        assert [history.redo().text, history.redo().text, history.redo()] == ["draw", "move", None]
        project.image("i").journal().record(redo(first))
        project.image("i").journal().record(do({1: box(1)}, {}, "delete"))
    with open_project(tmp_path / "a") as project:
        loaded = project.image("i").load()
        assert boxes_of(loaded) == {}
        # What was taken back before is still in the file, but over.
        assert (loaded.history.undo_text, loaded.history.redo_text) == ("delete", None)
        with project.database.reading() as connection:
            actions = [row[0] for row in connection.execute("SELECT action FROM journal ORDER BY id")]
        assert actions == ["do", "do", "undo", "undo", "redo", "do"]


def test_proposals_are_no_step_and_end_what_could_be_redone(image):
    journal = image.journal()
    change = do({}, {1: box(1, state="added")}, "draw")
    journal.record(change)
    journal.record(undo(change))
    journal.record(Change("propose", "m@1", rows({2: box(2)}), NONE))
    loaded = image.load()
    assert boxes_of(loaded) == {2: box(2)}
    assert (loaded.history.undo_text, loaded.history.redo_text) == (None, None)


def test_finished_planes_and_areas_have_a_history(project):
    image = project.add_array("stack", (3, 50, 50), "ZYX")
    journal = image.journal()
    one, two = frozenset({(1,)}), frozenset({(1,), (2,)})
    area = frozenset({Area((0,), (1.0, 2.0, 3.0, 4.0), "ignored")})
    journal.record(do({}, {}, "finish", finished=(frozenset(), one)))
    marked = do({}, {}, "mark", finished=(one, two), areas=(frozenset(), area))
    journal.record(marked)
    loaded = image.load()
    assert (loaded.finished, loaded.areas) == (two, area)
    step = loaded.history.undo()
    assert (step.finished, step.areas) == ((one, two), (frozenset(), area))
    assert loaded.history.undo().finished == (frozenset(), one)
    journal.record(undo(marked))
    loaded = image.load()
    assert (loaded.finished, loaded.areas) == (one, frozenset())
    assert loaded.history.redo().areas == (frozenset(), area)
    assert project.image("stack").status == "in work"
    assert [plane.status for plane in project.planes()] == ["untouched", "finished", "untouched"]
    assert [plane.name for plane in project.planes()] == ["stack#z=0", "stack#z=1", "stack#z=2"]


def test_a_class_that_is_renamed_in_one_image_is_renamed_in_all(project):
    first, second = (project.add_array(name, (50, 50), "YX") for name in ("a", "b"))
    first.journal().record(do({}, {1: box()}, classes=({}, CLASSES)))
    second.journal().record(do({}, {2: box(3)}))
    renamed = {"nucleus": "#111111", "dot": "#222222"}
    change = do({1: box()}, {1: box(label="nucleus")}, "rename", classes=(CLASSES, renamed))
    first.journal().record(change)
    assert project.classes == renamed
    assert boxes_of(second.load()) == {2: box(3, "nucleus")}
    first.journal().record(undo(change))
    assert project.classes == CLASSES
    assert boxes_of(second.load()) == {2: box(3)}


def test_a_class_that_other_images_use_is_not_lost(project):
    first, second = (project.add_array(name, (50, 50), "YX") for name in ("a", "b"))
    first.journal().record(do({}, {}, classes=({}, CLASSES)))
    second.journal().record(do({}, {2: box(label="dot")}))
    first.journal().record(do({}, {}, classes=(CLASSES, {"cell": "#333333"})))
    assert project.classes == {"cell": "#333333", "dot": "#222222"}
    second.journal().record(do({2: box(label="dot")}, {}))
    first.journal().record(do({}, {}, classes=(project.classes, {"cell": "#333333"})))
    assert project.classes == {"cell": "#333333"}


def test_the_tree_follows_the_boxes(project, image):
    journal = image.journal()
    journal.record(do({}, {1: box(1), 2: box(2)}))
    journal.record(do({1: box(1)}, {1: box(30)}))
    journal.record(do({2: box(2)}, {2: box(2, state="accepted")}))
    assert index_of(project) == {(1, 1, 30, 40.5, 2, 12), (2, 1, 2, 12.5, 2, 12)}
    assert {row[0] for row in index_of(project, "x1 >= 20 AND x0 <= 35")} == {1}
    journal.record(do({1: box(30)}, {}))
    assert {row[0] for row in index_of(project)} == {2}


def test_ids_are_never_used_again(tmp_path):
    with open_project(tmp_path / "a", create=True) as project:
        journal = project.add_array("i", (50, 50), "YX").journal()
        assert journal.reserve_ids(2).tolist() == [1, 2]
        (key,) = journal.reserve_ids(1).tolist()
        journal.record(do({}, {key: box()}))
        journal.record(do({key: box()}, {}))
    with open_project(tmp_path / "a") as project:
        assert project.reserve_ids(1).tolist() == [4]


def test_a_box_of_another_image_is_not_touched(project, image):
    image.journal().record(do({}, {1: box()}))
    other = project.add_array("other", (50, 50), "YX")
    for change in (do({}, {1: box(9)}), Change("propose", "x", BoxRows.empty(), np.array([1]))):
        with pytest.raises(UserError, match="belongs to another image"):
            other.journal().record(change)
    assert boxes_of(image.load()) == {1: box()}
    assert boxes_of(other.load()) == {}
    with project.database.reading() as connection:
        assert len(rows_by_id(connection, other.id, [1])) == 0


def test_what_fails_leaves_nothing_behind(project, image):
    broken = replace(rows({1: box()}), boxes=np.full((1, 4), np.nan, np.float32))
    with pytest.raises(UserError, match="cannot be stored"):
        image.journal().record(Change("do", "x", broken, NONE, None, classes=CLASSES))
    assert project.classes == {}
    assert boxes_of(image.load()) == {}


def test_an_image_that_was_removed_takes_all_with_it(project, image):
    image.journal().record(do({}, {1: box()}, finished=(frozenset(), frozenset({()}))))
    project.remove_image(image)
    assert project.images() == []
    assert index_of(project) == set()
    with pytest.raises(UserError, match="taken out of the project"):
        image.journal().record(do({}, {1: box()}))
    with pytest.raises(UserError, match="has no image 'cells'"):
        project.image("cells")


def test_numbers_of_images_are_never_used_again(tmp_path):
    with open_project(tmp_path / "a", create=True) as project:
        first, last = (project.add_array(name, (5, 5), "YX") for name in "ab")
        project.remove_image(last)
        assert project.add_array("c", (5, 5), "YX").id == last.id + 1
    with open_project(tmp_path / "a") as project:
        project.remove_image(project.image("c"))
        project.remove_image(first)
        assert project.add_array("d", (5, 5), "YX").id == last.id + 2


def test_numbers_go_on_in_a_project_that_has_not_noted_them(project, image):
    def forget():
        with project.database.transaction() as connection:
            connection.execute("DELETE FROM meta WHERE key = 'next_image'")

    forget()
    project.remove_image(image)
    second = project.add_array("second", (5, 5), "YX")
    assert second.id == image.id + 1
    # An image that an older version removed is still in the lot.
    set_lot(project, Lot(0, ((7, ()), (1 << 70, ()))))
    forget()
    assert project.add_array("third", (5, 5), "YX").id == 8


def test_names_of_images_are_unique(project):
    names = [project.add_array("i", (5, 5), "YX").name for _ in range(3)]
    assert names == ["i", "i (2)", "i (3)"]


def test_only_so_much_history_is_read(project, image, monkeypatch):
    journal = image.journal()
    old, new = many(100), many(100, seed=1)
    journal.record(Change("propose", "m@1", old, NONE))
    pairs = [(old, new), (new, old)] * 5
    for number, (before, after) in enumerate(pairs):
        journal.record(do(dict(before.items()), dict(after.items()), f"step {number}"))
    monkeypatch.setattr("napari_localize.project.journal.MOST_BOXES", 300)
    history = image.load().history
    texts = []
    while step := history.undo():
        texts.append(step.text)
        journal.record(Change("undo", step.text, step.before, NONE))
    assert texts == ["step 9", "step 8", "step 7"]
    # The older ones come when they are asked for.
    assert image.history().undo_text == "step 6"


def test_a_damaged_step_ends_the_history_and_nothing_else(tmp_path):
    with open_project(tmp_path / "a", create=True) as project:
        journal = project.add_array("i", (50, 50), "YX").journal()
        for number in range(4):
            journal.record(do({number: box()} if number else {}, {number + 1: box()}, f"step {number}"))
    database = sqlite3.connect(tmp_path / "a.localize" / FILE)
    database.execute("UPDATE journal SET payload = x'00' WHERE id = 2")
    database.commit()
    database.close()
    with open_project(tmp_path / "a") as project:
        loaded = project.image("i").load()
        assert list(boxes_of(loaded)) == [4]
        assert [loaded.history.undo().text, loaded.history.undo().text, loaded.history.undo()] == [
            "step 3",
            "step 2",
            None,
        ]


def test_classes_have_keys(project, image):
    image.journal().record(do({}, {}, classes=({}, CLASSES)))
    project.set_class_key("cell", "Shift+1")
    project.set_class_key("dot", "Shift+1")
    assert project.class_keys == {"dot": "Shift+1"}
    image.journal().record(do({}, {}, classes=(CLASSES, {"cell": "#111111", "spot": "#222222"})))
    assert project.class_keys == {"spot": "Shift+1"}
    project.set_class_key("spot", None)
    assert project.class_keys == {}
    with pytest.raises(UserError, match="there is no class 'dot'"):
        project.set_class_key("dot", "1")


def test_models_and_how_well_they_did_are_kept(tmp_path):
    with open_project(tmp_path / "a", create=True) as project:
        project.add_model("mine@1", "abc", {"classes": ["cell"]})
        project.add_model("mine@1", "abc", {"classes": ["cell"]})
        with pytest.raises(UserError, match="knows another model as mine@1"):
            project.add_model("mine@1", "def", {})
        project.add_evaluation("mine@1", {"AP50": 0.5})
    with open_project(tmp_path / "a") as project:
        (model,) = project.models()
        assert (model.reference, model.sha256, model.card) == ("mine@1", "abc", {"classes": ["cell"]})
        (evaluation,) = project.evaluations()
        assert (evaluation.model, evaluation.result) == ("mine@1", {"AP50": 0.5})
