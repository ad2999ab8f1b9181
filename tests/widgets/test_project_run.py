"""A model on all images of the project, open or not."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.opening import close_image, layer_of, open_in, switch_to
from napari_localize.project import open_project
from napari_localize.widgets import _project_run
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.project import ProjectWidget


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "data"))


@pytest.fixture
def plate(tmp_path, squares):
    """A project with two planes, a movie of three, and a file that was damaged after it was added."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.tif", "b.tif", "damaged.tif"):
        tifffile.imwrite(folder / name, squares)
    movie = np.stack([squares, np.zeros_like(squares), squares])
    tifffile.imwrite(folder / "movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    with open_project(tmp_path / "plate", create=True) as project:
        project.add_images([folder], {})
        os.truncate(folder / "damaged.tif", 100)
        return project.path


@pytest.fixture
def widget(dock, viewer, plate):
    switch_to(viewer, open_project(plate))
    widget = dock(LocalizeWidget)
    widget.model.choose("plain@1")
    widget.scope.project.setChecked(True)
    return widget


def project_of(viewer):
    return keeper_of(viewer).project


def numbers(viewer):
    """How many guesses each image has."""
    project_of(viewer).settle()
    return {
        image.name: sum(n for by in image.counts.values() for n in by.values()) for image in project_of(viewer).images()
    }


def test_all_images_are_done_and_what_is_wrong_is_named(widget, viewer, finish):
    widget.run()
    assert widget.busy
    assert not widget.run_button.isEnabled()
    finish(widget)
    assert numbers(viewer) == {"a.tif": 5, "b.tif": 5, "damaged.tif": 0, "movie.tif": 10}
    text = widget.status.text()
    assert text.startswith("3 images done, 5 planes: 16 boxes found. Not done: damaged.tif; ")
    assert "has changed" in text
    assert widget.run_button.isEnabled()
    layer = open_in(viewer, project_of(viewer).image("movie.tif"))
    assert box_layer(layer).filter[0] == widget.filter.score
    assert len(box_layer(layer).shown()) == 8
    assert box_layer(layer).planes() == [(0,), (2,)]
    assert [model.reference for model in project_of(viewer).models()] == ["plain@1"]


def test_what_has_been_done_is_not_done_again_unless_that_is_wanted(widget, viewer, finish, engine):
    widget.run()
    finish(widget)
    ids = {image.name: image.load().rows.ids.tolist() for image in project_of(viewer).images()}
    widget.run()
    finish(widget)
    assert widget.status.text().startswith(
        "On 3 images this model had run in the same way; tick 'again where it has run'"
    )
    assert ids == {image.name: image.load().rows.ids.tolist() for image in project_of(viewer).images()}
    assert widget.scope.again.isVisibleTo(widget)
    widget.scope.again.setChecked(True)
    widget.run()
    finish(widget)
    assert "3 images done" in widget.status.text()
    widget.scope.again.setChecked(False)
    project_of(viewer).image("b.tif").clear()
    widget.run()
    finish(widget)
    assert numbers(viewer)["b.tif"] == 5
    assert "1 image done" in widget.status.text()
    widget.size.set_diameter(31.0)
    widget.run()
    finish(widget)
    assert "3 images done" in widget.status.text()


def test_an_open_image_gets_them_in_its_layer_and_a_persons_boxes_stay(widget, viewer, finish):
    project = project_of(viewer)
    layer = open_in(viewer, project.image("a.tif"))
    boxes = box_layer(layer)
    layer.add(np.array([[5, 5], [5, 13], [13, 13], [13, 5]], float), shape_type="rectangle")
    boxes.reconcile()
    with project.edit("draw") as edit:
        edit.add("b.tif", boxes.approved())
    widget.run()
    finish(widget)
    for kept in (boxes, box_layer(open_in(viewer, project.image("b.tif")))):
        assert kept.by_state()["added"] == 1
        assert kept.by_state()["proposed"] == 3
    project.settle()
    assert dict(project.image("a.tif").load().rows.items()) == dict(boxes.table.boxes)
    assert "2 boxes of the model lie on boxes that you have judged" in widget.status.text()
    boxes.undo()
    assert boxes.by_state()["added"] == 0


def test_an_image_that_is_opened_while_it_is_stored_shows_what_is_stored(widget, viewer, finish, monkeypatch):
    """The worst moment: after it was asked whether the image is open, before its boxes are on disk."""
    project = project_of(viewer)
    show = _project_run.ProjectRun._show

    def opened_too_late(run, image, found):
        answer = show(run, image, found)
        if image.name == "b.tif":
            open_in(viewer, image)
        return answer

    monkeypatch.setattr(_project_run.ProjectRun, "_show", opened_too_late)
    widget.run()
    finish(widget)
    layer = layer_of(viewer, project.image("b.tif"))
    boxes = box_layer(layer)
    assert len(boxes) == 5
    boxes.accept(boxes.shown())
    project.settle()
    assert dict(project.image("b.tif").load().rows.items()) == dict(boxes.table.boxes)
    close_image(viewer, project.image("b.tif"))


def test_it_stops_and_goes_on_where_it_was(widget, viewer, finish, until, write_model, models):
    widget.model.choose("slow@1")
    widget.run()
    until(lambda: "Image 1 of 4" in widget.status.text())
    widget.cancel()
    finish(widget)
    assert widget.status.text() == "Cancelled at image 1 of 4. What is done stays, and Run goes on from there."
    assert numbers(viewer)["a.tif"] == 0
    widget.model.choose("fatal@1")
    widget.run()
    finish(widget)
    # Once may be the image's fault, twice in a row is not.
    assert "stopped unexpectedly" in widget.status.text()
    assert set(numbers(viewer).values()) == {0}
    assert widget.run_button.isEnabled()
    widget.model.choose("broken@1")
    widget.run()
    finish(widget)
    assert "Not done: a.tif and 3 more" in widget.status.text()


def test_points_are_given_where_they_are_wanted_and_nothing_is_there_yet(widget, viewer, finish):
    project = project_of(viewer)
    open_in(viewer, project.image("a.tif"))
    layer = open_in(viewer, project.image("b.tif"))
    layer.add(np.array([[5, 5], [5, 13], [13, 13], [13, 5]], float), shape_type="rectangle")
    box_layer(layer).reconcile()
    widget.answer.setCurrentText("points")
    widget.run()
    finish(widget)
    opened = box_layer(layer_of(viewer, project.image("a.tif")))
    assert opened.points
    assert len(opened) == 5
    assert box_layer(open_in(viewer, project.image("movie.tif"))).points
    assert layer_of(viewer, project.image("b.tif")) is layer
    assert box_layer(layer).by_state()["proposed"] == 3


def test_the_list_of_images_follows_without_being_made_anew(widget, dock, viewer, finish):
    projects = dock(ProjectWidget)
    chosen = projects.model.entry(2)
    projects.list.choose(chosen)
    remade = []
    projects.model.modelReset.connect(lambda: remade.append(True))
    stored = []
    keeper_of(viewer).image_stored.connect(lambda image: stored.append((image.name, bool(remade))))
    widget.run()
    finish(widget)
    assert stored == [("a.tif", False), ("b.tif", False), ("movie.tif", False)]
    assert [image.status for image in projects.model.images] == ["predicted", "predicted", "untouched", "predicted"]


def test_another_project_stops_it(widget, viewer, finish, until, tmp_path):
    widget.model.choose("slow@1")
    widget.run()
    until(lambda: "Image 1 of 4" in widget.status.text())
    first = project_of(viewer).path
    switch_to(viewer, open_project(tmp_path / "other", create=True))
    assert not widget.busy
    assert "another project was opened" in widget.status.text()
    assert widget.run_button.isEnabled()
    with open_project(first) as project:
        assert project.read_only_reason is None
        assert {image.status for image in project.images()} == {"untouched"}


def test_the_sliders_show_what_the_layer_shows(widget, viewer, finish, until):
    layer = open_in(viewer, project_of(viewer).image("a.tif"))
    box_layer(layer).set_filter(0.8)
    widget.filter.set_score(0.3)
    widget.run()
    finish(widget)
    assert box_layer(layer).filter == (widget.filter.score, widget.filter.sizes)


def test_the_dock_says_when_there_is_no_project_to_run_on(dock, viewer, plate):
    widget = dock(LocalizeWidget)
    assert not widget.scope.project.isEnabled()
    assert "Open one in the Project dock first." in widget.scope.project.toolTip()
    projects = dock(ProjectWidget)
    viewer.open(plate / "project.sqlite", plugin="napari-localize")
    assert widget.scope.project.isEnabled()
    widget.scope.project.setChecked(True)
    with open_project(plate.with_name("other"), create=True) as other:
        projects.tasks.open_path(other.path)  # it is open already, so this one may only be read
        assert not widget.scope.project.isEnabled()
        assert widget.scope.plane.isChecked()
        assert "Not now: " in widget.scope.project.toolTip()


def test_an_empty_project_and_a_full_disk_are_told(dock, viewer, tmp_path, messages, finish, plate, monkeypatch):
    switch_to(viewer, open_project(tmp_path / "empty", create=True))
    widget = dock(LocalizeWidget)
    widget.model.choose("plain@1")
    widget.scope.project.setChecked(True)
    widget.run()
    assert not widget.busy
    assert "has no images yet" in messages()[-1]
    project = open_project(plate)
    switch_to(viewer, project)
    keeper_of(viewer).project_changed.emit()
    widget.scope.project.setChecked(True)

    def full(*args):
        raise UserError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(project, "write", full)
        widget.run()
        finish(widget)
    assert "the disk is full" in widget.status.text()
    assert set(numbers(viewer).values()) == {0}
    widget.run()
    finish(widget)
    assert numbers(viewer)["a.tif"] == 5


def test_the_most_useful_image_is_the_next_when_that_is_wanted(widget, dock, viewer, finish, until, plate, squares):
    projects = dock(ProjectWidget)
    with project_of(viewer).edit("done") as edit:
        edit.finish("damaged.tif")
    projects.tasks.changed.emit()
    tifffile.imwrite(plate.parent / "images" / "doubtful.tif", np.where(squares > 100, 140, 0).astype(np.uint8))
    projects.tasks.add([plate.parent / "images" / "doubtful.tif"])
    until(lambda: not projects.tasks.busy)
    widget.run()
    finish(widget)
    assert not widget.busy
    projects.useful_choice.setChecked(True)
    seen = []
    for _ in range(6):
        projects.next_button.click()
        until(lambda: not projects._ranking.busy)
        current = projects.current
        assert any(why in projects.message.text() for why in ("most to learn from", "drawn by lot"))
        seen.append(current.name)
        box_layer(layer_of(viewer, current.image)).finish(current.index)
    assert seen[0] == "doubtful.tif"
    assert sorted(seen) == ["a.tif", "b.tif", "doubtful.tif", "movie.tif#t=0", "movie.tif#t=1", "movie.tif#t=2"]
    projects.next_button.click()
    until(lambda: not projects._ranking.busy)
    assert projects.message.text() == "All is finished."
