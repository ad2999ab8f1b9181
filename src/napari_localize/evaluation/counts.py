"""How many objects there are, with an interval: what a model finds everywhere, corrected by what a person has reviewed.

Planes are the units: on some of them a person has said what is there, and these count as they are. On the others the
model's count is multiplied by the ratio of the true to the found objects on the reviewed planes (the ratio estimator,
Cochran, "Sampling Techniques", 1977, chapter 6). Its variance is estimated from each reviewed plane's deviation, divided
by one less its share in the ratio (MacKinnon and White 1985, HC3), and the t distribution has as many degrees of freedom
as the effective number of planes allows (Kish 1965), as few crowded planes may hold most of the objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.evaluation.gate import tally

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FEWEST_PLANES = 5
"""From fewer reviewed planes no interval is given."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that holds the true one in 95 % of cases; NaN where too little was reviewed."""

    value: float
    low: float
    high: float


def estimate_total(found: NDArray[Any], true: NDArray[Any]) -> Estimate:
    """Estimate how many objects there are on all planes.

    Parameters
    ----------
    found : (N,) array
        How many objects the model has found on each plane.
    true : (N,) array
        How many there are, NaN on the planes that nobody has reviewed. These must be a random sample.
    """
    found, true = np.asarray(found, float), np.asarray(true, float)
    reviewed = ~np.isnan(true)
    counted = float(true[reviewed].sum())
    if reviewed.all():
        return Estimate(counted, counted, counted)
    ratio, error, per_found, freedom = _ratio(found[reviewed], true[reviewed])
    rest = found[~reviewed] + 1
    value = counted + ratio * rest.sum()
    # What is not known of the ratio, and by how much the other planes differ from it.
    beyond = max(per_found[0] * rest.sum(), per_found[1] * (rest**2).sum())
    return _interval(value, math.sqrt(rest.sum() ** 2 * error**2 + beyond), freedom, counted, int(reviewed.sum()))


def estimate_each(found: NDArray[Any], true: NDArray[Any]) -> list[Estimate]:
    """Estimate how many objects there are on each plane; the parameters are those of `estimate_total`."""
    found, true = np.asarray(found, float), np.asarray(true, float)
    reviewed = ~np.isnan(true)
    ratio, error, per_found, freedom = _ratio(found[reviewed], true[reviewed])
    estimates = []
    for number, known in zip(found.tolist(), true.tolist(), strict=True):
        if not math.isnan(known):
            estimates.append(Estimate(known, known, known))
            continue
        size = number + 1
        beyond = max(per_found[0] * size, per_found[1] * size**2)
        spread = math.sqrt(size**2 * error**2 + beyond)
        estimates.append(_interval(ratio * size, spread, freedom, 0.0, int(reviewed.sum())))
    return estimates


def estimate_share(part: NDArray[Any], whole: NDArray[Any], planes: int) -> Estimate:
    """Estimate a share such as precision or recall from the counts on the reviewed planes.

    Parameters
    ----------
    part, whole : (n,) array
        On each reviewed plane, for recall: objects that were found, and objects that there are.
    planes : int
        How many planes there are in all.
    """
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    used = whole > 0
    part, whole = part[used], whole[used]
    if not len(whole):
        return Estimate(math.nan, math.nan, math.nan)
    share = float(part.sum() / whole.sum())
    weight = whole / whole.sum()
    off = (part - share * whole) / np.maximum(1 - weight, 1e-3)
    spread = math.sqrt(float((off**2).sum())) / whole.sum() * math.sqrt(max(1 - len(part) / planes, 0))
    answer = _interval(share, spread, 1 / float((weight**2).sum()) - 1, 0.0, len(part))
    return Estimate(share, answer.low, min(answer.high, 1.0))


