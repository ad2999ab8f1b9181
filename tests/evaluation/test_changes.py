from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.findings import Finding
from napari_localize.evaluation.changes import changes

CLASSES = ("a", "b")


def boxes(*rows, labels=None, scores=None):
    table = np.array(rows, np.float32).reshape(-1, 4)
    return Detections(table, labels, scores, class_names=CLASSES)


def test_each_kind_of_change_and_whether_it_is_right():
    true = boxes([0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], labels=[0, 1, 0])
    old = boxes([20, 0, 30, 10], [40, 3, 50, 13], [60, 0, 70, 10], labels=[0, 0, 0], scores=[0.9, 0.8, 0.7])
    new = boxes([0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], labels=[0, 1, 0], scores=[0.6, 0.9, 0.8])
    found = {finding.kind: finding for finding in changes(["p"], [old], [new], [true])}
    assert set(found) == {"gained", "reclassed", "moved", "lost"}
    assert found["gained"].text == "a 0.60, rightly"
    assert found["reclassed"].text == "a -> b 0.90, rightly"
    assert found["moved"].other == (40, 3, 50, 13)
    # What was lost was no object.
    assert found["lost"].text == "a 0.70, rightly"


def test_wrong_changes_of_all_planes_come_first():
    true = boxes([0, 0, 10, 10])
    new = boxes([0, 0, 10, 10], [50, 50, 60, 60], scores=[0.9, 0.6])
    listed = changes(["q", "p", "q"], [boxes()] * 3, [new] * 3, [true] * 3)
    assert [(finding.name, finding.text) for finding in listed] == [
        ("q", "a 0.60, wrongly"),
        ("q", "a 0.60, wrongly"),
        ("p", "a 0.60, wrongly"),
        ("q", "a 0.90, rightly"),
        ("q", "a 0.90, rightly"),
        ("p", "a 0.90, rightly"),
    ]


@given(st.integers(0, 30), st.integers(0, 99))
def test_nothing_changes_between_a_model_and_itself(number, seed):
    corners = np.random.default_rng(seed).uniform(0, 80, (number, 2))
    same = boxes(*np.hstack([corners, corners + 9]))
    assert changes(["p"], [same], [same], [same]) == []


def test_findings_go_through_json():
    finding = Finding("p#t=1", (1, 2, 3, 4), "lost", "a", (5, 6, 7, 8), 0.5)
    assert Finding.from_dict(json.loads(json.dumps(finding.as_dict()))) == finding
