"""What is finished on images of a project counts in Retrain and Evaluate, whether they are open or not."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.findings import Finding
from napari_localize.engine import Engine
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.marks import marks_of
from napari_localize.project import open_project
from napari_localize.widgets._evaluate_sides import REVIEWED
from napari_localize.widgets.evaluate import EvaluateWidget
from napari_localize.widgets.project import ProjectWidget
from napari_localize.widgets.retrain import RetrainWidget

CORNERS = [[5, 5, 13, 13], [20, 50, 28, 58], [40, 10, 60, 30], [60, 50, 80, 70]]


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "data"))


@pytest.fixture
def plate(tmp_path, squares):
    """A closed project: two images that are finished, one with an area that is, one that nobody has finished, a stack."""
    folder = tmp_path / "images"
    folder.mkdir()
    boxes = Detections(CORNERS, [0, 0, 1, 1], class_names=("small", "large"), states=["added"] * 3 + ["rejected"])
    with open_project(tmp_path / "plate", create=True) as project:
        for number, name in enumerate(("a", "b", "part", "open")):
            tifffile.imwrite(folder / f"{name}.tif", squares + np.uint8(number))
        tifffile.imwrite(folder / "movie.tif", np.stack([squares] * 3), imagej=True, metadata={"axes": "TYX"})
        project.add_images([folder], {})
        with project.edit("draw") as edit:
            for plane in ("a.tif", "b.tif", "part.tif", "open.tif", "movie.tif#t=1"):
                edit.add(plane, boxes)
            for plane in ("a.tif", "b.tif", "movie.tif#t=1"):
                edit.finish(plane)
            edit.set_area("part.tif", (0, 0, 30, 80), "reviewed")
        return project.path


@pytest.fixture
def listed(dock, plate):
    """The Project dock with this project."""
    widget = dock(ProjectWidget)
    widget.tasks.open_path(plate)
    return widget


def open_image(listed, name):
    (image,) = [image for image in listed.model.images if image.name == name]
    listed.open_entry(image)


def test_a_model_learns_from_all_that_is_finished_in_the_project(
    dock, listed, viewer, until, finish, monkeypatch, plate
):
    sent = []
    train = Engine.train

    def listen(engine, planes, annotations, settings, **options):
        sent.append((planes, annotations, options))
        return train(engine, planes, annotations, settings, **options)

    monkeypatch.setattr(Engine, "train", listen)
    widget = dock(RetrainWidget)
    widget.base.choose("plain@1")
    until(lambda: "<b>3</b> finished planes and <b>1</b> finished area (4 of images" in widget.material.text())
    # An image that is open counts as it is there, and what nobody has finished not at all.
    open_image(listed, "open.tif")
    open_image(listed, "a.tif")
    until(lambda: "<b>3</b> finished planes and <b>1</b> finished area (3 of images" in widget.material.text())
    layer = viewer.layers.selection.active
    box_layer(layer).unfinish(())
    until(lambda: "<b>2</b> finished planes and <b>1</b> finished area (3 of images" in widget.material.text())
    # Finished on the screen and closed a moment later.
    box_layer(layer).finish(())
    open_image(listed, "open.tif")
    until(lambda: "<b>3</b> finished planes and <b>1</b> finished area (4 of images" in widget.material.text())
    until(lambda: widget.train_button.isEnabled())
    widget.train()
    finish(widget)
    planes, annotations, options = sent[0]
    assert sorted(options["names"]) == ["a.tif", "b.tif", "movie.tif#t=1", "part.tif"]
    assert all((boxes.states == "rejected").sum() == 1 for boxes in annotations)
    at = options["names"].index("b.tif")
    assert planes[at].read(0, 1, 0, 1)[0, 0] == 1
    assert options["known"][options["names"].index("part.tif")].reviewed is not None
    widget.data.add(plate)
    assert "learnt from already" in widget.told.text()
    assert not widget.data.added


def test_an_image_is_learnt_from_that_was_finished_and_closed_at_once(dock, listed, viewer, tmp_path, squares, until):
    tifffile.imwrite(tmp_path / "fresh.tif", squares + np.uint8(9))
    listed.tasks.add([tmp_path / "fresh.tif"])
    until(lambda: not listed.tasks.busy and any(image.name == "fresh.tif" for image in listed.model.images))
    widget = dock(RetrainWidget)
    until(lambda: "<b>3</b> finished planes" in widget.material.text())
    open_image(listed, "fresh.tif")
    boxes = box_layer(viewer.layers.selection.active)
    boxes.layer.add([[5, 5], [5, 13], [13, 13], [13, 5]], shape_type="rectangle")
    boxes.finish(())
    open_image(listed, "open.tif")
    until(lambda: "<b>4</b> finished planes" in widget.material.text())


def test_another_project_brings_its_own(dock, listed, tmp_path, until):
    widget = dock(RetrainWidget)
    until(lambda: "finished planes" in widget.material.text())
    with open_project(tmp_path / "empty", create=True) as other:
        path = other.path
    listed.tasks.open_path(path)
    until(lambda: "Nothing to learn from yet" in widget.material.text())


def test_images_that_cannot_be_read_are_named(dock, plate, until):
    (plate.parent / "images" / "b.tif").unlink()
    listed = dock(ProjectWidget)
    listed.tasks.open_path(plate)
    widget = dock(RetrainWidget)
    until(lambda: "<b>2</b> finished planes and <b>1</b> finished area" in widget.material.text())
    assert "b.tif is missing" in widget.material.text()
    evaluation = dock(EvaluateWidget)
    evaluation.sides.choose(truth=REVIEWED)
    # Half of the truth is none.
    with pytest.raises(UserError, match="still being read"):
        evaluation.sides.task()
    until(lambda: len(evaluation.unopened.planes()) == 3)
    assert ["b.tif is missing" in note for note in evaluation.sides.task().truth.planes.notes] == [True]


def test_a_model_is_judged_by_all_that_is_finished_in_the_project(dock, listed, until, finish):
    widget = dock(EvaluateWidget)
    until(lambda: len(widget.unopened.planes()) == 4)
    widget.sides.choose(truth=REVIEWED)
    truth = widget.sides.task().truth
    assert sorted(truth.planes) == ["a.tif", "b.tif", "movie.tif#t=1", "part.tif"]
    assert len(truth.planes["a.tif"]) == 3
    assert truth.planes.known("part.tif").reviewed is not None


def test_a_finding_on_an_image_of_the_project_opens_it(dock, listed, viewer, until):
    widget = dock(EvaluateWidget)
    findings = [Finding(name, (5.0, 5.0, 13.0, 13.0), "missed", "an object") for name in ("a.tif", "movie.tif#t=1")]
    bar = widget.result.findings
    bar.set_findings("Missed", findings)
    assert "<a href='open'" in bar.text()
    assert not len(viewer.layers)
    bar._text.linkActivated.emit("open")
    assert marks_of(viewer).layer is not None
    assert "not open" not in bar.text()
    bar.next()
    assert "not open" not in bar.text()
    assert viewer.dims.current_step[0] == 1
    assert not any(layer.name == "a.tif" for layer in viewer.layers)
