"""Totals and shares with intervals, from what a model finds everywhere and what a person has reviewed in part.

Planes, or areas, are the units: those reviewed count as they are. On the others the model's count is multiplied by the
ratio of the true to the found objects on the reviewed ones (the ratio estimator, Cochran, "Sampling Techniques", 1977,
chapter 6). Its variance is estimated from each reviewed unit's deviation, divided by one less its share in the ratio
(MacKinnon and White 1985, HC3), and the t distribution has as many degrees of freedom as the effective number of units
allows (Kish 1965), as few crowded ones may hold most of the objects. Such a crowded unit on which much was missed makes
the estimate skewed, so that the interval reaches further to one side (Hall, "On the removal of skewness by
transformation", Journal of the Royal Statistical Society B 54, 1992).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_localize.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_PLANES = 5
"""From fewer reviewed units no interval is given."""

CONFIDENCE = 0.95

_SHORTEST = 0.8
"""Skewness makes neither side of an interval shorter than this part of what it were without."""


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that holds the true one in 95 % of cases; NaN where too little was reviewed."""

    value: float
    low: float
    high: float

    def plus(self, known: float) -> Estimate:
        """Return the estimate with a number added that is known."""
        return Estimate(self.value + known, self.low + known, self.high + known)


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
    ratio = _Ratio.of(found[reviewed], true[reviewed])
    rest = found[~reviewed] + 1
    value = counted + ratio.value * float(rest.sum())
    below, above = ratio.reach(ratio.spread(float(rest.sum()), float((rest**2).sum())))
    return Estimate(value, max(value - below, counted), value + above)


def estimate_each(found: NDArray[Any], true: NDArray[Any]) -> list[Estimate]:
    """Estimate how many objects there are on each plane; the parameters are those of `estimate_total`."""
    found, true = np.asarray(found, float), np.asarray(true, float)
    reviewed = ~np.isnan(true)
    if reviewed.all():
        return [Estimate(known, known, known) for known in true.tolist()]
    ratio = _Ratio.of(found[reviewed], true[reviewed])
    estimates = []
    for number, known in zip(found.tolist(), true.tolist(), strict=True):
        if not math.isnan(known):
            estimates.append(Estimate(known, known, known))
            continue
        size = number + 1
        value, reach = ratio.value * size, ratio.quantile * ratio.spread(size, size**2)
        low, high = (max(value - reach, 0.0), value + reach) if ratio.enough else (math.nan, math.nan)
        estimates.append(Estimate(value, low, high))
    return estimates


def estimate_share(part: NDArray[Any], whole: NDArray[Any], planes: int) -> Estimate:
    """Estimate a share such as precision or recall from the counts on the reviewed planes.

    The interval is made of the share's logit, so that it stays within 0 and 1 (Dean and Pagano, "Evaluating
    confidence interval methods for binomial proportions in clustered surveys", Journal of Survey Statistics and
    Methodology 3, 2015).

    Parameters
    ----------
    part, whole : (n,) array
        On each reviewed plane, for recall: objects that were found, and objects that there are.
    planes : int
        How many planes there are in all.
    """
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    left = math.sqrt(max(1 - len(part) / planes, 0))
    used = whole > 0
    part, whole = part[used], whole[used]
    if not len(whole):
        return Estimate(math.nan, math.nan, math.nan)
    ratio = _Ratio.by_size(part, whole)
    value, number = ratio.value, float(whole.sum())
    if not ratio.enough or not left:
        return Estimate(value, math.nan, math.nan) if left else Estimate(value, value, value)
    # A share of exactly 1 on some planes is none on all; objects do not differ less than by chance either.
    inner = min(max(value, 0.5 / (number + 1)), (number + 0.5) / (number + 1))
    chance = inner * (1 - inner)
    reach = ratio.quantile * max(ratio.error, math.sqrt(chance / (number + 1))) * left / chance
    middle = math.log(inner / (1 - inner))
    low, high = (_share_at(middle + way * reach) for way in (-1, 1))
    return Estimate(value, min(low, value), max(high, value))


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
    ratio = _Ratio.of(found[reviewed], true[reviewed])
    size, square = float((found + 1).mean()), float(((found + 1) ** 2).mean())
    # The width falls as more are reviewed, so that half of it is found by bisection.
    low, high = 0, planes - number
    while high - low > 1:
        more = (low + high) // 2
        left = planes - number - more
        grown = ratio.grown((number + more) / number)
        if sum(grown.reach(grown.spread(left * size, left * square))) <= (now.high - now.low) / 2:
            high = more
        else:
            low = more
    return high


