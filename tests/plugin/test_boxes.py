"""A layer of boxes under napari's own tools, without a window."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from napari.components import LayerList
from napari.layers import Image, Layer, Shapes
from napari.layers._layer_actions import _duplicate_layer
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import METADATA, new_box_layer


def detections(*boxes, labels=None, scores=None):
    scores = np.linspace(0.3, 0.9, len(boxes)) if scores is None else scores
    return Detections(np.array(boxes, float), labels, scores, class_names=("a", "b"))


GRID = detections((10, 10, 30, 30), (50, 10, 70, 30), (10, 50, 30, 70), (50, 50, 70, 70), labels=[0, 1, 0, 1])


@pytest.fixture
def layer():
    layer = new_box_layer(Image(np.zeros((100, 100)), name="cells"), ("a", "b"))
    box_layer(layer).set_proposals({(): GRID}, "model@1")
    return layer


@pytest.fixture
def boxes(layer):
    return box_layer(layer)


@dataclass
class MouseEvent:
    type: str
    position: tuple[float, ...]
    is_dragging: bool = False
    modifiers: tuple[str, ...] = ()
    dims_displayed: tuple[int, ...] = (0, 1)
    view_direction: None = None
    handled: bool = False

    @property
    def pos(self):
        return np.array(self.position)


@pytest.fixture
def drag():
    """Press, move and release the mouse as on the canvas; positions are (y, x) in data coordinates."""

    def run(layer, *positions):
        layer.scale_factor = 1  # as on a canvas at zoom 1
        events = [
            MouseEvent(type=kind, is_dragging=kind == "mouse_move", position=at)
            for kind, at in (
                ("mouse_press", positions[0]),
                *(("mouse_move", at) for at in positions),
                ("mouse_release", positions[-1]),
            )
        ]
        mouse_press_callbacks(layer, ReadOnlyWrapper(events[0], exceptions=("handled",)))
        for event in events[1:-1]:
            mouse_move_callbacks(layer, event)
        mouse_release_callbacks(layer, events[-1])

    return run


def states(boxes):
    return [boxes.get(key).state for key in sorted(boxes._table.boxes)]


def test_results_of_a_model_become_coloured_rectangles_with_features(layer, boxes):
    assert layer.nshapes == 4
    assert set(layer.shape_type) == {"rectangle"}
    assert list(layer.features) == ["class", "score", "id", "origin", "state"]
    assert layer.features["class"].tolist() == ["a", "b", "a", "b"]
    assert layer.features["origin"].tolist() == ["model@1"] * 4
    np.testing.assert_array_equal(layer.edge_color[0], layer.edge_color[2])
    assert not np.array_equal(layer.edge_color[0], layer.edge_color[1])
    np.testing.assert_allclose(layer.data[0].min(0), 9.5)
    assert boxes.undo_text is None


def test_drawing_with_the_mouse(layer, boxes, drag):
    boxes.next_class = "b"
    layer.mode = "add_rectangle"
    drag(layer, (75, 75), (80, 82), (90, 95))
    assert boxes.counts()["b"] == (3, 1)
    (new,) = boxes.selected_ids
    box = boxes.get(new)
    assert box == box._replace(label="b", score=None, origin="human", state="added")
    np.testing.assert_allclose(box.xyxy, (75.5, 75.5, 95.5, 90.5), atol=0.6)
    np.testing.assert_array_equal(layer.edge_color[-1], layer.edge_color[1])
    assert boxes.undo_text == "add 1 box"


def test_a_click_while_drawing_makes_no_box(layer, boxes, drag):
    layer.mode = "add_rectangle"
    drag(layer, (75, 75))
    boxes.reconcile()
    assert layer.nshapes == len(layer.features) == 4
    assert boxes.undo_text is None


def test_boxes_that_arrive_while_one_is_drawn_wait_until_it_is_done(layer, boxes):
    layer.mode = "add_rectangle"
    layer.scale_factor = 1
    press = MouseEvent(type="mouse_press", position=(75, 75))
    mouse_press_callbacks(layer, ReadOnlyWrapper(press, exceptions=("handled",)))
    boxes.set_proposals({(): detections((1, 1, 9, 9))}, "model@2", replace=False)
    boxes.set_filter(0.9)
    assert layer.nshapes == 5
    for at in ((80, 80), (90, 90)):
        mouse_move_callbacks(layer, MouseEvent(type="mouse_move", is_dragging=True, position=at))
    mouse_release_callbacks(layer, MouseEvent(type="mouse_release", position=(90, 90)))
    assert sorted(box.state for box in boxes.shown().values()) == ["added", "proposed"]
    assert layer.nshapes == 2


def test_moving_with_the_mouse(layer, boxes, drag):
    layer.mode = "select"
    boxes.select([1])
    drag(layer, (20, 20), (24, 25), (30, 40))
    assert boxes.get(1) == boxes.get(1)._replace(xyxy=(30, 20, 50, 40), state="edited", origin="model@1")
    assert boxes.get(1).score == pytest.approx(0.3)
    assert boxes.undo_text == "move 1 box"
    boxes.undo()
    assert boxes.get(1).xyxy == (10, 10, 30, 30)
    assert boxes.get(1).state == "proposed"
    assert layer.nshapes == 4


def test_turning_with_the_handle_ends_upright(layer, boxes, drag):
    layer.mode = "select"
    boxes.select([1])
    handle = layer._selected_box[8]
    drag(layer, tuple(handle), (5, 35), (0, 40))
    assert boxes.get(1).state == "edited"
    assert set(layer.shape_type) == {"rectangle"}
    for shape in layer.data:
        assert len(np.unique(shape[:, 0])) == len(np.unique(shape[:, 1])) == 2
    assert boxes.selected_ids == [1]


def test_tools_for_vertices_end_in_rectangles(layer, boxes, drag):
    layer.mode = "vertex_insert"
    boxes.select([1])
    drag(layer, (9.5, 20))
    boxes.reconcile()
    assert set(layer.shape_type) == {"rectangle"}
    layer.mode = "direct"
    boxes.select([2])
    drag(layer, tuple(layer.data[[*layer.features["id"]].index(2)][0]), (5, 45), (2, 44))
    assert boxes.get(2).state == "edited"
    assert boxes.get(2).xyxy == (44.5, 2.5, 70, 30)


def test_removing_vertices_until_the_shape_is_gone(layer, boxes, drag):
    triangle = np.array([[80, 80], [80, 95], [95, 80.0]])
    layer.add(triangle, shape_type="polygon")
    layer.mode = "vertex_remove"
    layer.selected_data = {4}
    layer.scale_factor = 1
    # Before anyone had the time to make a rectangle of it.
    drag(layer, (80, 95))
    assert (layer.nshapes, len(layer.features)) == (4, 5)
    assert len(boxes.shown()) == 4
    assert (layer.nshapes, len(layer.features)) == (4, 4)
    assert states(boxes) == ["proposed"] * 4


def test_a_polygon_that_is_given_up(layer, boxes, drag):
    layer.mode = "add_polygon"
    layer.scale_factor = 1
    drag(layer, (80, 80))
    layer._finish_drawing()
    assert boxes.undo_text is None
    assert layer.nshapes == len(layer.features) == 4


def test_a_lasso_becomes_the_box_around_it(layer, boxes):
    layer.mode = "add_polygon"
    layer.scale_factor = 1
    for at in ((80, 80), (80, 95), (95, 90)):
        for kind, callbacks in (
            ("mouse_move", mouse_move_callbacks),
            ("mouse_press", mouse_press_callbacks),
            ("mouse_release", mouse_release_callbacks),
        ):
            callbacks(layer, MouseEvent(type=kind, position=at))
    mouse_double_click_callbacks(layer, MouseEvent(type="mouse_double_click", position=(95, 90)))
    (new,) = boxes.shown().keys() - {1, 2, 3, 4}
    assert boxes.get(new).xyxy == (80.5, 80.5, 95.5, 95.5)
    assert layer.shape_type[-1] == "rectangle"


def test_pasting_makes_boxes_of_a_person(layer, boxes):
    layer.mode = "select"
    boxes.select([1, 2])
    layer._copy_data()
    layer._paste_data()
    assert len(boxes.shown()) == 6
    assert boxes.undo_text == "add 2 boxes"
    new = boxes.selected_ids
    assert not {1, 2} & set(new)
    assert [boxes.get(key)[2:] for key in new] == [("a", None, "human", "added"), ("b", None, "human", "added")]
    boxes.undo()
    assert sorted(boxes.shown()) == [1, 2, 3, 4]


def test_deleting_keeps_what_a_model_had_found_as_knowledge(layer, boxes):
    layer.add_rectangles(np.array([[[80, 80], [80, 90], [90, 90], [90, 80.0]]]))
    boxes.select([1, 5])
    layer.remove_selected()
    boxes.reconcile()
    assert states(boxes) == ["rejected", "proposed", "proposed", "proposed"]
    assert layer.nshapes == 3
    assert boxes.undo_text == "delete 2 boxes"
    boxes.undo()
    assert states(boxes) == ["proposed"] * 4 + ["added"]


def test_features_of_another_plugin_are_kept(layer, boxes):
    features = layer.features.copy()
    features["area"] = [1.0, 2.0, 3.0, 4.0]
    layer.features = features
    boxes.accept([1, 2])
    boxes.set_filter(0.35)
    layer.remove([0])
    boxes.reconcile()
    assert dict(zip(layer.features["id"], layer.features["area"], strict=True))[3] == 3.0
    assert "area" in layer.feature_defaults


def test_a_class_written_into_the_features_counts(layer, boxes):
    features = layer.features.copy()
    features.loc[0, "class"] = "new one"
    features.loc[1, "state"] = "accepted"
    features.loc[2, "class"] = np.nan
    features.loc[3, "id"] = 77
    layer.features = features
    assert list(boxes.counts()) == ["a", "b", "new one"]
    assert boxes.get(1)[2:] == ("new one", pytest.approx(0.3), "model@1", "edited")
    assert states(boxes) == ["edited", "accepted", "proposed", "proposed"]
    assert layer.features["class"].tolist() == ["new one", "b", "a", "b"]
    assert layer.features["id"].tolist() == [1, 2, 3, 4]
    assert boxes.next_class == "a"


def test_assigning_data_keeps_who_is_who(layer, boxes):
    boxes.set_class([1], "b")
    boxes.accept([3])
    layer.data = [layer.data[row] for row in (3, 2)]
    assert {key: (box.label, box.state) for key, box in boxes.shown().items()} == {
        3: ("a", "accepted"),
        4: ("b", "proposed"),
    }
    assert layer.features["id"].tolist() == [4, 3]
    layer.data = []
    assert boxes.shown() == {}
    assert len(layer.features) == 0
    boxes.undo()
    boxes.undo()
    assert sorted(boxes.shown()) == [1, 2, 3, 4]


def test_undo_works_after_the_filter_has_changed(layer, boxes):
    boxes.reject([1, 4])
    boxes.set_filter(0.8)
    assert layer.nshapes == 0
    boxes.undo()
    assert layer.features["id"].tolist() == [4]
    boxes.set_filter(0.0)
    assert sorted(layer.features["id"]) == [1, 2, 3, 4]


def test_accepting_all_is_one_step(layer, boxes):
    boxes.set_filter(0.4)
    boxes.accept(boxes.table.guesses())
    assert states(boxes) == ["proposed", "accepted", "accepted", "accepted"]
    assert boxes.undo_text == "accept 3 boxes"
    boxes.undo()
    assert states(boxes) == ["proposed"] * 4
    assert boxes.undo() is None
    boxes.redo()
    assert boxes.redo() is None
    assert states(boxes) == ["proposed", "accepted", "accepted", "accepted"]


def test_rejected_boxes_can_be_seen_and_brought_back(layer, boxes):
    boxes.reject([1])
    assert layer.nshapes == 3
    boxes.set_shown_states({"proposed", "rejected"})
    assert layer.nshapes == 4
    boxes.accept([1])
    assert layer.nshapes == 3
    boxes.set_shown_states({"accepted"})
    assert layer.features["id"].tolist() == [1]
    assert len(boxes.detections()) == 4


def test_the_least_certain_first_and_back():
    boxes = box_layer(new_box_layer(Image(np.zeros((100, 100))), ("a", "b")))
    corners = [(x, 0, x + 5, 5) for x in range(0, 40, 10)]
    boxes.set_proposals({(): detections(*corners, scores=[0.9, 0.2, 0.6, 0.2])}, "m@1")
    order, at = [], None
    while (at := boxes.least_certain((), at)) is not None:
        order.append(at)
    assert order == [2, 4, 3, 1]
    assert boxes.least_certain((), 3, step=-1) == 4
    boxes.accept([4])
    assert boxes.least_certain((), 4) == 3
    assert boxes.least_certain((5,)) is None


@pytest.mark.parametrize("origin", ["model@1", "model@2"])
def test_running_again_touches_nothing_that_a_person_has_judged(layer, boxes, origin):
    boxes.accept([1])
    boxes.reject([2])
    boxes.set_class([3], "b")
    judged = {key: boxes.get(key) for key in (1, 2, 3)}
    assert boxes.set_proposals({(): GRID}, origin) == 3
    assert {key: boxes.get(key) for key in judged} == judged
    assert len(boxes) == 4
    boxes.undo()
    assert boxes.get(3).label == "a"


def test_renaming_and_reordering_layers_changes_nothing(layer, boxes):
    layers = LayerList([Image(np.zeros((9, 9))), layer])
    layer.name = "other"
    layers.move(1, 0)
    assert box_layer(layer) is boxes
    layer.remove([0])
    boxes.reconcile()
    assert len(boxes.shown()) == 3


def test_a_copy_goes_its_own_way(layer, boxes):
    boxes.reject([1])
    boxes.recolor_class("a", "#112233")
    layers = LayerList([layer])
    layers.selection = {layer}
    _duplicate_layer(layers)
    copy = layers[1]
    copied = box_layer(copy)
    assert copied is not boxes
    assert copied.classes["a"] == "#112233"
    assert states(copied) == states(boxes)
    copied.accept([2])
    copied.add_class("c")
    assert boxes.get(2).state == "proposed"
    assert "c" not in layer.metadata[METADATA]["classes"]


def test_what_is_saved_and_loaded_by_napari_is_complete(layer, boxes):
    boxes.accept([2])
    boxes.reject([1])
    boxes.set_filter(0.8)
    boxes.finish(())
    again = box_layer(Layer.create(*layer.as_layer_data_tuple()))
    assert again.finished == {()}
    assert again.classes == boxes.classes
    # A guess that the filter hides is not part of what a person sees and saves.
    assert {key: again.get(key) for key in (1, 2, 4)} == {key: boxes.get(key) for key in (1, 2, 4)}
    assert again.get(3) is None
    assert layer.metadata[METADATA]["filter"]["hidden_proposals"] == 1


def test_a_layer_from_elsewhere_is_taken_over():
    layer = Shapes(
        [np.array([[0, 0], [0, 9], [9, 9], [9, 0]]), np.array([[20, 20], [30, 20], [30, 30.0]])],
        shape_type=["rectangle", "polygon"],
        features={"label": ["x", "y"]},
    )
    boxes = box_layer(layer)
    assert [box[2:] for box in boxes.shown().values()] == [("object", None, "human", "added")] * 2
    assert layer.features["label"].tolist() == ["x", "y"]
    assert layer.shape_type == ["rectangle", "rectangle"]


def test_an_empty_layer_from_elsewhere_can_be_drawn_on(drag):
    layer = Shapes(ndim=2)
    boxes = box_layer(layer)
    layer.mode = "add_rectangle"
    drag(layer, (5, 5), (10, 10), (20, 20))
    assert len(boxes.shown()) == 1


def test_the_layer_is_let_go_of(layer, boxes):
    boxes.close()
    layer.remove([0])
    assert box_layer(layer) is not boxes
    assert len(box_layer(layer).shown()) == 3


def test_nothing_keeps_a_deleted_layer_alive():
    layer = new_box_layer(Image(np.zeros((9, 9))))
    boxes = box_layer(layer)
    layer.add_rectangles(np.array([[[1, 1], [1, 5], [5, 5], [5, 1.0]]]))
    boxes.reconcile()
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None
    assert not boxes.alive


def test_keys_for_undo_are_on_the_layer(layer, boxes):
    boxes.accept([1])
    bindings = {str(key): action for key, action in layer.keymap.items()}
    (undo,) = (action for key, action in bindings.items() if key.endswith("Z") and "Shift" not in key)
    (redo,) = (action for key, action in bindings.items() if key.endswith("Z") and "Shift" in key)
    undo(layer)
    assert boxes.get(1).state == "proposed"
    redo(layer)
    assert boxes.get(1).state == "accepted"


def test_those_who_listen_hear_of_every_change(layer, boxes):
    heard = []
    boxes.changed.connect(lambda: heard.append(boxes.undo_text))
    boxes.stepped.connect(lambda step, word: heard.append(f"{word}: {step.text}"))
    layer.remove([0])
    boxes.reconcile()
    boxes.undo()
    assert heard == ["delete 1 box", None, "Undid: delete 1 box"]


def test_edges_get_another_width(layer, boxes):
    boxes.line_width = 0.5
    boxes.set_proposals({(): detections((80, 80, 90, 90))}, "m@2", replace=False)
    assert set(layer.edge_width) == {0.5}
