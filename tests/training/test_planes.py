"""What a person has drawn is checked, divided and read as the network will see it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.tiling import Rectangle
from napari_localize.training import planes as module
from napari_localize.training.planes import (
    busiest_windows,
    check_annotations,
    read_training_plane,
    training_windows,
)

PLANE = ArrayPlane(np.zeros((50, 40)))
BOX = [10, 10, 20, 20]


def boxes(*rows, names=("a",), labels=None, **columns):
    return Detections(np.array(rows, np.float32).reshape(-1, 4), labels, class_names=names, **columns)


def test_classes_are_joined_and_boxes_cut():
    given_boxes = [boxes([-5, 10, 20, 60]), boxes(BOX, [60, 0, 70, 9], names=("b",)), boxes(names=("c",))]
    kept, classes, notes = check_annotations([PLANE] * 3, given_boxes, ["x", "y", "z"])
    assert classes == ("a", "b")
    assert kept[0].boxes.tolist() == [[0, 10, 20, 50]]
    assert [part.counts() for part in kept[1:]] == [{"a": 0, "b": 1}, {"a": 0, "b": 0}]
    assert any("1 boxes lie wholly outside" in note for note in notes)
    assert "No box of class c was given, so the model will not know it." in notes


def test_a_class_without_boxes_stays_where_the_base_knows_it():
    given_boxes = [boxes(BOX, names=("c", "a", "b"), labels=[2])]
    kept, classes, notes = check_annotations([PLANE], given_boxes, ["x"], base_classes=("a", "z"))
    assert classes == ("a", "b")
    assert kept[0].counts() == {"a": 0, "b": 1}
    assert any("class a was given, so the model may forget it" in note for note in notes)


def test_a_class_with_boxes_outside_of_what_is_known_alone_is_left_out():
    given_boxes = [boxes(BOX, [30, 30, 38, 38], names=("a", "b"), labels=[0, 1])]
    kept, classes, _ = check_annotations([PLANE], given_boxes, ["x"], [KnownArea([[0, 0, 25, 25]])])
    assert classes == ("a",)
    assert kept[0].boxes.tolist() == [BOX]


def test_rejected_boxes_are_no_objects():
    states = ["rejected", "accepted", "proposed"]
    kept, _, _ = check_annotations([PLANE], [boxes(BOX, [0, 0, 5, 5], [1, 1, 7, 7], states=states)], ["x"])
    assert kept[0].states.tolist() == states[1:]


@pytest.mark.parametrize(
    ("planes", "annotations", "message"),
    [
        ([], [], "no image"),
        ([PLANE], [], "1 images but 0 sets"),
        ([PLANE], [boxes()], "no box to learn from"),
        ([PLANE], [boxes(BOX, states=["rejected"])], "no box to learn from"),
        ([PLANE], [boxes([60, 60, 70, 70])], "no box to learn from"),
    ],
)
def test_nothing_to_learn_from(planes, annotations, message):
    with pytest.raises(UserError, match=message):
        check_annotations(planes, annotations, ["x"] * len(planes))


def test_more_classes_than_a_model_can_have():
    names = [f"object {number}" for number in range(1001)]
    with pytest.raises(UserError, match="1001 classes, but a model can have 1000"):
        check_annotations([ArrayPlane(np.zeros((32, 32)))], [boxes((0, 0, 9, 9), names=names)], ["p"])


def test_a_plane_is_read_as_the_network_sees_it():
    image = np.random.default_rng(0).integers(100, 900, (60, 80)).astype(np.uint16)
    plane = read_training_plane(ArrayPlane(image), boxes(BOX, [0, 0, 30, 20]), typical=5.0)
    assert plane.pixels.shape == (3, 60, 80)
    assert plane.pixels.dtype == torch.uint8
    assert (plane.pixels.min(), plane.pixels.max()) == (0, 255)
    assert plane.diameter == pytest.approx((10 + np.sqrt(600)) / 2)
    assert read_training_plane(ArrayPlane(image), boxes(), typical=5.0).diameter == 5.0


def test_reading_in_strips_makes_no_difference(monkeypatch):
    image = np.random.default_rng(0).random((97, 83, 3))
    whole = read_training_plane(ArrayPlane(image), boxes(BOX), 10.0)
    monkeypatch.setattr(module, "STRIP_PIXELS", 500)
    strips = read_training_plane(ArrayPlane(image), boxes(BOX), 10.0)
    assert torch.equal(whole.pixels, strips.pixels)


def test_large_objects_are_reduced(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DIAMETER", 10)
    image = np.zeros((95, 83))
    image[30:70, 30:60] = 1
    plane = read_training_plane(ArrayPlane(image), boxes([30, 30, 60, 70]), typical=99.0)
    assert plane.pixels.shape == (3, 32, 28)
    assert plane.boxes.tolist() == [pytest.approx([10, 10, 20, 70 / 3])]
    assert plane.diameter == pytest.approx(np.sqrt(1200) / 3)
    assert (plane.pixels[0, 10:23, 10:20] == 255).all()
    assert plane.pixels[0, :10].max() == 0


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_SIDE", 100)
    monkeypatch.setattr(module, "WINDOW", 50)
    monkeypatch.setattr(module, "MOST_WINDOWS", 3)


@pytest.mark.usefixtures("small_windows")
def test_of_a_huge_plane_only_windows_around_boxes_are_read():
    class Huge(ArrayPlane):
        read_pixels = 0

        def read(self, y0, y1, x0, x1):
            type(self).read_pixels += (y1 - y0) * (x1 - x0)
            return super().read(y0, y1, x0, x1)

    image = np.random.default_rng(0).integers(0, 255, (400, 300)).astype(np.uint8)
    plane, found = Huge(image), boxes([210, 310, 222, 322], [240, 340, 252, 352], [10, 10, 22, 22])
    windows = training_windows(plane, found, 12.0)
    assert windows == [Rectangle(300, 350, 200, 250), Rectangle(0, 50, 0, 50)]
    seen = module.find_intensity_map(plane)
    Huge.read_pixels = 0
    first, second = (read_training_plane(plane, found, 12.0, window, seen) for window in windows)
    assert Huge.read_pixels == 2 * 2500
    assert first.pixels.shape == second.pixels.shape == (3, 50, 50)
    assert first.boxes.tolist() == [[10, 10, 22, 22], [40, 40, 52, 52]]
    assert second.boxes.tolist() == [[10, 10, 22, 22]]
    assert first.diameter == second.diameter == 12
    whole = read_training_plane(plane, found, 12.0, None, seen)
    assert torch.equal(first.pixels, whole.pixels[:, 300:350, 200:250])


@pytest.mark.usefixtures("small_windows")
def test_a_plane_of_usual_size_is_read_whole(monkeypatch):
    assert training_windows(ArrayPlane(np.zeros((100, 90))), boxes(BOX), 10.0) == [Rectangle(0, 100, 0, 90)]
    monkeypatch.setattr(module, "LARGEST_DIAMETER", 10)
    large = ArrayPlane(np.broadcast_to(np.uint8(0), (900, 900)))
    # Reduced to its objects' size this one is not large.
    assert training_windows(large, boxes([0, 0, 100, 100]), 10.0) == [Rectangle(0, 900, 0, 900)]
    assert len(training_windows(large, boxes(BOX), 10.0)) == 1
    assert training_windows(large, boxes(BOX), 10.0)[0].y1 == 50


@pytest.mark.usefixtures("small_windows")
def test_a_huge_plane_without_boxes_is_one_window():
    assert len(training_windows(ArrayPlane(np.zeros((400, 300))), boxes(), 10.0)) == 1


def test_rare_classes_are_not_left_out():
    corner = np.array([[x, y] for y in range(0, 90, 10) for x in range(0, 90, 10)], np.float32)
    common = np.hstack([corner, corner + 8])
    found = Detections(
        np.vstack([common, [[350, 350, 358, 358]]]), [0] * len(common) + [1], class_names=("common", "rare")
    )
    windows = busiest_windows(found, 400, 400, 100, 2)
    assert set(windows) == {Rectangle(0, 100, 0, 100), Rectangle(300, 400, 300, 400)}


def test_many_planes_share_the_memory():
    image = ArrayPlane(np.broadcast_to(np.uint8(0), (1500, 1200)))
    found = boxes([1100, 1300, 1112, 1312])
    assert training_windows(image, found, 12.0) == [Rectangle(0, 1500, 0, 1200)]
    (window,) = training_windows(image, found, 12.0, 700 * 700)
    assert window.y1 - window.y0 == window.x1 - window.x0 == 700
    assert window.y0 <= 1300 < 1312 <= window.y1
    assert window.x0 <= 1100 < 1112 <= window.x1


def test_only_the_surroundings_of_what_is_reviewed_are_read():
    slide = ArrayPlane(np.zeros((3000, 4000)))
    known = KnownArea([[1000, 500, 1300, 700]], [[1100, 500, 1200, 600]])
    found = boxes([1010, 510, 1020, 520], [1110, 510, 1150, 550], [5, 5, 900, 900])
    (window,) = training_windows(slide, found, 50.0, known=known)
    assert window == Rectangle(420, 780, 920, 1380)
    plane = read_training_plane(slide, found, 50.0, window, known=known)
    assert plane.pixels.shape == (3, 360, 460)
    assert plane.diameter == 10.0
    assert plane.boxes.tolist() == [[90, 90, 100, 100]]
    assert plane.beside.tolist() == [[190, 90, 230, 130]]
    assert plane.known == KnownArea([[80, 80, 380, 280]], [[180, 80, 280, 180]])


def test_a_reviewed_area_of_large_objects_is_reduced_with_them():
    slide = ArrayPlane(np.zeros((600, 600)))
    known = KnownArea([[0, 0, 400, 400]])
    plane = read_training_plane(slide, boxes([0, 0, 300, 300]), 10.0, known=known)
    assert plane.pixels.shape == (3, 300, 300)
    assert plane.known == KnownArea([[0, 0, 200, 200]])


def test_an_area_beside_the_plane_is_no_reason_to_fail():
    assert training_windows(PLANE, boxes(), 10.0, known=KnownArea([[500, 500, 600, 600]])) == [Rectangle(0, 50, 0, 40)]


def test_of_a_large_plane_windows_are_chosen_where_something_is_reviewed(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_SIDE", 200)
    monkeypatch.setattr(module, "SMALLEST_WINDOW", 100)
    monkeypatch.setattr(module, "WINDOW", 100)
    slide = ArrayPlane(np.zeros((1000, 1000)))
    crowd = [[x, 950, x + 10, 960] for x in range(0, 300, 20)]
    known = KnownArea([[10, 10, 30, 30], [900, 10, 920, 30]])
    windows = training_windows(slide, boxes([12, 12, 22, 22], *crowd), 10.0, known=known)
    assert windows == [Rectangle(0, 100, 0, 100)]
