"""What is judged on has not been learnt from, nor have its neighbours."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.groups import group_planes
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.splitting import split_planes

BOX = [10, 10, 20, 20]


def boxes(*rows, names=("a",), labels=None):
    return Detections(np.array(rows, np.float32).reshape(-1, 4), labels, class_names=names)


def with_classes(contents):
    """One set of boxes a plane, with the classes that are named by letters."""
    return [
        boxes(*[BOX] * len(names), names=tuple("abc"), labels=["abc".index(name) for name in sorted(names)])
        for names in contents
    ]


def wells(letters, fields):
    return [f"{letter}{column:02}_f{field}.tif" for letter in letters for column in (1, 2) for field in range(fields)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abc")), min_size=4, max_size=30), st.integers(0, 5))
def test_of_images_a_run_is_held_back(contents, seed):
    annotations, names = with_classes(contents), [f"p{index}" for index in range(len(contents))]
    split = split_planes(annotations, names, seed)
    assert split == split_planes(annotations, names, seed)
    if not split.held_back:
        # Only where a class would be lost to the training, or there is nothing to compare on.
        assert "too little" in split.text or "Too few" in split.text
        return
    assert sorted(split.train + split.validation) == list(range(len(contents)))
    assert split.validation == list(range(split.validation[0], split.validation[-1] + 1))
    assert len(split.validation) == max(1, round(0.2 * len(contents)))
    for part in (split.train, split.validation):
        assert any(contents[index] for index in part)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.sets(st.sampled_from("abc"))), min_size=1, max_size=30),
    st.integers(0, 5),
)
def test_a_group_is_never_on_both_sides(content, seed):
    groups = [f"g{number}" for number, _ in content]
    annotations, names = with_classes([classes for _, classes in content]), [f"p{i}" for i in range(len(content))]
    grouping = group_planes(names, groups=groups)
    split = split_planes(annotations, names, seed, grouping)
    assert split == split_planes(annotations, names, seed, grouping)
    turns = [(fold.train, fold.validation) for fold in split.folds] or [(split.train, split.validation)]
    for train, validation in turns:
        assert any(len(annotations[index]) for index in train) == any(len(boxes) for boxes in annotations)
        if split.honest:
            assert not set(train) & set(validation)
            if grouping.count > 3 and not split.folds:
                assert not {groups[i] for i in train} & {groups[i] for i in validation}
    assert not set(split.left_out) & {*split.train, *split.validation}
    json.dumps(split.describe(names))


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 40), st.integers(1, 4), st.integers(0, 5))
def test_next_to_what_is_held_back_of_a_stack_nothing_is_learnt(times, depth, seed):
    names = [f"m.tif#t={t},z={z}" for t in range(times) for z in range(depth)]
    place = [(t, z) for t in range(times) for z in range(depth)]
    along = int(depth > times)
    split = split_planes([boxes(BOX)] * len(names), names, seed)
    assert split.held_back
    assert sorted([*split.train, *split.validation, *split.left_out]) == list(range(len(names)))
    held = {place[index][along] for index in split.validation}
    for index in split.train:
        assert min(abs(place[index][along] - other) for other in held) >= 2
    assert 2 * len(split.train) >= len(names)


def test_frames_in_files_of_their_own_are_a_movie_too():
    names = [f"cells_t{t:03}.tif" for t in range(12)]
    split = split_planes([boxes(BOX)] * 12, names, 0)
    assert split.held_back
    assert len(split.left_out) in (1, 2)
    assert "left out of both sides" in split.text


def test_whole_wells_are_held_back_and_named():
    names = wells("ABCDEF", 3)
    split = split_planes([boxes(BOX)] * len(names), names, 0)
    held = {names[index][:3] for index in split.validation}
    assert not held & {names[index][:3] for index in split.train}
    assert f"{len(held)} of 12 wells" in split.text
    assert f"{len(split.validation)} planes) are held back" in split.text
    assert all(well in split.text for well in held)
    told = split.describe(names)
    assert told["split"] == split.text
    assert {part["group"] for part in told["held_back"]} == held
    assert [part["name"] for part in told["held_back"]] == [names[index] for index in split.validation]


def test_each_class_is_on_both_sides_where_that_can_be():
    names = wells("ABCD", 2)
    rare = {names.index("A01_f0.tif"), names.index("C02_f1.tif")}
    annotations = with_classes(["ab" if index in rare else "a" for index in range(len(names))])
    for seed in range(5):
        split = split_planes(annotations, names, seed)
        assert len(rare & set(split.train)) == len(rare & set(split.validation)) == 1


def test_the_only_plane_with_a_class_is_learnt_from():
    annotations = [boxes(BOX, names=("a", "b")) for _ in range(10)]
    annotations[4] = boxes(BOX, BOX, names=("a", "b"), labels=[0, 1])
    for seed in range(5):
        assert 4 in split_planes(annotations, [f"p{index}" for index in range(10)], seed).train


@pytest.mark.parametrize("count", [2, 3])
def test_a_few_planes_are_cross_validated_one_by_one(count):
    split = split_planes([boxes(BOX)] * count, ["x", "y", "z"][:count], 0)
    assert split.train == split.validation == list(range(count))
    assert [fold.validation for fold in split.folds] == [[index] for index in range(count)]
    assert not split.held_back
    assert split.honest
    assert split.cross_validated
    assert "cross-validated" in split.text
    assert "not seen it" in split.text
    assert split.describe(["x", "y", "z"])["folds"] == [["x"], ["y"], ["z"]][:count]


def test_of_three_animals_each_is_judged_once():
    names = [f"mouse{animal}/slice{slice}.tif" for animal in (1, 2, 3) for slice in range(6)]
    split = split_planes([boxes(BOX)] * 18, names, 0, group_planes(names, hold_back="animal"))
    assert [sorted({names[index][:6] for index in fold.validation}) for fold in split.folds] == [
        ["mouse1"],
        ["mouse2"],
        ["mouse3"],
    ]
    assert "each animal" in split.text


def test_a_single_group_is_divided_within():
    names = [f"mouse1_f{field}.tif" for field in range(10)]
    split = split_planes([boxes(BOX)] * 10, names, 0, group_planes(names, hold_back="animal"))
    assert split.held_back
    assert "All planes are of one animal" in split.text


def test_one_annotated_plane_among_empty_ones():
    split = split_planes([boxes(BOX), boxes(), boxes(), boxes()], list("wxyz"), 0)
    assert not split.honest
    assert "Too few planes have boxes" in split.text


def test_two_annotated_planes_among_empty_ones_are_cross_validated():
    split = split_planes([boxes(BOX), boxes(), boxes(), boxes(BOX), boxes()], list("vwxyz"), 0)
    if split.held_back:
        assert len({0, 3} & set(split.validation)) == 1
    few = split_planes([boxes(BOX), boxes(), boxes(BOX)], list("xyz"), 0)
    assert [fold.validation for fold in few.folds] == [[0, 1], [2]]


ROW = [[x, 10, x + 8, 18] for x in range(0, 200, 20)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("known", [EVERYWHERE, KnownArea([[0, 0, 300, 300]], [[290, 0, 300, 300]])])
def test_of_a_single_plane_each_half_is_judged_by_what_the_other_taught(turned, known):
    rows = [[y0, x0, y1, x1] for x0, y0, x1, y1 in ROW] if turned else ROW
    found = boxes(*rows)
    split = split_planes([found], ["only"], 0, known=[known], shapes=[(400, 400, 1)])
    assert split.cross_validated
    assert "half" in split.text
    for fold in split.folds:
        learnt, judged = (area.holds(found.boxes) for area in fold.areas)
        assert learnt.sum() == judged.sum() == 5
        assert not (learnt & judged).any()


def test_of_a_single_plane_with_few_boxes_the_figures_flatter():
    split = split_planes([boxes(*ROW[:9])], ["only"], 0, shapes=[(400, 400, 1)])
    assert not split.honest
    assert "flatter" in split.text
    stacked = split_planes([boxes(*[BOX] * 12)], ["only"], 0, shapes=[(400, 400, 1)])
    assert not stacked.honest


def test_a_stopped_cross_validation_says_what_its_model_has_not_seen():
    split = split_planes([boxes(BOX)] * 3, list("xyz"), 0)
    stopped = split.stopped_in(split.folds[1], list("xyz"))
    assert (stopped.train, stopped.validation) == ([0, 2], [1])
    assert stopped.honest
    assert not stopped.cross_validated
    assert "has not learnt from y" in stopped.text


def test_of_one_annotated_well_among_empty_ones_it_says_that_its_planes_were_seen():
    names = ["A01_f1.tif", "A01_f2.tif", "A01_f3.tif", "B02_f1.tif", "C03_f1.tif", "D04_f1.tif"]
    split = split_planes([boxes(BOX)] * 3 + [boxes()] * 3, names, 0, group_planes(names, hold_back="well"))
    assert split.cross_validated
    assert "each plane is judged" in split.text
    assert "All boxes are of one well" in split.text
