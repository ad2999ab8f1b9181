"""How good predictions are: average precision, precision, recall, F1 and the error of the count.

Rejected boxes count on neither side, and a prediction without a score counts as certain. Classes are
matched by name. Where planes or areas are marked as reviewed, only those count, and of the boxes on both sides those
with their centre there. Average precision is COCO's (101 recall points, IoU 0.50 to 0.95), without COCO's cap
on detections per image and without its area ranges.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.evaluation.matching import match_boxes, split_by_overlap

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Boxes = Detections | Sequence[Detections] | Mapping[Any, Detections] | str | os.PathLike[str]
"""What can be evaluated: one plane, several in order, several by name, or an annotation file."""

IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Overlaps at which COCO's average precision is taken."""

RECALLS = np.linspace(0, 1, 101)
"""Recalls at which precision is read off."""

_LARGE_PLANE = 4_000_000
"""Pairs of boxes in one plane beyond which it is evaluated in parts: IoUs are kept as dense tables."""


def evaluate(predictions: Boxes, annotations: Boxes, iou: float = 0.5) -> pd.DataFrame:
    """Compare predicted boxes with true ones.

    Parameters
    ----------
    predictions, annotations : Detections, sequence or mapping of Detections, or path of a file
        Planes are matched by name, or by order for sequences. A plane without predictions has no boxes. Annotations
        with reviewed planes or areas are compared with only there, and not in those to be ignored. Where they are
        points, centres are compared and not overlaps: a hit is at most half their nominal size away, ``AP50`` is the
        average precision at that distance, and ``AP`` that over several; see `evaluation.evaluation.DISTANCES`.
    iou : float
        Lowest intersection over union of a hit, for precision, recall and F1.

    Returns
    -------
    pandas.DataFrame
        One row for each class and ``all``. Columns: ``images`` (planes that hold such annotations),
        ``annotations``, ``predictions``, ``AP50``, ``AP``, ``precision``, ``recall``, ``F1`` and
        ``count_error``, the mean over planes of ``|predicted - true| / max(true, 1)``. In ``all``, AP is
        the mean over the annotated classes and the others are pooled. Undefined values are NaN.
        ``attrs["count_error_per_image"]`` has the error of each plane, ``attrs["notes"]`` remarks, also
        on what was mended or left out when files were read.

    Raises
    ------
    UserError
        When predictions exist for planes that have no annotations, nothing of the annotated planes is reviewed, or
        the IoU is not in 0 to 1.
    """
    import pandas as pd

    names, pairs, notes, points = paired(predictions, annotations)
    if points:
        from napari_localize.evaluation.evaluation import Evaluation

        return Evaluation.of(predictions, annotations, iou=iou).report().table
    pool = _Pool.of([p for p, _ in pairs], [a for _, a in pairs], iou)
    ap50, ap = pool.average_precision()
    rows = [pool.row(index, ap50[index], ap[index]) for index in range(len(pool.class_names))]
    rows.append(pool.row(None, _mean(ap50), _mean(ap)))
    labels = [*pool.class_names, "all"]
    table = pd.DataFrame(rows, index=pd.Index(labels, name="class", dtype=object))
    errors = pool.count_errors(None).tolist()
    table.attrs["count_error_per_image"] = dict(zip(names, errors, strict=True))
    table.attrs["notes"] = [*notes, *pool.notes()]
    return table


class Paired(NamedTuple):
    """The planes that count: their names, what is predicted and what is true on each, remarks, whether it is points."""

    names: list[Any]
    pairs: list[tuple[Detections, Detections]]
    notes: list[str]
    points: bool


def paired(predictions: Boxes, annotations: Boxes) -> Paired:
    """Find the planes that count; the parameters and errors are those of `evaluate`."""
    found = by_plane(predictions, "predictions", reference=annotations)
    true = by_plane(annotations, "annotations")
    names, pairs = _pair(found, true)
    names, pairs, left_out = _where_known(true, names, pairs)
    notes = [*_reading_notes(predictions, found), *_reading_notes(annotations, true), *left_out]
    return Paired(names, pairs, notes, bool(getattr(true, "points", False)))


