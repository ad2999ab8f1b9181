from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import tifffile
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QAction, QDropEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QMessageBox,
    QShortcut,
)

from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.formats import read_annotations
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.opening import open_images
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.project import ProjectWidget
from napari_localize.widgets.retrain import RetrainWidget
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


def test_an_empty_dock_says_what_to_do(widget):
    assert "No project is open" in widget.head.empty.text()
    assert widget.head.new_button.isVisibleTo(widget)
    assert not widget.next_button.isEnabled()
    assert names(widget) == []


def test_a_new_project_is_made_and_filled(widget, images, tmp_path, monkeypatch, until):
    answer(monkeypatch, "getSaveFileName", (str(tmp_path / "mine.localize"), ""))
    widget.head.new_button.click()
    assert "There are no images yet" in widget.head.empty.text()
    answer(monkeypatch, "getExistingDirectory", str(images))
    widget.folder_button.click()
    until(lambda: not widget.tasks.busy)
    assert names(widget) == ["a1.tif", "a2.tif", "deep/b1.tif", "movie.tif"]
    assert widget.message.text().startswith("4 images added. Not added: broken.tif;")
    assert "4 images, 0 finished" in widget.head.summary.text()


def test_files_and_patterns_are_added_and_never_twice(opened, images, tmp_path, monkeypatch, until):
    extra = images.parent / "more"
    extra.mkdir()
    for name in ("c_w1.tif", "c_w2.tif"):
        tifffile.imwrite(extra / name, np.zeros((20, 20), np.uint8))
    answer(monkeypatch, "getOpenFileNames", ([str(images / "a1.tif"), str(extra / "c_w2.tif")], ""))
    opened.files_button.click()
    until(lambda: not opened.tasks.busy)
    assert opened.message.text() == "1 image added."
    # Relative to the folder that was used last.
    opened.pattern.setText("*_w1.tif")
    opened.pattern.returnPressed.emit()
    until(lambda: not opened.tasks.busy)
    assert names(opened)[-2:] == ["c_w2.tif", "c_w1.tif"]