def more_for_half(found: NDArray[Any], true: NDArray[Any]) -> int | None:
    """Return how many more planes, reviewed at random, would halve the interval of the total; None if unknown.

    The parameters are those of `estimate_total`; the planes to come are taken to be like those reviewed.
    """
    found, true = np.asarray(found, float), np.asarray(true, float)
    reviewed = ~np.isnan(true)
    number, planes = int(reviewed.sum()), len(true)
    now = estimate_total(found, true)
    if not math.isfinite(now.low) or now.high == now.low:
        return None
    _, error, per_found, freedom = _ratio(found[reviewed], true[reviewed])
    mean = float(found.mean()) + 1
    for more in range(1, planes - number + 1):
        left = planes - number - more
        rest = left * mean
        beyond = max(per_found[0] * rest, per_found[1] * left * float(((found + 1) ** 2).mean()))
        grown = (number + more) / number
        spread = math.sqrt(rest**2 * error**2 / grown + beyond)
        if 2 * _quantile(freedom * grown) * spread <= (now.high - now.low) / 2:
            return more
    return planes - number


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
    """

    classes: pd.DataFrame
    planes: pd.DataFrame
    sentence: str


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
        What is there on some of the planes, which must have been chosen at random: where planes are marked as
        reviewed those, otherwise all that are named. Rejected boxes are not there.
    threshold : float, optional
        Only predictions with at least this score are counted; by default all.

    Raises
    ------
    UserError
        When no plane is reviewed, or a reviewed one has no predictions.
    """
    found_on, truth = _read(predictions), _read(reviewed)
    names = list(found_on)
    finished = _finished(truth)
    missing = [name for name in finished if name not in found_on]
    if missing:
        raise UserError(f"the reviewed plane {missing[0]!r} is not among the predictions; run the model on it, too.")
    classes = tuple(dict.fromkeys([*_classes(truth), *_classes(found_on)]))
    model = [_above(found_on[name], threshold).with_classes(classes) for name in names]
    there = [_present(truth[name]).with_classes(classes) for name in finished]
    at = [names.index(name) for name in finished]
    hits = tally([model[index] for index in at], there, classes)
    found = np.array([np.bincount(part.labels, minlength=len(classes)) for part in model]).reshape(-1, len(classes))
    true = np.full(found.shape, np.nan)
    true[at] = hits[:, :, 2]
    columns = [*range(len(classes)), None]
    rows = []
    for column in columns:
        ours, theirs = (_column(table, column) for table in (found, true))
        parts = hits.sum(axis=1) if column is None else hits[:, column]
        rows.append(_row(ours, theirs, parts, len(names)))
    import pandas as pd

    by_class = pd.DataFrame(rows, index=pd.Index([*classes, "all"], name="class"))
    each = estimate_each(found.sum(axis=1), true.sum(axis=1))
    by_plane = pd.DataFrame(
        {
            "reviewed": [name in set(finished) for name in names],
            "found": found.sum(axis=1),
            "count": [one.value for one in each],
            "low": [one.low for one in each],
            "high": [one.high for one in each],
        },
        index=pd.Index(names, name="plane"),
    )
    return CountReport(by_class, by_plane, _sentence(by_class.loc["all"], len(finished), len(names), found, true))


def _ratio(found: NDArray[Any], true: NDArray[Any]) -> tuple[float, float, tuple[float, float], float]:
    """Return true objects for each that is found, its standard error, what is beyond it, and degrees of freedom.

    What is beyond: the variance of a plane's true number, for each object found, and for each square of their number.
    """
    if not len(found):
        raise UserError("no plane is reviewed; finish some that were chosen at random.")
    # One more on each plane, so that objects may be where nothing was found.
    size = found + 1
    weight = size / size.sum()
    ratio = float(true.sum() / size.sum())
    off = true - ratio * size
    error = math.sqrt(float(((off / np.maximum(1 - weight, 1e-3)) ** 2).sum())) / float(size.sum())
    number = len(found)
    spare = max(number - 1, 1)
    beyond = (
        float((off**2 / size).sum() / spare),
        float((off**2).sum() / (size**2).sum() * number / spare),
    )
    return ratio, error, beyond, 1 / float((weight**2).sum()) - 1


def _interval(value: float, spread: float, freedom: float, least: float, reviewed: int) -> Estimate:
    if reviewed < FEWEST_PLANES:
        return Estimate(value, math.nan, math.nan)
    reach = _quantile(freedom) * spread
    return Estimate(value, max(value - reach, least), value + reach)


def _quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, max(freedom, 1.5)))


def _row(found: NDArray[Any], true: NDArray[Any], hits: NDArray[np.int64], planes: int) -> dict[str, float]:
    total = estimate_total(found, true)
    row: dict[str, float] = {"found": float(found.sum()), "count": total.value, "low": total.low, "high": total.high}
    for name, column in (("precision", 1), ("recall", 2)):
        share = estimate_share(hits[:, 0], hits[:, column], planes)
        row |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    return row


def _sentence(total: Any, reviewed: int, planes: int, found: NDArray[Any], true: NDArray[Any]) -> str:
    number = f"{total['count']:,.0f} objects"
    if reviewed == planes:
        return f"{number} on {planes} planes, all of them reviewed."
    if math.isnan(total["low"]):
        return (
            f"About {number} on {planes} planes, but {reviewed} reviewed ones are too few for an interval: review at least "
            f"{FEWEST_PLANES} that are chosen at random."
        )
    text = f"{number}, 95 % interval {total['low']:,.0f} to {total['high']:,.0f}, from {reviewed} reviewed of {planes} planes."
    more = more_for_half(found.sum(axis=1), true.sum(axis=1))
    return text if more is None else f"{text} {more} more planes would halve the interval."


def _read(data: Mapping[str, Detections] | str) -> Mapping[str, Detections]:
    if isinstance(data, Mapping):
        return data
    from napari_localize.formats import read_annotations

    return read_annotations(data)


def _finished(truth: Mapping[str, Detections]) -> Sequence[str]:
    """Return the planes that are known wholly."""
    if not isinstance(truth, Annotations):
        return list(truth)
    return [name for name in truth if (area := truth.known(name)) is not None and area.whole]


def _classes(data: Mapping[str, Detections]) -> list[str]:
    return list(dict.fromkeys(name for part in data.values() for name in part.class_names))


def _above(part: Detections, threshold: float | None) -> Detections:
    return part if threshold is None else part[np.nan_to_num(part.scores, nan=1.0) >= threshold]


def _present(part: Detections) -> Detections:
    return part[part.states != "rejected"]


def _column(table: NDArray[Any], column: int | None) -> NDArray[Any]:
    values: NDArray[Any] = table.sum(axis=1) if column is None else table[:, column]
    return values
