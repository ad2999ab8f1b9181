"""An evaluation before a threshold is chosen: what is costly is done once, and a report at any threshold is quick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE, typical_size
from napari_localize.evaluation import rows
from napari_localize.evaluation.average import falling, precision_at_recalls
from napari_localize.evaluation.estimates import Estimate
from napari_localize.evaluation.intervals import average_precision_interval, count_intervals
from napari_localize.evaluation.matches import Matches, confusion, counts, errors, match_planes
from napari_localize.evaluation.metrics import IOUS, RECALLS, Boxes, paired, precisions, present_classes
from napari_localize.evaluation.report import TUNED, EvaluationReport, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_localize.core.planes import PlaneSource

SAME = 5e-8
"""Thresholds that differ by less are the same, as far as a float32 score can tell."""

DISTANCES = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Distances at which average precision of points is taken, as parts of that of a hit."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions and annotations, matched; see `Evaluation.of`.

    Attributes
    ----------
    names : tuple of str
        Of the planes.
    matches : Matches
    limits : tuple of float
        IoUs or distances at which average precision was taken.
    average_precision : (limits, classes) float64
    precision : (101, classes) float64
        At IoU 0.5, or at the distance of a hit.
    interval : Estimate
        Of the average precision at that.
    notes : tuple of str
    pixel_size : float or None
    ignore_classes : bool
        Whether all objects were taken for ones of the same class.
    best : (float, float)
        The threshold with the highest F1, and that F1.
    """

    names: tuple[str, ...]
    matches: Matches
    limits: tuple[float, ...]
    average_precision: NDArray[np.float64]
    precision: NDArray[np.float64]
    interval: Estimate
    notes: tuple[str, ...] = ()
    pixel_size: float | None = None
    ignore_classes: bool = False
    best: tuple[float, float] = field(default=(0.5, math.nan))

    @classmethod
    def of(
        cls,
        predictions: Boxes,
        annotations: Boxes,
        *,
        iou: float = 0.5,
        distance: float | None = None,
        pixel_size: float | None = None,
        ignore_classes: bool = False,
        on_step: Callable[[float, float], None] | None = None,
    ) -> Evaluation:
        """Match predictions and annotations.

        Parameters
        ----------
        predictions, annotations : as in `metrics.evaluate`
        iou : float
            Lowest intersection over union of a hit.
        distance : float, optional
            Compare centres and not boxes: the largest distance of a hit, in pixels. Annotations that are points are
            compared so by default, within half their nominal size.
        pixel_size : float, optional
            Micrometres per pixel.
        ignore_classes : bool
            Take all objects for ones of the same class.
        on_step : callable, optional
            Is told how much is done, and of how much; what it raises ends the work.

        Raises
        ------
        UserError
            When the planes do not fit together, or the IoU or the distance is out of range.
        """
        tell = on_step or (lambda done, total: None)
        if not 0 < iou <= 1:
            raise UserError(f"the IoU is {iou}; it must be above 0 and at most 1.")
        if distance is not None and not 0 < distance < math.inf:
            raise UserError(f"the distance is {distance}; it must be above 0 pixels.")
        compared = paired(predictions, annotations)
        tell(1, 10)
        found, true = ([_counted(pair[side], ignore_classes) for pair in compared.pairs] for side in (0, 1))
        if distance is None and compared.points:
            distance = (typical_size(true) or POINT_SIZE) / 2
        points = distance is not None
        limit = iou if distance is None else distance
        classes = present_classes(found, true)
        tell(2, 10)
        # That of a hit as it is, so that it is found again among them.
        limits = tuple(limit if part == 1 else round(part * limit, 6) for part in DISTANCES) if points else IOUS
        limits = tuple(limit if math.isclose(each, limit) else each for each in limits)
        matches = match_planes(found, true, classes, limit, points=points, widest=limits[-1] if points else IOUS[0])
        tell(4, 10)
        table = _precisions_by_distance(matches, limits) if points else precisions(found, true)
        average = table.mean(axis=1)
        main = limits.index(limit) if points else 0
        value = _mean(average[main])
        tell(7, 10)
        interval = average_precision_interval(matches, limits[main], value)
        tell(10, 10)
        return cls(
            names=tuple(str(name) for name in compared.names),
            matches=matches,
            limits=limits,
            average_precision=average,
            precision=table[main],
            interval=interval,
            notes=(*compared.notes, *_notes(matches)),
            pixel_size=pixel_size,
            ignore_classes=ignore_classes,
            best=rows.best_threshold(matches, None),
        )

    @property
    def classes_apart(self) -> bool:
        """Whether no class is common to both sides, so that nothing can be a hit."""
        return _strangers(self.matches) is not None

    @property
    def points(self) -> bool:
        """Whether centres are compared, and not boxes."""
        return self.matches.points

    def numbers(self, threshold: float | None = None) -> dict[str, Estimate]:
        """Return the headline numbers at a threshold, with their intervals."""
        counted = counts(self.matches, threshold).sum(axis=1)
        return {"AP" if self.points else "AP50": self.interval, **count_intervals(counted)}

    def report(
        self,
        threshold: float | None = None,
        *,
        title: str = "Evaluation",
        receipt: Mapping[str, Any] | None = None,
        command: str = "",
        images: Mapping[str, PlaneSource] | None = None,
    ) -> EvaluationReport:
        """Return the numbers at a threshold.

        Parameters
        ----------
        threshold : float, optional
            Lowest score of a prediction that counts; by default all count. Average precision takes all in any case.
        title, receipt, command, images
            See `EvaluationReport`.

        Raises
        ------
        UserError
            When the threshold is not in 0 to 1.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise UserError(f"the threshold is {threshold}; it must be between 0 and 1.")
        from napari_localize.evaluation.methods import with_methods

        matches = self.matches
        counted = counts(matches, threshold)
        wrong = errors(matches, threshold)
        planes = rows.plane_rows(self.names, counted, wrong, matches)
        everything = rows.class_row(matches, counted, self.average_precision, None)
        places = {row.name: at for at, row in enumerate(planes)}
        findings = sorted(rows.findings(self.names, matches, wrong), key=lambda each: places[each.name])
        report = EvaluationReport(
            points=self.points,
            limit=matches.limit,
            limits=self.limits,
            threshold=threshold,
            classes=tuple(
                rows.class_row(matches, counted, self.average_precision, label)
                for label in range(len(matches.class_names))
            ),
            all=everything,
            intervals={"AP" if self.points else "AP50": self.interval, **count_intervals(counted.sum(axis=1))},
            recalls=tuple(RECALLS.tolist()),
            precisions={
                name: tuple(self.precision[:, label].tolist())
                for label, name in enumerate(matches.class_names)
                if not np.isnan(self.precision[:, label]).any()
            },
            curve=rows.curve(matches),
            confusion=tuple(tuple(row) for row in confusion(matches, threshold).tolist()),
            planes=planes,
            sizes=() if self.points else rows.size_rows(matches, threshold),
            findings=tuple(findings),
            hits=rows.hits(self.names, matches, threshold),
            notes=(*self.notes, *_tuned(everything, threshold)),
            pixel_size=self.pixel_size,
            ignore_classes=self.ignore_classes,
            title=title,
            receipt=dict(receipt or {}),
            command=command,
            images=images or {},
        )
        return with_methods(report)


def _precisions_by_distance(matches: Matches, limits: Sequence[float]) -> NDArray[np.float64]:
    """Return precision by distance, recall and class, as `metrics.precisions` does by IoU."""
    classes = len(matches.class_names)
    there = np.bincount(matches.true_labels, minlength=classes)
    order = falling(matches.scores)
    table = np.full((len(limits), len(RECALLS), classes), np.nan)
    for row, limit in enumerate(limits):
        hits = matches.assigned(limit) >= 0
        for label in range(classes):
            mine = order[matches.labels[order] == label]
            table[row, :, label] = precision_at_recalls(hits[mine], float(there[label]))
    return table


def _tuned(all_classes: Row, threshold: float | None) -> list[str]:
    if threshold is None or not all_classes.best_f1 > 0 or abs(threshold - all_classes.best_threshold) > SAME:
        return []
    return [TUNED]


def _strangers(matches: Matches) -> tuple[list[str], list[str]] | None:
    """Return the classes of both sides where they have none in common, although both have objects."""
    predicted, annotated = (
        [matches.class_names[label] for label in np.unique(labels).tolist()]
        for labels in (matches.labels, matches.true_labels)
    )
    apart = predicted and annotated and not set(predicted) & set(annotated)
    return (predicted, annotated) if apart else None


def _notes(matches: Matches) -> list[str]:
    """Return what a person should know before believing the numbers."""
    if strangers := _strangers(matches):
        predicted, annotated = strangers
        return [
            f"No class is common to both: predicted are {', '.join(predicted)}, annotated are {', '.join(annotated)}; "
            "rename the classes of one of them, or ignore classes."
        ]
    return []


def _counted(part: Detections, ignore_classes: bool) -> Detections:
    kept = part.states != "rejected"
    part = part if kept.all() else part[kept]
    return replace(part, labels=np.zeros_like(part.labels), class_names=("object",)) if ignore_classes else part


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
