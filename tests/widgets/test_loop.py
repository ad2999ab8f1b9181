from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_localize.plugin.boxes import box_layer
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.loop import LoopWidget
from napari_localize.widgets.retrain import RetrainWidget


def test_the_tabs_follow_the_loop_and_lead_back_to_its_start(dock, viewer, squares, finish, until):
    viewer.add_image(squares, name="cells")
    loop = dock(LoopWidget)
    assert [loop.tabText(index).split()[-1] for index in range(3)] == ["Localize", "Review", "Retrain"]
    loop.localize.model.choose("plain@1")
    loop.retrain.base.choose("plain@1")
    loop.localize.run()
    finish(loop.localize)
    boxes = box_layer(viewer.layers["cells boxes"])
    boxes.finish(())
    loop.setCurrentWidget(loop.retrain)
    until(loop.retrain.train_button.isEnabled)
    loop.retrain.train()
    finish(loop.retrain)
    loop.retrain.comparison.name.setText("mine")
    loop.retrain.comparison.keep_button.click()
    assert loop.currentWidget() is loop.localize
    assert loop.localize.model.name == "mine@1"


def test_closing_the_dock_closes_every_tab(dock, viewer, squares, engine):
    viewer.add_image(squares, name="cells")
    loop = dock(LoopWidget)
    loop.localize.model.choose("slow@1")
    loop.localize.run()
    viewer.window.remove_dock_widget(loop)
    assert not loop.localize.busy
    viewer.layers.clear()


@pytest.fixture
def press_cancel(qtbot):
    def press(dock):
        window = dock.window()
        window.show()
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow, timeout=20_000)
        modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        qtbot.keyClick(window, Qt.Key.Key_X, modifiers)

    return press


def test_the_key_cancels_a_run_behind_another_tab(dock, viewer, squares, finish, press_cancel):
    viewer.add_image(squares, name="cells")
    loop = dock(LoopWidget)
    loop.localize.model.choose("slow@1")
    loop.localize.run()
    loop.setCurrentWidget(loop.review)
    press_cancel(loop)
    assert not loop.localize.cancel_button.isEnabled()
    finish(loop.localize)
    assert loop.localize.status.text() == "Cancelled."


def test_the_key_cancels_whichever_of_two_docks_has_a_job(dock, viewer, squares, finish, press_cancel):
    viewer.add_image(squares, name="cells")
    localize, retrain = dock(LocalizeWidget), dock(RetrainWidget)
    localize.model.choose("plain@1")
    localize.run()
    finish(localize)
    boxes = box_layer(viewer.layers["cells boxes"])
    boxes.finish(())
    retrain.base.choose("slow@1")
    retrain.train()
    press_cancel(localize)
    assert not retrain.cancel_button.isEnabled()
    finish(retrain)
    localize.model.choose("slow@1")
    localize.run()
    press_cancel(localize)
    assert not localize.cancel_button.isEnabled()
    finish(localize)
