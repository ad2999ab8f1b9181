"""What a script does with a project."""

from __future__ import annotations

import numpy as np
import pytest
from tests.project.conftest import box, boxes_of, do

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.project import open_project


def found(*xs, names=("cell",), **columns):
    boxes = np.array([[x, 0, x + 10, 10] for x in xs], np.float32).reshape(-1, 4)
    return Detections(boxes, class_names=names, **columns)


def guesses(*xs, names=("cell",)):
    return found(*xs, names=names, scores=np.full(len(xs), 0.5))


@pytest.fixture
def stack(project):
    return project.add_array("movie.tif", (3, 100, 120), "TYX")


@pytest.fixture
def two(project, image, stack):
    """Ids of two boxes of a model in different images."""
    project.propose("cells", guesses(0), "m@1")
    project.propose("movie.tif#t=1", guesses(5), "m@1")
    return [int(project.detections(name).ids[0]) for name in ("cells", "movie.tif#t=1")]


def states(project, *names):
    return [
        project.detections(name, ("proposed", "accepted", "edited", "added", "rejected")).states.tolist()
        for name in names
    ]


def test_an_edit_is_one_step_across_images(project, two):
    with project.edit("go through it") as edit:
        (new,) = edit.add("cells", found(50))
        edit.accept(two)
        edit.set_class([new], "dot")
        edit.finish("movie.tif#t=1")
        edit.set_area("cells", (0, 0, 20, 20), "reviewed")
    after = states(project, "cells", "movie.tif#t=1")
    assert after == [["accepted", "added"], ["accepted"]]
    assert list(project.classes) == ["cell", "dot"]
    assert project.image("movie.tif").finished == 1
    assert project.undo() == "go through it"
    assert states(project, "cells", "movie.tif#t=1") == [["proposed"], ["proposed"]]
    assert list(project.classes) == ["cell"]
    assert project.image("movie.tif").finished == 0
    assert project.image("cells").load().areas == frozenset()
    assert project.undo() is None
    assert project.redo() == "go through it"
    assert states(project, "cells", "movie.tif#t=1") == after
    assert list(project.classes) == ["cell", "dot"]
    assert project.image("cells").load().areas == {Area((), (0.0, 0.0, 20.0, 20.0), "reviewed")}
    assert project.redo() is None


