"""Is one model better than another? A paired bootstrap over planes says so, with an interval.

Planes are what is drawn again, as boxes of one plane are found or missed together; the two models are always drawn on
the same planes, so that how hard a plane is drops out (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).
Planes of one well, animal or movie are found or missed together, too: where there are five groups of them or more, whole
groups are drawn (Field and Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical Society B 69, 2007);
of fewer the planes are, and the sentence says that this holds for these groups.
The levels of the percentiles are widened for few planes (Hesterberg, "What Teachers Should Know About the Bootstrap",
The American Statistician 69, 2015, section 5.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.groups import plural
from napari_localize.evaluation.matching import match_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_PLANES = 5
"""With fewer planes nothing is said: an interval from them would be far too narrow."""

MARGIN = 0.03
"""Models are called about the same when the whole interval of the difference in F1 is within this."""

SMALLEST = 0.01
"""A difference in F1 below this is none that matters, however sure it is."""

CONFIDENCE = 0.95
REPLICATES = 4000


@dataclass(frozen=True)
class Difference:
    """A measure of two models, and the interval of the difference, new less old."""

    old: float
    new: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """New less old."""
        return self.new - self.old

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def in_words(self, what: str, percent: bool = False) -> str:
        """Say it in a sentence's part, such as ``F1 0.71 -> 0.83 (+0.12, 95 % interval +0.07 to +0.18)``."""

        def number(value: float, sign: bool = False) -> str:
            if percent:
                return f"{100 * value:+.0f}" if sign else f"{100 * value:.0f} %"
            return f"{value:+.2f}" if sign else f"{value:.2f}"

        interval = f", 95 % interval {number(self.low, True)} to {number(self.high, True)}" if self.known else ""
        return f"{what} {number(self.old)} -> {number(self.new)} ({number(self.difference, True)}{interval})"

    @property
    def known(self) -> bool:
        """Whether there were planes enough for an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Gate:
    """What a comparison of two models came to.

    Attributes
    ----------
    word : str
        ``better``, ``worse``, ``about the same`` or ``undecided``.
    sentence : str
        The same with the numbers.
    planes : int
        How many there were.
    f1, count_error : Difference
        Of all classes; the count error is the mean over planes of ``|found - true| / max(true, 1)``.
    classes : dict of str to Difference
        F1 of each class that was found or is there.
    """

    word: str
    sentence: str
    planes: int
    f1: Difference
    count_error: Difference
    classes: dict[str, Difference] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for messages, JSON and model cards."""
        return asdict(self)


def tally(
    found: Sequence[Detections], true: Sequence[Detections], classes: Sequence[str], iou: float = 0.5
) -> NDArray[np.int64]:
    """Count on each plane what was found.

    Parameters
    ----------
    found, true : sequence of Detections
        One entry a plane, in the same order; what counts as found has been chosen already.
    classes : sequence of str
        Boxes of other classes are not counted.
    iou : float
        Overlap from which a box is found.

    Returns
    -------
    (planes, classes, 3) int64
        Hits, boxes found, boxes that are there.
    """
    counts = np.zeros((len(true), len(classes), 3), np.int64)
    for plane, (ours, theirs) in enumerate(zip(found, true, strict=True)):
        boxes, wanted = ours.with_classes(tuple(classes)), theirs.with_classes(tuple(classes))
        hits = match_boxes(
            boxes.boxes, boxes.labels, np.nan_to_num(boxes.scores, nan=1.0), wanted.boxes, wanted.labels, iou
        )
        for column, labels in enumerate((boxes.labels[hits], boxes.labels, wanted.labels)):
            counts[plane, :, column] = np.bincount(labels, minlength=len(classes))
    return counts


def compare(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    classes: Sequence[str],
    seed: int = 0,
    groups: Sequence[str] | None = None,
    kind: str = "given",
) -> Gate:
    """Compare two models on the same planes.

    Parameters
    ----------
    old, new : (planes, classes, 3) int64
        As `tally` counts.
    classes : sequence of str
        Names of the classes.
    seed : int
        The same counts and seed give the same answer.
    groups : sequence of str, optional
        The group of each plane; by default each is one of its own.
    kind : str
        What the groups are, see `core.groups.Grouping`.
    """
    planes, numbers = len(old), {name: number for number, name in enumerate(dict.fromkeys(groups or ()))}
    grouped = len(numbers) >= FEWEST_PLANES
    units = np.array([numbers[name] for name in groups or ()]) if grouped else np.arange(planes)
    pooled_old, pooled_new = old.sum(axis=1), new.sum(axis=1)
    f1 = _difference(pooled_old, pooled_new, pooled_f1, seed, units)
    count_error = _difference(pooled_old, pooled_new, mean_count_error, seed, units)
    by_class = {
        name: _difference(old[:, index], new[:, index], pooled_f1, seed, units)
        for index, name in enumerate(classes)
        if old[:, index].any() or new[:, index].any()
    }
    word = _word(f1)
    where = "1 plane" if planes == 1 else f"{planes} planes"
    sentence = _sentence(word, where, f1, count_error, by_class)
    if groups is not None and len(numbers) < planes and planes >= FEWEST_PLANES:
        sentence += _reach(len(numbers), kind, grouped)
    return Gate(word, sentence, planes, f1, count_error, by_class)


