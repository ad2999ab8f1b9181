"""How many objects there are, with an interval: what a model finds everywhere, corrected by what a person has reviewed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import HUMAN, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE
from napari_localize.evaluation.estimates import (
    FEWEST_PLANES,
    Estimate,
    estimate_each,
    estimate_share,
    estimate_total,
    more_for_half,
)
from napari_localize.evaluation.units import CountedPlane, Units

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

THRESHOLDS = 41
"""Points of a curve against the threshold."""

MOST_DRAWN = 1 / 3
"""Share of the objects that a person has drawn, from which it is asked whether that was before the model ran."""


@dataclass(frozen=True)
class CountReport:
    """How many objects there are.

    Attributes
    ----------
    classes : DataFrame
        By class, and ``all``: ``found``, ``count``, ``low``, ``high``, and ``precision`` and ``recall`` with
        ``_low`` and ``_high``.
    planes : DataFrame
        By plane: ``reviewed``, ``found``, ``count``, ``low``, ``high``, of all classes together.
    sentence : str
        The total in words.
    basis : str
        The part of the sentence that says what the total comes from.
    threshold : float or None
        Lowest score that counts.
    reviewed : int
        How many planes, or areas, the interval comes from.
    more : int or None
        How many more would halve it.
    notes : tuple of str
        Sentences on what a person should know before believing the numbers.
    """

    classes: pd.DataFrame
    planes: pd.DataFrame
    sentence: str
    basis: str = ""
    threshold: float | None = None
    reviewed: int = 0
    more: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CountCurve:
    """How a count moves with the threshold: three (N,) arrays each, the value and the ends of its interval."""

    thresholds: NDArray[np.float64]
    count: tuple[NDArray[np.float64], ...]
    precision: tuple[NDArray[np.float64], ...]
    recall: tuple[NDArray[np.float64], ...]


class Counting:
    """Planes made ready to be counted at any threshold without looking at the boxes again.

    Parameters
    ----------
    planes : sequence of CountedPlane
    says_how_chosen : bool
        Whether it is known which planes were drawn by lot, so that a report tells when none were.
    """

    def __init__(self, planes: Sequence[CountedPlane], says_how_chosen: bool = False) -> None:
        self.planes = tuple(planes)
        self.units = Units(planes)
        self._says_how_chosen = says_how_chosen
        # Units that are known but tell nothing of the others are added to the estimate for these.
        self._open = self.units.sample | ~self.units.reviewed

    def at(self, threshold: float | None = None) -> CountReport:
        """Count what has at least this score; by default all boxes."""
        import pandas as pd

        units = self.units
        found, hits = units.at(0.0 if threshold is None else threshold)
        rows = [self._row(found, hits, column) for column in (*range(len(units.classes)), None)]
        by_class = pd.DataFrame(rows, index=pd.Index([*units.classes, "all"], name="class", dtype=object))
        all_found, all_true = found.sum(axis=1), units.true.sum(axis=1)
        open_ = self._open
        more = more_for_half(all_found[open_], all_true[open_]) if units.sample.any() else None
        total, basis = self._in_words(by_class.loc["all"], more)
        return CountReport(
            by_class,
            self._by_plane(all_found, all_true),
            f"{total}{basis}",
            basis.lstrip(", "),
            threshold,
            int(units.sample.sum()),
            more,
            tuple(self._notes()),
        )

    def curve(self, class_name: str | None = None, lowest: float | None = None) -> CountCurve:
        """Count at thresholds from the lowest score up; one class, or all together."""
        units = self.units
        column = None if class_name is None else units.classes.index(class_name)
        thresholds = np.linspace(units.lowest_score if lowest is None else lowest, 0.99, THRESHOLDS)
        rows = [self._row(*units.at(float(threshold)), column) for threshold in thresholds]
        count, precision, recall = (
            tuple(np.array([row[key] for row in rows]) for key in keys)
            for keys in (
                ("count", "low", "high"),
                ("precision", "precision_low", "precision_high"),
                ("recall", "recall_low", "recall_high"),
            )
        )
        return CountCurve(thresholds, count, precision, recall)

    def _row(self, found: NDArray[np.int64], hits: NDArray[np.int64], column: int | None) -> dict[str, float]:
        units = self.units
        ours, right, true = (_column(table, column) for table in (found, hits, units.true))
        total = self._total(ours, true)
        row = {"found": float(ours.sum()), "count": total.value, "low": total.low, "high": total.high}
        sample = units.sample
        for name, whole in (("precision", ours), ("recall", true)):
            share = estimate_share(right[sample], whole[sample], int(self._open.sum()))
            row |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
        return row

    def _total(self, found: NDArray[Any], true: NDArray[Any]) -> Estimate:
        if not self.units.sample.any():
            return Estimate(float(found.sum()), math.nan, math.nan)
        return estimate_total(found[self._open], true[self._open]).plus(float(true[~self._open].sum()))

    def _by_plane(self, found: NDArray[Any], true: NDArray[Any]) -> pd.DataFrame:
        import pandas as pd

        units, number = self.units, len(self.planes)
        each = np.stack([true] * 3)
        if units.sample.any():
            estimates = estimate_each(found[self._open], true[self._open])
            each[:, self._open] = np.array([(one.value, one.low, one.high) for one in estimates]).reshape(-1, 3).T
        else:
            each[:, ~units.reviewed] = np.stack([found, found * np.nan, found * np.nan])[:, ~units.reviewed]
        columns = {
            name: np.bincount(units.plane, values, minlength=number)
            for name, values in zip(("found", "count", "low", "high"), (found, *each), strict=True)
        }
        return pd.DataFrame(
            {"reviewed": [plane.known is not None for plane in self.planes], **columns},
            index=pd.Index([plane.name for plane in self.planes], name="plane", dtype=object),
        )

    def _in_words(self, total: Any, more: int | None) -> tuple[str, str]:
        """Return the total, and what it comes from."""
        units, planes = self.units, len(self.planes)
        number = f"{total['count']:,.0f} objects"
        reviewed = int(units.sample.sum())
        if not reviewed:
            return number, f" found on {planes} planes; how many there are nobody knows until some are reviewed."
        if units.reviewed.all():
            return number, f" on {planes} planes, all of them reviewed."
        one = "area" if units.in_parts else "plane"
        if math.isnan(total["low"]):
            have = f"{reviewed} reviewed ones are" if reviewed > 1 else "1 reviewed one is"
            few = "" if units.by_lot else " that are chosen at random"
            return f"About {number}", (
                f" on {planes} planes, but {have} too few for an interval: review at least {FEWEST_PLANES}{few}."
            )
        basis = f", from {reviewed} reviewed {'areas on' if units.in_parts else 'of'} {planes} planes."
        if more is not None:
            basis += f" {more} more {one}{'s would' if more > 1 else ' would'} halve the interval."
        return f"{number}, 95 % interval {total['low']:,.0f} to {total['high']:,.0f}", basis

    def _notes(self) -> list[str]:
        units, notes = self.units, []
        if self._says_how_chosen and units.reviewed.any() and not units.reviewed.all() and not units.by_lot:
            notes.append(
                "These planes were chosen by hand; the interval holds only for a random sample: choose planes by lot."
            )
        left = sum(plane.drawn and plane.known is None for plane in self.planes)
        if left and units.by_lot:
            drawn = sum(plane.drawn for plane in self.planes)
            notes.append(
                f"{left} of the {drawn} planes drawn by lot are not finished yet; go through them in their order."
            )
        beside = int((units.reviewed & ~units.sample).sum())
        if beside:
            what = "1 plane that was" if beside == 1 else f"{beside} planes that were"
            notes.append(
                f"{what} finished without being drawn by lot count as they are and tell nothing of the others."
            )
        if self._says_how_chosen and not units.reviewed.all():
            notes += self._drawn_by_hand()
        if units.in_parts:
            notes.append("Some planes are reviewed in part: the interval takes these parts for chosen at random, too.")
        rest = units.origins(~units.reviewed)
        other = units.origins(units.sample) - rest
        if rest and other:
            notes.append(
                f"The reviewed planes hold boxes of {', '.join(sorted(other))}, the others of {', '.join(sorted(rest))}: "
                "what one model misses tells nothing of another; draw new planes by lot after the last run."
            )
        return notes

    def _drawn_by_hand(self) -> list[str]:
        """Warn of planes on which a person was first: where a box is already, that of a model is left out."""
        reviewed = [plane.true for plane in self.planes if plane.known is not None]
        objects = sum(map(len, reviewed))
        drawn = sum(int((true.origins == HUMAN).sum()) for true in reviewed)
        if drawn <= objects * MOST_DRAWN:
            return []
        return [
            f"{drawn:,} of the {objects:,} objects on reviewed planes were drawn by hand. If they were there before the model "
            "ran, it counts as having missed them, and the count is too high: review planes that had no boxes before."
        ]


def count(
    predictions: Mapping[str, Detections] | str,
    reviewed: Mapping[str, Detections] | str,
    threshold: float | None = None,
) -> CountReport:
    """Count the objects on all planes, with an interval, from a model's boxes and some planes that a person reviewed.

    Parameters
    ----------
    predictions : path, Annotations or mapping of name to Detections
        A model's boxes on all planes, also on those reviewed.
    reviewed : path, Annotations or mapping of name to Detections
        What is there on some of the planes, which must have been chosen at random: where planes or areas are marked as
        reviewed those, otherwise all that are named. Rejected boxes are not there.
    threshold : float, optional
        Only predictions with at least this score are counted; by default all.

    Raises
    ------
    UserError
        When no plane is reviewed, or a reviewed one has no predictions.
    """
    found_on, truth = _read(predictions), _read(reviewed)
    known = {
        name: area
        for name in truth
        if (area := truth.known(name) if isinstance(truth, Annotations) else EVERYWHERE) is not None
    }
    missing = [name for name in known if name not in found_on]
    if missing:
        raise UserError(f"the reviewed plane {missing[0]!r} is not among the predictions; run the model on it, too.")
    if not known:
        raise UserError("no plane is reviewed; finish some that were chosen at random.")
    classes = tuple(dict.fromkeys([*_classes(truth), *_classes(found_on)]))
    areas = truth.areas if isinstance(truth, Annotations) else {}
    planes = [
        CountedPlane(
            name,
            found.with_classes(classes),
            _present(truth[name]).with_classes(classes) if name in known else Detections.empty(classes),
            known.get(name),
            tuple(area.xyxy for area in areas.get(name, ()) if area.kind == "ignored"),
        )
        for name, found in found_on.items()
    ]
    return Counting(planes).at(threshold)


def _read(data: Mapping[str, Detections] | str) -> Mapping[str, Detections]:
    if isinstance(data, Mapping):
        return data
    from napari_localize.formats import read_annotations

    return read_annotations(data)


def _classes(data: Mapping[str, Detections]) -> list[str]:
    return list(dict.fromkeys(name for part in data.values() for name in part.class_names))


def _present(part: Detections) -> Detections:
    return part[part.states != "rejected"]


def _column(table: NDArray[Any], column: int | None) -> NDArray[Any]:
    values: NDArray[Any] = table.sum(axis=1) if column is None else table[:, column]
    return values
