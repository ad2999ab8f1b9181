"""Points in a project: boxes of a nominal size that are known to be points."""

from __future__ import annotations

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.points import to_points
from napari_localize.formats import read_annotations
from napari_localize.project import open_project

SPOTS = to_points(Detections(np.array([[10, 10, 14, 14], [40, 20, 46, 24.0]])), 6)


def test_points_stay_points_when_a_project_is_opened_again(tmp_path):
    with open_project(tmp_path / "spots", create=True) as project:
        image = project.add_array("spots", (50, 60), "YX")
        image.set_point_size(6)
        with project.edit("add") as edit:
            edit.add("spots", SPOTS)
    with open_project(tmp_path / "spots") as project:
        image = project.images()[0]
        assert image.point_size == image.load().point_size == image.load().table().point_size == 6
        with project.database.reading() as connection:
            assert connection.execute("SELECT SUM(kind), COUNT(*) FROM boxes").fetchone() == (2, 2)
        assert project.check() == []
        image.set_point_size(None)
        assert image.point_size is None
        assert image.load().table().kind == "box"


def test_an_image_in_the_place_of_one_with_points_has_boxes(tmp_path):
    with open_project(tmp_path / "spots", create=True) as project:
        project.add_array("spots", (50, 60), "YX").set_point_size(6)
        project.remove_image(project.images()[0])
        assert project.add_array("cells", (50, 60), "YX").point_size is None


def test_a_point_that_a_person_has_judged_is_not_proposed_again(tmp_path):
    with open_project(tmp_path / "spots", create=True) as project:
        project.add_array("spots", (50, 60), "YX").set_point_size(6)
        project.propose("spots", SPOTS, "m@1")
        accepted, rejected = project.detections("spots").ids
        with project.edit("judge") as edit:
            edit.accept([accepted])
            edit.reject([rejected])
        # A model gives boxes of any size, of which only the centres count.
        assert project.propose("spots", Detections([[2, 2, 22, 22], [42, 21, 44, 23], [29, 29, 31, 31.0]]), "m@2") == 2
        found = project.detections("spots")
        assert found.boxes.tolist() == [[9, 9, 15, 15], [27, 27, 33, 33]]
        assert found.states.tolist() == ["accepted", "proposed"]


def test_points_go_out_and_come_in_as_points(tmp_path):
    with open_project(tmp_path / "one", create=True) as project:
        project.add_array("spots.tif", (50, 60), "YX").set_point_size(6)
        with project.edit("add") as edit:
            edit.add("spots.tif", SPOTS)
        project.export_annotations(tmp_path / "spots.json")
    assert read_annotations(tmp_path / "spots.json").points
    with open_project(tmp_path / "two", create=True) as project:
        project.import_annotations(tmp_path / "spots.json")
        assert project.images()[0].point_size == 6
