from __future__ import annotations

from napari_localize.plugin.boxes import box_layer
from napari_localize.widgets.loop import LoopWidget


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
