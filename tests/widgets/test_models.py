from __future__ import annotations

import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox
from safetensors.numpy import save_file

from napari_localize.models.card import HEADER_KEY, Ancestor, ModelCard, read_card
from napari_localize.models.digest import file_digest, weights_digest
from napari_localize.models.registry import find_model, keep_model, list_models, remove_model, store_folder
from napari_localize.widgets._models import ModelPicker, model_news
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.loop import LoopWidget
from napari_localize.widgets.models import ModelsWidget
from napari_localize.widgets.retrain import RetrainWidget

TRAINING = {
    "planes": [{"name": "smear 1.tif", "sha256": "0" * 64}],
    "corrections": {"boxes": {"accepted": 12, "rejected": 3}, "reviewed planes": 1},
    "recipe": {"text": "Head first, then all."},
    "curve": {"seconds": [1, 2], "train_loss": [2.0, 1.0], "validation_loss": [None, 1.1], "ap50": [None, 0.7]},
}
METRICS = {
    "validation": {"AP50": 0.8, "F1": 0.75, "precision": 0.7, "recall": 0.8, "count_error": 0.1, "planes": 2},
    "compared with the parent": {"sentence": "On 2 planes nothing can be said for sure."},
}


@pytest.fixture
def keep(tmp_path, models):
    """Keep a model with weights of its own, trained from another one."""

    def keep(name, parent=None, ancestors=(), **card):
        ancestors = list(ancestors)
        if parent:
            known = read_card(find_model(parent))
            digest = weights_digest(find_model(parent))
            ancestors = [Ancestor(reference=known.reference, sha256=digest), *known.ancestors]
        made = ModelCard(
            name=name,
            parent=ancestors[0].reference if ancestors else None,
            ancestors=ancestors,
            architecture={"kind": "none"},
            classes=["small", "large"],
            object_diameter=10,
            diameter_range=(5, 20),
            threshold=0.5,
            created="2026-10-01",
            **card,
        )
        path = tmp_path / "candidate.safetensors"
        weights = {"nothing": np.random.default_rng().normal(size=4).astype(np.float32)}
        save_file(weights, path, metadata={HEADER_KEY: made.model_dump_json()})
        return keep_model(path, name).reference

    return keep


@pytest.fixture
def widget(dock, until):
    widget = dock(ModelsWidget)
    until(lambda: not widget.busy)
    return widget


@pytest.fixture
def show(widget, until):
    """Read the store again and select a model."""

    def show(reference):
        widget.refresh_and_choose(reference)
        until(lambda: not widget.busy)
        assert widget.tree.key == reference
        return widget.tree.currentItem()

    return show


def rows(widget):
    return {item.text(0): (item.parent() or widget.tree.invisibleRootItem()).text(0) for item in widget.tree.items()}


def test_models_stand_below_the_one_they_were_trained_from(widget, keep, show):
    keep("mine", "generalist")
    keep("mine", "mine@1")
    keep("other", "mine@2")
    remove_model("mine@2")
    item = show("other@1")
    assert rows(widget)["mine@1"] == "generalist@3"
    assert item.parent().text(0) == "mine@2"
    assert item.parent().text(4) == "not there"
    assert rows(widget)["mine@2"] == "mine@1"
    widget.tree.choose("mine@2")
    assert "not there any more" in widget.card.text()
    assert not widget.use_button.isEnabled()


def test_a_missing_ancestor_is_not_the_users_model_of_the_same_name(widget, keep, show, until, monkeypatch):
    keep("mine")
    # From another computer, where another model was called so.
    keep("theirs", ancestors=[Ancestor(reference="mine@1", sha256="0" * 64)])
    missing = show("theirs@1").parent()
    assert (missing.text(0), missing.text(4)) == ("mine@1", "not there")
    widget.tree.setCurrentItem(missing)
    assert widget.tree.selected is None
    assert "<b>mine@1</b> is not there any more" in widget.card.text()
    assert not any(action.isEnabled() for action in widget.menu_actions.values())
    assert not widget.use_button.isEnabled()
    assert not widget.retrain_button.isEnabled()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("better", True))
    widget.remove()
    widget.rename()
    widget.refresh()
    until(lambda: not widget.busy)
    assert widget.tree.currentItem().text(4) == "not there"
    assert [entry.reference for entry in find_names("mine")] == ["mine@1"]
    widget.tree.choose("mine@1")
    assert widget.tree.selected.path == find_model("mine@1")
    assert widget.menu_actions["Remove"].isEnabled()


