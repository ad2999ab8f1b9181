"""Copies of objects have true boxes, keep away from what is there, and stay where a person has looked."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.known import KnownArea
from napari_localize.models.heatmap.network import STRIDE
from napari_localize.training.crops import CropRecipe, TrainingPlane, make_batch
from napari_localize.training.paste import MOST_COVERED, Source, covered, paste_objects

EVERYWHERE = torch.tensor([[0.0, 0, 160, 160]])


def donor(value=220, ground=40, size=(20, 12), reach=0):
    """A plane with one bright ellipse, and a dark ground."""
    wide, tall = size
    y, x = np.mgrid[:80, :90] + 0.5
    inside = ((x - 45) / wide * 2) ** 2 + ((y - 40 + reach) / tall * 2) ** 2 < 1
    pixels = torch.from_numpy(np.where(inside, value, ground).astype(np.uint8)).expand(3, -1, -1).contiguous()
    box = [45 - wide / 2, 40 - reach - tall / 2, 45 + wide / 2, 40 - reach + tall / 2]
    return TrainingPlane(pixels, torch.tensor([box]), torch.tensor([2]), 15.0)


def pasted(seed, *, ground=40, taken=None, room=EVERYWHERE, scale=(30.0, 30.0), planes=None):
    image = torch.full((3, 160, 160), ground, dtype=torch.uint8)
    taken = torch.zeros(0, 4) if taken is None else taken
    rng = np.random.default_rng(seed)
    return paste_objects(image, taken, room, scale, Source(planes or [donor()]), rng), image


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    corners=st.lists(st.tuples(*[st.integers(0, 120)] * 2), max_size=6),
    room=st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(70, 160), st.integers(70, 160)),
    zoom=st.tuples(*[st.floats(10, 40)] * 2),
)
def test_copies_are_what_their_boxes_say_and_keep_away_from_others(seed, corners, room, zoom):
    taken = torch.tensor([[x, y, x + 35, y + 30] for x, y in corners], dtype=torch.float32).reshape(-1, 4)
    rooms = torch.tensor([room], dtype=torch.float32)
    (image, copies), before = pasted(seed, taken=taken, room=rooms, scale=zoom)
    assert len(copies.boxes) == len(copies.labels) <= 3
    assert (copies.labels == 2).all()
    boxes = copies.boxes
    # They are placed on whole pixels, so that they may reach out of the room by half of one.
    assert (boxes[:, :2] >= rooms[0, :2] - 0.51).all()
    assert (boxes[:, 2:] <= rooms[0, 2:] + 0.51).all()
    slack = 0.15
    if len(boxes) and len(taken):
        assert covered(boxes, taken).max() <= MOST_COVERED + slack
    # What has changed lies in the boxes and their feathered edges.
    changed = (image != before).any(dim=0)
    for x0, y0, x1, y1 in boxes.tolist():
        reach = 0.15 * max(x1 - x0, y1 - y0) + 2
        changed[max(0, int(y0 - reach)) : int(y1 + reach) + 1, max(0, int(x0 - reach)) : int(x1 + reach) + 1] = False
    assert not changed.any()


def test_a_copy_fills_its_box():
    alone = 0
    for seed in range(20):
        (image, copies), _ = pasted(seed)
        if len(copies.boxes) == 1:
            y, x = torch.nonzero(image[0] > 130, as_tuple=True)
            shown = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
            assert (shown - copies.boxes[0]).abs().max() <= 2
            alone += 1
    assert alone


def test_a_copy_is_as_bright_as_its_surroundings_ask():
    (image, copies), _ = pasted(1, ground=60)
    assert len(copies.boxes)
    assert image.min() > 50  # its own ground was darker, but there is no dark rim


def test_nothing_is_copied_where_there_is_no_room_or_no_whole_object():
    full = torch.tensor([[0.0, 0, 160, 160]])
    assert not len(pasted(0, taken=full)[0][1].boxes)
    assert not len(pasted(0, room=torch.zeros(0, 4))[0][1].boxes)
    assert not len(pasted(0, planes=[donor(reach=38)])[0][1].boxes)
    pair = donor()
    pair.boxes, pair.labels = torch.cat([pair.boxes, pair.boxes + 3]), torch.tensor([2, 2])
    assert not len(pasted(0, planes=[pair])[0][1].boxes)


def test_copies_lie_only_where_something_is_reviewed():
    plane = donor()
    plane.known = KnownArea([[25, 20, 65, 60]])
    recipe = CropRecipe(side=128, diameters=(20, 30), invert=0, grey=0, recolour=0, noise=0, blur=0)
    rng = np.random.default_rng(0)
    batch = make_batch([plane], 3, 40, CropRecipe(**{**vars(recipe), "paste": 1.0}), rng)
    centers = (batch.targets.heat == 1).any(dim=1)
    plain = make_batch([plane], 3, 40, recipe, np.random.default_rng(0))
    assert centers.sum() > (plain.targets.heat == 1).any(dim=1).sum()
    assert batch.targets.known[:, 0][centers].float().mean() > 0.95
    assert batch.targets.heat.shape[-1] == 128 // STRIDE
