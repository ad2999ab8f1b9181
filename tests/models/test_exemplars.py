"""Teach by example, with a bundled model on images that are drawn here."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.overlap import overlapping
from napari_localize.core.planes import ArrayPlane
from napari_localize.models.exemplars import Lesson, diameter_of, find_alike, look, probability
from napari_localize.models.localizer import load_model

SIDE = 256
CLASSES = ("disc", "stripe")


@pytest.fixture(scope="module")
def model():
    return load_model("generalist", device="cpu")


@pytest.fixture(scope="module")
def scene():
    """Bright discs and vertical stripes on a noisy ground, with their boxes."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    image = np.random.default_rng(0).normal(0.2, 0.02, (SIDE, SIDE))
    boxes, labels = [], []
    for number, (cy, cx) in enumerate((r, c) for r in range(28, SIDE, 50) for c in range(28, SIDE, 50)):
        stripe = number % 3 == 2
        half = (4, 13) if stripe else (9, 9)
        inside = (np.abs(x - cx) < half[0]) & (np.abs(y - cy) < half[1])
        image[inside if stripe else np.hypot(y - cy, x - cx) < 9] += 0.6
        boxes.append((cx - half[0], cy - half[1], cx + half[0], cy + half[1]))
        labels.append(int(stripe))
    return image.astype(np.float32), Detections(boxes, labels, class_names=CLASSES)


def seen_by(model, scene, examples):
    return look(model, ArrayPlane(scene[0]), diameter_of([examples]), (SIDE / 2, SIDE / 2))


def hits(found, true):
    return int(overlapping(true.boxes, found.boxes, 0.4).sum())


def test_one_example_finds_the_others_like_it(model, scene):
    _, true = scene
    discs = true[true.labels == 0]
    seen = seen_by(model, scene, discs[:1])
    found = find_alike(seen, [Lesson(seen, discs[:1], discs[:0])])
    assert hits(found, discs) >= 0.8 * len(discs)
    assert set(found.origins) == {"examples"}
    assert (found.states == "proposed").all()
    assert ((found.scores > 0) & (found.scores <= 1)).all()


def test_boxes_are_as_large_as_they_were_drawn(model, scene):
    """Where a person draws boxes with a margin, those that are found have it, too."""
    discs = scene[1][scene[1].labels == 0]
    middle = np.tile(discs.centers, 2)
    for half in (8, 12):
        drawn = Detections(middle + np.array([-half, -half, half, half]), class_names=CLASSES)
        seen = seen_by(model, scene, drawn[:2])
        found = find_alike(seen, [Lesson(seen, drawn[:2], drawn[:0])])
        assert hits(found, drawn) >= 0.8 * len(drawn)
        assert abs(np.median(found.diameters) - 2 * half) < 3


def test_two_classes_are_told_apart(model, scene):
    _, true = scene
    drawn = true[np.concatenate([np.flatnonzero(true.labels == label)[:2] for label in (0, 1)])]
    seen = seen_by(model, scene, drawn)
    found = find_alike(seen, [Lesson(seen, drawn, drawn[:0])])
    right = sum(hits(found[found.labels == label], true[true.labels == label]) for label in (0, 1))
    wrong = sum(hits(found[found.labels == 1 - label], true[true.labels == label]) for label in (0, 1))
    assert right > 3 * wrong
    assert found.class_names == CLASSES


def test_what_is_rejected_and_its_like_become_less_probable(model, scene):
    _, true = scene
    discs, stripes = true[true.labels == 0], true[true.labels == 1]
    seen = seen_by(model, scene, discs[:2])

    def likeness(rejected):
        found = find_alike(seen, [Lesson(seen, discs[:2], rejected)])
        return hits(found, stripes[2:])

    assert likeness(stripes[:2]) <= likeness(stripes[:0])


def test_examples_of_another_plane_serve_as_well(model, scene):
    image, true = scene
    discs = true[true.labels == 0]
    seen = seen_by(model, scene, discs[:3])
    other = look(model, ArrayPlane(np.ascontiguousarray(image[::-1])), diameter_of([discs]), (SIDE / 2, SIDE / 2))
    found = find_alike(other, [Lesson(seen, discs[:3], discs[:0])])
    assert len(found) >= 0.6 * len(discs)


def test_the_same_examples_give_the_same_answer(model, scene):
    _, true = scene
    seen = seen_by(model, scene, true[:1])
    first, again = (find_alike(seen, [Lesson(seen, true[:1], true[:0])]) for _ in range(2))
    np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_without_an_example_in_sight_the_next_step_is_said(model, scene):
    _, true = scene
    seen = seen_by(model, scene, true[:1])
    with pytest.raises(UserError, match="draw a box"):
        find_alike(seen, [Lesson(seen, true[:0], true[:0])])


def test_more_evidence_is_never_less_probable():
    evidence = torch.tensor([[0.0, 0.2, -3.0, 0.5], [0.5, 0.2, -3.0, 0.5], [0.5, 0.9, 1.0, 0.5], [0.5, 0.9, 1.0, 0.0]])
    for number in range(1, 9):
        values = probability(evidence, number)
        assert (values.diff() >= -1e-6).all(), number


def test_a_plane_too_large_is_looked_at_where_the_examples_are(model):
    class Large:
        shape = (100_000, 100_000, 1)

        def read(self, y0, y1, x0, x1):
            assert (y1 - y0) * (x1 - x0) < 4e7
            return np.zeros((y1 - y0, x1 - x0, 1), np.uint8)

    seen = look(model, Large(), 64.0, (50_000.0, 200.0))
    assert seen.shows(50_000, 200)
    assert not seen.shows(10, 10)
    assert seen.window.y0 == 0