def test_a_card_is_read_as_a_story(widget, keep, show, until):
    keep("mine", "generalist", description="For smears.", training=TRAINING, metrics=METRICS)
    item = show("mine@1")
    assert [item.text(column) for column in range(5)] == ["mine@1", "0.80", "0.75", "2026-10-01", "small, large"]
    for words in (
        "For smears.",
        "generalist@3",
        "smear 1.tif",
        "12 accepted, 3 rejected, 1 reviewed plane",
        "Head first, then all.",
        "validation, 2 planes",
        "0.75",
        "nothing can be said for sure",
    ):
        assert words in widget.card.text()
    assert not widget.card.curve.isHidden()
    assert widget.card.curve.points["validation"] == [(2.0, 1.1)]
    digest = file_digest(find_model("mine@1"))
    until(lambda: digest in widget.card.text().replace("\u200b", ""))
    widget.tree.choose("generalist@3")
    assert widget.card.curve.isHidden()
    assert "BSD-3-Clause" in widget.card.text()


def test_an_older_version_is_used_again(widget, keep, show, dock):
    localize = dock(LocalizeWidget)
    for _ in range(2):
        keep("mine")
    show("mine@1")
    widget.use_button.click()
    assert localize.model.name == "mine@1"


def test_without_a_dock_to_use_it_in_one_is_opened(widget, keep, show, viewer):
    keep("mine")
    show("mine@1")
    widget.tree.itemActivated.emit(widget.tree.currentItem(), 0)
    (localize,) = viewer.window._qt_window.findChildren(LocalizeWidget)
    assert localize.model.name == "mine@1"
    widget.retrain_button.click()
    (retrain,) = viewer.window._qt_window.findChildren(RetrainWidget)
    assert retrain.base.name == "mine@1"


def test_the_loop_shows_the_step_that_was_asked_for(widget, keep, show, dock):
    loop = dock(LoopWidget)
    keep("mine")
    show("mine@1")
    widget.retrain_button.click()
    assert loop.currentWidget() is loop.retrain
    assert loop.retrain.base.name == "mine@1"
    widget.use_button.click()
    assert loop.currentWidget() is loop.localize


def test_pickers_offer_older_versions_below_the_newest(keep, qtbot):
    for _ in range(3):
        keep("mine")
    picker = ModelPicker("Model", "a key of its own", "tip")
    qtbot.addWidget(picker)
    shown = [picker._combo.itemText(index) for index in range(picker._combo.count())]
    at = shown.index("mine@3")
    assert shown[at : at + 3] == ["mine@3", "    mine@2", "    mine@1"]
    picker.choose("mine@1")
    assert (picker.name, picker.card.reference) == ("mine@1", "mine@1")
    remove_model("mine@1")
    model_news().changed.emit()
    assert picker.name != "mine@1"


def test_a_model_gets_another_name_and_description(widget, keep, show, until, monkeypatch, dock):
    localize = dock(LocalizeWidget)
    keep("mine")
    keep("child", "mine@1")
    show("mine@1")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("better", True))
    widget.menu_actions["Rename"].trigger()
    until(lambda: not widget.busy and widget.tree.key == "better@1")
    assert rows(widget)["child@1"] == "better@1"
    assert localize.model._combo.findData("better@1") >= 0
    monkeypatch.setattr(QInputDialog, "getMultiLineText", lambda *_: ("For\nsmears.", True))
    widget.menu_actions["Describe"].trigger()
    until(lambda: not widget.busy and "For smears." in widget.card.text())
    assert read_card(find_model("better@1")).description == "For smears."


def test_removing_asks_and_says_what_descends_from_it(widget, keep, show, until, monkeypatch):
    keep("mine")
    keep("child", "mine@1")
    keep("grandchild", "child@1")
    show("mine@1")
    asked, answers = [], iter([QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes])
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[-1]) or next(answers))
    widget.menu_actions["Remove"].trigger()
    assert "child@1, grandchild@1" in asked[0]
    assert "mine@1" in [entry.reference for entry in list_models()]
    widget.menu_actions["Remove"].trigger()
    until(lambda: not widget.busy and not find_names("mine"))
    assert "was removed" in widget.message.text()
    assert keep("mine") == "mine@2"


