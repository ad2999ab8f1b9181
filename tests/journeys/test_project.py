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


def test_a_model_runs_on_the_whole_project_and_its_doubts_are_looked_at_first(
    person, viewer, folder, tmp_path, monkeypatch, snapshot
):
    """Make a project, run a model on all of it with one image open, go to the most useful one, correct, run again."""
    dock = person.open_dock("Project")
    person.open_dock("Review")
    localize = person.open_dock("Localize")
    choose(monkeypatch, "getSaveFileName", (str(tmp_path / "plate.localize"), ""))
    dock.tasks.new()
    dock.tasks.add([folder])
    person.wait(lambda: not dock.tasks.busy and dock.model.rowCount() == 3, "the images are there")
    dock.open_entry(dock.model.images[1])
    localize.raise_()
    person.pick(localize.model, "generalist")
    person.press(localize.scope.project)
    person.run(localize)
    assert localize.status.text().startswith("3 images done, 10 planes: ")
    assert {image.status for image in dock.model.images} == {"predicted"}
    shown = len(person.boxes.shown())
    assert shown > 20
    person.picture("project-run")

    dock.raise_()
    person.press(dock.useful_choice)
    opened = []
    for _ in range(2):
        dock.next_button.click()
        person.wait(lambda: "..." not in dock.message.text(), "the order is known")
        opened.append(dock.current.name)
        assert len(person.boxes.shown()) < len(person.boxes) / 1.2, "weak guesses stay hidden"
        person.look_at(person.boxes.layer)
        person.key(Qt.Key.Key_Return, ctrl=True)
    person.picture("project-useful")
    assert len(set(opened)) == 2
    person.wait(lambda: sum(image.finished for image in dock.model.images) == 2, "two planes are finished")

    localize.raise_()
    before = snapshot(person.boxes.layer)
    person.run(localize)
    assert "On 3 images this model had run in the same way" in localize.status.text()
    assert snapshot(person.boxes.layer) == before
    assert person.messages() == []
