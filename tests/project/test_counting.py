from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.core.lots import Lot
from napari_localize.evaluation.counts import Counting
from napari_localize.project import open_project
from napari_localize.project.counting import project_planes
from napari_localize.project.lots import lot_of, set_lot


@pytest.fixture
def project(tmp_path):
    with open_project(tmp_path / "plate", create=True) as project:
        project.add_array("stack", (8, 90, 90), "ZYX")
        project.add_array("flat", (90, 90), "YX")
        for plane in project.planes():
            corners = [(10 * n, 0, 10 * n + 8, 8) for n in range(5)]
            project.propose(plane, Detections(corners, scores=np.full(5, 0.8), class_names=("cell",)), "nuclei@1")
        yield project


def test_planes_of_all_images_are_counted(project):
    planes = project_planes(project)
    assert len(planes) == 9
    assert {plane.name for plane in planes.values()} >= {"flat", "stack#z=3"}
    assert Counting(tuple(planes.values())).at().classes.loc["all", "found"] == 45
    with project.edit("finish") as edit:
        for name in ("stack#z=0", "stack#z=1", "flat"):
            edit.accept(project.detections(name).ids)
            edit.finish(name)
    known = [plane for plane in project_planes(project).values() if plane.known is not None]
    assert len(known) == 3
    assert [len(plane.true) for plane in known] == [5, 5, 5]


def test_a_lot_is_kept_with_the_project_and_goes_with_its_image(project):
    stack = project.image("stack")
    assert lot_of(project) == Lot()
    whole = Lot(3).drawn(4, list(project_planes(project)))
    one = Lot(1).drawn(2, [(stack.id, index) for index in stack.planes()])
    set_lot(project, whole)
    set_lot(project, one, stack.id)
    assert lot_of(project) == whole
    assert lot_of(project, stack.id) == one
    assert sum(plane.drawn for plane in project_planes(project).values()) == 4
    assert sum(plane.drawn for plane in project_planes(project, [stack], one).values()) == 2
    project.remove_image(stack)
    assert lot_of(project, stack.id) == Lot()


def test_a_removed_image_leaves_the_lot_of_the_project(project):
    stack, flat = project.images()
    set_lot(project, Lot(3, ((flat.id, ()), (stack.id, (2,)), (stack.id, (5,)))))
    project.remove_image(stack)
    assert lot_of(project) == Lot(3, ((flat.id, ()),))
    project.remove_image(flat)
    new = project.add_array("new", (90, 90), "YX")
    assert not any(plane.drawn for plane in project_planes(project, [new]).values())


def test_a_lot_that_was_tampered_with_is_empty(project):
    with project.database.transaction() as connection:
        connection.execute("INSERT INTO meta VALUES ('lot', '[1, {')")
    assert lot_of(project) == Lot()
