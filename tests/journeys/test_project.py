"""A project from its first image to the next day: made, filled, worked through, closed, opened again."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import close_keepers


@pytest.fixture
def folder(tmp_path):
    """The sample images, as a person has them in a folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("nuclei.tif", "tissue.png", "bacteria.tif"):
        shutil.copy(sample_folder() / name, folder / name)
    return folder


def choose(monkeypatch, name, value):
    """What the person picks in the file dialogue that opens next."""
    monkeypatch.setattr(QFileDialog, name, lambda *args, **kwargs: value)


def test_a_project_is_worked_on_and_is_there_the_next_day(
    person, viewer, make_napari_viewer, folder, tmp_path, monkeypatch, snapshot, qtbot
):
    """Make a project, add a folder, open, draw and accept, go on to the next, close napari, open it again, undo."""
    dock = person.open_dock("Project")
    review = person.open_dock("Review")
    dock.raise_()
    choose(monkeypatch, "getSaveFileName", (str(tmp_path / "plate.localize"), ""))
    dock.tasks.new()
    choose(monkeypatch, "getExistingDirectory", str(folder))
    dock.tasks.add_folder()
    person.wait(lambda: not dock.tasks.busy and dock.model.rowCount() == 3, "the images are there")
    dock.tasks.import_path(sample_folder() / ANNOTATIONS)
    person.wait(lambda: not dock.tasks.busy and dock.model.images[1].counts, "the boxes are there")
    person.picture("project-filled")

    dock.open_entry(dock.model.images[1])
    assert [layer.name for layer in viewer.layers] == ["nuclei.tif", "nuclei.tif boxes"]
    boxes = person.boxes
    before = len(boxes.shown())
    person.look_at(boxes.layer)
    person.press(review.judge.draw)
    person.drag(boxes.layer, (3, 3), (21, 23))
    assert len(boxes.shown()) == before + 1
    person.key(Qt.Key.Key_Return, ctrl=True)
    person.wait(lambda: dock.model.images[1].status == "finished", "the dock says that the image is finished")
    dock.next_button.click()
    person.wait(lambda: dock.current.image.name == "tissue.png", "the next image is open")
    first, rest = min(person.boxes.shown()), len(person.boxes.shown()) - 1
    person.boxes.select([first])
    person.boxes.delete([first])
    tissue = snapshot(person.boxes.layer)
    person.picture("project-worked-on")

    viewer.close()
    close_keepers()
    again = make_napari_viewer(show=True)
    _, dock = again.window.add_plugin_dock_widget("napari-localize", "Project")
    dock.tasks.open_path(tmp_path / "plate.localize")
    assert [image.status for image in dock.model.images] == ["in work", "finished", "in work"]
    dock.open_entry(dock.model.images[1])
    assert len(box_layer(again.layers["nuclei.tif boxes"]).shown()) == before + 1
    dock.open_entry(dock.model.images[2])
    layer = again.layers["tissue.png boxes"]
    assert snapshot(layer) == tissue
    box_layer(layer).undo()
    assert len(box_layer(layer).shown()) == rest + 1
    assert person.messages() == []
