"""The rows of a report: by class, by plane, by size, by threshold, and finding by finding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.findings import Finding
from napari_localize.evaluation.average import falling, precision_at_recalls
from napari_localize.evaluation.gate import mean_count_error
from napari_localize.evaluation.matches import Errors, Matches
from napari_localize.evaluation.report import Curve, PlaneRow, Row, SizeRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = tuple[float, float, float, float]

SIZE_BINS = 4
_GRID = np.linspace(0, 1, 101)


def class_row(matches: Matches, counts: NDArray[np.int64], average: NDArray[np.float64], label: int | None) -> Row:
    """Return the numbers of a class, or with None of all; `counts` as of `matches.counts`, `average` (limits, classes)."""
    mine = counts.sum(axis=1) if label is None else counts[:, label]
    hits, found, there = mine.sum(axis=0).tolist()
    precision = average if label is None else average[:, [label]]
    known = ~np.isnan(precision).all(axis=0)
    return Row(
        name="all" if label is None else matches.class_names[label],
        images=matches.planes if label is None else int((mine[:, 2] > 0).sum()),
        annotations=there,
        predictions=found,
        precision=_ratio(hits, found),
        recall=_ratio(hits, there),
        f1=_ratio(2 * hits, found + there),
        count_error=float(mean_count_error(np.ones((1, len(mine))), mine)[0]) if len(mine) else math.nan,
        average_precision=tuple(
            precision[:, known].mean(axis=1).tolist() if known.any() else [math.nan] * len(precision)
        ),
        **dict(zip(("best_threshold", "best_f1"), best_threshold(matches, label), strict=True)),
    )


def best_threshold(matches: Matches, label: int | None) -> tuple[float, float]:
    """Return the score with the highest F1 of a class, or with None of all, and that F1; the higher of equal scores."""
    mine = np.ones(len(matches.labels), bool) if label is None else matches.labels == label
    there = len(matches.true_labels) if label is None else int((matches.true_labels == label).sum())
    scores, hit = matches.scores[mine], matches.partner[mine] >= 0
    if not hit.any():
        return 0.5, 0.0 if there and mine.any() else math.nan
    order = falling(scores)
    scores, hits = scores[order], np.cumsum(hit[order])
    last_of_equals = np.append(scores[1:] != scores[:-1], True)
    f1 = np.where(last_of_equals, 2 * hits / (np.arange(1, len(hits) + 1) + there), -1)
    best = int(np.argmax(f1))
    return float(scores[best]), float(f1[best])


def curve(matches: Matches) -> Curve:
    """Return precision, recall and F1 of all classes together at 101 thresholds."""
    scores = np.sort(matches.scores)
    hit = np.sort(matches.scores[matches.partner >= 0])
    found, hits = (len(part) - np.searchsorted(part, _GRID.astype(np.float32)) for part in (scores, hit))
    there = len(matches.true_labels)
    columns = [
        np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
        for part, whole in ((hits, found), (hits, np.full(len(_GRID), there)), (2 * hits, found + there))
    ]
    return Curve(tuple(_GRID.round(2).tolist()), *(tuple(column.tolist()) for column in columns))


def plane_rows(
    names: Sequence[str], counts: NDArray[np.int64], wrong: Errors, matches: Matches
) -> tuple[PlaneRow, ...]:
    """Return the numbers of each plane, worst first."""
    kinds = (
        matches.plane[wrong.false_positives],
        matches.true_plane[wrong.missed],
        matches.plane[wrong.poor[:, 0]],
        matches.plane[wrong.wrong_class[:, 0]],
    )
    columns = [counts[:, :, column].sum(axis=1) for column in (2, 1)]
    columns += [np.bincount(planes, minlength=len(names)) for planes in kinds]
    rows = [PlaneRow(name, *numbers) for name, *numbers in zip(names, *(c.tolist() for c in columns), strict=True)]
    return tuple(sorted(rows, key=lambda row: -row.errors))


def size_rows(matches: Matches, threshold: float | None) -> tuple[SizeRow, ...]:
    """Return recall and average precision in quarters of the true boxes by size.

    What is found counts in the quarter of the object that it hits or, where it hits none, of its own size.
    """
    sizes, own = (np.sqrt((b[:, 2:] - b[:, :2]).prod(axis=1)) for b in (matches.true_boxes, matches.boxes))
    if not len(sizes):
        return ()
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, SIZE_BINS + 1)))
    inner = edges[1:-1]
    true_bin, bin_of = np.searchsorted(inner, sizes, side="right"), np.searchsorted(inner, own, side="right")
    hit = matches.partner >= 0
    bin_of[hit] = true_bin[matches.partner[hit]]
    kept = matches.above(threshold)
    rows = []
    for index in range(len(inner) + 1):
        there, mine = true_bin == index, bin_of == index
        if not there.any():
            continue
        parts = []
        for label in np.unique(matches.true_labels[there]).tolist():
            chosen = np.flatnonzero(mine & (matches.labels == label))
            chosen = chosen[falling(matches.scores[chosen])]
            true = int((there & (matches.true_labels == label)).sum())
            parts.append(float(precision_at_recalls(hit[chosen], true).mean()))
        rows.append(
            SizeRow(
                low=float(edges[index]),
                high=float(edges[min(index + 1, len(edges) - 1)]),
                annotations=int(there.sum()),
                recall=float((mine & hit & kept).sum() / there.sum()),
                average_precision=sum(parts) / len(parts),
            )
        )
    return tuple(rows)


def findings(names: Sequence[str], matches: Matches, wrong: Errors) -> list[Finding]:
    """List what is wrong, kind by kind; of the predictions the surest first."""
    classes = matches.class_names
    near = matches.closeness >= (-matches.limit if matches.points else matches.limit)
    same = matches.labels[matches.rows] == matches.true_labels[matches.columns]
    again = np.isin(np.arange(len(matches.labels)), matches.rows[near & same])
    apart = {(row, column): value for row, column, value in _near_pairs(matches, wrong.poor)}

    def found(row: int, kind: str, text: str, at: int = -1) -> Finding:
        score = float(matches.scores[row])
        other = _corners(matches.true_boxes[at]) if at >= 0 else None
        return Finding(
            names[matches.plane[row]], _corners(matches.boxes[row]), kind, f"{text}, score {score:.2f}", other, score
        )

    listed = []
    for row in _surest(matches, wrong.false_positives):
        text = classes[matches.labels[row]]
        listed.append(found(row, "false positive", f"{text}, found before" if again[row] else text))
    for at in wrong.missed.tolist():
        name = names[matches.true_plane[at]]
        listed.append(Finding(name, _corners(matches.true_boxes[at]), "missed", classes[matches.true_labels[at]]))
    for row, at in wrong.poor.tolist():
        value = apart[row, at]
        how = f"{-value:.1f} px off" if matches.points else f"IoU {value:.2f}"
        listed.append(found(row, "poor overlap", f"{classes[matches.labels[row]]}, {how}", at))
    for row, at in wrong.wrong_class.tolist():
        text = f"found as {classes[matches.labels[row]]}, is {classes[matches.true_labels[at]]}"
        listed.append(found(row, "wrong class", text, at))
    return listed


def confused(
    names: Sequence[str], matches: Matches, true: int, predicted: int, threshold: float | None
) -> list[Finding]:
    """List the objects of one cell of the confusion matrix; its last row and column are background."""
    background = len(matches.class_names)
    kept, partner = matches.above(threshold), matches.partner_of_any_class
    if predicted == background:
        taken = np.zeros(len(matches.true_labels), bool)
        taken[partner[kept & (partner >= 0)]] = True
        return [
            Finding(
                names[matches.true_plane[at]], _corners(matches.true_boxes[at]), "missed", matches.class_names[true]
            )
            for at in np.flatnonzero(~taken & (matches.true_labels == true)).tolist()
        ]
    there = np.full(len(partner), background)
    there[partner >= 0] = matches.true_labels[partner[partner >= 0]]
    chosen = np.flatnonzero(kept & (there == true) & (matches.labels == predicted))
    kind = "false positive" if true == background else "right" if true == predicted else "wrong class"
    text = matches.class_names[predicted]
    if kind == "wrong class":
        text = f"found as {text}, is {matches.class_names[true]}"
    listed = []
    for row in _surest(matches, chosen):
        at, score = int(partner[row]), float(matches.scores[row])
        other = _corners(matches.true_boxes[at]) if at >= 0 else None
        place = names[matches.plane[row]], _corners(matches.boxes[row])
        listed.append(Finding(*place, kind, f"{text}, score {score:.2f}", other, score))
    return listed


def hits(names: Sequence[str], matches: Matches, threshold: float | None) -> dict[str, tuple[Box, ...]]:
    """Return the boxes that are right, by plane."""
    right = np.flatnonzero(matches.above(threshold) & (matches.partner >= 0))
    order = right[np.argsort(matches.plane[right], kind="stable")]
    planes, starts = np.unique(matches.plane[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {
        names[plane]: tuple(map(_corners, matches.boxes[part]))
        for plane, part in zip(planes.tolist(), parts, strict=False)
    }


def _near_pairs(matches: Matches, pairs: NDArray[np.int64]) -> list[tuple[int, int, float]]:
    wanted = np.isin(matches.rows, pairs[:, 0])
    return list(
        zip(
            matches.rows[wanted].tolist(),
            matches.columns[wanted].tolist(),
            matches.closeness[wanted].tolist(),
            strict=True,
        )
    )


def _surest(matches: Matches, rows: NDArray[np.int64]) -> list[int]:
    order: list[int] = rows[falling(matches.scores[rows])].tolist()
    return order


def _corners(box: NDArray[Any]) -> Box:
    x0, y0, x1, y1 = box.tolist()
    return (x0, y0, x1, y1)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
