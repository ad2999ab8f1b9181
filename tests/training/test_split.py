"""Images that look alike never lie in two parts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.training.split import group_by_look, look, split_groups

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from("xy")), max_size=60), st.integers(0, 3))
def test_groups_stay_whole(items, seed):
    groups = [group for group, _ in items]
    strata = [kind for _, kind in items]
    for kinds in (None, strata):
        parts = split_groups(groups, FRACTIONS, kinds, seed)
        assert parts == split_groups(groups, FRACTIONS, kinds, seed)
        assert set(parts) <= set(FRACTIONS)
        assert len({(group, part) for group, part in zip(groups, parts, strict=True)}) == len(set(groups))


def test_the_shares_are_kept():
    parts = Counter(split_groups(np.arange(200) // 2, FRACTIONS, ["x"] * 100 + ["y"] * 100))
    for part, share in FRACTIONS.items():
        assert abs(parts[part] / 200 - share) <= 0.03


def test_images_are_grouped_by_look():
    rng = np.random.default_rng(0)

    def image(level, shape=(40, 50), colour=(1, 1, 1)):
        return (rng.normal(level, 5, (*shape, 1)).clip(0, 255) * np.array(colour)).astype(np.uint8)

    images = [image(30), image(200), image(31), image(30, (80, 50)), image(201), image(200, colour=(1, 0.5, 0.2))]
    groups = group_by_look(images)
    assert groups[0] == groups[2]
    assert groups[1] == groups[4]
    assert len(set(groups.tolist())) == 4
    assert min(groups) == 0


def test_few_images_and_any_kind():
    assert group_by_look([]).tolist() == []
    assert group_by_look([np.zeros((4, 4))]).tolist() == [0]
    for image in (
        np.zeros((5, 6)),
        np.ones((5, 6, 3), np.uint8),
        np.ones((5, 6, 4), np.uint16),
        np.full((3, 3), 1e-30),
    ):
        assert np.isfinite(look(image)).all()
        assert look(image).shape == (8,)
