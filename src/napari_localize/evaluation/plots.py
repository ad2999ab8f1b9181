"""The plots of a report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_localize.core.colors import CLASS_COLORS
from napari_localize.evaluation.svg import Axis, Line, line_plot, scatter_plot, upper

if TYPE_CHECKING:
    from napari_localize.evaluation.report import EvaluationReport

# Blue, vermillion and green of Okabe and Ito; all three are seen on white and on black.
_F1, _PRECISION, _RECALL = "#009E73", "#56B4E9", "#E69F00"


def precision_recall(report: EvaluationReport, ink: str = "currentColor") -> str:
    """Return precision against recall by class, at IoU 0.5 or the distance of a hit."""
    lines = [
        Line(name, report.recalls, values, CLASS_COLORS[at % len(CLASS_COLORS)])
        for at, (name, values) in enumerate(report.precisions.items())
    ]
    return line_plot(lines, Axis("recall"), Axis("precision"), ink=ink)


def f1_by_threshold(report: EvaluationReport, ink: str = "currentColor") -> str:
    """Return precision, recall and F1 against the threshold of the score; the best and the chosen one are marked."""
    curve, best = report.curve, report.all.best_threshold
    lines = [
        Line("F1", curve.thresholds, curve.f1, _F1),
        Line("precision", curve.thresholds, curve.precision, _PRECISION, dashed=True),
        Line("recall", curve.thresholds, curve.recall, _RECALL, dashed=True),
    ]
    marks = [(best, f"best {best:.2f}")]
    if report.threshold is not None and not math.isclose(report.threshold, best, abs_tol=0.005):
        marks.append((report.threshold, f"chosen {report.threshold:.2f}"))
    return line_plot(lines, Axis("threshold of the score"), Axis(""), marks=marks, ink=ink)


def average_precision(report: EvaluationReport, ink: str = "currentColor") -> str:
    """Return average precision against what counts as a hit."""
    x = Axis("IoU of a hit", 0.5, 1.0)
    if report.points:
        x = Axis("distance of a hit, px", 0.0, report.limits[-1])
    lines = [
        Line(row.name, report.limits, row.average_precision, CLASS_COLORS[at % len(CLASS_COLORS)])
        for at, row in enumerate(report.classes)
        if row.annotations
    ]
    return line_plot(lines, x, Axis("average precision"), ink=ink, dots=True)


def counts(report: EvaluationReport, ink: str = "currentColor") -> str:
    """Return found against true objects, a dot for each image."""
    points = [(float(row.true), float(row.found)) for row in report.planes]
    high = upper([value for point in points for value in point])
    return scatter_plot(points, Axis("objects there", 0, high), Axis("objects found", 0, high), color=_F1, ink=ink)


PLOTS = {
    "Precision and recall": precision_recall,
    "F1 by threshold": f1_by_threshold,
    "AP by limit of a hit": average_precision,
    "Counts by image": counts,
}
"""By title."""