def test_files_dropped_on_the_list_are_added_annotations_imported_projects_opened(widget, project, images, until):
    def drop(*paths):
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        event = QDropEvent(
            QPointF(5, 5),
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        widget.list.dropEvent(event)
        until(lambda: not widget.tasks.busy)

    drop(project)
    assert len(names(widget)) == 4
    drop(sample_folder() / "nuclei.tif", sample_folder() / "tissue.png")
    assert names(widget)[4:] == ["nuclei.tif", "tissue.png"]
    drop(sample_folder() / ANNOTATIONS)
    assert widget.model.images[4].counts["nucleus"]
    assert "annotations.json imported." in widget.message.text()


def test_opening_shows_image_and_boxes_and_follows_the_edits(opened, viewer, until):
    opened.list.setCurrentIndex(opened.model.index(1))
    opened.open_button.click()
    assert layer_names(viewer) == ["a2.tif", "a2.tif boxes"]
    assert entry(opened, "a2.tif").status == "untouched"
    draw(viewer)
    until(lambda: entry(opened, "a2.tif").status == "in work")
    assert entry(opened, "a2.tif").counts == {"object": {"added": 1}}
    assert "1 box" in opened.head.summary.text()
    box_layer(viewer.layers.selection.active).finish(())
    until(lambda: entry(opened, "a2.tif").status == "finished")
    opened.open_entry(entry(opened, "a1.tif"))
    assert layer_names(viewer) == ["a1.tif", "a1.tif boxes"]
    opened.replace_choice.setChecked(False)
    opened.open_entry(entry(opened, "a2.tif"))
    assert len(viewer.layers) == 4
    assert len(box_layer(viewer.layers["a2.tif boxes"])) == 1


def test_a_movie_unfolds_and_opens_at_the_plane(opened, viewer, qtbot, until):
    movie = entry(opened, "movie.tif")
    opened.list.choose(movie)
    qtbot.keyClick(opened.list, Qt.Key.Key_Right)
    assert names(opened)[3:] == ["movie.tif", *(f"movie.tif#t={t}" for t in range(4))]
    opened.list.choose(entry(opened, "movie.tif#t=2"))
    qtbot.keyClick(opened.list, Qt.Key.Key_Return)
    assert viewer.dims.current_step[0] == 2
    boxes = box_layer(viewer.layers.selection.active)
    boxes.finish((2,))
    until(lambda: entry(opened, "movie.tif#t=2").status == "finished")
    assert entry(opened, "movie.tif").finished == 1
    qtbot.keyClick(opened.list, Qt.Key.Key_Left)
    assert len(names(opened)) == 4


def test_next_unfinished_goes_through_planes_and_images_and_round(opened, viewer):
    seen = []
    for _ in range(8):
        opened.next_button.click()
        seen.append(opened.current.name)
    movie = [f"movie.tif#t={t}" for t in range(4)]
    assert seen == ["a1.tif", "a2.tif", "deep/b1.tif", *movie, "a1.tif"]
    box_layer(viewer.layers.selection.active).finish(())
    opened.next_button.click()
    opened.next_button.click()
    box_layer(viewer.layers.selection.active).finish(())
    opened.next_button.click()
    box_layer(viewer.layers.selection.active).finish((1,))
    opened.next_button.click()
    assert opened.current.name == "movie.tif#t=2"
    for plane in (0, 2, 3):
        box_layer(viewer.layers.selection.active).finish((plane,))
    opened.next_button.click()
    assert opened.current.name == "a2.tif"
    box_layer(viewer.layers.selection.active).finish(())
    opened.next_button.click()
    assert opened.message.text() == "All is finished."


def test_search_and_status_filter(opened, viewer, until):
    opened.search.setText("B1")
    assert names(opened) == ["deep/b1.tif"]
    opened.search.setText("none")
    assert "No image fits" in opened.head.empty.text()
    opened.search.clear()
    opened.open_entry(entry(opened, "a1.tif"))
    box_layer(viewer.layers.selection.active).finish(())
    opened.status_choice.setCurrentText("not finished")
    until(lambda: names(opened) == ["a2.tif", "deep/b1.tif", "movie.tif"])
    opened.status_choice.setCurrentText("finished")
    assert names(opened) == ["a1.tif"]


def test_removing_asks_closes_the_layers_and_leaves_the_file(opened, viewer, images, monkeypatch):
    opened.open_entry(entry(opened, "a1.tif"))
    draw(viewer)
    opened.list.choose(entry(opened, "a1.tif"))
    monkeypatch.setattr(QMessageBox, "question", lambda *args: QMessageBox.StandardButton.No)
    opened.remove_chosen()
    assert len(names(opened)) == 4
    agree(monkeypatch)
    opened.remove_chosen()
    assert names(opened) == ["a2.tif", "deep/b1.tif", "movie.tif"]
    assert not viewer.layers
    assert (images / "a1.tif").is_file()


def test_missing_files_are_named_and_found_again(opened, viewer, images, tmp_path, monkeypatch, until):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(images / "a1.tif", elsewhere / "renamed.tif")
    opened.open_entry(entry(opened, "a1.tif"))
    assert "a1.tif is missing" in opened.message.text()
    assert opened.relink_button.isVisibleTo(opened)
    answer(monkeypatch, "getExistingDirectory", str(elsewhere))
    opened.relink_button.click()
    until(lambda: not opened.tasks.busy)
    assert "1 missing image found" in opened.message.text()
    assert not opened.relink_button.isVisibleTo(opened)
    opened.open_entry(entry(opened, "a1.tif"))
    assert layer_names(viewer) == ["a1.tif", "a1.tif boxes"]


def test_a_changed_file_is_used_only_on_purpose(opened, viewer, images, monkeypatch):
    tifffile.imwrite(images / "a1.tif", np.full((60, 80), 9, np.uint8))
    os.utime(images / "a1.tif", (1, 1))
    opened.open_entry(entry(opened, "a1.tif"))
    assert "has changed" in opened.message.text()
    assert not viewer.layers
    agree(monkeypatch)
    opened.changed_button.click()
    opened.open_entry(entry(opened, "a1.tif"))
    assert len(viewer.layers) == 2


def test_annotations_go_in_and_out(opened, viewer, tmp_path, monkeypatch, until):
    opened.open_entry(entry(opened, "a1.tif"))
    draw(viewer)
    for name, chosen in (
        ("out.json", ""),
        ("out.csv", ""),
        ("out", "QuPath GeoJSON (*.geojson)"),
        ("yolo", "YOLO (*)"),
    ):
        answer(monkeypatch, "getSaveFileName", (str(tmp_path / name), chosen))
        opened.tasks.export_annotations()
        until(lambda: not opened.tasks.busy)
        assert "Boxes exported to" in opened.message.text()
    for path in (tmp_path / "out.json", tmp_path / "out.csv", tmp_path / "out.geojson"):
        assert len(read_annotations(path)["a1.tif"]) == 1
    assert (tmp_path / "yolo").is_dir()
    box_layer(viewer.layers.selection.active).undo()
    assert len(box_layer(viewer.layers.selection.active)) == 0
    answer(monkeypatch, "getOpenFileName", (str(tmp_path / "out.json"), ""))
    opened.tasks.import_annotations()
    until(lambda: not opened.tasks.busy)
    # The open layer shows them at once.
    assert len(box_layer(viewer.layers.selection.active)) == 1


def test_a_second_project_takes_the_place_of_the_first(opened, viewer, tmp_path):
    opened.open_entry(entry(opened, "a1.tif"))
    draw(viewer)
    opened.tasks.open_path(tmp_path / "second", create=True)
    assert not viewer.layers
    assert names(opened) == []
    first = keeper_of(viewer).project
    opened.tasks.open_path(tmp_path / "nowhere")
    assert "there is no project" in opened.message.text()
    assert keeper_of(viewer).project is first


def test_pictures_come_and_say_what_is_wrong(opened, images, until):
    (images / "a2.tif").unlink()
    opened.thumbnails.forget()
    opened.resize(400, 900)
    for name in names(opened):
        opened.thumbnails.get(entry(opened, name))
    until(lambda: opened.thumbnails.get(entry(opened, "movie.tif")) is not None)
    until(lambda: bool(opened.thumbnails.problems))
    row = opened.model.index(names(opened).index("a2.tif"))
    assert "is missing" in opened.model.data(row, Qt.ItemDataRole.ToolTipRole)
    opened.list.grab()


def test_closing_the_dock_keeps_what_is_open(opened, viewer):
    opened.open_entry(entry(opened, "a1.tif"))
    viewer.window.remove_dock_widget(opened)
    draw(viewer)
    project = keeper_of(viewer).project
    assert len(open_images(viewer, project)) == 1
    assert project.detections("a1.tif").boxes.shape == (1, 4)


def test_controls_have_tooltips_and_keys_of_their_own(dock, widget):
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    controls = [each for kind in kinds for each in widget.findChildren(kind)]
    own = [
        each
        for each in controls
        if not each.objectName().startswith("qt_") and not isinstance(each.parent(), QLineEdit)
    ]
    assert [each for each in own if not each.toolTip()] == []
    assert widget.widget().minimumSizeHint().width() <= 320

    def keys(each):
        found = [shortcut.key().toString() for shortcut in each.findChildren(QShortcut)]
        return found + [action.shortcut().toString() for action in each.findChildren(QAction)]

    mine = [key for key in keys(widget) if key]
    assert len(mine) == len(set(mine)) >= 10
    others = {key for kind in (LocalizeWidget, ReviewWidget, RetrainWidget) for key in keys(dock(kind)) if key}
    napari = {str(key) for bound in default_shortcuts.values() for key in bound}
    from napari._app_model import get_app_model

    menus = {str(each.keybinding) for each in get_app_model().keybindings}
    assert not set(mine) & (others | napari | menus | {"Ctrl+Shift+S", "Ctrl+Shift+X"})


def test_adding_can_be_stopped(opened, tmp_path, until):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        tifffile.imwrite(folder / f"{number}.tif", np.zeros((8, 8), np.uint8))
    opened.tasks.add([folder])
    assert opened.cancel_button.isVisibleTo(opened)
    opened.cancel_button.click()
    until(lambda: not opened.tasks.busy)
    assert opened.message.text() == "Stopped; nothing was changed."
    assert len(names(opened)) == 4