def precisions(predictions: Sequence[Detections], annotations: Sequence[Detections]) -> NDArray[np.float64]:
    """Return COCO's precision by IoU (`IOUS`), recall (`RECALLS`) and class (`present_classes`).

    Both sequences have one entry a plane, in the same order. Precision is NaN for classes without annotations.
    """
    return _Pool.of(predictions, annotations, 0.5).precisions()


def present_classes(predictions: Sequence[Detections], annotations: Sequence[Detections]) -> tuple[str, ...]:
    """Return the classes that have boxes, in the order of the class lists, annotations first."""
    parts = [*annotations, *predictions]
    there = {part.class_names[label] for part in parts for label in np.unique(part.labels).tolist()}
    return tuple(name for name in dict.fromkeys(n for part in parts for n in part.class_names) if name in there)


def summarize(
    predictions: Sequence[Detections], annotations: Sequence[Detections], iou: float = 0.5
) -> dict[str, float]:
    """Return the row ``all`` of `evaluate` as numbers: AP50, AP, precision, recall, F1, count_error.

    Both sequences have one entry a plane, in the same order.
    """
    pool = _Pool.of(predictions, annotations, iou)
    ap50, ap = pool.average_precision()
    row = pool.row(None, _mean(ap50), _mean(ap))
    return {key: float(row[key]) for key in ("AP50", "AP", "precision", "recall", "F1", "count_error")}


def best_threshold(predictions: Sequence[Detections], annotations: Sequence[Detections], iou: float = 0.5) -> float:
    """Return the score at and above which the predictions have the highest pooled F1.

    The higher one of equals; 0.5 when nothing is hit at any score.
    """
    pool = _Pool.of(predictions, annotations, iou)
    order = np.argsort(-pool.scores, kind="stable")
    scores, hits = pool.scores[order], np.cumsum(pool.hits[order])
    if not len(scores) or hits[-1] == 0:
        return 0.5
    last_of_equals = np.append(scores[1:] != scores[:-1], True)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + len(pool.true_labels))
    return float(scores[np.argmax(np.where(last_of_equals, f1, -1))])


