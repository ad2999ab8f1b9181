"""Cards in words, also those that somebody has tampered with."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_localize.models.card import Ancestor
from napari_localize.models.registry import list_models
from napari_localize.models.story import as_text, curve_of, measure_of, story

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "planes",
        "planes not listed",
        "boxes",
        "corrections",
        "split",
        "recipe",
        "steps",
        "seconds",
        "stopped",
        "seed",
        "device",
        "versions",
        "curve",
        "data",
        "torch",
    ]
)
METRICS = st.sampled_from(["F1", "AP50", "validation", "compared with the parent", "earlier domains"])


def test_the_bundled_models_tell_where_they_come_from():
    for entry in list_models():
        if entry.bundled:
            text = as_text(entry.card, entry.path, "abc")
            assert "Where it comes from" in text
            assert "F1" in text
            assert "abc" in text
            assert measure_of(entry.card, "F1") is not None


def test_a_history_is_put_into_words(make_model):
    card = make_model(
        description="For smears.",
        ancestors=[Ancestor(reference="old@3", created="2026-01-02"), Ancestor(reference="generalist@2")],
        training={
            "planes": [{"name": f"p{index}", "sha256": "0"} for index in range(9)],
            "planes not listed": 3,
            "boxes": {"a": 5, "b": 2},
            "corrections": {"boxes": {"accepted": 4, "rejected": 1}, "reviewed planes": 1, "reviewed areas": 2},
            "recipe": {"text": "Head first.", "numbers": {"learning_rate": 1}},
            "steps": 70,
            "versions": {"torch": "2"},
            "curve": {"seconds": [1, 2], "train_loss": [0.5, 0.4], "validation_loss": [None, 0.6], "ap50": [None, 1]},
        },
        metrics={
            "validation": {"F1": 0.5, "count_error": 0.1, "planes": 2},
            "compared with the parent": {"sentence": "It is better."},
            "earlier domains": [
                {"name": "x", "old": {"F1": 0.9}, "new": {"F1": 0.5}, "boxes": 40, "forgets": True, "word": ""}
            ],
        },
    ).card
    text = as_text(card)
    for words in (
        "For smears.",
        "old@3 (2026-01-02) ← generalist@2",
        "12 planes: p0, p1, p2, p3, p4, p5, and 3 more",
        "4 accepted, 1 rejected, 1 reviewed plane, 2 reviewed areas",
        "Head first.",
        "F1 0.50, count error 10 %, 2 planes",
        "It is better.",
        "F1 0.90 -> 0.50 on 40 boxes, forgets",
    ):
        assert words in text
    assert curve_of(card) == [(1.0, 0.5, None, None), (2.0, 0.4, 0.6, 1.0)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(training=st.dictionaries(KEYS, JSON, max_size=6), metrics=st.dictionaries(METRICS, JSON, max_size=4))
def test_a_card_of_anything_is_told_and_told_briefly(small_model, training, metrics):
    card = small_model.card.model_copy(update={"training": training, "metrics": metrics})
    assert all(len(value) <= 1000 for _, lines in story(card) for _, value in lines)
    as_text(card)
    curve_of(card)
    measure_of(card, "F1")
