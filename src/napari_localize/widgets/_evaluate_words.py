"""The numbers of a report as rich text for a narrow dock, with links to what is behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape

from napari_localize.core.findings import KIND_COLORS
from napari_localize.evaluation.estimates import Estimate
from napari_localize.evaluation.gate import FEWEST_PLANES
from napari_localize.evaluation.report import EvaluationReport

NOTHING = "nothing"
"""In place of background, for which there is no room."""

MOST_CLASSES, MOST_PAIRS, WIDEST_MATRIX = 12, 12, 4
_KINDS = {
    "false positive": ("false positive", "false positives"),
    "missed": ("missed", "missed"),
    "poor overlap": ("poor overlap", "poor overlaps"),
    "wrong class": ("wrong class", "wrong classes"),
}


def headline(numbers: Mapping[str, Estimate]) -> str:
    """Return a table of the numbers with their intervals."""
    rows = []
    for name, estimate in numbers.items():
        percent = name == "count_error"
        interval = f"{_shown(estimate.low, percent)} to {_shown(estimate.high, percent)}"
        interval = interval if estimate.low == estimate.low else ""
        title = "count error" if percent else name
        rows.append(
            f"<tr><td>{title}</td><td align='right'><b>{_shown(estimate.value, percent)}</b></td>"
            f"<td align='right'>{interval}</td></tr>"
        )
    known = any(estimate.low == estimate.low for estimate in numbers.values())
    after = "" if known else f"From {FEWEST_PLANES} planes on, each number has an interval."
    return f"<table width='100%'>{''.join(rows)}</table>{after}"


def class_table(report: EvaluationReport) -> str:
    """Return a table of the classes; empty for one class, which is all there is."""
    if len(report.classes) < 2:
        return ""
    at = report.limits.index(report.limit) if report.points else 0
    head = "".join(
        f"<th align='right'>{name}</th>" for name in ("true", "found", "AP" if report.points else "AP50", "F1")
    )
    rows = [f"<tr><th></th>{head}</tr>"]
    for row in report.classes[:MOST_CLASSES]:
        cells = (f"{row.annotations:,}", f"{row.predictions:,}", _shown(row.average_precision[at]), _shown(row.f1))
        rows.append(f"<tr><td>{_short(row.name)}</td>{''.join(f'<td align=right>{cell}</td>' for cell in cells)}</tr>")
    more = len(report.classes) - MOST_CLASSES
    after = f"and {more} more in the report" if more > 0 else ""
    return f"<table width='100%'>{''.join(rows)}</table>{after}"


def error_links(report: EvaluationReport) -> str:
    """Return how much is wrong in each way, as links ``kind:...``."""
    numbers = Counter(finding.kind for finding in report.findings)
    if not numbers:
        return "Nothing is wrong at this threshold."
    links = []
    for kind, (one, many) in _KINDS.items():
        if report.points and kind == "poor overlap":
            one = many = "too far off"
        if number := numbers[kind]:
            text = f"{number:,} {one if number == 1 else many}"
            links.append(_link(f"kind:{kind}", text, KIND_COLORS[kind]))
    return "Look at " + ", ".join(links)


def confusion_table(report: EvaluationReport) -> str:
    """Return the confusion matrix with links ``cell:row:column``; of many classes the pairs that are confused most."""
    names = [*(row.name for row in report.classes), NOTHING]
    if len(names) > WIDEST_MATRIX + 1:
        return _pairs(report, names)
    head = "".join(f"<th align='right'>{_short(name, 8)}</th>" for name in names)
    rows = [f"<tr><th align='left'>there</th>{head}</tr>"]
    for at, (name, row) in enumerate(zip(names, report.confusion, strict=True)):
        cells = []
        for column, number in enumerate(row):
            color = KIND_COLORS["right" if at == column else "false positive"]
            cells.append(_link(f"cell:{at}:{column}", f"{number:,}", color) if number else "")
        rows.append(f"<tr><td>{_short(name, 10)}</td>{''.join(f'<td align=right>{cell}</td>' for cell in cells)}</tr>")
    return f"<table width='100%'>{''.join(rows)}</table>"


def _pairs(report: EvaluationReport, names: list[str]) -> str:
    confused = [
        (number, at, column)
        for at, row in enumerate(report.confusion)
        for column, number in enumerate(row)
        if number and at != column
    ]
    confused.sort(reverse=True)
    lines = [
        _link(
            f"cell:{at}:{column}",
            f"{number:,} {_short(names[at])} found as {_short(names[column])}",
            KIND_COLORS["wrong class"],
        )
        for number, at, column in confused[:MOST_PAIRS]
    ]
    more = f"<br>and {len(confused) - MOST_PAIRS} more pairs in the report" if len(confused) > MOST_PAIRS else ""
    return "<br>".join(lines) + more


def _link(target: str, text: str, color: str) -> str:
    # Black on the colour is read on light and on dark themes, yellow on white is not.
    return f"<a style='color: #000000; background-color: {color}' href='{target}'>&nbsp;{text}&nbsp;</a>"


def _short(name: str, most: int = 14) -> str:
    return escape(name if len(name) <= most else name[: most - 1] + "…")


def _shown(value: float, percent: bool = False) -> str:
    if value != value:
        return "-"
    return f"{100 * value:.0f} %" if percent else f"{value:.2f}"
