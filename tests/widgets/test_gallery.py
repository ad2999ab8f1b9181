from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.utils.key_bindings import KeyBinding
from qtpy.QtCore import QEvent, QPointF, QSettings, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_localize.core import arrange
from napari_localize.core.boxes import BoxRows
from napari_localize.core.detections import Detections
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.core.table import BoxTable
from napari_localize.engine.client import shared_engine
from napari_localize.formats import read_annotations
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.crops import Crops
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import pair
from napari_localize.widgets._gallery_filter import ALIKE, STRANGE
from napari_localize.widgets._gallery_model import GalleryModel
from napari_localize.widgets._gallery_view import GalleryView, pixels_of
from napari_localize.widgets.gallery import GalleryWidget
from napari_localize.widgets.review import ReviewWidget

SCORES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def guesses(scores=SCORES, labels=None, shift=0):
    corners = np.array([[5 + 15 * at + shift, 10, 15 + 15 * at + shift, 18 + at] for at in range(len(scores))])
    return Detections(corners, labels, scores, class_names=("a", "b"))


@pytest.fixture
def gallery(viewer):
    QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-localize", "docks").clear()
    widget = GalleryWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Gallery")
    return widget


@pytest.fixture
def filled(viewer, gallery):
    """Six guesses, best first, on each of two planes of three."""
    image = viewer.add_image(np.random.default_rng(0).integers(0, 99, (3, 40, 120)).astype(np.uint8), name="film")
    layer = new_box_layer(image, ("a", "b"))
    pair(layer, image)
    viewer.add_layer(layer)
    boxes = box_layer(layer)
    boxes.set_proposals({(0,): guesses(), (1,): guesses((0.95, 0.85), [1, 1])}, "model@1")
    viewer.dims.set_current_step(0, 0)
    return gallery


def press(widget, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(widget.view, key, modifier)


def shown(widget):
    """Scores in the order of the gallery."""
    return [widget.model.box(at).score for at in range(widget.model.rowCount())]


def states(widget, ids):
    return [widget.boxes.get(key).state for key in ids]


def look(widget, qtbot):
    """Wait until the crops in view are there, and return the picture of the grid."""

    def there():
        widget.view.grab()  # windows are not painted while they are hidden
        side = pixels_of(widget.model.side, widget.view)
        return all(widget.crops.get(widget.model.spot(at, side)) is not None for at in widget.view.visible_rows())

    qtbot.waitUntil(there)
    return widget.view.grab().toImage()


def test_empty_states_say_what_to_do(viewer, gallery):
    assert "Run a model" in gallery.empty.text()
    assert gallery.view.isHidden()
    image = viewer.add_image(np.zeros((30, 30)))
    layer = new_box_layer(image, ("a",))
    viewer.add_layer(layer)
    assert "no boxes yet" in gallery.empty.text()
    box_layer(layer).set_proposals({(): guesses((0.5,))}, "model@1")
    assert gallery.empty.text() == ""
    gallery.filter.set_states(["rejected"])
    gallery.refresh()
    assert "No box is of this kind" in gallery.empty.text()
    gallery.filter.set_states(["guesses"])
    gallery.refresh()
    viewer.layers.remove(image)
    gallery._look()
    assert "image of these boxes is not open" in gallery.empty.text()


def test_judging_by_key_is_one_step_and_goes_on(filled):
    filled.view.clearSelection()
    press(filled, Qt.Key.Key_Q)
    assert "Select boxes first" in filled.status.text()
    assert filled.boxes.undo_text is None
    ids = filled.model.ids.tolist()
    filled.view.select_rows([0, 1, 2])
    press(filled, Qt.Key.Key_Q)
    assert states(filled, ids[:4]) == ["accepted"] * 3 + ["proposed"]
    assert filled.boxes.undo_text == "accept 3 boxes"
    assert filled.view.selected_rows() == [3]
    press(filled, Qt.Key.Key_W)
    assert states(filled, ids[3:5]) == ["rejected", "proposed"]
    assert filled.view.selected_rows() == [4]
    assert filled.model.ids.tolist() == ids
    assert filled.model.judged().tolist() == [True] * 4 + [False] * 4
    assert "4 guesses" in filled.counts.text()
    press(filled, Qt.Key.Key_Z, CTRL)
    press(filled, Qt.Key.Key_Z, CTRL)
    assert states(filled, ids) == ["proposed"] * 8
    assert "Undid: accept 3 boxes" in filled.status.text()
    assert not filled.model.judged().any()
    press(filled, Qt.Key.Key_Z, CTRL | SHIFT)
    assert states(filled, ids[:3]) == ["accepted"] * 3
    press(filled, Qt.Key.Key_R)
    assert filled.model.ids.tolist() == ids[3:]
    # At the end those come that were passed over
    filled.view.select_rows([4])
    press(filled, Qt.Key.Key_W)
    assert filled.view.selected_rows() == [0]


def test_keys_and_mouse_select_and_digits_give_a_class(filled, qtbot):
    view = filled.view
    view.setFocus()
    view.select_rows([0])
    press(filled, Qt.Key.Key_Right)
    assert view.selected_rows() == [1]
    press(filled, Qt.Key.Key_Right, SHIFT)
    assert view.selected_rows() == [1, 2]
    press(filled, Qt.Key.Key_Down)
    assert view.selected_rows() == [min(2 + view.columns, 7)]

    def middle(at):
        return view.visualRect(view.model().index(at, 0)).center()

    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=middle(0))
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, SHIFT, middle(2))
    assert view.selected_rows() == [0, 1, 2]
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, CTRL, middle(1))
    assert view.selected_rows() == [0, 2]

    key = int(filled.model.ids[2])
    filled.view.select_rows([2])
    press(filled, Qt.Key.Key_2, SHIFT)
    assert filled.boxes.get(key).label == "b"
    press(filled, Qt.Key.Key_9, SHIFT)
    assert filled.boxes.get(key).label == "b"
    assert [action.data() for action in filled._menu.actions()] == ["a", "b"]
    filled._menu.actions()[0].trigger()
    assert filled.boxes.get(key).label == "a"


