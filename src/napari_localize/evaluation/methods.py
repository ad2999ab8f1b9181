"""A paragraph for a methods section: what was compared, how, what came out, and whom to cite."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_localize.evaluation.gate import FEWEST_PLANES
from napari_localize.evaluation.report import TUNED

if TYPE_CHECKING:
    from napari_localize.evaluation.estimates import Estimate
    from napari_localize.evaluation.report import EvaluationReport

COCO = "Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014"
BOOTSTRAP = "Efron and Tibshirani, An Introduction to the Bootstrap, 1993"
PERCENTILES = "Hesterberg, The American Statistician 69, 371, 2015"


def with_methods(report: EvaluationReport) -> EvaluationReport:
    """Return the report with its paragraph."""
    return replace(report, methods=methods(report))


def methods(report: EvaluationReport) -> str:
    """Put a report into a paragraph of plain text."""
    row, model = report.all, (report.receipt.get("model") or {}).get("reference")
    version = (report.receipt.get("versions") or {}).get("napari-localize")
    program = "napari-localize" + (f" {version}" if version else "")
    who = f"Objects detected by the model {model}" if model else "Detected objects"
    if (report.receipt.get("data") or {}).get("predictions", {}).get("judged_by_person"):
        who += ", corrected by a person,"
    kind = "points" if report.points else "boxes"
    planes = f"{row.images:,} image{'s' * (row.images != 1)}"
    said = [
        f"{who} were compared with {row.annotations:,} annotated {kind} in {planes} using {program}.",
        _rule(report),
        _numbers(report),
        _intervals(report),
    ]
    return " ".join(filter(None, said))


def _rule(report: EvaluationReport) -> str:
    same = " of any class" if report.ignore_classes else " of the same class"
    if report.points:
        size = f" ({report.limit * report.pixel_size:.3g} µm)" if report.pixel_size else ""
        how = f"its centre was at most {report.limit:g} px{size} from that of an annotated object{same}"
    else:
        how = f"its intersection over union with an annotated box{same} was at least {report.limit:g}"
    score = "" if report.threshold is None else f" with a score of at least {report.threshold:.3g}"
    score += ", the threshold with the highest F1 on these very images," if TUNED in report.notes else ""
    return (
        f"A detection{score} counted as correct when {how}; by falling score, each detection was matched to the closest "
        "annotation that was still free."
    )


def _numbers(report: EvaluationReport) -> str:
    numbers = report.intervals
    parts = [
        f"precision was {_with_interval(numbers['precision'])}",
        f"recall {_with_interval(numbers['recall'])}",
        f"F1 {_with_interval(numbers['F1'])}",
        f"and the mean absolute error of the count per image {_with_interval(numbers['count_error'], percent=True)}",
    ]
    said = ", ".join(parts)
    said = f"{said[:1].upper()}{said[1:]}."
    if report.points:
        return f"{said} Average precision at that distance was {_with_interval(numbers['AP'])}, computed at 101 recall levels ({COCO})."
    return (
        f"{said} Average precision (AP), computed at 101 recall levels without a limit on the number of detections "
        f"({COCO}), was {_with_interval(numbers['AP50'])} at an IoU of 0.5 (AP50) and {_shown(report.ap)} as the mean over IoUs of "
        "0.50 to 0.95."
    )


def _intervals(report: EvaluationReport) -> str:
    if report.all.images < FEWEST_PLANES:
        return f"No intervals are given, as there were fewer than {FEWEST_PLANES} images."
    return (
        "Intervals are 95 % percentile intervals of a bootstrap over images "
        f"({BOOTSTRAP}), with percentiles widened for small samples ({PERCENTILES})."
    )


def _with_interval(estimate: Estimate, percent: bool = False) -> str:
    value = _shown(estimate.value, percent)
    if estimate.low != estimate.low:
        return value
    return f"{value} (95 % CI {_shown(estimate.low, percent)} to {_shown(estimate.high, percent)})"


def _shown(value: Any, percent: bool = False) -> str:
    if value != value:
        return "undefined"
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"
