"""A recipe follows from what there is to learn, says what it is, and every part of it can be chosen."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from napari_localize.core.recipe import RecipeChoices
from napari_localize.training.crops import TrainingPlane
from napari_localize.training.recipes import FINE_TUNE, LONG, SCRATCH, choose_recipe


def plane(labels=(0, 0, 0), side=400, diameter=40.0, value=0, object_value=200, colour=False):
    """A plane with a row of square objects."""
    pixels = torch.full((3, side, side), value, dtype=torch.uint8)
    boxes = []
    for index in range(len(labels)):
        x = 10 + (index * 15) % (side - 20)
        pixels[:, 20:30, x : x + 10] = object_value
        boxes.append([x, 20, x + 10, 30])
    if colour:
        pixels[0] = 255 - pixels[0]
    return TrainingPlane(pixels, torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels), diameter)


def choose(planes, seconds=60.0, start=FINE_TUNE, base_diameter=32.0, mixable=True, **choices):
    chosen = RecipeChoices(**choices)
    return choose_recipe(planes, seconds, start, base_diameter=base_diameter, mixable=mixable, choices=chosen)


def test_crops_are_as_large_as_the_images_fill():
    small, large = choose([plane(side=60, diameter=10.0)]).recipe, choose([plane(diameter=10.0)]).recipe
    assert small.crops.side < large.crops.side == FINE_TUNE.crops.side
    assert f"crops of {small.crops.side} pixels" in choose([plane(side=60, diameter=10.0)]).text


def test_negatives_are_shown_where_grey_objects_are_both_bright_and_dark():
    bright, dark = plane(), plane(value=200, object_value=20)
    assert choose([bright]).recipe.crops.invert == 0
    assert choose([bright, dark]).recipe.crops.invert > 0
    stained = plane(value=200, object_value=20, colour=True)
    assert choose([bright, stained]).recipe.crops.invert == 0


def test_objects_are_learnt_at_a_larger_size_where_those_of_a_class_are_small():
    usual = choose([plane(diameter=10.0)])
    assert usual.object_diameter == 32
    # Objects of 10 pixels among others of 30: at 32 pixels for the typical ones they would have 11.
    mixed = choose([plane(diameter=30.0)])
    assert mixed.object_diameter == 48
    assert mixed.recipe.crops.diameters == tuple(1.5 * size for size in usual.recipe.crops.diameters)
    assert "some are much smaller" in mixed.text
    less = choose([plane(diameter=20.0)])
    assert less.object_diameter == pytest.approx(40)
    assert choose([plane(diameter=30.0)], base_diameter=64.0).object_diameter == 64
    assert choose([plane(diameter=30.0)], object_diameter=24.0).object_diameter == 24


def test_only_long_trainings_stop_early():
    assert choose([plane()], seconds=60).recipe.patience == 0
    assert choose([plane()], seconds=LONG + 1).recipe.patience > 0
    assert choose([plane()], seconds=None).recipe.patience > 0


def test_without_a_base_there_is_nothing_to_keep():
    chosen = choose([plane()], start=SCRATCH, base_diameter=None, head_first=0.5, norm="frozen", average=True)
    assert chosen.recipe.head_first == 0
    assert not chosen.recipe.freeze_norm
    assert not chosen.recipe.average
    assert "random weights" in chosen.text


def test_a_few_planes_are_not_learnt_by_heart():
    assert choose([plane()]).recipe.most_steps == choose([plane()] * 3).recipe.most_steps == 300
    assert choose([plane()] * 10).recipe.most_steps == 1000
    assert "300 steps at most" in choose([plane()]).text
    assert choose([plane()] * 100).recipe.most_steps == 0
    assert choose([plane()], most_steps=0).recipe.most_steps == 0
    assert choose([plane()], seconds=None).recipe.most_steps == 0
    assert choose([plane()], start=SCRATCH, base_diameter=None).recipe.most_steps == 0


def test_only_a_base_that_knows_a_class_is_mixed_in():
    assert choose([plane()], mixable=True).recipe.average
    assert not choose([plane()], mixable=False).recipe.average
    assert choose([plane()], mixable=False, average=True).recipe.average
    assert "where that does no harm" in choose([plane()]).text
    halves = choose_recipe([plane()], 60.0, FINE_TUNE, base_diameter=32.0, halves=True)
    assert "at least half" in halves.text


@pytest.mark.parametrize(
    ("choice", "field", "said"),
    [
        ({"head_first": 0.35}, "head_first", "35%"),
        ({"norm": "updated"}, "freeze_norm", "follows the new images"),
        ({"learning_rate": 0.004}, "learning_rate", "0.004"),
        ({"patience": 2}, "patience", "2 checks"),
        ({"average": False}, "average", ""),
    ],
)
def test_what_is_chosen_is_taken_and_said(choice, field, said):
    usual, chosen = choose([plane()]), choose([plane()], **choice)
    (value,) = choice.values()
    assert getattr(chosen.recipe, field) == (False if value == "updated" else value)
    assert said in chosen.text
    assert chosen.text != usual.text
    assert replace(chosen.recipe, **{field: getattr(usual.recipe, field)}) == usual.recipe


def test_statistics_follow_the_new_images_where_there_are_enough_of_them():
    assert choose([plane()] * 5).recipe.freeze_norm
    assert not choose([plane()] * 6).recipe.freeze_norm
    assert choose([plane()] * 6, norm="frozen").recipe.freeze_norm
    assert not choose([plane()] * 5, norm="updated").recipe.freeze_norm


def test_crops_can_be_chosen_too():
    crops = choose([plane()], copy_paste=0.25, invert=True, crop_side=96).recipe.crops
    assert (crops.paste, crops.side) == (0.25, 96)
    assert crops.invert > 0
    weak, strong = (choose([plane()], augmentation=one).recipe.crops for one in ("weak", "strong"))
    assert weak.diameters[1] - weak.diameters[0] < strong.diameters[1] - strong.diameters[0]
    assert weak.noise < strong.noise <= 1


def test_what_was_chosen_automatically_can_be_chosen_and_gives_the_same():
    for planes in ([plane(diameter=30.0)], [plane(), plane(value=200, object_value=20)] * 4):
        automatic = choose(planes)
        assert set(automatic.parts) == {part.name for part in fields(RecipeChoices)}
        again = choose(planes, **automatic.parts)
        assert (again.recipe, again.object_diameter) == (automatic.recipe, automatic.object_diameter)
