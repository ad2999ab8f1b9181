"""Planes have names that lead back to their place in a stack, and share their classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError

BOX = [[0, 0, 2, 2]]
positions = st.dictionaries(st.sampled_from("tzcvω"), st.integers(0, 10**6), min_size=1, max_size=3)


@given(st.text(max_size=20), positions)
def test_a_plane_name_can_be_taken_apart(file_name, position):
    assert split_plane_name(plane_name(file_name, position)) == (file_name, position)


@given(st.text(alphabet="a#t=,0²٣ .", max_size=12))
def test_any_text_is_a_plane_name(text):
    assert plane_name(*split_plane_name(text)) == text


@pytest.mark.parametrize(
    "name", ["a.tif", "a#b.tif", "a#t=", "a#t=1,t=2", "a#t=01", "a#time=1", "a#t=-1", "a#t=²", "#"]
)
def test_a_file_name_without_a_position(name):
    assert split_plane_name(name) == (name, {})


def test_class_lists_are_joined():
    both = Annotations(
        {
            "one": Detections(BOX, class_names=("a",)),
            "two": Detections(BOX, [1], class_names=("b", "a")),
            "three": Detections.empty(("c",)),
        },
        sizes={"one": (5, 6)},
        notes=["mended"],
    )
    assert both.class_names == ("a", "b", "c")
    assert [both[name].labels.tolist() for name in both] == [[0], [0], []]
    assert all(part.class_names == both.class_names for part in both.values())
    assert both.sizes == {"one": (5, 6)}
    assert both.notes == ["mended"]
    assert repr(both) == "<Annotations: 3 planes, 2 boxes, classes a, b, c>"


def test_a_given_class_list():
    planes = {"one": Detections(BOX, class_names=("a",))}
    assert Annotations(planes, class_names=("b", "a"))["one"].labels.tolist() == [1]
    with pytest.raises(UserError, match="class 'a'"):
        Annotations(planes, class_names=("b",))


def test_none_at_all():
    nothing = Annotations({})
    assert (len(nothing), nothing.class_names, list(nothing)) == (0, (), [])
    assert np.shape(nothing.notes) == (0,)