def test_a_rubber_band_selects_what_it_touches(qtbot):
    """In a window that is shown, as only there the mouse can be followed."""
    table = BoxTable({"a": "#E69F00"})
    table.load(BoxRows.from_detections((), guesses()))
    model = GalleryModel(None)
    model.set_boxes(table, table.take())
    view = GalleryView(Crops(), model, {})
    qtbot.addWidget(view)
    view.resize(350, 400)
    view.show()
    assert view.columns == 3
    places = [view.visualRect(model.index(at, 0)).center() for at in (0, 4)]
    button, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    for kind, place, changed, held in (
        (QEvent.Type.MouseButtonPress, places[0], button, button),
        (QEvent.Type.MouseMove, places[1], none, button),
        (QEvent.Type.MouseButtonRelease, places[1], button, none),
    ):
        there = QPointF(view.viewport().mapToGlobal(place))
        event = QMouseEvent(kind, QPointF(place), there, changed, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(view.viewport(), event)
    assert view.selected_rows() == [0, 1, 3, 4]
    view.stop()


def test_many_at_once_are_one_step_with_their_number(filled):
    filled.view.select_rows([2])
    press(filled, Qt.Key.Key_E, SHIFT)
    assert filled.boxes.by_state()["accepted"] == 3
    assert "Accepted 3 guesses" in filled.status.text()
    press(filled, Qt.Key.Key_W, SHIFT)
    assert filled.boxes.by_state() == {"proposed": 0, "accepted": 3, "edited": 0, "added": 0, "rejected": 5}
    assert "Rejected 5 guesses" in filled.status.text()
    press(filled, Qt.Key.Key_Q, SHIFT)
    assert "no guesses here" in filled.status.text()
    filled.undo_button.click()
    press(filled, Qt.Key.Key_Q, SHIFT)
    assert filled.boxes.by_state()["accepted"] == 8


def test_orders_and_filters(filled, viewer):
    assert shown(filled) == pytest.approx(sorted([*SCORES, 0.95, 0.85], reverse=True))
    filled.filter.order.setCurrentText(arrange.UNSURE_FIRST)
    assert shown(filled) == pytest.approx(sorted([*SCORES, 0.95, 0.85]))
    filled.filter.order.setCurrentText(arrange.BY_PLACE)
    assert shown(filled) == pytest.approx([*SCORES, 0.95, 0.85])
    filled.filter.label.setCurrentText("b")
    filled.refresh()
    assert shown(filled) == pytest.approx([0.95, 0.85])
    filled.filter.label.setCurrentIndex(0)
    filled.filter.plane.setCurrentIndex(1)
    filled.filter.scores.setValue((0.55, 0.85))
    filled.refresh()
    assert shown(filled) == pytest.approx([0.8, 0.7, 0.6])
    viewer.dims.set_current_step(0, 1)
    filled._follow()
    assert shown(filled) == pytest.approx([0.85])
    filled.boxes.reject(filled.model.ids.tolist())
    filled.filter.set_states(["rejected"])
    filled.refresh()
    assert shown(filled) == pytest.approx([0.85])
    assert "0 guesses</b> of 1 box" in filled.counts.text()


def test_judged_ones_go_at_once_or_stay_grey(filled):
    ids = filled.model.ids.tolist()
    press(filled, Qt.Key.Key_H)
    filled.view.select_rows([1])
    press(filled, Qt.Key.Key_W)
    assert filled.model.ids.tolist() == ids[:1] + ids[2:]
    assert filled._selected_ids() == [ids[2]]
    press(filled, Qt.Key.Key_Q)
    assert filled._selected_ids() == [ids[3]]
    press(filled, Qt.Key.Key_Z, CTRL)
    assert ids[2] in filled.model.ids
    press(filled, Qt.Key.Key_H)

    # Also one that was drawn, of which nothing is left
    boxes = filled.boxes
    boxes.layer.add_rectangles(np.array([[[0, 5, 5], [0, 5, 20], [0, 20, 20], [0, 20, 5.0]]]))
    boxes.reconcile()
    filled.filter.set_states(["guesses", "corrected"])
    filled.refresh()
    row = next(at for at in range(filled.model.rowCount()) if filled.model.box(at).score is None)
    key, count = filled.model.key(row), filled.model.rowCount()
    filled.view.select_rows([row])
    press(filled, Qt.Key.Key_W)
    assert boxes.get(key) is None
    assert filled.model.rowCount() == count
    assert filled.model.is_judged(row)
    press(filled, Qt.Key.Key_Z, CTRL)
    assert boxes.get(key).state == "added"
    assert not filled.model.is_judged(row)


def test_selections_follow_each_other(filled, viewer, qtbot):
    boxes = filled.boxes
    first = filled.model.row(1)
    filled.view.select_rows([first, filled.model.row(2)])
    qtbot.waitUntil(lambda: set(boxes.selected_ids) == {1, 2})
    boxes.select([4])
    assert filled._selected_ids() == [4]
    # Those on another plane stay selected here and are not selected there
    other = int(filled.model.ids[0])
    assert boxes.get(other).plane == (1,)
    filled.view.select_rows([0])
    qtbot.waitUntil(lambda: boxes.selected_ids == [])
    assert filled._selected_ids() == [other]
    press(filled, Qt.Key.Key_Return)
    assert viewer.dims.current_step[0] == 1
    assert boxes.selected_ids == [other]
    assert viewer.layers.selection.active is boxes.layer
    qtbot.wait(50)
    assert filled._selected_ids() == [other]


def test_it_lives_beside_review(filled, viewer, qtbot):
    """Review lets go of what is not in view; the gallery keeps its selection, and its keys are its own."""
    review = ReviewWidget(viewer)
    viewer.window.add_dock_widget(review, name="Review")
    filled.view.select_rows([0, 1, 2])
    ids = filled._selected_ids()
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(120)
    assert filled._selected_ids() == ids
    filled.view.setFocus()
    press(filled, Qt.Key.Key_Q)
    assert states(filled, ids) == ["accepted"] * 3
    assert filled.boxes.undo_text == "accept 3 boxes"


def test_boxes_come_and_go_without_losing_the_place(filled, viewer):
    boxes, ids = filled.boxes, filled.model.ids.tolist()
    filled.view.select_rows([3])
    boxes.delete([ids[0]])
    assert filled.model.ids.tolist() == ids  # a rejected guess is still there, grey
    assert filled.model.is_judged(0)
    boxes.set_proposals({(0,): guesses((0.3,), shift=100)}, "model@1", replace=False)
    assert filled.model.ids.tolist()[:8] == ids
    assert filled.model.rowCount() == 9
    assert filled._selected_ids() == [ids[3]]
    # A model run again on the other plane: its old guesses are gone, the rest stays
    boxes.set_proposals({(1,): guesses((0.99,))}, "model@2")
    on_first = [key for key in ids if boxes.get(key) is not None]
    assert [key for key in filled.model.ids.tolist() if key in ids] == on_first
    assert filled._selected_ids() == [ids[3]]
    viewer.layers.remove(boxes.layer)
    assert filled.model.rowCount() == 0
    assert "Run a model" in filled.empty.text()


def test_crops_look_like_the_layer(filled, viewer, qtbot):
    filled.view.select_rows([0])
    before = look(filled, qtbot)
    side = pixels_of(filled.model.side, filled.view)
    assert filled.crops.get(filled.model.spot(0, side))[..., :3].any()
    viewer.layers["film"].contrast_limits = (200, 255)
    qtbot.waitUntil(lambda: filled.crops.get(filled.model.spot(0, side)) is None)
    after = look(filled, qtbot)
    assert not filled.crops.get(filled.model.spot(0, side))[..., :3].any()
    assert before != after
    press(filled, Qt.Key.Key_Plus)
    assert filled.model.side > side
    look(filled, qtbot)


def test_only_what_is_in_view_is_cropped(viewer, gallery, qtbot):
    image = viewer.add_image(np.zeros((2000, 2000), np.uint8))
    corners = np.array([[x, y, x + 8, y + 8] for y in range(0, 1900, 20) for x in range(0, 1900, 20)])
    layer = new_box_layer(image, ("a",))
    pair(layer, image)
    viewer.add_layer(layer)
    box_layer(layer).set_proposals({(): Detections(corners, scores=np.linspace(0, 1, len(corners)))}, "model@1")
    look(gallery, qtbot)
    one = 4 * pixels_of(gallery.model.side, gallery.view) ** 2
    assert gallery.crops.bytes <= 2 * one * len(gallery.view.visible_rows())
    gallery.view.scrollToBottom()
    assert gallery.view.visible_rows().stop == len(corners)
    look(gallery, qtbot)
    first = gallery.view.visible_rows().start
    gallery.filter.smaller()
    assert first - gallery.view.columns <= gallery.view.visible_rows().start
    press(gallery, Qt.Key.Key_A, CTRL)
    assert len(gallery.view.selected_rows()) == len(corners)
    qtbot.wait(60)
    assert box_layer(layer).selected_ids == []
    press(gallery, Qt.Key.Key_Q)
    assert box_layer(layer).undo_text == f"accept {len(corners)} boxes"


def test_points_have_crops_too(viewer, gallery, qtbot):
    image = viewer.add_image(np.full((50, 150), 100, np.uint8))
    layer = new_box_layer(image, ("a", "b"), point_size=8)
    pair(layer, image)
    viewer.add_layer(layer)
    boxes = box_layer(layer)
    boxes.set_proposals({(): guesses()}, "model@1")
    look(gallery, qtbot)
    gallery.view.select_rows([0, 1])
    press(gallery, Qt.Key.Key_W)
    assert boxes.by_state()["rejected"] == 2
    assert boxes.undo_text == "reject 2 points"


@pytest.fixture
def nuclei(viewer, gallery):
    """The true boxes of the nuclei sample and, as 15 of the guesses, pieces of background."""
    image, _ = viewer.open_sample("napari-localize", "nuclei")
    truth = read_annotations(sample_folder() / ANNOTATIONS)["nuclei.tif"].boxes[:40]
    rng = np.random.default_rng(0)
    everything = read_annotations(sample_folder() / ANNOTATIONS)["nuclei.tif"].boxes
    empty = []
    while len(empty) < 15:
        x, y = rng.uniform(20, 470, 2)
        one = np.array([x, y, x + 22, y + 22])
        apart = (
            (everything[:, 0] > one[2]) | (everything[:, 2] < x) | (everything[:, 1] > one[3]) | (everything[:, 3] < y)
        )
        if apart.all():
            empty.append(one)
    corners = np.concatenate([truth, empty])
    layer = new_box_layer(image, ("nucleus",))
    pair(layer, image)
    viewer.add_layer(layer)
    box_layer(layer).set_proposals(
        {(): Detections(corners, scores=rng.uniform(0.2, 1, len(corners)), class_names=("nucleus",))}, "model@1"
    )
    background = [
        key for key, box in box_layer(layer).shown().items() if any(np.allclose(box.xyxy, one) for one in empty)
    ]
    yield gallery, background
    shared_engine().release()


def test_those_alike_come_first_unless_it_is_cancelled(nuclei, finish):
    """The real model tells background from nuclei."""
    gallery, background = nuclei
    gallery.filter.order.setCurrentText(arrange.UNSURE_FIRST)
    ids = gallery.model.ids.tolist()
    gallery.view.select_rows([0])
    press(gallery, Qt.Key.Key_L)
    assert gallery.filter.order.currentText() == ALIKE
    assert gallery.cancel_button.isEnabled()
    gallery.cancel_button.click()
    finish(gallery)
    assert gallery.model.ids.tolist() == ids
    assert gallery.filter.order.currentText() == arrange.UNSURE_FIRST
    assert "Cancelled" in gallery.status.text()

    gallery.boxes.select([background[0]])
    assert gallery._selected_ids() == [background[0]]
    press(gallery, Qt.Key.Key_L)
    assert gallery.busy
    finish(gallery)
    first = gallery.model.ids[:15].tolist()
    assert first[0] == background[0]
    assert len(set(first) & set(background)) >= 11
    assert "come first" in gallery.status.text()
    # What is known is not asked for again, and judging does not change it
    gallery.boxes.reject(background[1:3])
    gallery.filter.order.setCurrentText(STRANGE)
    assert not gallery.busy
    assert gallery.model.rowCount() == 53


def test_likeness_needs_a_box_and_an_image(filled, viewer):
    filled.view.clearSelection()
    filled.filter.order.setCurrentText(ALIKE)
    assert "Select one or more boxes" in filled.status.text()
    assert filled.filter.order.currentText() == arrange.SURE_FIRST
    filled.view.select_rows([0])
    viewer.layers.remove(viewer.layers["film"])
    press(filled, Qt.Key.Key_L)
    assert "image of these boxes is not open" in filled.status.text()
    assert not filled.busy


def test_closing_leaves_nothing(filled, viewer, qtbot):
    look(filled, qtbot)
    boxes = filled.boxes
    viewer.window.remove_dock_widget(filled)
    qtbot.waitUntil(lambda: not [one for one in threading.enumerate() if one.name == "napari-localize crops"])
    assert len(boxes.changed) == 1, "only what keeps the boxes on disk listens"
    assert not len(boxes.selection_changed)
    before = filled.crops.made
    viewer.layers["film"].contrast_limits = (1, 2)
    boxes.accept([1])
    qtbot.wait(200)
    assert filled.crops.made == before


def test_the_queue_keeps_its_box_selected_on_another_plane(filled, viewer, qtbot):
    review = ReviewWidget(viewer)
    viewer.window.add_dock_widget(review, name="Review")
    filled.view.select_rows([0])
    key = int(filled.boxes.table.guesses((1,))[0])
    filled.boxes.select([key])
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(120)
    assert filled.boxes.selected_ids == [key]
    assert filled._selected_ids() == [key]
    filled.boxes.layer.keymap[KeyBinding.from_str("Q")](filled.boxes.layer)
    assert filled.boxes.get(key).state == "accepted"