@dataclass(frozen=True)
class _Pool:
    """All boxes of all planes in one table, with joint class labels and what was hit at one IoU."""

    class_names: tuple[str, ...]
    planes: int
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    plane: NDArray[np.int64]
    hits: NDArray[np.bool_]
    true_boxes: NDArray[np.float64]
    true_labels: NDArray[np.int64]
    true_plane: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Sequence[Detections], annotations: Sequence[Detections], iou: float) -> _Pool:
        if not 0 < iou <= 1:
            raise UserError(f"the IoU is {iou}; it must be above 0 and at most 1.")
        if len(predictions) != len(annotations):
            raise UserError(
                f"there are predictions for {len(predictions)} planes but annotations for "
                f"{len(annotations)}; give one of each for every plane."
            )
        predictions, annotations = ([_counted(part) for part in side] for side in (predictions, annotations))
        names = present_classes(predictions, annotations)
        predictions, annotations = ([part.with_classes(names) for part in side] for side in (predictions, annotations))
        hits = [
            match_boxes(p.boxes, p.labels, _certain(p.scores), a.boxes, a.labels, iou)
            for p, a in zip(predictions, annotations, strict=True)
        ]
        return cls(
            class_names=names,
            planes=len(annotations),
            boxes=_joined([p.boxes for p in predictions], np.float64).reshape(-1, 4),
            labels=_joined([p.labels for p in predictions], np.int64),
            scores=_joined([_certain(p.scores) for p in predictions], np.float32),
            plane=np.repeat(np.arange(len(predictions)), [len(p) for p in predictions]),
            hits=_joined(hits, np.bool_),
            true_boxes=_joined([a.boxes for a in annotations], np.float64).reshape(-1, 4),
            true_labels=_joined([a.labels for a in annotations], np.int64),
            true_plane=np.repeat(np.arange(len(annotations)), [len(a) for a in annotations]),
        )

    def row(self, label: int | None, ap50: float, ap: float) -> dict[str, float]:
        """Return the numbers of one class, or with None of all boxes."""
        mine = np.ones(len(self.labels), bool) if label is None else self.labels == label
        true = np.ones(len(self.true_labels), bool) if label is None else self.true_labels == label
        hits, predicted, annotated = int(self.hits[mine].sum()), int(mine.sum()), int(true.sum())
        return {
            "images": len(np.unique(self.true_plane[true])) if label is not None else self.planes,
            "annotations": annotated,
            "predictions": predicted,
            "AP50": ap50,
            "AP": ap,
            "precision": _ratio(hits, predicted),
            "recall": _ratio(hits, annotated),
            "F1": _ratio(2 * hits, predicted + annotated),
            "count_error": _mean(self.count_errors(label)),
        }

    def count_errors(self, label: int | None) -> NDArray[np.float64]:
        """Return ``|predicted - true| / max(true, 1)`` of each plane."""
        mine = slice(None) if label is None else self.labels == label
        true = slice(None) if label is None else self.true_labels == label
        predicted = np.bincount(self.plane[mine], minlength=self.planes)
        annotated = np.bincount(self.true_plane[true], minlength=self.planes)
        errors: NDArray[np.float64] = np.abs(predicted - annotated) / np.maximum(annotated, 1)
        return errors

    def average_precision(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return AP at IoU 0.5 and COCO's AP of each class; NaN for classes without annotations."""
        precision = self.precisions()
        return precision[0].mean(axis=0), precision.mean(axis=(0, 1))

    def precisions(self) -> NDArray[np.float64]:
        """Return precision by IoU, recall and class; NaN for classes without annotations."""
        if not len(self.true_labels):
            return np.full((len(IOUS), len(RECALLS), len(self.class_names)), np.nan)
        from faster_coco_eval import COCO, COCOeval_faster

        plane, true_plane = self._small_planes()
        most = int(np.bincount(plane, minlength=1).max()) if len(plane) else 1
        images = [{"id": index} for index in np.unique(np.concatenate([plane, true_plane])).tolist()]
        categories = [{"id": index, "name": name} for index, name in enumerate(self.class_names)]

        def data_set(boxes: Any, labels: Any, planes: Any, scores: Any) -> Any:
            sizes = boxes[:, 2:] - boxes[:, :2]
            columns = zip(
                planes.tolist(),
                labels.tolist(),
                np.hstack([boxes[:, :2], sizes]).tolist(),
                sizes.prod(axis=1).tolist(),
                scores.tolist(),
                strict=True,
            )
            rows = [
                {"id": n, "image_id": i, "category_id": c, "bbox": b, "area": a, "score": s, "iscrowd": 0}
                for n, (i, c, b, a, s) in enumerate(columns, start=1)
            ]
            return COCO({"images": images, "annotations": rows, "categories": categories})

        evaluation = COCOeval_faster(
            data_set(self.true_boxes, self.true_labels, true_plane, np.ones(len(true_plane))),
            data_set(self.boxes, self.labels, plane, self.scores),
            iouType="bbox",
        )
        evaluation.params.maxDets = [max(most, 1)]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e20]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
        precision = evaluation.eval["precision"][:, :, :, 0, 0]  # IoU x recall x class; -1: no annotations
        return np.where(precision < 0, np.nan, precision)

    def _small_planes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return plane numbers in which very large planes are cut into parts that cannot match."""
        plane, true_plane = self.plane.copy(), self.true_plane.copy()
        sizes = np.bincount(plane, minlength=self.planes) * np.bincount(true_plane, minlength=self.planes)
        free = self.planes
        for index in np.flatnonzero(sizes > _LARGE_PLANE):
            mine, true = self.plane == index, self.true_plane == index
            parts, true_parts = split_by_overlap(self.boxes[mine], self.true_boxes[true])
            plane[mine], true_plane[true] = free + parts, free + true_parts
            free += int(max(parts.max(), true_parts.max())) + 1
        return plane, true_plane

    def notes(self) -> list[str]:
        """Return what a person should know before believing the numbers."""
        predicted, annotated = (
            [self.class_names[i] for i in np.unique(labels).tolist()] for labels in (self.labels, self.true_labels)
        )
        if predicted and annotated and not set(predicted) & set(annotated):
            return [
                f"No class is common to both: predicted are {', '.join(predicted)}, "
                f"annotated are {', '.join(annotated)}; rename the classes of one of them."
            ]
        return []


def by_plane(data: Boxes, what: str, reference: Boxes | None = None) -> Mapping[Any, Detections]:
    """Return boxes by plane; files are read, a list of COCO results with the help of the `reference`.

    Raises
    ------
    UserError
        When something else than `Detections` is there, or a file cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        from napari_localize.formats import read_annotations

        path = reference if isinstance(reference, str | os.PathLike) else None
        return read_annotations(data, reference=path)
    if isinstance(data, Detections):
        return {0: data}
    planes = data if isinstance(data, Mapping) else dict(enumerate(data))
    for name, part in planes.items():
        if not isinstance(part, Detections):
            raise UserError(f"the {what} of plane {name} are of type {type(part).__name__}, not Detections.")
    return planes


