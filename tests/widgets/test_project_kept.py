"""The Project dock where boxes have no project yet, are left from before, or may only be read."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import close_keepers, keeper_of
from napari_localize.plugin.layers import is_box_layer, new_box_layer
from napari_localize.project import open_project
from napari_localize.widgets.project import ProjectWidget
from napari_localize.widgets.review import ReviewWidget


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "data"))


@pytest.fixture
def widget(dock):
    return dock(ProjectWidget)


@pytest.fixture
def opened(widget, project):
    widget.tasks.open_path(project)
    return widget


def names(widget):
    return [widget.model.data(widget.model.index(row)) for row in range(widget.model.rowCount())]


def entry(widget, name):
    (row,) = [row for row, found in enumerate(names(widget)) if found == name]
    return widget.model.entry(row)


def layer_names(viewer):
    return [layer.name for layer in viewer.layers]


def answer(monkeypatch, name, value):
    monkeypatch.setattr(QFileDialog, name, lambda *args, **kwargs: value)


def agree(monkeypatch):
    monkeypatch.setattr(QMessageBox, "question", lambda *args: QMessageBox.StandardButton.Yes)


def draw(viewer):
    """Draw a box on the open image."""
    layer = viewer.layers.selection.active
    layer.add(np.array([[3, 4], [3, 20], [20, 20], [20, 4]], float), shape_type="rectangle")
    box_layer(layer).reconcile()
    return layer


def test_boxes_without_a_project_are_shown_and_get_a_name(widget, viewer, tmp_path, monkeypatch, until):
    image = viewer.add_image(np.zeros((50, 50)), name="loose")
    viewer.add_layer(new_box_layer(image))
    viewer.layers.selection.active = viewer.layers[-1]
    draw(viewer)
    until(lambda: names(widget) == ["loose"])
    assert "boxes without a project" in widget.head.title.text()
    until(lambda: entry(widget, "loose").status == "in work")
    answer(monkeypatch, "getSaveFileName", (str(tmp_path / "named.localize"), ""))
    widget.head.save_button.click()
    until(lambda: not widget.tasks.busy)
    assert "Saved as named.localize" in widget.message.text()
    assert "named.localize" in widget.head.title.text()
    assert not widget.head.save_button.isVisibleTo(widget)
    close_keepers()
    with open_project(tmp_path / "named") as project:
        assert project.image("loose").counts == {"object": {"added": 1}}


def test_what_was_left_behind_is_offered(dock, viewer, tmp_path, until, monkeypatch):
    from napari_localize.project import autosave_project
    from napari_localize.widgets import _project_actions, _project_recover

    for number in (1, 2):
        with autosave_project() as left:
            image = left.add_array(f"cells {number}", (50, 50), "YX")
            with left.edit("draw") as edit:
                edit.add(image.name, Detections(np.array([[1, 2, 9, 9]] * number), class_names=("cell",)))
    widget = dock(ProjectWidget)
    until(lambda: "3 boxes of earlier sessions" in widget.head.left.text())

    class Person(_project_recover.RecoverDialog):
        def exec(self):
            assert self.table.topLevelItemCount() == 2
            agree(monkeypatch)
            self.discard_button.click()
            assert self.table.topLevelItemCount() == 1
            self.open_button.click()

    monkeypatch.setattr(_project_actions, "RecoverDialog", Person)
    widget.head.recover_button.click()
    assert len(names(widget)) == 1
    assert "boxes without a project" in widget.head.title.text()
    widget.open_entry(widget.model.entry(0))
    assert is_box_layer(viewer.layers.selection.active)
    until(lambda: not widget.head.recover_button.isVisibleTo(widget))


def test_a_read_only_project_says_why(widget, project):
    with open_project(project):
        widget.tasks.open_path(project)
        assert "Read only:" in widget.head.summary.text()
        assert "open already" in widget.head.summary.text()
        close_keepers()


@pytest.mark.parametrize("closed", [False, True])
def test_edits_of_a_read_only_project_are_saved_under_another_name(
    widget, viewer, project, tmp_path, monkeypatch, until, closed
):
    with open_project(project):
        widget.tasks.open_path(project)
        widget.open_entry(entry(widget, "a1.tif"))
        layer = draw(viewer)
        answer(monkeypatch, "getSaveFileName", (str(tmp_path / "mine.localize"), ""))
        widget.tasks.save_as()
        if closed:
            widget.tasks.abandon()
        until(lambda: not widget.tasks.busy and box_layer(layer).journal is not None)
        assert len(box_layer(layer)) == 1
        box_layer(layer).accept(draw(viewer).features["id"])
        close_keepers()
    with open_project(tmp_path / "mine") as mine:
        assert mine.image("a1.tif").counts == {"object": {"added": 2}}
    with open_project(project) as old:
        assert old.image("a1.tif").counts == {}


def test_the_file_in_a_project_opens_it(widget, viewer, project):
    viewer.open(project / "project.sqlite", plugin="napari-localize")
    assert len(names(widget)) == 4
    assert layer_names(viewer) == ["a1.tif", "a1.tif boxes"]


def test_the_file_of_the_project_that_is_open_leaves_it_as_it_is(opened, viewer, project, tmp_path):
    opened.open_entry(entry(opened, "a1.tif"))
    draw(viewer)
    before = keeper_of(viewer).project
    (tmp_path / "link").symlink_to(project, target_is_directory=True)
    for folder in (project, tmp_path / "link"):
        viewer.open(folder / "project.sqlite", plugin="napari-localize")
        assert keeper_of(viewer).project is before
        opened.tasks.open_path(folder)
        assert opened.message.text().endswith("is open already.")
    assert not before.closed
    assert before.read_only_reason is None
    draw(viewer)
    assert len(entry(opened, "a1.tif").load().rows) == 2


def test_the_file_of_a_project_that_cannot_be_opened_now_stays_free(opened, viewer, tmp_path, monkeypatch):
    with open_project(tmp_path / "second", create=True) as second:
        folder = second.path

    def refuse(*args):
        raise UserError("the disk is full")

    before = keeper_of(viewer).project
    with monkeypatch.context() as patch:
        patch.setattr(before, "settle", refuse)
        with pytest.raises(UserError, match="the disk is full"):
            viewer.open(folder / "project.sqlite", plugin="napari-localize")
    assert keeper_of(viewer).project is before
    with open_project(folder) as second:
        assert second.read_only_reason is None


def test_a_person_is_told_once_of_what_was_left_behind(dock, messages, monkeypatch, until):
    from napari_localize.plugin import recovery
    from napari_localize.project import autosave_project

    with autosave_project() as left:
        image = left.add_array("cells", (50, 50), "YX")
        with left.edit("draw") as edit:
            edit.add(image.name, Detections(np.array([[1, 2, 9, 9]]), class_names=("cell",)))
    monkeypatch.setattr(recovery, "_told", threading.Event())
    dock(ReviewWidget)
    until(lambda: len(messages()) == 1)
    assert "Boxes of an earlier session were kept, 1 in all" in messages()[0]
    dock(ProjectWidget)
    recovery.tell_of_boxes_left_behind()
    assert len(messages()) == 1