def test_removing_a_file_leaves_what_else_has_its_name(widget, keep, until, monkeypatch):
    for _ in range(3):
        keep("mine")
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[-1]) or QMessageBox.StandardButton.Yes)
    damaged, twin = (store_folder() / f"mine{end}.safetensors" for end in ("", "@02"))
    damaged.write_bytes(b"PK nothing")
    shutil.copy(find_model("mine@2"), twin)
    until(lambda: "mine" in rows(widget) and not widget.busy)
    widget.tree.choose("damaged mine.safetensors")
    widget.menu_actions["Remove"].trigger()
    until(lambda: not damaged.exists() and not widget.busy)
    assert "mine.safetensors" in asked[0]
    assert [entry.version for entry in find_names("mine")] == [1, 2, 2, 3]
    same = [item for item in widget.tree.items() if item.text(0) == "mine@2"]
    for item in same:
        widget.tree.setCurrentItem(item)
        if widget.tree.selected.path == twin:
            break
    widget.menu_actions["Remove"].trigger()
    until(lambda: not twin.exists() and not widget.busy)
    assert [entry.path.name for entry in find_names("mine")] == [f"mine@{n}.safetensors" for n in (1, 2, 3)]


def find_names(name):
    return [entry for entry in list_models() if entry.name == name]


def test_bundled_models_stay_as_they_are(widget, show):
    show("generalist@3")
    enabled = {name: action.isEnabled() for name, action in widget.menu_actions.items()}
    assert enabled == {"Rename": False, "Describe": False, "Copy": True, "Export": True, "Remove": False}
    assert widget.use_button.isEnabled()


def test_models_go_out_and_come_in(widget, keep, show, until, monkeypatch, tmp_path, messages):
    keep("mine")
    show("mine@1")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), ""))
    widget.menu_actions["Export"].trigger()
    assert read_card(tmp_path / "out.safetensors").reference == "mine@1"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "out.safetensors"), ""))
    widget.import_button.click()
    until(lambda: not widget.busy and widget.tree.key == "mine@2")
    (tmp_path / "bad.safetensors").write_bytes(b"PK")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "bad.safetensors"), ""))
    widget.import_button.click()
    assert "can run code" in messages()[-1]


def test_the_card_goes_to_the_clipboard_by_its_key(widget, keep, show, qtbot):
    keep("mine", description="For smears.")
    show("mine@1")
    window = widget.window()
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=20_000)
    widget.tree.setFocus()
    qtbot.keyClick(widget.tree, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: "clipboard" in widget.message.text(), timeout=20_000)
    assert "For smears." in QGuiApplication.clipboard().text()


def test_changes_on_disk_are_seen(widget, keep, until):
    keep("mine")
    until(lambda: "mine@1" in rows(widget))
    find_model("mine@1").unlink()
    until(lambda: "mine@1" not in rows(widget))
    (store_folder() / "bad@1.safetensors").write_bytes(b"PK nothing")
    until(lambda: "bad@1" in rows(widget))
    widget.tree.choose("damaged bad@1.safetensors")
    assert "can run code" in widget.card.text()
    assert "remove it" in widget.card.text()
    assert not widget.use_button.isEnabled()
    assert widget.menu_actions["Remove"].isEnabled()


def test_a_kept_model_is_shown_at_once(widget, keep, until):
    model_news().kept.emit(keep("mine"))
    until(lambda: not widget.busy and widget.tree.key == "mine@1")


def test_the_filter_leaves_what_fits_and_where_it_comes_from(widget, keep, show):
    keep("mine", "generalist", description="For the clinic.")
    keep("other", "nuclei")
    show("mine@1")
    widget.search.setText("CLINIC")
    assert [item.text(0) for item in widget.tree.items() if not item.isHidden()] == ["generalist@3", "mine@1"]
    widget.search.setText("nothing like it")
    assert "change the filter" in widget.message.text()
    widget.search.clear()
    assert widget.message.isHidden()
    assert "other@1" in [item.text(0) for item in widget.tree.items() if not item.isHidden()]


def test_with_bundled_models_only_the_next_step_is_said(widget, models, until):
    shutil.rmtree(store_folder())
    widget.refresh()
    until(lambda: not widget.busy and not widget.empty.isHidden())
    assert "Retrain" in widget.empty.text()
    store_folder().mkdir()
