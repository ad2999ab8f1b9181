from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.mapping import check_class_map, map_classes, parse_class_map, suggest_class_map

BOXES = Detections(
    [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]],
    [0, 1, 2, 2],
    class_names=("rbc", "RBC", "dirt"),
    states=["rejected", "accepted", "added", "rejected"],
)


def test_names_are_joined_and_rejected_boxes_go_with_them():
    mapped, known = map_classes(BOXES, EVERYWHERE, {"rbc": "RBC"})
    assert mapped.class_names == ("RBC", "dirt")
    assert mapped.labels.tolist() == [0, 0, 1, 1]
    assert mapped.states.tolist() == BOXES.states.tolist()
    assert known == EVERYWHERE


def test_a_class_that_is_left_out_is_ignored_and_no_background():
    area = KnownArea([[0, 0, 100, 100]], [[90, 90, 95, 95]])
    mapped, known = map_classes(BOXES, area, {"dirt": None})
    assert mapped.counts() == {"rbc": 1, "RBC": 1}
    # A rejected box says that there is nothing, so there is nothing to be ignored.
    assert known == KnownArea(area.reviewed, [[90, 90, 95, 95], [40, 0, 50, 10]])


def test_all_classes_may_be_left_out():
    mapped, known = map_classes(BOXES, EVERYWHERE, dict.fromkeys(BOXES.class_names))
    assert len(mapped) == 0
    assert mapped.class_names == ()
    assert len(known.ignored) == 2


@given(
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=3, max_size=3), st.lists(st.integers(0, 2), max_size=9)
)
def test_no_box_gets_lost(new, labels):
    corners = np.array([[10 * i, 0, 10 * i + 5, 5] for i in range(len(labels))], np.float32).reshape(-1, 4)
    boxes = Detections(corners, labels, class_names=("x", "y", "z"))
    class_map = dict(zip("xyz", new, strict=True))
    mapped, known = map_classes(boxes, EVERYWHERE, class_map)
    assert len(mapped) + len(known.ignored) == len(boxes)
    wanted = [class_map["xyz"[label]] for label in labels]
    assert [mapped.class_names[label] for label in mapped.labels] == [name for name in wanted if name is not None]


def test_what_a_command_line_says():
    assert parse_class_map(["a=b", " c = d e ", "f=", "g=-", "h=i=j"]) == {
        **{"a": "b", "c": "d e", "f": None, "g": None},
        "h": "i=j",
    }
    for texts, words in ((["a"], "old=new"), (["=b"], "old=new"), (["a=b", "a=c"], "mapped twice")):
        with pytest.raises(UserError, match=words):
            parse_class_map(texts)


@pytest.mark.parametrize(
    ("class_map", "words"),
    [
        ({"x": "a"}, "no class 'x'.*'a', 'b'"),
        ({"a": "b", "b": "c"}, "'a' is mapped to 'b', which is itself mapped to 'c'"),
        ({"a": "b", "b": None}, "itself left out"),
        ({"a": "  "}, "blank name"),
    ],
)
def test_mistakes_are_found_before_work_starts(class_map, words):
    with pytest.raises(UserError, match=words):
        check_class_map(class_map, ["a", "b"])


def test_a_class_may_stay_what_it_is():
    check_class_map({"a": "a", "b": "a"}, ["a", "b"])


def test_other_spellings_are_suggested_and_other_names_are_not():
    names = ["red cell", "Red_Cells", "RBC", "rbc", "wbc", "s", "-"]
    assert suggest_class_map(names, []) == {"Red_Cells": "red cell", "rbc": "RBC"}
    assert suggest_class_map(names, ["WBC", "Rbc"]) == {
        "Red_Cells": "red cell",
        "RBC": "Rbc",
        "rbc": "Rbc",
        "wbc": "WBC",
    }
