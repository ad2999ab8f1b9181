"""Crops show what their boxes say, however they are turned and stretched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_localize.core.known import KnownArea
from napari_localize.models.heatmap.loss import heatmap_loss
from napari_localize.models.heatmap.network import STRIDE
from napari_localize.training import crops
from napari_localize.training.crops import CropRecipe, TrainingPlane, make_batch
from napari_localize.training.paste import Source

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
    source = Source([plane])
    return [crops._crop(plane, recipe, rng, source) for _ in range(count)]


def grey_of(plane, box):
    x0, y0, x1, y1 = box.round().int().tolist()
    height, width = plane.pixels.shape[1:]
    return int(plane.pixels[0, (max(y0, 0) + min(y1, height)) // 2, (max(x0, 0) + min(x1, width)) // 2])


@pytest.mark.parametrize("reach", [0, 14])
def test_boxes_follow_the_pixels(reach):
    plane = painted(reach=reach)
    greys = {grey_of(plane, box): int(label) for box, label in zip(plane.boxes, plane.labels, strict=True)}
    seen = 0
    for image, boxes, labels, *_ in some_crops(plane, PLAIN, 60):
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
    for image, boxes, *_ in some_crops(plane, recipe, 100):
        x, y = (boxes[0, :2] + boxes[0, 2:]) / 2
        seen.add((bool(x < 32), bool(y < 32), bool(boxes[0, 2] - boxes[0, 0] > boxes[0, 3] - boxes[0, 1])))
        assert image[0, int(y), int(x)] > 250
    assert len(seen) == 8


def test_slivers_are_neither_objects_nor_background():
    plane = painted(seed=3, reach=-3)  # at the border they would be continued beyond it
    some = False
    for image, boxes, _, cut, *_ in some_crops(plane, PLAIN, 100):
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


AREAS = KnownArea([[20, 15, 90, 80], [110, 60, 170, 140]], [[40, 30, 60, 50]])


def limited(plane, known=AREAS):
    """Keep of a plane's boxes those with their centre where something is known."""
    counted = torch.from_numpy(known.holds(plane.boxes.numpy()))
    return replace(
        plane,
        boxes=plane.boxes[counted],
        labels=plane.labels[counted],
        known=known,
        beside=plane.boxes[~counted],
    )


def test_nothing_is_known_outside_of_what_is_reviewed_and_in_what_is_ignored():
    # Each pixel's value says whether it is reviewed; after any turn and stretch the crop shows what must be known.
    plane = painted()
    seen = torch.zeros(plane.pixels.shape[1:], dtype=torch.bool)
    for x0, y0, x1, y1 in AREAS.reviewed:
        seen[int(y0) : int(y1), int(x0) : int(x1)] = True
    for x0, y0, x1, y1 in AREAS.ignored:
        seen[int(y0) : int(y1), int(x0) : int(x1)] = False
    plane = replace(plane, pixels=seen.to(torch.uint8).expand(3, -1, -1) * 255)
    no_boxes = replace(limited(plane), beside=torch.zeros(0, 4), boxes=plane.boxes[:0], labels=plane.labels[:0])
    batch = make_batch([no_boxes], 3, 60, PLAIN, np.random.default_rng(0))
    cells = functional.avg_pool2d(batch.pixels[:, :1], STRIDE)
    known = batch.targets.known
    assert 0.05 < known.mean() < 0.95
    # Interpolation blurs the border by a cell; inside and outside of that there is no doubt.
    assert (known[functional.max_pool2d(cells, 3, 1, 1) == 0] == 0).all()
    missing = (known[-functional.max_pool2d(-cells, 3, 1, 1) == 1] == 0).float().mean()
    assert missing < 0.01


def test_every_crop_shows_something_that_is_known():
    small = limited(painted(size=(600, 700)), KnownArea([[300, 300, 330, 340]]))
    batch = make_batch([small], 3, 40, PLAIN, np.random.default_rng(0))
    assert (batch.targets.known.sum(dim=(1, 2, 3)) > 0).float().mean() > 0.9


def test_what_lies_outside_changes_neither_loss_nor_gradient():
    plane = limited(painted(seed=2))
    more = replace(plane, beside=torch.cat([plane.beside, torch.tensor([[175.0, 5, 188, 20], [42, 32, 58, 48]])]))
    torch.manual_seed(0)
    outputs = [torch.randn(20, channels, 128 // STRIDE, 128 // STRIDE, requires_grad=True) for channels in (3, 4, 1)]
    losses = []
    for one in (plane, more):
        targets = make_batch([one], 3, 20, PLAIN, np.random.default_rng(1)).targets
        outside = targets.known == 0
        wrong = replace(
            targets,
            heat=torch.where(outside, torch.ones(()), targets.heat),
            boxes=torch.where(outside[:, 0, :, :, None], torch.full((), 7.0), targets.boxes),
        )
        for each in (targets, wrong):
            loss = heatmap_loss((outputs[0], outputs[1].abs() * 9, outputs[2]), each)
            losses.append(float(loss.detach()))
            gradients = torch.autograd.grad(loss, outputs)
            assert all((gradient.abs().sum(dim=1, keepdim=True)[outside] == 0).all() for gradient in gradients)
            assert all((gradient != 0).any() for gradient in gradients)
    assert len(set(losses)) == 1


def test_objects_in_ignored_areas_are_no_objects_to_learn_from():
    plane = painted(seed=4)
    first = plane.boxes[0].tolist()
    without = limited(plane, KnownArea(None, [first]))
    assert len(without.boxes) == len(plane.boxes) - 1
    batch = make_batch([without], 3, 30, PLAIN, np.random.default_rng(0))
    everything = make_batch([plane], 3, 30, PLAIN, np.random.default_rng(0))
    assert (batch.targets.heat == 1).sum() < (everything.targets.heat == 1).sum()


def test_object_sizes_are_those_of_the_recipe():
    plane = painted()
    sizes = []
    for _, boxes, *_ in some_crops(plane, replace(PLAIN, diameters=(20, 20), stretch=0), 60):
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
