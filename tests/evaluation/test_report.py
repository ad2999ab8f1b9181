from __future__ import annotations

import contextlib
import io
import json
import math
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_localize as nl
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import to_points
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.core.steps import Area
from napari_localize.evaluation.average import precision_at_recalls
from napari_localize.evaluation.evaluation import Evaluation
from napari_localize.evaluation.intervals import count_intervals
from napari_localize.evaluation.matches import confusion, counts, errors
from napari_localize.evaluation.matching import neighbours
from napari_localize.evaluation.receipt import as_json, fingerprint
from napari_localize.evaluation.rows import confused
from napari_localize.models.card import copy_with_card, read_card
from napari_localize.models.registry import find_model

CLASSES = ("a", "b")


def boxes(*corners, size=10.0, **kwargs) -> Detections:
    return Detections([(x, y, x + size, y + size) for x, y in corners], **{"class_names": ("cell",), **kwargs})


@st.composite
def planes(draw, fewest=1):
    """Planes with true boxes, and predictions that are some of them moved, relabelled or made up."""
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    found, true = [], []
    for _ in range(draw(st.integers(fewest, 6))):
        n = int(rng.integers(0, 12))
        corners, sizes = rng.uniform(0, 60, (n, 2)), rng.uniform(5, 25, (n, 2))
        there = np.hstack([corners, corners + sizes])
        labels = rng.integers(0, 2, n)
        true.append(Detections(there, labels, class_names=CLASSES))
        moved = there + rng.normal(0, draw(st.sampled_from([0.5, 2.0, 4.0])), there.shape)
        moved = np.vstack([moved, moved[: n // 2] + 1])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        ours = np.concatenate([labels, labels[: n // 2]])
        ours = np.where(rng.random(len(ours)) < 0.2, 1 - ours, ours)
        # Scores that differ: with equal ones the order of the planes decides, which COCO sorts in another way.
        scores = rng.permutation(len(moved)) / 50 + rng.random() / 60
        found.append(Detections(moved, ours, np.minimum(scores, 1), class_names=CLASSES))
    return found, true


def pycocotools(found, true):
    """Precision by IoU, recall and class of the reference implementation, with all detections and areas."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = true[0].class_names

    def rows(parts):
        listed = []
        for image, part in enumerate(parts, start=1):
            for box, label, score in zip(part.boxes.astype(float), part.labels, part.scores, strict=True):
                x0, y0, x1, y1 = box.tolist()
                row = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
                row |= {"id": len(listed) + 1, "image_id": image, "category_id": int(label) + 1, "score": float(score)}
                listed.append(row)
        return listed

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": index + 1} for index in range(len(true))],
            "annotations": rows(true),
            "categories": [{"id": index + 1, "name": name} for index, name in enumerate(names)],
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(rows(found)), "bbox")
        run.params.maxDets = [100_000]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, 0]
    return np.where(precision < 0, np.nan, precision)


@settings(deadline=None, max_examples=15)
@given(planes())
def test_every_average_precision_is_that_of_pycocotools(data):
    found, true = data
    there = sum(map(len, true))
    if not there or not sum(map(len, found)):
        return
    report = Evaluation.of(found, true).report()
    expected = pycocotools(found, true)
    for row in report.classes:
        at = CLASSES.index(row.name)
        np.testing.assert_allclose(row.average_precision, expected[:, :, at].mean(axis=1), atol=1e-6)
        if row.name in report.precisions:
            np.testing.assert_allclose(report.precisions[row.name], expected[0, :, at], atol=1e-6)
    known = ~np.isnan(expected[0, 0])
    np.testing.assert_allclose(report.all.average_precision, expected[:, :, known].mean(axis=(1, 2)), atol=1e-6)


def shaken_truth(seed=0):
    """The true boxes of the samples, moved, with some missing and some made up."""
    truth = nl.read_annotations(sample_folder() / ANNOTATIONS)
    rng, found = np.random.default_rng(seed), {}
    for name, part in truth.items():
        moved = part.boxes + rng.normal(0, 1.5, part.boxes.shape).astype(np.float32)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        kept = rng.random(len(part)) > 0.15
        extra = moved[: len(part) // 8] + 25
        every = np.vstack([moved[kept], extra])
        labels = np.concatenate([part.labels[kept], part.labels[: len(extra)]])
        found[name] = Detections(every, labels, rng.permutation(len(every)) / 200, class_names=part.class_names)
    return Annotations(found), truth


def test_the_samples_have_the_values_of_pycocotools_and_of_evaluate():
    found, true = shaken_truth()
    report = nl.report(found, true)
    expected = pycocotools(list(found.values()), list(true.values()))
    names = list(true.class_names)
    for row in report.classes:
        np.testing.assert_allclose(row.average_precision, expected[:, :, names.index(row.name)].mean(axis=1), atol=1e-6)
    table = nl.evaluate(found, true)
    assert list(report.table.columns) == list(table.columns)
    assert list(report.table.index) == list(table.index)
    np.testing.assert_allclose(report.table.to_numpy(float), table.to_numpy(float), atol=1e-12)
    assert report.table.attrs["count_error_per_image"] == table.attrs["count_error_per_image"]
    assert report.intervals["AP50"].low < report.ap50 < report.intervals["AP50"].high
    assert report.intervals["F1"].low < report.all.f1 < report.intervals["F1"].high
    # At a threshold it is what evaluate says of the boxes above it; average precision stays.
    above = {name: part[part.scores >= 0.2] for name, part in found.items()}
    chosen = nl.report(found, true, threshold=0.2)
    expected_f1 = nl.evaluate(above, true)[["precision", "recall", "F1", "count_error"]]
    np.testing.assert_allclose(chosen.table[expected_f1.columns].to_numpy(float), expected_f1.to_numpy(float))
    assert chosen.ap50 == report.ap50


@settings(deadline=None, max_examples=25)
@given(planes(), st.floats(0, 1))
def test_errors_and_hits_make_up_everything_that_was_found_and_is_there(data, threshold):
    evaluation = Evaluation.of(*data)
    matches = evaluation.matches
    wrong, counted = errors(matches, threshold), counts(matches, threshold).sum(axis=(0, 1))
    both = len(wrong.poor) + len(wrong.wrong_class)
    assert counted[0] + len(wrong.false_positives) + both == counted[1]
    assert counted[0] + len(wrong.missed) + both == counted[2]
    report = evaluation.report(threshold)
    assert len(report.findings) == len(wrong.false_positives) + len(wrong.missed) + both
    assert sum(row.errors for row in report.planes) == len(report.findings)
    assert [row.errors for row in report.planes] == sorted((row.errors for row in report.planes), reverse=True)
    table = confusion(matches, threshold)
    assert table[:-1].sum() == counted[2]
    assert table[:, :-1].sum() == counted[1]
    for true in range(len(table)):
        for predicted in range(len(table)):
            cell = (
                confused(evaluation.names, matches, true, predicted, threshold)
                if true + predicted < 2 * (len(table) - 1)
                else []
            )
            assert len(cell) == table[true, predicted]


def test_each_kind_of_error_is_named():
    true = {
        "p": Detections(
            [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], [0, 0, 1, 0], class_names=CLASSES
        )
    }
    found = {
        "p": Detections(
            [[0, 0, 10, 10], [1, 0, 11, 10], [25, 0, 35, 10], [40, 0, 50, 10], [90, 90, 99, 99]],
            [0, 0, 0, 0, 1],
            [0.9, 0.8, 0.7, 0.6, 0.5],
            class_names=CLASSES,
        )
    }
    report = nl.report(found, true)
    assert [(one.kind, one.text) for one in report.findings] == [
        ("false positive", "a, found before, score 0.80"),
        ("false positive", "b, score 0.50"),
        ("missed", "a"),
        ("poor overlap", "a, IoU 0.33, score 0.70"),
        ("wrong class", "found as a, is b, score 0.60"),
    ]
    assert report.findings[3].other == (20, 0, 30, 10)
    (row,) = report.planes
    assert (row.true, row.found, row.errors) == (4, 5, 5)
    assert report.confusion == ((1, 0, 2), (1, 0, 0), (2, 1, 0))
    # Above 0.65 the wrong class is a missed object.
    assert [one.kind for one in nl.report(found, true, threshold=0.65).findings].count("missed") == 2


def test_the_best_threshold_and_the_curve():
    true = {"p": boxes((0, 0), (30, 0))}
    found = {"p": boxes((0, 0), (30, 0), (60, 0), scores=[0.9, 0.6, 0.3])}
    report = nl.report(found, true)
    assert report.all.best_threshold == pytest.approx(0.6)
    assert report.all.best_f1 == 1
    curve = report.curve
    assert curve.f1[curve.thresholds.index(0.6)] == 1
    assert curve.recall[curve.thresholds.index(0.7)] == 0.5
    assert curve.precision[0] == pytest.approx(2 / 3)
    assert math.isnan(curve.precision[-1])


def test_points_are_compared_by_distance():
    true = to_points(Annotations({"p": boxes((0, 0), (30, 0), (60, 0))}), 8)
    moved = boxes((3, 0), (30, 5), (60, 40), scores=[0.9, 0.8, 0.7])
    report = nl.report(Annotations({"p": moved}), true)
    assert report.points
    assert report.limit == 4  # half of the nominal size
    assert report.limits == (1, 2, 4, 6, 8)
    assert report.all.recall == pytest.approx(1 / 3)
    assert [(one.kind, one.text) for one in report.findings] == [
        ("false positive", "cell, score 0.70"),
        ("missed", "cell"),
        ("poor overlap", "cell, 5.0 px off, score 0.80"),
    ]
    wide = nl.report({"p": moved}, true, distance=5, pixel_size=0.5)
    assert wide.all.recall == pytest.approx(2 / 3)
    assert wide.ap50 == pytest.approx(wide.table.loc["all", "AP50"]) == pytest.approx(67 / 101)
    assert math.isnan(wide.ap)
    assert "at most 5 px (2.5 µm)" in wide.methods
    assert "--distance 5 " in wide.command
    assert "--distance 5.123456789 " in nl.report({"p": moved}, true, distance=5.123456789).command
    with pytest.raises(UserError, match="above 0 pixels"):
        nl.report({"p": moved}, true, distance=-1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.1, 40))
def test_neighbours_are_all_pairs_within_the_distance(seed, distance):
    rng = np.random.default_rng(seed)
    ours, theirs = rng.integers(0, 30, (12, 2)).astype(float), rng.integers(0, 30, (9, 2)).astype(float)
    rows, columns, found = neighbours(ours, theirs, distance)
    table = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == set(
        zip(*np.nonzero(table <= distance), strict=True)
    )
    np.testing.assert_allclose(found, table[rows, columns])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5), st.integers(1, 3))
def test_a_weight_is_a_plane_drawn_so_often(hits, missed, times):
    hits = np.array(hits, bool)
    weighted = precision_at_recalls(hits, times * (hits.sum() + missed), np.full(len(hits), times))
    np.testing.assert_allclose(weighted, precision_at_recalls(hits, float(hits.sum() + missed)))


def test_sizes_are_quarters_of_the_true_boxes():
    rng = np.random.default_rng(0)
    sizes = np.linspace(6, 60, 80)
    corners = np.stack([np.arange(80) * 70.0, np.zeros(80)], axis=1)
    true = Detections(np.hstack([corners, corners + sizes[:, None]]), class_names=("cell",))
    small = sizes < np.quantile(sizes, 0.25)
    found = Detections(true.boxes[~small], scores=rng.random(int((~small).sum())), class_names=("cell",))
    report = nl.report({"p": found}, {"p": true})
    assert [row.recall for row in report.sizes] == [0, 1, 1, 1]
    assert [row.average_precision for row in report.sizes] == pytest.approx([0, 1, 1, 1])
    assert [row.annotations for row in report.sizes] == [20, 20, 20, 20]
    assert report.sizes[0].low == pytest.approx(6)


def test_intervals_need_planes_and_narrow_with_more_of_them():
    counts = np.array([[8, 10, 10], [5, 9, 10], [9, 10, 10], [7, 8, 10], [6, 10, 9], [9, 9, 10]])
    few, many = count_intervals(counts), count_intervals(np.tile(counts, (10, 1)))
    assert few["F1"].value == pytest.approx(many["F1"].value)
    assert few["F1"].low < many["F1"].low < many["F1"].high < few["F1"].high
    assert math.isnan(count_intervals(counts[:4])["F1"].low)
    assert count_intervals(counts) == few


def test_only_what_was_reviewed_counts():
    true = Annotations({"a": boxes((0, 0)), "b": boxes((0, 0))}, areas={"a": [Area((), (0, 0, 20, 20), "reviewed")]})
    found = {"a": boxes((0, 0), (80, 80), scores=[0.9, 0.8]), "b": boxes((50, 50), scores=[0.9])}
    report = nl.report(found, true)
    assert [row.name for row in report.planes] == ["a"]
    assert report.all.f1 == 1
    assert any("1 annotated plane was left out" in note for note in report.notes)


def test_classes_can_be_ignored():
    true, found = {"p": boxes((0, 0))}, {"p": boxes((0, 0), scores=[0.9], class_names=("object",))}
    apart = nl.report(found, true)
    assert apart.all.f1 == 0
    assert "ignore classes" in apart.notes[0]
    together = nl.report(found, true, ignore_classes=True)
    assert (together.all.f1, together.ap50, together.notes) == (1, 1, ())
    assert "--ignore-classes" in together.command
    assert "of any class" in together.methods


def test_nothing_found_and_nothing_there():
    report = nl.report({"a": Detections.empty()}, {"a": boxes((0, 0))})
    assert (report.all.recall, report.ap50) == (0, 0)
    assert math.isnan(report.all.precision)
    empty = nl.report({}, {"a": Detections.empty()})
    assert empty.classes == ()
    assert math.isnan(empty.ap50)
    assert "undefined" in empty.methods


def test_it_is_plain_data():
    found, true = shaken_truth()
    report = nl.report(found, true, images=sample_folder())
    assert set(report.images) == set(true)
    plain = json.loads(as_json(report.as_dict()))
    assert plain["all"]["annotations"] == sum(map(len, true.values()))
    assert "images" not in plain


def test_the_receipt_tells_the_data_by_what_they_hold(tmp_path):
    found, _ = shaken_truth()
    nl.write_annotations(tmp_path / "found.json", found)
    receipt = nl.report(tmp_path / "found.json", sample_folder() / ANNOTATIONS, threshold=0.1).receipt
    assert receipt["data"]["predictions"]["source"] == str(tmp_path / "found.json")
    assert len(receipt["data"]["predictions"]["file_sha256"]) == 64
    assert receipt["settings"] == {
        "threshold": 0.1,
        "iou": 0.5,
        "distance_px": None,
        "pixel_size_um": None,
        "ignore_classes": False,
    }
    assert receipt["command"].startswith("napari-localize evaluate --predictions ")
    assert {"napari-localize", "numpy", "python"} <= set(receipt["versions"])
    assert fingerprint(found) == fingerprint(dict(reversed(list(found.items()))))
    first = next(iter(found))
    assert fingerprint(found) != fingerprint({**found, first: found[first][1:]})


def test_the_receipt_knows_the_model():
    part = Detections([[0, 0, 9, 9]], scores=[0.9], origins=["nuclei@1"], class_names=("nucleus",))
    report = nl.report({"p": part}, {"p": part})
    assert report.receipt["model"]["reference"] == "nuclei@1"
    assert len(report.receipt["model"]["sha256"]) == 64
    assert report.title == "Evaluation of nuclei@1"
    assert "the model nuclei@1" in report.methods
    other = Detections([[0, 0, 9, 9]], scores=[0.9], origins=["gone@4"], class_names=("nucleus",))
    assert nl.report({"p": other}, {"p": part}).receipt["model"] == {"reference": "gone@4"}
    mixed = nl.report({"p": part, "q": other}, {"p": part, "q": part})
    assert mixed.receipt["model"] is None
    assert any("several models" in note for note in mixed.notes)


def test_the_receipt_knows_what_a_model_of_the_user_was_trained_with(tmp_path):
    source, path = find_model("nuclei"), tmp_path / "mine.safetensors"
    part = Detections([[0, 0, 9, 9]], scores=[0.9], class_names=("nucleus",))
    for training, known in (
        ({"versions": {"torch": "2.9.1"}}, "2.9.1"),
        ({"torch": "2.8.0"}, "2.8.0"),
        ({"versions": "new"}, None),
    ):
        copy_with_card(source, path, read_card(source).model_copy(update={"training": training}))
        report = nl.report({"p": part}, {"p": part}, model=path)
        assert report.receipt["model"]["torch"] == known
        assert report.receipt["versions"].get("torch (training of the model)") == known


def test_what_a_person_has_done_is_not_credited_to_a_model():
    true = boxes((0, 0), (40, 0))
    states = ["accepted", "added"]
    found = Detections(true.boxes, scores=[0.9, np.nan], states=states, origins=["nuclei@1", "human"])
    report = nl.report({"p": found}, {"p": Detections(true.boxes)})
    assert report.receipt["data"]["predictions"]["judged_by_person"] == {"accepted": 1, "added": 1}
    assert any("1 accepted, 1 added" in note for note in report.notes)
    assert "the model nuclei@1, corrected by a person, were" in report.methods
    alike = Detections(true.boxes, scores=[0.9, 0.8], origins=["examples"] * 2)
    report = nl.report({"p": alike}, {"p": Detections(true.boxes)})
    assert report.receipt["model"] is None
    assert "model" not in report.methods.partition(".")[0]


def test_a_threshold_chosen_on_the_same_images_is_told():
    true = boxes((0, 0), (40, 0))
    found = Detections([*true.boxes, [80, 80, 90, 90]], scores=[0.9, 0.8, 0.3])
    best = nl.report({"p": found}, {"p": Detections(true.boxes)}).all.best_threshold
    for threshold, told in ((best, True), (0.1, False), (None, False)):
        report = nl.report({"p": found}, {"p": Detections(true.boxes)}, threshold=threshold)
        assert any("flatters" in note for note in report.notes) == told
        assert ("highest F1 on these very images" in report.methods) == told


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1, width=32))
def test_the_command_takes_exactly_the_scores_that_were_taken(score):
    report = nl.report({"p": boxes((0, 0), scores=[score])}, {"p": boxes((0, 0))}, threshold=score)
    words = shlex.split(report.command)
    text = words[words.index("--threshold") + 1]
    assert len(text) <= 12 or score < 0.01
    for threshold in (float(text), np.float64(text), np.float64(score)):
        again = nl.report({"p": boxes((0, 0), scores=[score])}, {"p": boxes((0, 0))}, threshold=threshold)
        assert again.all.recall == report.all.recall == 1
        # Also what is said of the threshold is the same.
        assert again.notes == report.notes


def test_boxes_that_are_in_no_file_must_be_saved_for_the_command(tmp_path):
    true = {"p": boxes((0, 0))}
    nl.report(true, true).save(tmp_path / "report.html")
    assert "save the boxes as predictions.json and annotations.json" in (tmp_path / "report.html").read_text()
    nl.write_annotations(tmp_path / "true.json", true)
    nl.report(tmp_path / "true.json", tmp_path / "true.json").save(tmp_path / "other.html")
    assert "save the boxes" not in (tmp_path / "other.html").read_text()


@pytest.mark.parametrize("wrong", [{"iou": 0}, {"iou": 2}, {"threshold": 3}, {"model": "nothing"}])
def test_settings_out_of_range_are_told(wrong):
    with pytest.raises(UserError):
        nl.report({"p": boxes((0, 0))}, {"p": boxes((0, 0))}, **wrong)