def _reach(groups: int, kind: str, grouped: bool) -> str:
    """Say how many groups the planes are of, and where they are few that others may be different."""
    # Blocks are of stacks; that they are of planes says nothing.
    kind = "movie" if kind == "blocks" else kind
    told = f" The planes are of {groups} {plural(kind, groups)}"
    return f"{told}." if grouped else f"{told}; on other {plural(kind, 2)} it may be different."


def _difference(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    measure: Callable[[Any, Any], NDArray[np.float64]],
    seed: int,
    units: NDArray[np.int64],
) -> Difference:
    """Return a measure of (planes, 3) counts of both, with the interval of the difference.

    What is drawn are the units; `units` has the number of each plane's.
    """
    once = np.ones((1, len(old)))
    before, after = float(measure(once, old)[0]), float(measure(once, new)[0])
    if len(old) < FEWEST_PLANES:
        return Difference(before, after, math.nan, math.nan)
    number = int(units.max()) + 1
    drawn = draws(number, seed)[:, units]
    low, high = np.quantile(measure(drawn, new) - measure(drawn, old), levels(number))
    return Difference(before, after, float(low), float(high))


def draws(planes: int, seed: int, replicates: int = REPLICATES) -> NDArray[np.float64]:
    """Return how often each plane is drawn in each replicate, (replicates, planes)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(planes, np.full(planes, 1 / planes), replicates).astype(np.float64)


def levels(planes: int) -> tuple[float, float]:
    """Return the levels of the percentiles, wider than those of the normal distribution for few planes."""
    from scipy.stats import norm, t

    reach = math.sqrt(planes / (planes - 1)) * t.ppf((1 + CONFIDENCE) / 2, planes - 1)
    level = float(norm.cdf(-reach))
    return level, 1 - level


def pooled_f1(weights: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return F1 of all planes together, for each of (R, planes) weights; `counts` are (planes, 3) as in `tally`."""
    hits, found, there = (weights @ counts).T
    # Where nothing is and nothing was found, nothing is wrong.
    f1: NDArray[np.float64] = np.where(found + there > 0, 2 * hits / np.maximum(found + there, 1), 1.0)
    return f1


def mean_count_error(weights: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over planes of ``|found - true| / max(true, 1)``, for each of (R, planes) weights."""
    errors = np.abs(counts[:, 1] - counts[:, 2]) / np.maximum(counts[:, 2], 1)
    mean: NDArray[np.float64] = weights @ errors / weights.sum(axis=1)
    return mean


def _word(f1: Difference) -> str:
    if f1.sign and abs(f1.difference) >= SMALLEST:
        return "better" if f1.sign > 0 else "worse"
    small = f1.sign or (f1.known and max(-f1.low, f1.high) <= MARGIN)
    return "about the same" if small else "undecided"


def _sentence(word: str, where: str, f1: Difference, count_error: Difference, classes: dict[str, Difference]) -> str:
    numbers = f"{f1.in_words('F1')}; {count_error.in_words('count error', percent=True)}"
    if not f1.known:
        return (
            f"On {where} nothing can be said for sure: {numbers}. Finish {FEWEST_PLANES} planes or more beside those "
            "to learn from to know which model is better."
        )
    said = {
        "better": f"The new model is better on {where}",
        "worse": f"The new model is worse on {where}",
        "about the same": f"The models are about the same on {where}",
        "undecided": f"The {where} do not tell which model is better",
    }[word]
    text = f"{said}: {numbers}."
    if count_error.sign > 0 and word != "worse":
        text += " Its counts are further off."
    differing = [name for name, change in classes.items() if change.sign < 0]
    if len(classes) > 1 and differing and word != "worse":
        text += f" It is worse for {', '.join(differing)}."
    return text
