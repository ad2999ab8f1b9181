"""The report as one page: tables and plots, no scripts, nothing from elsewhere. All texts are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import nan
from typing import TYPE_CHECKING, Any

from napari_localize.core.errors import UserError
from napari_localize.core.findings import KIND_COLORS
from napari_localize.evaluation.intervals import NAME as INTERVALS
from napari_localize.evaluation.pictures import picture
from napari_localize.evaluation.plots import PLOTS
from napari_localize.evaluation.receipt import as_json
from napari_localize.evaluation.report import BACKGROUND
from napari_localize.evaluation.style import STYLE

if TYPE_CHECKING:
    from napari_localize.evaluation.estimates import Estimate
    from napari_localize.evaluation.report import EvaluationReport

PICTURES = 6
"""Worst planes that are shown."""

MOST_PLANES = 200
"""Planes in the table."""

_MEANING = {
    "AP50": "found and ranked, at IoU 0.5",
    "AP": "found and ranked, at the distance of a hit",
    "F1": "balance of precision and recall",
    "precision": "share of what was found that is there",
    "recall": "share of what is there that was found",
    "count_error": "of the number per image",
}
_KINDS = ("false positive", "missed", "poor overlap", "wrong class")


def page(report: EvaluationReport) -> str:
    """Return the page."""
    sections = [
        _head(report),
        _notes(report),
        _headline(report),
        _section("By class", _classes(report)),
        _section("Curves", _plots(report)),
        _section("Which class was taken for which", _confusion(report)),
        _section("By size", _sizes(report)),
        _section("Worst images", _pictures(report) + _planes(report)),
        _section("For a methods section", f"<p class='methods'>{escape(report.methods)}</p>"),
        _section("Receipt", _receipt(report)),
    ]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        # Even what was not escaped could do nothing.
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body><main>"
        + "\n".join(filter(None, sections))
        + "</main></body></html>\n"
    )


def _head(report: EvaluationReport) -> str:
    receipt = report.receipt
    model, data = receipt.get("model") or {}, receipt.get("data") or {}
    lines = []
    if model:
        digest = f" <code>sha256 {escape(str(model['sha256']))}</code>" if model.get("sha256") else ""
        lines.append(f"Model <b>{escape(str(model.get('reference')))}</b>{digest}")
    for name, title in (("predictions", "Predictions"), ("annotations", "Compared with")):
        part = data.get(name) or {}
        if part:
            source = escape(str(part.get("source") or "boxes in memory"))
            lines.append(f"{title} <b>{source}</b>, {part['boxes']:,} on {_images(part['planes'])}")
    lines.append(f"A hit is {escape(_hit(report))}; {escape(_counted(report))}.")
    if receipt.get("date"):
        lines.append(escape(str(receipt["date"]).replace("T", " ").replace("+00:00", " UTC")))
    return f"<header><h1>{escape(report.title)}</h1>" + "".join(f"<p>{line}</p>" for line in lines) + "</header>"


def _hit(report: EvaluationReport) -> str:
    right = "any" if report.ignore_classes else "the right"
    if not report.points:
        return f"a box of {right} class with an IoU of {report.limit:g} or more"
    size = f" ({report.limit * report.pixel_size:.3g} µm)" if report.pixel_size else ""
    return f"a point of {right} class at most {report.limit:g} px{size} away"


def _counted(report: EvaluationReport) -> str:
    if report.threshold is None:
        return "all predictions count"
    return f"predictions with a score of {report.threshold:.3g} or more count"


def _notes(report: EvaluationReport) -> str:
    if not report.notes:
        return ""
    return "<ul class='notes'>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>"


def _headline(report: EvaluationReport) -> str:
    cells = []
    for name, estimate in report.intervals.items():
        percent = name == "count_error"
        title = "count error" if percent else name
        cells.append(
            f"<div><span>{title}</span><b>{_shown(estimate.value, percent)}</b><i>{_interval(estimate, percent)}</i>"
            f"<small>{_MEANING.get(name, '')}</small></div>"
        )
    said = "" if report.points else f"AP, the mean over IoU 0.50 to 0.95, is {_shown(report.ap)}. "
    row = report.all
    best = (
        f"F1 is highest, {_shown(row.best_f1)}, at a threshold of {row.best_threshold:.3f}. " if row.best_f1 > 0 else ""
    )
    few = "" if _known(report) else "There are too few images for intervals; five are needed."
    intervals = f"Below each number: {INTERVALS}." if _known(report) else few
    return f"<section><div class='numbers'>{''.join(cells)}</div><p>{said}{best}{intervals}</p></section>"


def _known(report: EvaluationReport) -> bool:
    return any(estimate.low == estimate.low for estimate in report.intervals.values())


def _classes(report: EvaluationReport) -> str:
    shown = "AP" if report.points else "AP50"
    head = [
        "class",
        "images",
        "true",
        "found",
        shown,
        "precision",
        "recall",
        "F1",
        "count error",
        "best threshold",
        "best F1",
    ]
    at = report.limits.index(report.limit) if report.points else 0
    if not report.points:
        at75 = report.limits.index(0.75)
        head[5:5] = ["AP75", "AP"]
    rows = []
    for row in (*report.classes, report.all):
        average = [row.average_precision[at]]
        if not report.points:
            average += [row.average_precision[at75], sum(row.average_precision) / len(row.average_precision)]
        rows.append(
            [
                row.name,
                *(f"{number:,}" for number in (row.images, row.annotations, row.predictions)),
                *(_shown(value) for value in (*average, row.precision, row.recall, row.f1)),
                _shown(row.count_error, percent=True),
                _shown(row.best_threshold if row.best_f1 else nan),
                _shown(row.best_f1),
            ]
        )
    ladder = _table(
        ["IoU" if not report.points else "distance, px", *(f"{limit:.2f}" for limit in report.limits)],
        [[row.name, *(_shown(value) for value in row.average_precision)] for row in (*report.classes, report.all)],
    )
    return _table(head, rows) + "<h3>Average precision by what counts as a hit</h3>" + ladder


def _plots(report: EvaluationReport) -> str:
    figures = [
        f"<figure>{draw(report)}<figcaption>{escape(title)}</figcaption></figure>" for title, draw in PLOTS.items()
    ]
    return f"<div class='plots'>{''.join(figures)}</div>"


def _confusion(report: EvaluationReport) -> str:
    names = [*(row.name for row in report.classes), BACKGROUND]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for at, (name, row) in enumerate(zip(names, report.confusion, strict=True)):
        whole = sum(row) or 1
        cells = []
        for column, number in enumerate(row):
            if at == column == len(names) - 1:
                cells.append("<td></td>")
                continue
            color = "0, 158, 115" if at == column else "213, 94, 0"
            cells.append(f"<td style='background: rgba({color}, {0.7 * number / whole:.2f})'>{number:,}</td>")
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        "<p>Rows: what is there. Columns: what it was found as. Background: nothing is there, or nothing was found. The surest "
        "detection first, each takes what it is closest to, whatever its class.</p>"
        f"<div class='wide'><table class='confusion'><tr><th>there \\ found</th>{head}</tr>{''.join(rows)}</table></div>"
    )


def _sizes(report: EvaluationReport) -> str:
    if not report.sizes:
        return ""
    rows = []
    for row in report.sizes:
        size = f"{row.low:.1f} to {row.high:.1f}"
        um = [f"{row.low * report.pixel_size:.2f} to {row.high * report.pixel_size:.2f}"] if report.pixel_size else []
        rows.append([size, *um, f"{row.annotations:,}", _shown(row.recall), _shown(row.average_precision)])
    head = [
        "√(width * height), px",
        *(["µm"] if report.pixel_size else []),
        "true",
        "recall",
        f"AP at IoU {report.limit:g}",
    ]
    return "<p>Quarters of the true boxes by their size.</p>" + _table(head, rows)


def _pictures(report: EvaluationReport) -> str:
    shown = []
    for row in [row for row in report.planes if row.errors and row.name in report.images][:PICTURES]:
        wrong = [finding for finding in report.findings if finding.name == row.name]
        try:
            url = picture(report.images[row.name], wrong, report.hits.get(row.name, ()))
        except (UserError, OSError):
            # The numbers stand without the picture.
            continue
        shown.append(
            f"<figure><img alt='' src='{url}'><figcaption>{escape(row.name)}: {row.errors} wrong</figcaption></figure>"
        )
    if not shown:
        return ""
    key = " ".join(
        f"<span class='key' style='border-color: {KIND_COLORS[kind]}'>{kind}</span>" for kind in ("right", *_KINDS)
    )
    return f"<p>{key}</p><div class='plots'>{''.join(shown)}</div>"


def _planes(report: EvaluationReport) -> str:
    rows = [
        [
            row.name,
            *(f"{number:,}" for number in (row.true, row.found)),
            *(f"{n:,}" for n in (row.false_positives, row.missed, row.poor_overlaps, row.wrong_classes)),
        ]
        for row in report.planes[:MOST_PLANES]
    ]
    more = len(report.planes) - len(rows)
    after = f"<p>and {_images(more)} with no more errors than these.</p>" if more else ""
    off = "too far off" if report.points else "poor overlaps"
    return _table(["image", "true", "found", "false positives", "missed", off, "wrong classes"], rows) + after


def _receipt(report: EvaluationReport) -> str:
    parts = []
    if report.command:
        parts.append(f"<h3>The same from the command line</h3><pre>{escape(report.command)}</pre>")
        unsaved = [name for name, one in report.receipt.get("data", {}).items() if not one["stored"]]
        if unsaved:
            files = " and ".join(f"{name}.json" for name in unsaved)
            parts.append(f"<p>First save the boxes as {escape(files)}; they were in no file.</p>")
    if report.receipt:
        rows = [[name, value] for name, value in _flat(report.receipt) if name != "command"]
        parts.append(_table(["", ""], rows, "receipt"))
        parts.append(
            "<details><summary>Receipt as JSON</summary>"
            f"<pre id='receipt'>{escape(as_json(report.receipt))}</pre></details>"
        )
    return "".join(parts)


def _flat(values: dict[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}, ")
        elif value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{before}{name}".replace("_", " "), text


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head) if any(head) else ""
    lines = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>" for row in rows
    )
    return f"<div class='wide'><table class='{kind}'><tr>{top}</tr>{lines}</table></div>"


def _interval(estimate: Estimate, percent: bool = False) -> str:
    if estimate.low != estimate.low:
        return ""
    return f"{_shown(estimate.low, percent)} to {_shown(estimate.high, percent)}"


def _shown(value: float, percent: bool = False) -> str:
    if value != value:
        return "-"
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def _images(number: int) -> str:
    return f"{number:,} image{'s' * (number != 1)}"
