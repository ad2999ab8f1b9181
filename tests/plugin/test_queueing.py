from __future__ import annotations

import math

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area
from napari_localize.evaluation.queue import lot, rank_boxes
from napari_localize.plugin import queueing
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.doubting import check
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import pair

GRID = np.array([[x, y, x + 8, y + 8] for y in range(5, 95, 15) for x in range(5, 95, 15)], float)
PLANES = 12


@pytest.fixture
def image():
    from napari.layers import Image

    return Image(np.zeros((PLANES, 100, 100), np.uint8), name="film")


@pytest.fixture
def boxes(image):
    layer = new_box_layer(image, ("a", "b"))
    pair(layer, image)
    rng = np.random.default_rng(0)
    found = {
        (plane,): Detections(GRID, np.arange(36) % 2, rng.uniform(0.4, 0.99, 36), class_names=("a", "b"))
        for plane in range(PLANES)
    }
    controlled = box_layer(layer)
    controlled.set_proposals(found, "model@1")
    return controlled


def test_only_what_is_shown_and_open_is_in_the_queue(boxes):
    boxes.set_filter(0.6)
    shown = boxes.number_of_guesses()
    stock = queueing.stock(boxes)
    assert len(stock.candidates) == shown
    assert stock.threshold == 0.6
    boxes.set_areas(frozenset({Area((0,), (0, 0, 50, 100), "ignored")}), "ignore")
    boxes.finish((1,))
    stock = queueing.stock(boxes)
    on = {boxes.get(key).plane for key in stock.candidates.keys[stock.candidates.doubts == 0].tolist()}
    assert on == {(plane,) for plane in range(PLANES) if plane != 1}
    left = [boxes.get(key).xyxy for key in stock.candidates.keys.tolist() if boxes.get(key).plane == (0,)]
    assert left
    assert min(x0 + x1 for x0, _, x1, _ in left) >= 100


def test_judged_boxes_by_lot_tell_of_all_and_others_do_not(boxes):
    stock = queueing.stock(boxes)
    first = stock.population[:30].tolist()
    assert first == sorted(boxes.table.boxes.ids.tolist(), key=lambda key: int(lot([key])[0]))[:30]
    boxes.accept(first[:20])
    boxes.reject(first[20:30])
    boxes.reject(stock.population[50:80])
    state = queueing.standing(boxes, stock)
    assert (state.right, state.wrong, state.approved, state.rejected) == (20, 10, 20, 40)
    assert state.total == 36 * PLANES
    passed = queueing.standing(boxes, stock, skipped=stock.population[30:50].tolist())
    assert (passed.right, passed.wrong, passed.unknown) == (20, 40, 20)
    boxes.undo()
    boxes.undo()
    assert queueing.standing(boxes, stock).right == 20
    assert queueing.standing(boxes, stock).wrong == 0


def test_what_models_miss_is_known_from_planes_finished_by_lot(boxes):
    order = np.argsort(lot(np.arange(PLANES))).tolist()
    for number in order[:4]:
        boxes.finish((number,))
    assert queueing.recall_of(boxes, PLANES) is None
    assert queueing.random_planes(order[:4], PLANES) == order[:4]
    plane = order[4]
    boxes.layer.add_rectangles([[[plane, 90, 90], [plane, 90, 98], [plane, 98, 98], [plane, 98, 90]]])
    boxes.finish((plane,))
    recall = queueing.recall_of(boxes, PLANES)
    assert recall.value == pytest.approx(180 / 181)
    assert recall.low < recall.value
    with_others = [*order[:5], order[8]]
    boxes.finish((order[8],))
    assert queueing.recall_of(boxes, PLANES).value == pytest.approx(180 / 181)
    assert queueing.random_planes(with_others, PLANES) == order[:5]
    assert not math.isnan(queueing.standing(boxes, queueing.stock(boxes), planes=PLANES).recall.low)


def test_looks_are_found_by_id(boxes, image):
    request = queueing.to_describe(boxes, [image, boxes.layer])
    assert len(request.planes) == PLANES
    assert len(set(request.keys)) == PLANES
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=(36, 50)).astype(np.float32) for _ in range(PLANES)]
    looks = request.looks(tables)
    ids = boxes.table.boxes.ids
    assert looks.of(ids).shape == (36 * PLANES, 32)
    assert (looks.of(np.array([10_000])) == 0).all()
    stock = queueing.stock(boxes, looks)
    np.testing.assert_array_equal(stock.candidates.features, looks.of(stock.candidates.keys))
    assert len({entry.row for entry in rank_boxes(stock.candidates, limit=40)}) == 40
    with pytest.raises(UserError, match="not open"):
        queueing.to_describe(boxes, [boxes.layer])


def test_a_model_that_looks_again_doubts_and_adds_what_it_is_sure_of(boxes, image):
    with pytest.raises(UserError, match="Nothing is reviewed"):
        queueing.to_check(boxes, [image, boxes.layer])
    ids = boxes.table.guesses((3,)).tolist()
    boxes.reject(ids[:1])
    boxes.finish((3,))
    request = queueing.to_check(boxes, [image, boxes.layer])
    assert request.indices == [(3,)]
    found = Detections(
        np.concatenate([GRID[:35], [[90, 90, 99, 99], [0, 90, 4, 99]]]),
        [*(np.arange(35) % 2), 0, 0],
        [0.9] * 35 + [0.95, 0.5],
        class_names=("a", "b"),
    )
    before = len(boxes)
    doubts = check(boxes, request, [found], "model@2")
    assert len(boxes) == before + 1
    assert doubts[ids[0]] == pytest.approx(0.9)
    assert doubts[ids[1]] == pytest.approx(0.1)
    assert doubts[ids[35]] == 1
    stock = queueing.stock(boxes, doubts=doubts)
    suspicious = set(stock.candidates.keys[stock.candidates.doubts > 0].tolist())
    assert suspicious == {ids[0], ids[35], queueing.newest_guess(boxes)}


def test_the_plane_to_finish_next_is_open(boxes):
    for plane in range(4):
        boxes.finish((plane,))
    entries = queueing.plane_order(boxes, queueing.stock(boxes), (PLANES,))
    assert sorted(entry.row for entry in entries) == list(range(4, PLANES))


def test_models_that_are_gone_are_not_asked(boxes):
    assert queueing.model_of(boxes) is None
    boxes.set_proposals({(0,): Detections(GRID[:3], scores=[0.9] * 3)}, "nuclei@1")
    assert queueing.model_of(boxes) == "nuclei@1"


def test_points_are_doubted_by_their_distance_and_not_proposed_twice(image):
    layer = new_box_layer(image, ("a",), point_size=12)
    pair(layer, image)
    points = box_layer(layer)
    points.set_proposals({(0,): Detections([[20, 20, 44, 44], [60, 60, 84, 84]], class_names=("a",))}, "model@1")
    points.accept(list(points.shown((0,))))
    points.finish((0,))
    request = queueing.to_check(points, [image, layer])
    # The objects are twice as large as the points; one centre is off by three pixels.
    found = Detections([[20, 20, 44, 44], [63, 63, 87, 87]], scores=[0.9, 0.95], class_names=("a",))
    doubts = check(points, request, [found], "model@2")
    assert sorted(doubts.values()) == pytest.approx([0.05, 0.1], abs=1e-6)
    assert len(points) == 2


def test_without_boxes_there_is_nothing_to_look_at(boxes, image):
    empty = new_box_layer(image, ("a",))
    pair(empty, image)
    with pytest.raises(UserError, match="no boxes to look at"):
        queueing.to_describe(box_layer(empty), [image, empty])
