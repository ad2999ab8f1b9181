from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core import arrange as orders
from napari_localize.core.arrange import ORDERS, Wanted, arrange, standardised, strangeness, unlikeness
from napari_localize.core.boxes import Box, BoxRows
from napari_localize.core.detections import STATES
from napari_localize.core.table import BoxTable


def rows_of(*boxes):
    return BoxRows.from_boxes(dict(enumerate(boxes, 1)))


def box(x=0, y=0, side=10, score=0.5, state="proposed", label="a", plane=()):
    return Box(plane, (x, y, x + side, y + side), label, score, "model@1" if score is not None else "human", state)


@pytest.fixture
def table():
    table = BoxTable({"a": "#E69F00", "b": "#56B4E9"})
    table.load(
        rows_of(
            box(score=0.7, plane=(0,)),
            box(score=0.2, plane=(0,), label="b"),
            box(score=0.9, plane=(1,), state="accepted"),
            box(score=None, plane=(1,), state="added"),
            box(score=0.4, plane=(1,), state="rejected"),
        )
    )
    return table


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(), [1, 2, 3, 4, 5]),
        (Wanted(states=frozenset({"proposed"})), [1, 2]),
        (Wanted(label="b"), [2]),
        (Wanted(label="no such class"), []),
        (Wanted(plane=(1,)), [3, 4, 5]),
        (Wanted(plane=(7,)), []),
        (Wanted(scores=(0.7, 1.0)), [1, 3, 4]),
        (Wanted(scores=(0.0, 0.4)), [2, 5]),
    ],
)
def test_what_is_wanted(table, wanted, ids):
    assert sorted(wanted.rows(table).ids.tolist()) == ids


def test_guesses_that_the_slider_hides_are_not_wanted(table):
    table.min_score = 0.5
    assert 2 not in Wanted().rows(table).ids
    assert 5 in Wanted().rows(table).ids


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        (orders.SURE_FIRST, [4, 1, 3, 2]),
        (orders.UNSURE_FIRST, [2, 3, 1, 4]),
        (orders.GUESSES_FIRST, [2, 1, 3, 4]),
        (orders.LARGE_FIRST, [3, 1, 2, 4]),
        (orders.SMALL_FIRST, [4, 1, 2, 3]),
        (orders.BY_CLASS, [3, 2, 4, 1]),
        (orders.BY_PLACE, [2, 1, 3, 4]),
    ],
)
def test_orders(order, ids):
    rows = rows_of(
        box(x=50, score=0.8),
        box(y=2, score=0.3, label="b"),
        box(y=60, side=20, score=0.6, state="accepted", label="b"),
        box(side=5, score=None, state="added", label="b", plane=(0,)),
    )
    rows = rows_of(*(one._replace(plane=(int(key == 4),), label="b" if key != 1 else "a") for key, one in rows.items()))
    if order == orders.BY_CLASS:
        rows = rows_of(*(one._replace(label="c" if key == 3 else one.label) for key, one in rows.items()))
        assert rows.ids[arrange(rows, order, ["c", "b", "a"])].tolist() == [3, 4, 2, 1]
    else:
        assert rows.ids[arrange(rows, order, ["a", "b"])].tolist() == ids


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="no order"):
        arrange(BoxRows.empty(), "by luck")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 100, width=32),
            st.floats(1, 30, width=32),
            st.none() | st.floats(0, 1),
            st.sampled_from(STATES),
            st.sampled_from([(0,), (1,)]),
        ),
        max_size=20,
    ),
    st.sampled_from(ORDERS),
)
def test_every_order_has_each_box_once(drawn, order):
    rows = rows_of(*(box(x, x / 2, side, score, state, "ab"[int(x) % 2], at) for x, side, score, state, at in drawn))
    assert sorted(arrange(rows, order, ["a"]).tolist()) == list(range(len(rows)))


def looks(seed=0):
    """Twenty objects of one kind, ten of another; a column of noise in a larger unit."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat([0.0, 1.0], [20, 10])
    signal = kinds[:, None] * np.ones(6) + rng.normal(0, 0.1, (30, 6))
    return np.column_stack([signal, rng.normal(0, 1000, 30)]), kinds


def test_those_of_a_kind_are_alike():
    features, kinds = looks()
    order = np.argsort(unlikeness(features, [25]))
    assert order[0] == 25
    assert kinds[order[:6]].mean() > 0.8


def test_an_odd_one_is_strange():
    features, _ = looks()
    features[3, :6] = -5
    assert np.argmax(strangeness(features)) == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.integers(1, 4), st.floats(0.1, 1e4), st.integers(0, 100))
def test_units_do_not_matter(n, columns, unit, seed):
    features = np.random.default_rng(seed).normal(size=(n + 2, columns))
    scaled = features * unit + 7
    np.testing.assert_allclose(unlikeness(features, [0]), unlikeness(scaled, [0]), rtol=1e-4, atol=1e-4)
    assert unlikeness(features, [0])[0] == 0


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 1)])
def test_nothing_to_tell_apart(shape):
    assert (standardised(np.full(shape, 2.0)) == 0).all()
    assert (strangeness(np.full(shape, np.nan)) == 0).all()