def _reading_notes(given: Boxes, read: Mapping[Any, Detections]) -> list[str]:
    """Notes of a file that was read here; whoever reads it himself has them already."""
    if not isinstance(given, str | os.PathLike):
        return []
    return [f"{os.fspath(given)}: {note}" for note in getattr(read, "notes", [])]


def _same_name(name: Any) -> Any:
    """Return a plane's name with its axes in one order, as files differ in that."""
    if not isinstance(name, str):
        return name
    file_name, position = split_plane_name(name)
    return plane_name(file_name, dict(sorted(position.items())))


def _pair(
    predictions: Mapping[Any, Detections], annotations: Mapping[Any, Detections]
) -> tuple[list[Any], list[tuple[Detections, Detections]]]:
    if not annotations:
        raise UserError("the annotations hold no planes; there is nothing to compare with.")
    found = {_same_name(name): part for name, part in predictions.items()}
    true = {_same_name(name) for name in annotations}
    extra = [name for name in predictions if _same_name(name) not in true]
    if extra:
        more = f" and {len(extra) - 1} more planes" if len(extra) > 1 else ""
        raise UserError(
            f"there are predictions for {extra[0]!r}{more} but no annotations; the annotations are of "
            f"{len(annotations)} planes such as {next(iter(annotations))!r}, and names must be equal."
        )
    return list(annotations), [
        (found.get(_same_name(name), Detections.empty()), part) for name, part in annotations.items()
    ]


def _where_known(
    annotations: Mapping[Any, Detections], names: list[Any], pairs: list[tuple[Detections, Detections]]
) -> tuple[list[Any], list[tuple[Detections, Detections]], list[str]]:
    """Leave out what nobody has reviewed, where anything is marked as reviewed, and what is to be ignored."""
    if not isinstance(annotations, Annotations):
        return names, pairs, []
    known = [annotations.known(name) for name in names]
    kept = [
        (name, (found[area.holds(found.boxes)], true[area.holds(true.boxes)]))
        for name, (found, true), area in zip(names, pairs, known, strict=True)
        if area is not None
    ]
    if not kept:
        raise UserError("none of the annotated planes is marked as reviewed; finish at least one, or remove the marks.")
    missing = len(names) - len(kept)
    what = "1 annotated plane was" if missing == 1 else f"{missing} annotated planes were"
    whom = "it" if missing == 1 else "them"
    notes = [f"{what} left out, as nobody had finished {whom}."] if missing else []
    return [name for name, _ in kept], [pair for _, pair in kept], notes


def _counted(part: Detections) -> Detections:
    kept = part.states != "rejected"
    return part if kept.all() else part[kept]


def _certain(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(scores, nan=1.0)


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
