"""When to stop reviewing: what the boxes judged so far say about all, what more of them would tell, and how long it takes.

Only boxes that were drawn by lot (`queue.first_of_lot`) say something about all. How many of a model's boxes are right is
estimated from them with Jeffreys' interval (Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion",
2001) and the correction for a finite number of boxes. What the model misses is seen only on finished planes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_localize.evaluation.estimates import CONFIDENCE, Estimate

FEWEST_BOXES = 20
"""From fewer boxes that were drawn by lot nothing is said."""

NARROW = 0.05
"""Half the width of an interval, as a share of the count, that is enough."""

PAUSE = 60.0
"""Seconds after which a person has done something else between two judgements."""

FEWEST_GAPS = 5
UNSURE = 0.469
"""Bits of uncertainty from which a box is worth a look: a chance between 0.1 and 0.9."""

HOUR = 3600.0


def pace(times: Sequence[float]) -> float | None:
    """Return how many seconds a judgement takes: the median of the gaps between their times, without pauses.

    Parameters
    ----------
    times : sequence of float
        When each judgement was made, in seconds, rising.

    Returns
    -------
    float or None
        None while there are too few.
    """
    gaps = np.diff(np.asarray(times, float))
    gaps = gaps[gaps <= PAUSE]
    return float(np.median(gaps)) if len(gaps) >= FEWEST_GAPS else None


def estimate_precision(right: int, wrong: int, total: int, unknown: int = 0) -> Estimate:
    """Estimate the share of a model's boxes that are right.

    Parameters
    ----------
    right, wrong : int
        Boxes that were drawn by lot and judged.
    total : int
        All boxes, those judged among them.
    unknown : int
        Boxes that were drawn by lot and passed over: the interval holds whatever they are.
    """
    judged = right + wrong
    if not judged:
        return Estimate(math.nan, math.nan, math.nan)
    low = _share(right, wrong + unknown, total)[0]
    high = _share(right + unknown, wrong, total)[1]
    return Estimate(right / judged, low, high)


def _share(right: float, wrong: float, total: int) -> tuple[float, float]:
    """Return Jeffreys' interval, which shrinks to nothing when all are judged."""
    from scipy.stats import beta

    tail = (1 - CONFIDENCE) / 2
    judged = right + wrong
    share = right / judged
    low = float(beta.ppf(tail, right + 0.5, wrong + 0.5)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 0.5, wrong + 0.5)) if wrong > 0 else 1.0
    rest = math.sqrt(max(1 - judged / max(total, judged), 0.0))
    return share - max(share - low, 0.0) * rest, share + max(high - share, 0.0) * rest


def estimate_count(
    total: int, precision: Estimate, recall: Estimate | None = None, approved: int = 0, rejected: int = 0
) -> Estimate:
    """Estimate how many objects there are: ``total * precision / recall``.

    Parameters
    ----------
    total : int
        All boxes of the model.
    precision : Estimate
        See `estimate_precision`.
    recall : Estimate, optional
        From planes that were drawn by lot and finished, see `estimates.estimate_share`; without it, only the objects that
        have a box are counted.
    approved, rejected : int
        Of all boxes, for whatever reason they were judged: there are no fewer objects, and no more.
    """
    value, low, high = (
        min(max(total * share, approved), total - rejected)
        for share in (precision.value, precision.low, precision.high)
    )
    if recall is None:
        return Estimate(value, low, high)
    if not (recall.value > 0 and recall.low > 0):
        return Estimate(math.nan, math.nan, math.nan)
    # Two independent errors, as shares.
    down = math.hypot(1 - low / value, recall.high / recall.value - 1) if value else 0.0
    up = math.hypot(high / value - 1, recall.value / recall.low - 1) if value else 0.0
    count = value / recall.value
    return Estimate(count, count * max(1 - down, 0.0), count * (1 + up))


def half_width(estimate: Estimate) -> float:
    """Return half the width of an interval as a share of the value; NaN where nothing is known."""
    return (estimate.high - estimate.low) / 2 / estimate.value if estimate.value else math.nan