def test_an_edit_that_fails_changes_nothing(project, two):
    before = states(project, "cells", "movie.tif#t=1")

    def half():
        with project.edit("half") as edit:
            edit.accept(two)
            edit.add("cells", found(70, names=("other",)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert states(project, "cells", "movie.tif#t=1") == before
    assert list(project.classes) == ["cell"]
    assert project.undo() is None


def test_an_edit_that_does_nothing_is_no_step(project, two):
    with project.edit("nothing") as edit:
        edit.accept([])
        (new,) = edit.add("cells", found(50))
        edit.delete([new])
    assert project.undo() is None


def test_the_window_and_a_script_share_the_history(project, image):
    image.journal().record(do({}, {1: box()}, "by hand"))
    with project.edit("by script") as edit:
        edit.update("cells", Detections(np.array([[7, 7, 9, 9]]), ids=np.array([1]), class_names=("cell",)))
    history = image.load().history
    assert [history.undo().text, history.undo().text] == ["by script", "by hand"]
    assert boxes_of(image.load())[1].state == "edited"
    assert boxes_of(image.load())[1].score == 0.5
    assert [project.undo(), project.undo()] == ["by script", "by hand"]
    assert len(project.detections("cells")) == 0


def test_a_model_never_changes_what_a_person_did(project, image):
    project.propose("cells", guesses(0, 20, 40, 60), "m@1")
    ids = project.detections("cells").ids
    with project.edit("judge") as edit:
        edit.accept(ids[:1])
        edit.reject(ids[1:2])
        edit.update("cells", Detections(np.array([[43, 0, 53, 10]]), ids=ids[2:3], class_names=("cell",)))
    left_out = project.propose("cells", guesses(1, 21, 42, 80, names=("dot",)), "m@2")
    assert left_out == 3
    loaded = boxes_of(image.load())
    assert [(each.xyxy[0], each.state, each.origin) for each in loaded.values()] == [
        (0, "accepted", "m@1"),
        (20, "rejected", "m@1"),
        (43, "edited", "m@1"),
        (80, "proposed", "m@2"),
    ]
    project.propose("cells", Detections.empty(("dot",)), "m@3")
    assert [each.state for each in boxes_of(image.load()).values()] == ["accepted", "rejected", "edited"]


def test_rejected_boxes_are_left_out_unless_asked_for(project, two):
    with project.edit("reject") as edit:
        edit.reject(two)
    assert len(project.detections("cells")) == 0
    assert project.detections("cells", states=["rejected"]).ids.tolist() == two[:1]
    with project.edit("delete") as edit:
        edit.delete(two)
    assert len(project.detections("cells", states=["rejected"])) == 0


def test_undo_does_not_bring_back_guesses_that_were_replaced(project, image):
    project.propose("cells", guesses(0), "m@1")
    image.journal().record(do({1: box(0)}, {1: box(0, "other")}))
    project.propose("cells", guesses(80), "m@2")
    project.undo()
    assert [each.xyxy[0] for each in boxes_of(image.load()).values()] == [80]


@pytest.mark.parametrize(
    ("plane", "sentence"),
    [
        ("nowhere.tif", "there is no image 'nowhere.tif'"),
        ("movie.tif", "has several planes; name one of them, such as movie.tif#t=0"),
        ("movie.tif#t=3", "has no plane '#t=3'"),
        ("movie.tif#z=0", "has no plane '#z=0'"),
        ("cells#t=0", "has no plane '#t=0'"),
    ],
)
def test_a_plane_that_is_not_there_gets_a_sentence(project, image, stack, plane, sentence):
    with pytest.raises(UserError, match=sentence):
        project.detections(plane)
    with pytest.raises(UserError, match=sentence), project.edit("x") as edit:
        edit.add(plane, found(1))


def test_boxes_that_are_not_there_get_a_sentence(project, two):
    with pytest.raises(UserError, match="the project has no box 99"), project.edit("x") as edit:
        edit.accept([*two, 99])
    with pytest.raises(UserError, match=f"box {two[1]} is not on cells"), project.edit("x") as edit:
        edit.update("cells", found(1, ids=np.array(two[1:])))
    with pytest.raises(UserError, match="must be x0, y0, x1, y1"):
        project.set_area("cells", (5, 5, 5, 9))
    with pytest.raises(UserError, match="unknown state"):
        project.detections("cells", states=["good"])


def test_areas_are_set_and_taken_back(project, image):
    project.set_area("cells", (1, 2, 3, 4), "ignored")
    project.set_area("cells", (1, 2, 3, 4), "reviewed")
    assert [area.kind for area in image.load().areas] == ["reviewed"]
    project.set_area("cells", (1, 2, 3, 4), None)
    assert image.load().areas == frozenset()
    assert project.undo() == "take back area"
    assert [area.kind for area in image.load().areas] == ["reviewed"]


def test_annotations_come_in_and_go_out(tmp_path, project, stack, two):
    with project.edit("judge") as edit:
        edit.reject(two[:1])
        edit.finish("movie.tif#t=1")
    project.set_area("movie.tif#t=2", (5, 5, 60, 40), "reviewed")
    project.export_annotations(tmp_path / "out.json")
    written = read_annotations(tmp_path / "out.json")
    assert set(written) == {"cells", "movie.tif#t=1", "movie.tif#t=2"}
    assert [area[1:] for area in written.areas["movie.tif#t=2"]] == [((5, 5, 60, 40), "reviewed")]
    assert written["cells"].states.tolist() == ["rejected"]
    assert written.reviewed == {"movie.tif#t=1"}
    assert written.sizes["cells"] == (100, 120)
    with open_project(tmp_path / "other", create=True) as other:
        other.add_array("movie.tif", (3, 100, 120), "TYX")
        notes = other.import_annotations(tmp_path / "out.json")
        assert notes == ["Images that were not found beside the file, to be found with Relink: 1."]
        assert states(other, "cells", "movie.tif#t=1") == states(project, "cells", "movie.tif#t=1")
        assert other.planes()[1].status == "finished"
        assert [area.plane for area in other.image("movie.tif").load().areas] == [(2,)]
        assert "is missing" in other.image("cells").problem()
        # Once more changes nothing.
        assert "Boxes left out because the project has them already: 2." in other.import_annotations(
            tmp_path / "out.json"
        )
        assert other.undo() == "import out.json"
        assert other.detections("movie.tif#t=1").ids.tolist() == []


def test_objects_of_qupath_on_the_first_plane_of_a_stack_come_in(tmp_path, project, stack):
    import json

    def objects(name, *positions):
        square = [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]
        features = []
        for at in positions:
            geometry = {"type": "Polygon", "coordinates": square, **({"plane": {"c": -1, **at}} if at else {})}
            features.append({"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}})
        (tmp_path / name).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return tmp_path / name

    def drawn():
        return {plane.name for plane in project.planes() if plane.counts}

    project.import_annotations(objects("movie.tif.geojson", {}, {"z": 0, "t": 1}))
    assert drawn() == {"movie.tif#t=0", "movie.tif#t=1"}
    project.add_array("deep.tif", (3, 4, 100, 120), "TZYX")
    project.import_annotations(objects("deep.tif.geojson", {}, {"z": 2, "t": 0}, {"z": 0, "t": 1}))
    assert drawn() >= {"deep.tif#t=0,z=0", "deep.tif#t=0,z=2", "deep.tif#t=1,z=0"}
    # A name without a position still says nothing in a format that has positions.
    write_annotations(tmp_path / "boxes.json", Annotations({"movie.tif": found(1)}))
    with pytest.raises(UserError, match="has several planes"):
        project.import_annotations(tmp_path / "boxes.json")


def test_images_beside_the_annotations_are_added(tmp_path, project):
    import tifffile

    (tmp_path / "set").mkdir()
    tifffile.imwrite(tmp_path / "set" / "a.tif", np.zeros((50, 60), np.uint8))
    write_annotations(tmp_path / "set" / "boxes.json", Annotations({"a.tif": found(1)}))
    assert project.import_annotations(tmp_path / "set" / "boxes.json") == []
    assert project.image("a.tif").shape == (50, 60)
    assert project.detections("a.tif").states.tolist() == ["added"]
    assert project.image("a.tif").problem() is None


def test_a_table_of_an_image_writes_to_the_project(project, image):
    table = image.load().table(image.journal())
    table.propose({(): guesses(0, 20)}, "m@1")
    table.accept(table.boxes.ids[:1])
    table.undo()
    table.redo()
    table.rename_class("cell", "nucleus")
    again = image.load().table()
    assert boxes_of(again.take()) == boxes_of(table.take())
    assert again.classes == table.classes == project.classes
    assert again.history.undo_text == "rename class cell to nucleus"
    assert again.undo()
    assert again.undo().text == "accept 1 box"
