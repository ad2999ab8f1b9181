"""What a card tells of a training is whole and bounded."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.splitting import Split
from napari_localize.models.card import Ancestor
from napari_localize.models.localizer import load_model
from napari_localize.training import record
from napari_localize.training.record import MOST_POINTS, Curve, ancestors_of, corrections, plain


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(0, 2000), every=st.integers(1, 400))
def test_a_curve_keeps_its_course_in_few_points(steps, every):
    heard = []
    curve = Curve(heard.append)
    for step in range(1, steps + 1):
        checked = step % every == 0
        point = {
            "train_loss": 1 / step,
            "validation_loss": 2 / step if checked else None,
            "ap50": 0.5 if checked else None,
        }
        curve({"event": "curve", "step": step, "seconds": step / 10, **point})
    assert len(heard) == steps == curve.steps
    kept = curve.as_dict()
    seconds = kept["seconds"]
    assert len(seconds) == len(kept["ap50"]) <= MOST_POINTS
    assert seconds == sorted(set(seconds))
    assert len(seconds) >= min(steps, MOST_POINTS // 4)
    checks = sum(value is not None for value in kept["validation_loss"])
    assert checks >= min(steps // every, MOST_POINTS // 4)


def test_other_events_only_pass_through():
    heard = []
    curve = Curve(heard.append)
    curve({"event": "message", "text": "hello"})
    assert heard == [{"event": "message", "text": "hello"}]
    assert curve.as_dict()["seconds"] == []


def test_corrections_are_counted_where_they_count():
    states = ["accepted", "edited", "rejected", "accepted"]
    boxes = Detections([[i, 0, i + 1, 1] for i in (0, 1, 2, 90)], states=states)
    area = KnownArea([[0, 0, 50, 50], [60, 60, 70, 70]], [[1, 1, 2, 2]])
    assert corrections([boxes, boxes], [area, EVERYWHERE]) == {
        "boxes": {"accepted": 3, "edited": 2, "rejected": 2},
        "reviewed planes": 1,
        "reviewed areas": 2,
        "ignored areas": 1,
    }


def test_the_chain_of_ancestors_goes_on_and_ends(monkeypatch):
    base = load_model("nuclei", "cpu")
    first, second = ancestors_of(base)
    assert (first.reference, first.created) == ("nuclei@1", base.card.created)
    assert len(first.sha256) == 64
    assert second == Ancestor(reference=base.card.parent)
    monkeypatch.setattr(record, "MOST_ANCESTORS", 3)
    base.card = base.card.model_copy(update={"ancestors": [Ancestor(reference=f"m@{n}") for n in range(9)]})
    assert [each.reference for each in ancestors_of(base)] == ["nuclei@1", "m@0", "m@1"]
    base.card = base.card.model_copy(update={"ancestors": [], "parent": "p" * 9999, "created": "c" * 9999})
    assert len(ancestors_of(base)) == 2
    base.path = None
    assert ancestors_of(base)[0].sha256 == ""


def test_numbers_that_json_lacks_become_nothing():
    assert json.loads(json.dumps(plain({"a": (float("nan"), 1, "x"), "b": {"c": 0.123456789}}))) == {
        "a": [None, 1, "x"],
        "b": {"c": 0.12346},
    }


def test_a_card_does_not_grow_with_what_is_held_back():
    split = Split([0], list(range(1, 50)), "", list(range(50, 90)), groups=("g" * 900,) * 90)
    told = split.describe([f"{index}" for index in range(90)], 20)
    assert [part["name"] for part in told["held_back"]] == [f"{index}" for index in range(1, 21)]
    assert len(told["left_out"]) == 20
    assert max(len(part["group"]) for part in told["held_back"]) < 300