@dataclass(frozen=True)
class Standing:
    """How far the review of some boxes has come.

    Attributes
    ----------
    total : int
        All boxes of the model, judged or not.
    approved, rejected : int
        Of them judged, for whatever reason.
    right, wrong, unknown : int
        Of them drawn by lot: judged, and passed over.
    unsure, suspicious : int
        Left to look at, by reason.
    seconds : float or None
        For each judgement, see `pace`.
    lot_share : float
        Share of the boxes to come that are drawn by lot.
    recall : Estimate or None
        See `estimate_count`.
    """

    total: int
    approved: int = 0
    rejected: int = 0
    right: int = 0
    wrong: int = 0
    unknown: int = 0
    unsure: int = 0
    suspicious: int = 0
    seconds: float | None = None
    lot_share: float = 0.2
    recall: Estimate | None = None

    @property
    def left(self) -> int:
        """How many boxes nobody has judged."""
        return max(self.total - self.approved - self.rejected, 0)

    @property
    def precision(self) -> Estimate:
        """Share of the boxes that are right."""
        return estimate_precision(self.right, self.wrong, self.total, self.unknown)

    @property
    def count(self) -> Estimate:
        """How many objects there are."""
        return estimate_count(self.total, self.precision, self.recall, self.approved, self.rejected)

    def later(self, more: int) -> Standing:
        """Return what is to be expected when so many more boxes were drawn by lot and judged."""
        judged = self.right + self.wrong
        grown = min(judged + more, self.total)
        right = grown * self.right / judged
        # Kept as fractions: what is expected.
        return replace(self, right=right, wrong=grown - right, approved=0, rejected=0)  # type: ignore[arg-type]


def more_for_half(standing: Standing) -> int | None:
    """Return how many more boxes, drawn by lot, would halve the interval of the count; None where nothing is known."""
    if standing.right + standing.wrong < FEWEST_BOXES:
        return None
    wanted = half_width(standing.count) / 2
    low, high = 1, max(standing.left, 1)
    if not half_width(standing.later(high).count) <= wanted:
        return None
    while low < high:
        middle = (low + high) // 2
        if half_width(standing.later(middle).count) <= wanted:
            high = middle
        else:
            low = middle + 1
    return low


@dataclass(frozen=True)
class Advice:
    """Whether to stop, and one sentence."""

    stop: bool
    text: str


def advise(standing: Standing, narrow: float = NARROW) -> Advice:
    """Say what is known, what more would bring and how long that takes, or that it is enough.

    Parameters
    ----------
    standing : Standing
    narrow : float
        Half the width of the interval of the count, as a share, that is enough.
    """
    if not standing.total:
        return Advice(False, "")
    if not standing.left:
        doubts = standing.suspicious
        rest = f", {doubts:,} suspicious one{'' if doubts == 1 else 's'} can be looked at again" if doubts else ""
        return Advice(not doubts, f"All {standing.total:,} boxes are judged{rest}.")
    judged = standing.right + standing.wrong
    missing = min(FEWEST_BOXES - judged, standing.left)
    nothing_left = not (standing.unsure or standing.suspicious)
    if missing > 0:
        if nothing_left:
            return Advice(
                True,
                "Nothing suspicious or uncertain is left: you can stop, or judge "
                f"{_boxes(missing, standing.seconds)} to learn how many of all are right.",
            )
        return Advice(
            False,
            f"Judge {_boxes(missing, standing.seconds)} to learn how many of all {standing.total:,} are right.",
        )
    share, count = standing.precision, standing.count
    width = half_width(count)
    known = f"{_percent(share.value)} of the boxes are right ({_percent(share.low)} to {_percent(share.high)})"
    if math.isnan(width):
        return Advice(nothing_left, f"{known}.")
    what = "the count" if standing.recall is not None else "the count of those"
    known = f"{known}, {what} is known to ±{100 * width:.1f} %"
    if width <= narrow:
        return Advice(True, f"{known}: enough, you can stop.")
    if nothing_left:
        return Advice(True, f"{known}, and nothing suspicious or uncertain is left: you can stop.")
    more = more_for_half(standing)
    parts = [] if more is None else [f"{_boxes(more, standing.seconds)} would halve that"]
    if standing.seconds:
        judgements = int(HOUR / max(standing.seconds, 0.1))
        if judgements >= standing.left:
            parts.append(f"all {standing.left:,} that are left take {_duration(standing.left * standing.seconds)}")
        elif hour := int(judgements * standing.lot_share):
            then = half_width(standing.later(hour).count)
            parts.append(f"an hour of review would bring it to ±{100 * then:.1f} %")
    return Advice(False, "; ".join([known, *parts]) + ".")


def _boxes(number: int, seconds: float | None) -> str:
    text = f"{number:,} more box{'' if number == 1 else 'es'} by lot"
    return text if seconds is None else f"{text} (about {_duration(number * seconds)} at your pace)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
