"""Simulated images are the same for the same seed, and their boxes lie around what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.training.simulate import KINDS, simulate


@pytest.mark.parametrize("seed", range(24))
def test_boxes_lie_inside(seed):
    drawn = simulate(seed)
    height, width, channels = drawn.image.shape
    assert (channels, drawn.image.dtype) == (3, np.uint8)
    assert drawn.kind == KINDS[seed % len(KINDS)]
    assert len(drawn.boxes) > 0
    assert (drawn.boxes[:, :2] >= 0).all()
    assert (drawn.boxes[:, 2:] <= [width, height]).all()
    sizes = drawn.boxes[:, 2:] - drawn.boxes[:, :2]
    assert sizes.min() >= 1
    assert sizes.max() < 300
    assert drawn.image.std() > 3


def test_the_same_seed_gives_the_same_image():
    first, again, other = simulate(5), simulate(5), simulate(11)
    assert (first.image == again.image).all()
    assert (first.boxes == again.boxes).all()
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


def test_objects_are_where_their_boxes_are():
    differences = []
    for seed in range(0, 10 * len(KINDS), len(KINDS)):  # spots
        drawn = simulate(seed)
        grey = drawn.image.mean(axis=-1)
        inside = np.zeros(grey.shape, bool)
        for x0, y0, x1, y1 in drawn.boxes.astype(int):
            inside[y0:y1, x0:x1] = True
        differences.append(abs(grey[inside].mean() - grey[~inside].mean()) / grey.std())
    assert np.median(differences) > 0.3
