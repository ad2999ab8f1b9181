from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area
from napari_localize.evaluation import metrics
from napari_localize.evaluation.matching import match_boxes, overlaps, split_by_overlap
from napari_localize.evaluation.metrics import best_threshold, evaluate, summarize


def squares(*corners: tuple[float, float], scores=None, size=10, **kwargs) -> Detections:
    return Detections([(x, y, x + size, y + size) for x, y in corners], scores=scores, **kwargs)


def random_planes(seed: int, planes: int, boxes: int, classes=("a", "b", "c"), size=200):
    """Return predictions that are the moved truth, some relabelled, and noise; scores have ties."""
    rng = np.random.default_rng(seed)
    predictions, annotations = [], []
    for _ in range(planes):
        n = int(rng.integers(0, boxes + 1))
        corner, extent = rng.uniform(0, size, (n, 2)), rng.uniform(5, 40, (n, 2))
        truth = np.hstack([corner, corner + extent])
        labels = rng.integers(0, len(classes), n)
        annotations.append(Detections(truth, labels=labels, class_names=classes))
        moved = truth + rng.normal(0, 1.5, truth.shape)
        moved = np.vstack([moved, moved[: n // 3] + 2])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        labels = np.concatenate([labels, labels[: n // 3]])
        labels = np.where(rng.random(len(labels)) < 0.1, 0, labels)
        scores = np.round(rng.random(len(moved)), 2)
        predictions.append(Detections(moved, labels=labels, scores=scores, class_names=classes))
    return predictions, annotations


def pycocotools_ap(predictions, annotations):
    """AP50 and AP of each class by the reference implementation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = annotations[0].class_names
    images = [{"id": i + 1} for i in range(len(annotations))]
    categories = [{"id": c + 1, "name": name} for c, name in enumerate(names)]

    def rows(parts):
        found = []
        for image, part in enumerate(parts, start=1):
            for box, label, score in zip(part.boxes.astype(float), part.labels, part.scores, strict=True):
                x0, y0, x1, y1 = box.tolist()
                found.append(
                    {
                        "id": len(found) + 1,
                        "image_id": image,
                        "category_id": int(label) + 1,
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": (x1 - x0) * (y1 - y0),
                        "iscrowd": 0,
                        "score": float(score),
                    }
                )
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": images, "annotations": rows(annotations), "categories": categories}
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(rows(predictions)), "bbox")
        run.params.maxDets = [100_000]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, 0]
    return precision[0].mean(axis=0), precision.mean(axis=(0, 1))


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_equals_pycocotools(seed):
    predictions, annotations = random_planes(seed, planes=12, boxes=160)
    ap50, ap = pycocotools_ap(predictions, annotations)
    table = evaluate(predictions, annotations)
    assert max(len(p) for p in predictions) > 100  # more than COCO's cap
    np.testing.assert_allclose(table.loc[["a", "b", "c"], "AP50"], ap50, atol=1e-6)
    np.testing.assert_allclose(table.loc[["a", "b", "c"], "AP"], ap, atol=1e-6)
    assert table.loc["all", "AP"] == pytest.approx(ap.mean(), abs=1e-6)


def test_a_plane_cut_into_parts_has_the_same_average_precision(monkeypatch):
    predictions, annotations = random_planes(7, planes=2, boxes=2000, size=900)
    predictions = [  # no ties: their order is the only thing that cutting may change
        Detections(p.boxes, p.labels, np.random.default_rng(0).permutation(len(p)) / len(p), class_names=tuple("abc"))
        for p in predictions
    ]
    whole = summarize(predictions, annotations)
    monkeypatch.setattr(metrics, "_LARGE_PLANE", 100)
    assert summarize(predictions, annotations) == pytest.approx(whole, abs=1e-9)


def test_numbers_of_a_case_done_by_hand():
    # Plane 1: two true boxes, one hit at 0.9, a miss at 0.8. Plane 2: one true box, hit at 0.7.
    annotations = {"1": squares((0, 0), (50, 0)), "2": squares((0, 0))}
    predictions = {"1": squares((0, 0), (100, 100), scores=[0.9, 0.8]), "2": squares((0, 0), scores=[0.7])}
    row = evaluate(predictions, annotations).loc["all"]
    assert row["images"] == 2
    assert row["annotations"] == 3
    assert row["predictions"] == 3
    assert row["precision"] == pytest.approx(2 / 3)
    assert row["recall"] == pytest.approx(2 / 3)
    assert row["F1"] == pytest.approx(2 / 3)
    assert row["count_error"] == 0
    # Precision is 1 up to recall 1/3 (points 0.00 to 0.33), 2/3 up to recall 2/3 (0.34 to 0.66), then 0.
    assert row["AP50"] == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)
    assert row["AP"] == pytest.approx(row["AP50"])


def test_a_second_box_on_the_same_object_is_a_false_positive():
    annotations, predictions = squares((0, 0)), squares((0, 0), (1, 0), scores=[0.5, 0.9])
    table = evaluate(predictions, annotations)
    assert table.loc["all", "precision"] == 0.5
    assert table.loc["all", "recall"] == 1
    assert table.attrs["count_error_per_image"] == {0: 1.0}


def test_the_iou_decides_what_is_a_hit():
    annotations, predictions = Detections([[0, 0, 10, 10]]), Detections([[0, 0, 10, 6]], scores=[1])
    assert evaluate(predictions, annotations, iou=0.6).loc["all", "F1"] == 1
    assert evaluate(predictions, annotations, iou=0.61).loc["all", "F1"] == 0
    assert evaluate(predictions, annotations).loc["all", "AP"] == pytest.approx(0.3)  # at 0.50, 0.55, 0.60


def test_classes_are_matched_by_name():
    annotations = squares((0, 0), (50, 0), labels=[0, 1], class_names=("RBC", "WBC"))
    predictions = squares((0, 0), (50, 0), labels=[1, 0], scores=[0.9, 0.8], class_names=("WBC", "RBC"))
    table = evaluate(predictions, annotations)
    assert list(table.index) == ["RBC", "WBC", "all"]
    assert (table["F1"] == 1).all()


def test_a_class_that_is_only_predicted_costs_precision_and_not_average_precision():
    annotations = squares((0, 0), class_names=("RBC",))
    predictions = squares((0, 0), (50, 0), labels=[0, 1], scores=[0.9, 0.8], class_names=("RBC", "WBC"))
    table = evaluate(predictions, annotations)
    assert table.loc["all", "AP"] == 1
    assert table.loc["all", "precision"] == 0.5
    assert np.isnan(table.loc["WBC", "AP"])
    assert np.isnan(table.loc["WBC", "recall"])
    assert table.attrs["notes"] == []


def test_classes_without_a_common_name_are_told():
    table = evaluate(squares((0, 0), scores=[1.0]), squares((0, 0), class_names=("nucleus",)))
    assert table.loc["all", "F1"] == 0
    assert "predicted are object, annotated are nucleus" in table.attrs["notes"][0]


def test_planes_without_predictions_count_and_unknown_planes_are_an_error():
    annotations = {"a.png": squares((0, 0)), "b.png": squares((0, 0))}
    row = evaluate({"a.png": squares((0, 0), scores=[1.0])}, annotations).loc["all"]
    assert row["recall"] == 0.5
    assert row["count_error"] == 0.5
    with pytest.raises(UserError, match=r"predictions for 'c\.png' but no annotations"):
        evaluate({"c.png": squares((0, 0))}, annotations)
    with pytest.raises(UserError, match="no planes"):
        evaluate({}, {})


def test_scores_of_persons_are_certain_and_rejected_boxes_do_not_count():
    annotations = squares((0, 0), (50, 0), states=["added", "rejected"])
    predictions = squares((0, 0), (90, 0), scores=[np.nan, 0.9], states=["added", "rejected"])
    row = evaluate(predictions, annotations).loc["all"]
    assert row["annotations"] == row["predictions"] == 1
    assert row["AP"] == row["F1"] == 1


def test_nothing_predicted_and_nothing_annotated():
    nothing, one = Detections.empty(), squares((0, 0), scores=[0.3])
    assert summarize([nothing], [one])["AP"] == 0
    assert summarize([nothing], [one])["F1"] == 0
    assert np.isnan(summarize([nothing], [one])["precision"])
    assert summarize([one], [nothing])["count_error"] == 1
    assert np.isnan(summarize([nothing], [nothing])["AP"])
    assert summarize([nothing], [nothing])["count_error"] == 0
    assert best_threshold([nothing], [one]) == 0.5
    assert np.isnan(summarize([], [])["F1"])


def test_wrong_arguments_are_told():
    with pytest.raises(UserError, match="must be above 0"):
        summarize([], [], iou=0)
    with pytest.raises(UserError, match="for 1 planes but annotations for 0"):
        summarize([squares((0, 0))], [])
    with pytest.raises(UserError, match="of type list"):
        evaluate([[1, 2, 3, 4]], [squares((0, 0))])


def test_the_annotations_type_is_a_mapping():
    data = Annotations({"a.png": squares((0, 0), scores=[0.5])})
    assert evaluate(data, data).loc["all", "F1"] == 1


def test_best_threshold_by_hand():
    annotations = squares((0, 0), (50, 0))
    predictions = squares((0, 0), (50, 0), (90, 0), scores=[0.9, 0.4, 0.3])
    assert best_threshold([predictions], [annotations]) == pytest.approx(0.4)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_no_other_threshold_has_a_higher_f1(seed):
    predictions, annotations = random_planes(seed, planes=3, boxes=15)

    def f1(threshold: float) -> float:
        kept = [p[p.scores >= threshold] for p in predictions]
        value = summarize(kept, annotations)["F1"]
        return 0.0 if np.isnan(value) else value

    best = f1(best_threshold(predictions, annotations))
    assert best >= max(f1(t) for t in np.linspace(0, 1, 21)) - 1e-12


@given(seed=st.integers(0, 10_000), minimum=st.sampled_from([0.01, 0.3, 0.5]))
@settings(max_examples=25, deadline=None)
def test_overlaps_finds_exactly_the_pairs_of_the_full_table(seed, minimum):
    (first, *_), (second, *_) = random_planes(seed, planes=1, boxes=40, size=60)
    if not len(first):
        return
    a, b = first.boxes.astype(float), second.boxes.astype(float)
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    inner = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    table = inner / (area_a[:, None] + area_b - inner)
    rows, columns, ious = overlaps(a, b, minimum)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == set(
        zip(*(i.tolist() for i in np.nonzero(table >= minimum)), strict=True)
    )
    np.testing.assert_allclose(ious, table[rows, columns])


def test_the_most_certain_box_takes_the_best_free_object():
    truth = np.array([[0, 0, 10, 10], [4, 0, 14, 10]], float)
    boxes = np.array([[1, 0, 11, 10], [0, 0, 10, 10]], float)
    one = np.zeros(2, np.int64)
    # The first box overlaps the first object most and takes it; the second then has 6/14 with the other.
    assert match_boxes(boxes, one, np.array([0.9, 0.8]), truth, one, 0.5).tolist() == [True, False]
    assert match_boxes(boxes, one, np.array([0.8, 0.9]), truth, one, 0.5).tolist() == [True, True]
    assert match_boxes(boxes, one, np.array([0.8, 0.9]), truth, one + 1, 0.5).tolist() == [False, False]


def test_parts_never_separate_boxes_that_could_match():
    (first,), (second,) = random_planes(1, planes=1, boxes=3000, size=2000)
    parts, others = split_by_overlap(first.boxes, second.boxes)
    rows, columns, _ = overlaps(first.boxes, second.boxes, 0.5)
    assert (parts[rows] == others[columns]).all()


def test_the_order_of_the_axes_in_a_name_makes_no_difference():
    truth = {"m.tif#z=0,t=1": squares((0, 0)), "m.tif#z=1,t=1": squares((50, 0))}
    found = {"m.tif#t=1,z=0": squares((0, 0), scores=[1.0]), "m.tif#t=1,z=1": squares((50, 0), scores=[1.0])}
    table = evaluate(found, truth)
    assert table.loc["all", "F1"] == 1
    assert list(table.attrs["count_error_per_image"]) == list(truth)


def test_what_was_mended_in_a_file_is_among_the_remarks(tmp_path):
    (tmp_path / "found.csv").write_text("file,x0,y0,x1,y1,score\na.png,0,0,10,10,1.5\n")
    (tmp_path / "true.csv").write_text("file,x0,y0,x1,y1\na.png,0,0,10,10\na.png,5,5,5,9\n")
    scores, area = evaluate(tmp_path / "found.csv", str(tmp_path / "true.csv")).attrs["notes"]
    assert scores.startswith(f"{tmp_path / 'found.csv'}: Boxes whose score")
    assert area.startswith(f"{tmp_path / 'true.csv'}: Boxes left out")


def test_only_what_is_reviewed_and_not_ignored_counts_on_both_sides():
    true = squares((0, 0), (40, 0), (80, 0), (0, 60))
    found = squares((0, 0), (41, 0), (80, 30), (60, 60), scores=[0.9, 0.8, 0.7, 0.6])
    top, hole = Area((), (0, 0, 100, 50), "reviewed"), Area((), (70, 0, 100, 50), "ignored")
    annotations = Annotations({"a": true, "b": true}, areas={"a": [top, hole]})
    table = evaluate({"a": found, "b": found}, annotations)
    assert table.loc["all", ["annotations", "predictions", "recall", "precision"]].tolist() == [2, 2, 1, 1]
    assert list(table.attrs["count_error_per_image"]) == ["a"]
    assert table.attrs["notes"] == ["1 annotated plane was left out, as nobody had finished it."]
    ignored = evaluate({"a": found}, Annotations({"a": true}, areas={"a": [hole]}))
    assert ignored.loc["all", "annotations"] == 3
    with pytest.raises(UserError, match="none of the annotated planes is marked as reviewed"):
        evaluate({"a": found}, Annotations({"a": true}, reviewed=["gone"]))
