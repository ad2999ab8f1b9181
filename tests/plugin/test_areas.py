"""Areas that are finished or to be ignored: what they do to boxes, drawing them, and their tint."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image

from napari_localize.core.detections import Detections
from napari_localize.core.known import KnownArea
from napari_localize.core.steps import Area
from napari_localize.plugin.areas import AreaPen, area_at, areas_on, is_area_layer, tints_of
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import judged_planes, pair
from napari_localize.widgets._boxes_picker import can_hold_boxes

CORNERS = np.array([(x, y, x + 10, y + 10) for y in (5, 45, 85) for x in (5, 45, 85)], np.float32)
GUESSES = Detections(CORNERS, scores=np.linspace(0.1, 0.9, 9), class_names=("a",))
PLACE = {"scale": (1, 0.5, 0.5), "translate": (0, 3, 4)}


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_layer(Image(np.zeros((3, 100, 100), np.uint8), name="stack", **PLACE))
    return viewer


@pytest.fixture
def layer(viewer):
    layer = new_box_layer(viewer.layers["stack"], ("a",))
    pair(layer, viewer.layers["stack"])
    box_layer(layer).set_proposals({(0,): GUESSES, (1,): GUESSES}, "model@1")
    viewer.add_layer(layer)
    viewer.dims.set_point(0, 0)
    return layer


@pytest.fixture
def boxes(layer):
    return box_layer(layer)


def states(boxes, plane):
    return [box.state for box in boxes.shown(plane).values()]


def test_a_finished_area_accepts_the_guesses_with_their_centre_in_it_as_one_step(boxes):
    boxes.finish_area((0,), (0.0, 0.0, 55.0, 55.0))
    assert states(boxes, (0,)) == ["accepted", "accepted", "proposed"] + ["accepted", "accepted"] + ["proposed"] * 4
    assert set(states(boxes, (1,))) == {"proposed"}
    assert boxes.known((0,)) == KnownArea([[0, 0, 55, 55]])
    assert boxes.known((1,)) is None
    assert boxes.undo_text == "finish an area"
    assert boxes.undo().planes == {(0,)}
    assert set(states(boxes, (0,))) == {"proposed"}
    assert boxes.areas == frozenset()
    boxes.redo()
    assert states(boxes, (0,)).count("accepted") == 4
    (area,) = boxes.areas
    boxes.remove_area(area)
    assert boxes.areas == frozenset()
    assert states(boxes, (0,)).count("accepted") == 4
    boxes.undo()
    assert boxes.areas == {area}


def test_what_is_ignored_is_not_accepted_with_the_rest(boxes):
    boxes.ignore_area((0,), (40.0, 40.0, 100.0, 100.0))
    boxes.finish_area((0,), (0.0, 0.0, 100.0, 60.0))
    assert states(boxes, (0,)) == ["accepted"] * 4 + ["proposed"] * 5
    boxes.finish((0,))
    assert states(boxes, (0,)).count("proposed") == 4
    assert boxes.known((0,)) == KnownArea(None, [[40, 40, 100, 100]])


def test_guesses_are_found_by_score(boxes):
    def scores(*limits, **more):
        return [round(boxes.get(key).score, 1) for key in boxes.guesses_by_score((0,), *limits, **more).tolist()]

    assert scores() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert scores(0.7) == [0.7, 0.8, 0.9]
    assert scores(below=0.3) == [0.1, 0.2]
    boxes.set_filter(0.5)
    assert scores(below=0.6) == [0.5]
    assert boxes.by_state((0,)) == {"proposed": 5, "accepted": 0, "edited": 0, "added": 0, "rejected": 0}


def test_states_are_told_apart_by_the_width_of_edges_too(boxes, layer):
    first, second, third, *_ = boxes.shown((0,))
    boxes.add_class("b")
    boxes.set_class([first], "b")
    boxes.reject([second])
    boxes.accept([third])
    boxes.set_shown_states(("proposed", "accepted", "edited", "rejected"))

    def widths():
        ids = boxes.drawn.tolist()
        by_id = dict(zip(list(layer.features["id"]), layer.edge_width, strict=True))
        assert set(by_id) == set(ids)
        return [by_id[key] / boxes.line_width for key in (first, second, third)]

    assert widths() == [2.0, 0.75, 1.0]
    boxes.line_width = 0.5
    assert widths() == [2.0, 0.75, 1.0]
    boxes.undo()
    boxes.undo()
    boxes.undo()
    assert widths() == [1.0, 1.0, 1.0]


def test_areas_travel_with_a_copy_of_the_layer(boxes, layer):
    boxes.finish_area((0,), (0.0, 0.0, 50.0, 50.0))
    boxes.ignore_area((1,), (0.5, 0.0, 5.0, 5.0))
    again = type(layer)(layer.data, features=layer.features, ndim=3, metadata=copy.deepcopy(layer.metadata))
    assert box_layer(again).areas == boxes.areas


def test_only_what_is_reviewed_and_not_ignored_is_learned_from(boxes, viewer):
    boxes.accept(list(boxes.shown((1,)))[:3])
    boxes.finish_area((0,), (0.0, 0.0, 100.0, 60.0))
    boxes.ignore_area((0,), (40.0, 0.0, 60.0, 20.0))
    boxes.reject(list(boxes.shown((0,)))[-1:])
    boxes.reject(list(boxes.shown((0,)))[:1])
    part, loose = judged_planes(viewer.layers)
    assert [boxes.reviewed((plane,)) for plane in range(3)] == [4, None, None]
    assert (part.finished, part.reviewed, len(part.approved), len(part.counted), part.rejected) == (
        False, True, 5, 4, 1,
    )  # fmt: skip
    assert part.known == KnownArea([[0, 0, 100, 60]], [[40, 0, 60, 20]])
    assert (loose.finished, loose.reviewed, len(loose.counted)) == (False, False, 3)
    assert loose.known.whole
    boxes.finish((1,))
    assert [plane.finished for plane in judged_planes(viewer.layers)] == [False, True]


def test_the_smallest_area_at_a_place_is_meant(boxes):
    boxes.finish_area((0,), (0.0, 0.0, 50.0, 50.0))
    boxes.ignore_area((0,), (10.0, 10.0, 20.0, 20.0))
    assert area_at(boxes, (0,), 15, 15).kind == "ignored"
    assert area_at(boxes, (0,), 30, 15).kind == "reviewed"
    assert area_at(boxes, (0,), 60, 15) is None
    assert area_at(boxes, (1,), 15, 15) is None


# The tint


def shown(viewer, layer):
    tints_of(viewer).show()
    tint = tints_of(viewer).layer_of(layer)
    return (
        None
        if tint is None
        else [(kind, text) for kind, text in zip(tint.shape_type, tint.features["text"], strict=True) if text]
    )


def test_the_tint_follows_plane_place_and_visibility_and_leaves_with_the_boxes(viewer, layer, boxes):
    assert shown(viewer, layer) is None
    boxes.ignore_area((0,), (20.0, 30.0, 40.0, 50.0))
    boxes.finish_area((1,), (0.0, 0.0, 50.0, 50.0))
    assert shown(viewer, layer) == [("polygon", "ignored")]
    tint = tints_of(viewer).layer_of(layer)
    assert tint in viewer.layers
    assert viewer.layers.index(tint) == viewer.layers.index(layer) - 1
    assert viewer.layers.selection.active is layer
    assert not tint.editable
    assert is_area_layer(tint)
    assert not can_hold_boxes(tint)
    np.testing.assert_allclose(tint.data[0][:, -2:].min(0), (29.5, 19.5))
    np.testing.assert_allclose(tint.data[0][:, -2:].max(0), (49.5, 39.5))
    # It is crossed out: not only a colour says what it is.
    assert list(tint.shape_type).count("line") == 2
    viewer.dims.set_point(0, 1)
    assert shown(viewer, layer) == [("polygon", "finished")]
    viewer.dims.set_point(0, 2)
    assert shown(viewer, layer) == []
    layer.scale = (1, 2, 2)
    np.testing.assert_array_equal(tint.scale, layer.scale)
    layer.visible = False
    assert not tint.visible
    viewer.layers.remove(layer)
    assert list(viewer.layers) == [viewer.layers["stack"]]


def test_areas_of_points_are_shown_alike(viewer):
    points = new_box_layer(viewer.layers["stack"], ("a",), point_size=10.0)
    viewer.add_layer(points)
    boxes = box_layer(points)
    boxes.set_proposals({(0,): GUESSES}, "model@1")
    boxes.finish_area((0,), (0.0, 0.0, 55.0, 55.0))
    viewer.dims.set_point(0, 0)
    assert states(boxes, (0,)).count("accepted") == 4
    assert shown(viewer, points) == [("polygon", "finished")]
    boxes.line_width = 0.5
    assert tints_of(viewer).layer_of(points).edge_width == [0.5]
    viewer.layers.remove(points)
    assert len(viewer.layers) == 1


def test_a_finished_plane_is_framed(viewer, layer, boxes):
    boxes.finish((0,))
    assert shown(viewer, layer) == [("polygon", "finished")]
    (frame,) = tints_of(viewer).layer_of(layer).data
    np.testing.assert_allclose(np.ptp(frame[:, -2:], axis=0), (100, 100))
    boxes.undo()
    tints_of(viewer).show()
    assert [each.name for each in viewer.layers] == ["stack", "stack boxes"]


def test_a_tint_that_a_person_deletes_comes_back_with_news_only(viewer, layer, boxes):
    boxes.finish((0,))
    shown(viewer, layer)
    viewer.layers.remove(tints_of(viewer).layer_of(layer))
    boxes.accept([])
    shown(viewer, layer)
    assert len(viewer.layers) == 2
    boxes.ignore_area((0,), (0.0, 0.0, 9.0, 9.0))
    assert shown(viewer, layer) == [("polygon", "finished"), ("polygon", "ignored")]
    assert len(viewer.layers) == 3


# Drawing


@pytest.fixture
def pen(viewer):
    pen = AreaPen(viewer)
    pen.said = []
    pen.refused.connect(pen.said.append)
    return pen


def draw(viewer, pen, y0, x0, y1, x1, plane=0):
    layer = viewer.layers.selection.active
    assert is_area_layer(layer)
    layer.add_rectangles(np.array([[(plane, y0, x0), (plane, y0, x1), (plane, y1, x1), (plane, y1, x0)]], float))
    pen._take()


@pytest.mark.parametrize("kind", ["reviewed", "ignored"])
def test_the_next_rectangle_becomes_an_area(viewer, layer, boxes, pen, kind):
    viewer.layers.selection.active = layer
    pen.start(boxes, kind)
    assert pen.kind == kind
    assert viewer.layers.selection.active.mode == "add_rectangle"
    draw(viewer, pen, -20.5, 9.5, 49.5, 130)
    assert boxes.areas == {Area((0,), (10.0, 0.0, 100.0, 50.0), kind)}
    assert pen.kind is None
    assert viewer.layers.selection.active is layer
    assert [each for each in viewer.layers if is_area_layer(each) and each.mode == "add_rectangle"] == []


def test_a_click_or_a_rectangle_beside_the_image_is_no_area(viewer, layer, boxes, pen):
    pen.start(boxes, "reviewed")
    draw(viewer, pen, 200, 200, 300, 300)
    draw(viewer, pen, 5, 5, 6, 6)
    assert len(pen.said) == 2
    assert pen.kind == "reviewed"
    assert boxes.areas == frozenset()
    draw(viewer, pen, 5, 5, 30, 30)
    assert len(boxes.areas) == 1


def test_an_area_where_the_image_has_no_plane_is_refused(viewer, layer, boxes, pen):
    pen.start(boxes, "ignored")
    draw(viewer, pen, 5, 5, 30, 30, plane=-1)
    assert pen.said == ["the image of 'stack boxes' has no plane -1; move the sliders onto it."]
    assert boxes.areas == frozenset()


@pytest.mark.parametrize("leave", ["key", "other layer", "deleted", "boxes deleted", "stop", "again"])
def test_drawing_can_be_left(viewer, layer, boxes, pen, leave):
    pen.start(boxes, "reviewed")
    drawing = viewer.layers.selection.active
    if leave == "key":
        pen._on_key(drawing)
    elif leave == "other layer":
        viewer.layers.selection.active = viewer.layers["stack"]
    elif leave == "deleted":
        viewer.layers.remove(drawing)
    elif leave == "boxes deleted":
        viewer.layers.remove(layer)
    elif leave == "again":
        pen.start(boxes, "ignored")
        assert pen.kind == "ignored"
        pen.stop()
    pen._take()
    pen.stop()
    assert pen.kind is None
    assert not any(is_area_layer(each) for each in viewer.layers)
    assert boxes.areas == frozenset()
    if leave == "other layer":
        assert viewer.layers.selection.active is viewer.layers["stack"]


rectangle = st.tuples(*[st.floats(0, 90, width=32)] * 2, *[st.floats(1, 90, width=32)] * 2).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3])
)
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("finish_area"), rectangle),
        st.tuples(st.just("ignore_area"), rectangle),
        st.tuples(st.just("remove_area"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["finish", "unfinish"]), st.none()),
    ),
    max_size=8,
)


@given(deeds)
@settings(max_examples=60, deadline=None)
def test_any_sequence_can_be_undone_step_by_step(sequence):
    layer = new_box_layer(Image(np.zeros((100, 100), np.uint8), name="i"), ("a",))
    boxes = box_layer(layer)
    boxes.set_proposals({(): GUESSES}, "model@1")

    def now():
        return boxes.areas, boxes.finished, states(boxes, ())

    seen = [now()]
    for deed, what in sequence:
        if deed in ("finish", "unfinish"):
            getattr(boxes, deed)(())
        elif deed == "remove_area":
            there = areas_on(boxes, ())
            if not there:
                continue
            boxes.remove_area(there[what % len(there)])
        else:
            getattr(boxes, deed)((), what)
        if now() != seen[-1]:
            seen.append(now())
        if deed in ("finish", "finish_area"):
            ignored = tuple(area.xyxy for area in boxes.areas if area.kind == "ignored")
            finished = KnownArea(None if deed == "finish" else (what,), ignored)
            assert not finished.holds(boxes.detections((), ("proposed",)).boxes).any()
    for earlier in reversed(seen[:-1]):
        boxes.undo()
        assert now() == earlier
