"""A model run on the images of a project."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tifffile

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.settings import PredictSettings
from napari_localize.project import open_project
from napari_localize.project.running import plane_sources, run_on

SETTINGS = PredictSettings()


def find(planes, tell):
    """One box a plane, whose class says how bright the plane is and whose score is high."""
    tell(1.0)
    found = []
    for plane in planes:
        height, width, channels = plane.shape
        value = int(plane.read(0, height, 0, width).max())
        found.append(
            Detections(np.array([[1, 1, 9, 9.0]]), None, np.array([0.9]), class_names=(f"{value} {channels}",))
        )
    return found


@pytest.fixture
def project(tmp_path):
    with open_project(tmp_path / "plate", create=True) as project:
        yield project


def write(path, data, axes):
    options = {"imagej": True} if set(axes) <= set("TZCYX") else {"ome": True}
    tifffile.imwrite(path, data, metadata={"axes": axes}, **options)
    return path


def numbered(*sizes):
    """Planes of 16 x 16 pixels, each as bright as its number."""
    numbers = np.arange(1, 1 + math.prod(sizes), dtype=np.uint8).reshape(*sizes, 1, 1)
    return np.broadcast_to(numbers, (*sizes, 16, 16)).copy()


def classes_by_plane(project, image):
    rows = image.load().rows
    return {box.plane: box.label for _, box in rows.items()}


@pytest.mark.parametrize(
    ("shape", "axes", "known_axes", "known", "wanted"),
    [
        ((3,), "TYX", "TYX", (3,), {(0,): "1 1", (1,): "2 1", (2,): "3 1"}),
        ((2, 3), "TZYX", "TZYX", (2, 3), {(t, z): f"{3 * t + z + 1} 1" for t in range(2) for z in range(3)}),
        # Boxes of a layer that napari has laid out in its own way
        ((1, 3), "TZYX", "ZYX", (3,), {(0,): "1 1", (1,): "2 1", (2,): "3 1"}),
        ((3,), "ZYX", "PTYX", (1, 3), {(0, 0): "1 1", (0, 1): "2 1", (0, 2): "3 1"}),
        ((3,), "CYX", "PYX", (3,), {(0,): "1 1", (1,): "2 1", (2,): "3 1"}),
        ((2, 3), "TCYX", "PZYX", (2, 3), {(t, c): f"{3 * t + c + 1} 1" for t in range(2) for c in range(3)}),
        ((3,), "CYX", "YX", (), {(): "3 3"}),
    ],
)
def test_boxes_come_to_the_planes_that_the_image_has(project, tmp_path, shape, axes, known_axes, known, wanted):
    file = write(tmp_path / "image.tif", numbered(*shape), axes)
    image = project.image(project.insert_image("image", str(file), None, None, known_axes, [*known, 16, 16]))
    report = run_on(project, [image], find, "m@1", SETTINGS)
    assert report.failed == {}
    assert classes_by_plane(project, image) == wanted
    assert (report.images, report.planes, report.boxes) == (1, len(wanted), len(wanted))


@pytest.mark.parametrize(
    ("shape", "axes", "known"), [((3,), "TYX", (4,)), ((2, 3), "TZYX", (3, 2)), ((4,), "CYX", (3,)), ((3,), "TYX", ())]
)
def test_a_file_with_other_planes_is_not_used(project, tmp_path, shape, axes, known):
    file = write(tmp_path / "image.tif", numbered(*shape), axes)
    image = project.image(
        project.insert_image("image", str(file), None, None, "PTYX"[-2 - len(known) :], [*known, 16, 16])
    )
    with pytest.raises(UserError, match="has other planes than its boxes"):
        plane_sources(image)
    report = run_on(project, [image], find, "m@1", SETTINGS)
    assert list(report.failed) == ["image"]
    assert not len(image.load().rows)


@pytest.fixture
def images(project, tmp_path):
    for name in ("a.tif", "b.tif"):
        write(tmp_path / name, numbered(2), "TYX")
    return project.add_images([tmp_path / "a.tif", tmp_path / "b.tif"])


def test_what_another_model_or_a_changed_file_has_made_old_is_done_again(project, images, tmp_path):
    def before(origin="m@1", settings=SETTINGS):
        return run_on(project, project.images(), find, origin, settings).before

    assert before() == []
    assert before() == ["a.tif", "b.tif"]
    project.propose("a.tif#t=0", Detections.empty(("x",)), "other@1")
    assert before() == ["b.tif"]
    assert before(settings=PredictSettings(object_diameter=12)) == []
    assert before() == []
    write(tmp_path / "a.tif", numbered(2) + 7, "TYX")
    image = project.image("a.tif")
    project.replace_file(image, tmp_path / "a.tif")
    assert before() == ["b.tif"]
    assert set(classes_by_plane(project, image).values()) == {"8 1", "9 1"}


def test_what_a_person_does_while_it_runs_is_kept(project, images):
    """In the middle of the run: a box is accepted, another drawn, an image taken out, the project saved elsewhere."""
    run_on(project, project.images(), find, "m@1", SETTINGS)
    asked = []

    def busy(planes, tell):
        asked.append(len(planes))
        if len(asked) == 1:
            with project.edit("judge") as edit:
                edit.accept(project.detections("a.tif#t=0").ids)
                edit.add("a.tif#t=1", Detections(np.array([[2, 2, 6, 6.0]]), class_names=("drawn",)))
            deep = project.path.parent / "deep" / "er"
            deep.mkdir(parents=True)
            project.save_as(deep / "copy")
            project.remove_image(project.image("b.tif"))
        return find(planes, tell)

    report = run_on(project, project.images(), busy, "m@2", SETTINGS)
    assert asked == [2]
    assert report.failed == {}
    assert (report.images, report.kept) == (1, 1)
    states = sorted(box.state for _, box in project.image("a.tif").load().rows.items())
    assert states == ["accepted", "added", "proposed"]
    assert project.check() == []


def test_an_image_that_got_boxes_meanwhile_does_not_become_one_of_points(project, images):
    listed = project.images()
    with project.edit("draw") as edit:
        edit.add("a.tif#t=1", Detections(np.array([[2, 2, 6, 6.0]]), class_names=("drawn",)))
    run_on(project, listed, find, "m@1", SETTINGS, points=True)
    assert project.image("a.tif").point_size is None
    assert project.image("b.tif").point_size == 8.0


def test_progress_never_says_that_an_image_is_done_before_it_is(project, images):
    seen = []
    run_on(
        project,
        project.images(),
        find,
        "m@1",
        SETTINGS,
        progress=lambda done, total, name: seen.append((int(done), name)),
    )
    assert set(seen) == {(0, "a.tif"), (1, "b.tif")}


def test_a_run_that_is_stopped_leaves_whole_images(project, images):
    def stop(planes, tell):
        if project.image("a.tif").status != "untouched":
            raise Cancelled
        return find(planes, tell)

    with pytest.raises(Cancelled):
        run_on(project, project.images(), stop, "m@1", SETTINGS)
    assert [image.status for image in project.images()] == ["predicted", "untouched"]
    assert run_on(project, project.images(), find, "m@1", SETTINGS).before == ["a.tif"]
