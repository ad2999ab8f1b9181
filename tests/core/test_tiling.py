"""Tiles cover everything, and what they cut comes out once and whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.tiling import Rectangle, cut_by_seam, join_parts, plan_tiles

MARGIN = 1.0


@st.composite
def layouts(draw):
    tile = draw(st.integers(8, 90))
    return draw(st.integers(1, 400)), draw(st.integers(1, 400)), tile, draw(st.integers(0, tile - 1))


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_tiles_cover_the_plane_and_share_the_overlap(layout):
    height, width, tile, overlap = layout
    tiles = plan_tiles(*layout)
    seen = np.zeros((height, width), bool)
    for y0, y1, x0, x1 in tiles:
        assert 0 <= y0 < y1 <= height
        assert 0 <= x0 < x1 <= width
        assert (y1 - y0, x1 - x0) == (min(tile, height), min(tile, width))
        seen[y0:y1, x0:x1] = True
    assert seen.all()
    assert len(set(tiles)) == len(tiles)
    for starts in ({t.y0 for t in tiles}, {t.x0 for t in tiles}):
        assert all(np.diff(sorted(starts)) <= tile - overlap)


@settings(max_examples=60, deadline=None)
@given(layouts(), st.tuples(*[st.floats(0, 1)] * 4))
def test_an_object_not_larger_than_the_overlap_lies_whole_in_a_tile(layout, where):
    height, width, _, overlap = layout
    h, w = min(overlap, height) * where[0], min(overlap, width) * where[1]
    y, x = (height - h) * where[2], (width - w) * where[3]
    tiny = 1e-6  # of rounding
    assert any(
        t.y0 - tiny <= y and y + h <= t.y1 + tiny and t.x0 - tiny <= x and x + w <= t.x1 + tiny
        for t in plan_tiles(*layout)
    )


def test_no_tile_without_an_end():
    with pytest.raises(ValueError, match="overlap"):
        plan_tiles(10, 10, 4, 4)


def see(objects: np.ndarray, labels: np.ndarray, size: tuple[int, int], tile: int, overlap: int):
    """Give what a perfect model finds: in each tile the visible part of each object, if enough is to be seen."""
    parts = []
    tiles = plan_tiles(*size, tile, overlap)
    for number, t in enumerate(tiles):
        shown = np.clip(objects, [t.x0, t.y0] * 2, [t.x1, t.y1] * 2)
        seen = ((shown[:, 2:] - shown[:, :2]) > 3).all(axis=1)
        boxes = shown[seen]
        parts.append((boxes, labels[seen], cut_by_seam(boxes, t, *size, MARGIN), np.full(len(boxes), number)))
    boxes, found, cut, found_in = (np.concatenate(part) for part in zip(*parts, strict=True))
    # Whole boxes without doubles, as after a suppression of overlapping ones.
    whole = np.flatnonzero(~cut)
    _, first = np.unique(np.column_stack([boxes, found])[whole], axis=0, return_index=True)
    keep = np.union1d(whole[first], np.flatnonzero(cut))
    return (
        boxes[keep],
        found[keep],
        np.linspace(0.5, 0.9, len(keep), dtype=np.float32),
        cut[keep],
        found_in[keep],
        tiles,
    )


@st.composite
def scenes(draw):
    """Objects of very different sizes, many larger than the tiles' overlap, that do not touch each other."""
    height, width = draw(st.integers(20, 300)), draw(st.integers(20, 300))
    cells = draw(st.sampled_from([20, 45, 75, 130]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    y, x = (axis.ravel() for axis in np.mgrid[0 : height - cells + 1 : cells, 0 : width - cells + 1 : cells])
    size = rng.uniform(6, cells - 3, (len(y), 2))
    corner = np.column_stack([x, y]) + rng.uniform(0, 1, (len(y), 2)) * (cells - 3 - size)
    objects = np.hstack([corner, corner + size]).astype(np.float32)
    return objects[rng.random(len(objects)) < 0.7], (height, width)


@settings(max_examples=40, deadline=None)
@given(scenes(), st.sampled_from([(64, 20), (64, 31), (50, 12)]))
def test_objects_on_seams_come_out_once_and_whole(scene, tiling):
    objects, size = scene
    labels = np.arange(len(objects)) % 2
    boxes, found, scores = join_parts(*see(objects, labels, size, *tiling))
    rows = np.column_stack([boxes, found])
    expected = np.column_stack([objects, labels])
    assert len(rows) == len(expected)
    np.testing.assert_allclose(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)], atol=1e-4)
    assert len(scores) == len(rows)


def test_a_small_box_inside_does_not_swallow_the_part_of_a_large_object():
    large, small = [10, 10, 120, 60], [40, 30, 50, 40]
    found = see(np.array([large, small], np.float32), np.zeros(2, np.int64), (80, 160), 100, 30)
    boxes, _, _ = join_parts(*found)
    assert sorted(boxes.tolist()) == [large, small]


def test_neighbours_that_are_cut_alike_stay_two():
    objects = np.array([[40, 0, 160, 30], [40, 32, 160, 62]], np.float32)
    boxes, _, scores = join_parts(*see(objects, np.zeros(2, np.int64), (64, 200), 100, 20))
    assert sorted(boxes.tolist()) == objects.tolist()
    assert scores.max() == pytest.approx(0.9)


def test_what_is_recognised_only_where_it_is_cut_goes():
    tiles = plan_tiles(50, 150, 100, 50)
    boxes = np.array([[90, 20, 100, 30], [40, 0, 100, 50]], np.float32)  # in the first tile, cut at its right side
    nothing, cut = np.zeros(2, np.int64), np.ones(2, bool)
    found, _, _ = join_parts(boxes, nothing, np.ones(2, np.float32), cut, nothing, tiles)
    # The second tile shows the small one with all around it, and would have found it; it does not hold the large one.
    assert found.tolist() == boxes[1:].tolist()


def test_sides_of_the_plane_are_no_seams():
    plane = Rectangle(0, 50, 0, 40)
    boxes = np.array([[0, 0, 40, 50], [0, 10, 5, 20]], np.float32)
    assert not cut_by_seam(boxes, plane, 50, 40, 2.0).any()
    assert cut_by_seam(boxes, plane, 50, 41, 2.0).tolist() == [True, False]
    assert cut_by_seam(boxes, plane, 51, 40, 2.0).tolist() == [True, False]