@dataclass(frozen=True)
class _Ratio:
    """True objects for each one found, and what is known of its error.

    Attributes
    ----------
    value, error : float
        The ratio and its standard error.
    skewness : float
        Of the ratio's distribution.
    freedom : float
        Degrees of freedom.
    units : int
        How many it was estimated from.
    per_object, per_square : float
        By how much a unit's true number differs from the ratio beyond that: its variance for each object found, and for
        each square of their number; the larger one counts.
    """

    value: float
    error: float
    skewness: float
    freedom: float
    units: int
    per_object: float
    per_square: float

    @classmethod
    def of(cls, found: NDArray[Any], true: NDArray[Any]) -> Self:
        if not len(found):
            raise UserError("no plane is reviewed; finish some that were chosen at random.")
        # One more on each, so that objects may be where nothing was found; and one object off somewhere, as a model
        # that was right on all reviewed planes is not right on all others.
        return cls.by_size(true, found + 1, 1.0)

    @classmethod
    def by_size(cls, true: NDArray[Any], size: NDArray[Any], beyond: float = 0.0) -> Self:
        units, whole = len(size), float(size.sum())
        weight = size / whole
        value = float(true.sum()) / whole
        off = true - value * size
        raised = off / np.maximum(1 - weight, 1e-3)
        square = float((raised**2).mean()) + beyond / units
        spare = max(units - 1, 1)
        effective = 1 / float((weight**2).sum()) - 1
        # A variance that few large deviations make up is itself known badly.
        kurtosis = float((raised**4).mean()) / square**2 if square > 0 else 1.0
        return cls(
            value,
            math.sqrt(square * units) / whole,
            float((raised**3).mean()) / square**1.5 / math.sqrt(units) if square > 0 else 0.0,
            min(effective, 2 * units / (kurtosis - 1)) if kurtosis > 1 else effective,
            units,
            (float((off**2 / size).sum()) + beyond * units / whole) / spare,
            (float((off**2).sum()) + beyond) / float((size**2).sum()) * units / spare,
        )

    @property
    def enough(self) -> bool:
        """Whether there were units enough for an interval."""
        return self.units >= FEWEST_PLANES

    @property
    def quantile(self) -> float:
        """How many standard errors the interval reaches, were it not for the skewness."""
        from scipy.special import stdtrit

        return float(stdtrit(max(self.freedom, 1.5), (1 + CONFIDENCE) / 2))

    def spread(self, size: float, squares: float) -> float:
        """Return the standard error of a sum over other units with such a sum of sizes, and of their squares."""
        return math.sqrt((size * self.error) ** 2 + max(self.per_object * size, self.per_square * squares))

    def reach(self, spread: float) -> tuple[float, float]:
        """Return how far the interval reaches below and above; NaN where there were too few units."""
        if not self.enough:
            return math.nan, math.nan
        quantile = self.quantile
        least = _SHORTEST * quantile
        below, above = _skewed(quantile, self.skewness), -_skewed(-quantile, self.skewness)
        return max(below, least) * spread, max(above, least) * spread

    def grown(self, times: float) -> _Ratio:
        """Return it as it would be with so many times the units."""
        root = math.sqrt(times)
        return _Ratio(
            self.value,
            self.error / root,
            self.skewness / root,
            (self.freedom + 1) * times - 1,
            round(self.units * times),
            self.per_object,
            self.per_square,
        )


def _share_at(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -500.0), 500.0)))


def _skewed(quantile: float, skewness: float) -> float:
    """Return the quantile of a studentized mean whose skewness is known (Hall's cubic, inverted)."""
    if abs(skewness) < 1e-6:
        return quantile
    inner: float = np.cbrt(1 + skewness * (quantile - skewness / 6))
    return 3 * (float(inner) - 1) / skewness
