"""Crops show what their boxes say, however they are turned and stretched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_localize.models.heatmap.network import STRIDE
from napari_localize.training import crops
from napari_localize.training.crops import CropRecipe, TrainingPlane, make_batch

PLAIN = CropRecipe(side=128, diameters=(12, 40), invert=0, grey=0, recolour=0, noise=0, blur=0)


def painted(size=(150, 190), count=20, seed=0, reach=0):
    """Rectangles that do not touch, each in a grey of its own, and their boxes; with `reach`, beyond the border."""
    rng = np.random.default_rng(seed)
    height, width = size
    image, boxes = np.zeros((height, width), np.uint8), []
    for grey in np.linspace(60, 255, count).astype(np.uint8):
        h, w = rng.integers(12, 36, 2)
        for _ in range(100):
            x, y = rng.integers(-reach, width - w + reach), rng.integers(-reach, height - h + reach)
            part = image[max(0, y - 2) : max(0, y + h + 2), max(0, x - 2) : max(0, x + w + 2)]
            if part.size and not part.any():
                image[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = grey
                boxes.append((x, y, x + w, y + h))
                break
    found = torch.tensor(boxes, dtype=torch.float32)
    pixels = torch.from_numpy(image).expand(3, -1, -1).contiguous()
    return TrainingPlane(pixels, found, torch.arange(len(found)) % 3, 24.0)


def some_crops(plane, recipe, count, seed=0):
    rng = np.random.default_rng(seed)
    return [crops._crop(plane, recipe, rng) for _ in range(count)]


def grey_of(plane, box):
    x0, y0, x1, y1 = box.round().int().tolist()
    height, width = plane.pixels.shape[1:]
    return int(plane.pixels[0, (max(y0, 0) + min(y1, height)) // 2, (max(x0, 0) + min(x1, width)) // 2])


@pytest.mark.parametrize("reach", [0, 14])
def test_boxes_follow_the_pixels(reach):
    plane = painted(reach=reach)
    greys = {grey_of(plane, box): int(label) for box, label in zip(plane.boxes, plane.labels, strict=True)}
    seen = 0
    for image, boxes, labels, _ in some_crops(plane, PLAIN, 60):
        assert image.shape == (3, PLAIN.side, PLAIN.side)
        for (x0, y0, x1, y1), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            assert 0 <= x0 < x1 <= PLAIN.side
            assert 0 <= y0 < y1 <= PLAIN.side
            if min(x1 - x0, y1 - y0) < 8:
                continue
            content = image[0, round(y0) : round(y1), round(x0) : round(x1)].numpy()
            middle = int(np.median(content))
            grey = min(greys, key=lambda known: abs(known - middle))
            assert abs(grey - middle) <= 2
            assert greys[grey] == label
            # The rectangle fills its box, and ends where it ends.
            inner = content[3:-3, 3:-3]
            assert np.abs(inner.astype(int) - middle).max(initial=0) <= 2
            if reach == 0 and x0 > 4 and x1 < PLAIN.side - 4:
                beside = image[0, round((y0 + y1) / 2), [round(x0) - 3, round(x1) + 2]]
                assert (beside.int() - middle).abs().min() > 4
            seen += 1
    assert seen > 200


def test_every_turn_occurs():
    pixels = torch.zeros(3, 40, 40, dtype=torch.uint8)
    pixels[:, 4:12, 4:8] = 255
    plane = TrainingPlane(pixels, torch.tensor([[4.0, 4, 8, 12]]), torch.zeros(1, dtype=torch.int64), 40.0)
    recipe = replace(PLAIN, side=64, diameters=(64, 64), stretch=0)
    seen = set()
    for image, boxes, _, _ in some_crops(plane, recipe, 100):
        x, y = (boxes[0, :2] + boxes[0, 2:]) / 2
        seen.add((bool(x < 32), bool(y < 32), bool(boxes[0, 2] - boxes[0, 0] > boxes[0, 3] - boxes[0, 1])))
        assert image[0, int(y), int(x)] > 250
    assert len(seen) == 8


def test_slivers_are_neither_objects_nor_background():
    plane = painted(seed=3, reach=-3)  # at the border they would be continued beyond it
    some = False
    for image, boxes, _, cut in some_crops(plane, PLAIN, 100):
        batch_like = torch.cat([boxes, cut])
        assert (batch_like[:, 2:] > batch_like[:, :2]).all()
        lit = image[0].clone()
        for x0, y0, x1, y1 in batch_like.tolist():
            lit[max(0, int(y0) - 1) : int(np.ceil(y1)) + 2, max(0, int(x0) - 1) : int(np.ceil(x1)) + 2] = 0
        # Whatever is painted lies in a box or in a sliver.
        assert (lit > 40).float().mean() < 0.002
        some = some or len(cut) > 0
    assert some


def test_unknown_cells_are_those_of_slivers():
    plane = painted(seed=3)
    batch = make_batch([plane], 3, 40, PLAIN, np.random.default_rng(0))
    assert batch.pixels.shape == (40, 3, 128, 128)
    assert batch.targets.heat.shape == (40, 3, 128 // STRIDE, 128 // STRIDE)
    assert 0.5 < batch.targets.known.mean() < 1
    assert ((batch.targets.known == 0) | (batch.targets.known == 1)).all()
    assert (batch.targets.weight[batch.targets.known[:, 0] == 0] == 0).all()


def test_object_sizes_are_those_of_the_recipe():
    plane = painted()
    sizes = []
    for _, boxes, _, _ in some_crops(plane, replace(PLAIN, diameters=(20, 20), stretch=0), 60):
        whole = boxes[((boxes > 1) & (boxes < PLAIN.side - 1)).all(dim=1)]
        sizes += (whole[:, 2:] - whole[:, :2]).prod(dim=1).sqrt().tolist()
    actual = (plane.boxes[:, 2:] - plane.boxes[:, :2]).prod(dim=1).sqrt().median() * 20 / plane.diameter
    assert np.median(sizes) == pytest.approx(float(actual), rel=0.15)


@pytest.mark.parametrize(("shape", "diameter"), [((1, 1), 24), ((3, 500), 24), ((40, 40), 1), ((60, 60), 300)])
def test_planes_of_any_size(shape, diameter):
    nothing = TrainingPlane(
        torch.zeros(3, *shape, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0).long(), diameter
    )
    batch = make_batch([nothing], 1, 4, PLAIN, np.random.default_rng(0))
    assert torch.isfinite(batch.pixels).all()
    assert batch.targets.heat.max() == 0


def test_light_keeps_the_range_and_the_shape():
    wild = CropRecipe(invert=0.5, grey=0.5, recolour=1, noise=1, blur=1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = crops._light(torch.rand(3, 32, 48), wild, rng)
        assert image.shape == (3, 32, 48)
        assert 0 <= image.min() <= image.max() <= 1
    negative = crops._light(torch.full((3, 8, 8), 0.2), replace(PLAIN, invert=1), rng)
    torch.testing.assert_close(negative, torch.full((3, 8, 8), 0.8))


def test_the_same_seed_gives_the_same_batch():
    planes = [painted(seed=1), painted(seed=2)]
    first, second, other = (make_batch(planes, 3, 3, CropRecipe(side=64), np.random.default_rng(s)) for s in (5, 5, 6))
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.targets.heat, second.targets.heat)
    assert not torch.equal(first.pixels, other.pixels)


def test_weights_say_how_often_a_plane_is_taken():
    dark, bright = (
        TrainingPlane(torch.full((3, 64, 64), grey, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0).long(), 24.0)
        for grey in (0, 255)
    )
    batch = make_batch([replace(dark, weight=3.0), bright], 1, 200, replace(PLAIN, side=32), np.random.default_rng(0))
    assert batch.pixels.mean() == pytest.approx(0.25, abs=0.08)


def test_sizes_are_not_learnt_where_they_are_not_known():
    plane = replace(painted(), sized=False)
    batch = make_batch([plane], 3, 4, PLAIN, np.random.default_rng(0))
    assert batch.targets.weight.sum() == 0
    assert (batch.targets.heat == 1).any()
