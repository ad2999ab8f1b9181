from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.lots import Lot

PLACES = [(image, (z,)) for image in range(3) for z in range(10)]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**31))
def test_planes_are_drawn_once_and_more_can_be_drawn(first, more, seed):
    lot = Lot(seed).drawn(first, PLACES)
    assert lot.drawn(0, PLACES) == lot
    both = lot.drawn(more, PLACES)
    assert both.places[: len(lot.places)] == lot.places
    assert len(set(both.places)) == len(both.places) == min(first + more, len(PLACES))
    assert both == Lot(seed).drawn(first, PLACES).drawn(more, PLACES)
    assert Lot.from_values(json.loads(json.dumps(both.as_values()))) == both


def test_every_plane_has_the_same_chance():
    drawn = [place for seed in range(600) for place in Lot(seed).drawn(5, PLACES).places]
    numbers = [drawn.count(place) for place in PLACES]
    assert sum(numbers) == 3000
    assert 60 < min(numbers) <= max(numbers) < 145


@pytest.mark.parametrize(
    "values", [None, 7, {}, {"seed": "x", "places": []}, {"seed": 1, "places": [[1]]}, {"seed": 1}]
)
def test_nonsense_is_an_empty_lot(values):
    assert Lot.from_values(values) == Lot()
