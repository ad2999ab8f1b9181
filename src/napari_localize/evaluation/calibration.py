"""From a model's scores to the probability that a box is right, learned from boxes that a person has judged.

With few boxes a logistic curve of the score's logit (Platt, "Probabilistic outputs for support vector machines", 1999),
with many a rising step curve (isotonic regression; Zadrozny and Elkan, KDD 2002), whichever has the lower
cross-validated log loss; for each class that has boxes enough, and for all together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_localize.core.detections import Detections
from napari_localize.evaluation.matching import match_boxes
from napari_localize.evaluation.reliability import Bin, Share, calibration_error, reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENOUGH = 20
"""Right boxes, and wrong ones, that a class needs for a curve of its own, and the pooled curve to be fitted at all."""

MANY = 400
"""Boxes from which a step curve is tried."""

RELEVANT = 2.0
"""Boxes that are looked at for each right one, by falling score. A model has any number of boxes with next to no score;
as all of these are wrong, they would make any calibration look perfect, and bend the curve where it matters."""

FOLDS = 5
MOST_KNOTS = 50
MOST_CLASSES = 1000

_STEEPEST, _FURTHEST = 20.0, 40.0
_EDGE = 1e-4
"""Scores are taken for so much more than 0 and less than 1, as their logits would be infinite."""


class Curve(BaseModel):
    """How the probability rises with the score.

    Attributes
    ----------
    method : str
        ``platt``: ``1 / (1 + exp(-(slope * logit(score) + offset)))``; ``isotonic``: straight lines between knots.
    boxes : int
        How many it was fitted to.
    slope, offset : float
        Of ``platt``.
    scores, chances : tuple of float
        Knots of ``isotonic``; both rise.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    method: Literal["platt", "isotonic"]
    boxes: int = Field(ge=1)
    slope: float = Field(default=1.0, ge=0, le=_STEEPEST)
    offset: float = Field(default=0.0, ge=-_FURTHEST, le=_FURTHEST)
    scores: tuple[Share, ...] = Field(default=(), max_length=MOST_KNOTS)
    chances: tuple[Share, ...] = Field(default=(), max_length=MOST_KNOTS)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.method == "isotonic":
            if not self.scores or len(self.scores) != len(self.chances):
                raise ValueError("an isotonic curve needs as many chances as scores")
            if any(np.diff(self.scores) <= 0) or any(np.diff(self.chances) < 0):
                raise ValueError("scores and chances of an isotonic curve must rise")
        return self

    def at(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probabilities that belong to scores."""
        if self.method == "isotonic":
            chances: NDArray[np.float64] = np.interp(np.asarray(scores, float), self.scores, self.chances)
            return chances
        return _logistic(self.slope * _logit(scores) + self.offset)


class Calibration(BaseModel):
    """What a model's scores mean.

    Attributes
    ----------
    pooled : Curve
        For all classes together.
    classes : dict of str to Curve
        For the classes that had boxes enough.
    boxes, planes : int
        What it was fitted to.
    lowest : float
        Lowest score of these boxes.
    error_before, error_after : float
        Expected calibration error of the scores, and of the probabilities; these come from curves that were fitted to
        other planes, so that they do not flatter (of a single plane to other boxes of it). Equal where the scores stay as
        they are, as no curve was better than them.
    before, after : tuple of Bin
        Reliability: what was said, and how much of it was right.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    pooled: Curve
    classes: dict[Annotated[str, Field(max_length=1000)], Curve] = Field(default_factory=dict, max_length=MOST_CLASSES)
    boxes: int = Field(ge=1)
    planes: int = Field(ge=1)
    lowest: Share
    error_before: Share
    error_after: Share
    before: tuple[Bin, ...] = Field(default=(), max_length=MOST_KNOTS)
    after: tuple[Bin, ...] = Field(default=(), max_length=MOST_KNOTS)

    @property
    def sentence(self) -> str:
        """What has come of it, in words."""
        return (
            f"Scores were off by {100 * self.error_before:.1f} % on average, calibrated ones by "
            f"{100 * self.error_after:.1f} % (expected calibration error, {self.boxes:,} boxes with scores of "
            f"{self.lowest:.2f} or more on {self.planes} plane{'' if self.planes == 1 else 's'}, cross-validated)."
        )


def probability(
    scores: NDArray[Any], names: Sequence[str] | NDArray[np.str_] | None, calibration: Calibration | None
) -> NDArray[np.float64]:
    """Return the probability that boxes are right.

    Parameters
    ----------
    scores : (N,) array
        A model's scores in 0 to 1; NaN, a box of a person, is certain.
    names : (N,) sequence of str or None
        Class of each box; None for the curve of all classes together.
    calibration : Calibration or None
        That of the model's card; without one the scores are returned.

    Returns
    -------
    (N,) float64
        In 0 to 1; within a class it rises with the score.
    """
    human = np.isnan(np.asarray(scores, float))
    scores = np.clip(np.nan_to_num(np.asarray(scores, float), nan=1.0), 0, 1)
    if calibration is None:
        return scores
    chances = calibration.pooled.at(scores)
    if names is not None:
        of_box = np.asarray(names, np.str_)
        for name, curve in calibration.classes.items():
            mine = of_box == name
            chances[mine] = curve.at(scores[mine])
    chances[human] = 1.0
    return np.clip(chances, 0, 1)


def calibrated(boxes: Detections, calibration: Calibration | None) -> NDArray[np.float64]:
    """Return the probability that each of the boxes is right; see `probability`."""
    return probability(boxes.scores, np.array(boxes.class_names)[boxes.labels], calibration)


class Judged:
    """Boxes of a model of which it is known whether they are right.

    Parameters
    ----------
    found, true : sequence of Detections
        What a model found, down to its lowest score, and what is there; one entry a plane, in the same order.
    planes : sequence of str, optional
        Names of the planes; entries with the same name are parts of one plane. By default all differ.
    groups : sequence of str, optional
        What each entry is too much alike with to say how well a curve fits it, such as its well; by default its plane.
    iou : float
        Overlap with a true box of the same class from which a box is right.
    """

    def __init__(
        self,
        found: Sequence[Detections],
        true: Sequence[Detections],
        planes: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        iou: float = 0.5,
    ) -> None:
        classes = tuple(dict.fromkeys(name for part in (*true, *found) for name in part.class_names))
        ours = [part.with_classes(classes) for part in found]
        theirs = [part[part.states != "rejected"].with_classes(classes) for part in true]
        hits = [
            match_boxes(mine.boxes, mine.labels, np.nan_to_num(mine.scores, nan=1.0), there.boxes, there.labels, iou)
            for mine, there in zip(ours, theirs, strict=True)
        ]
        self.scores = _joined([part.scores for part in ours], np.float64)
        self.right = _joined(hits, np.bool_)
        self.names = np.array(classes or ("",))[_joined([part.labels for part in ours], np.int64)]
        sizes = [len(part) for part in ours]
        self.plane = np.repeat(_numbered(range(len(ours)) if planes is None else planes), sizes)
        self.group = self.plane if groups is None else np.repeat(_numbered(groups), sizes)

    def relevant(self) -> NDArray[np.bool_]:
        """Return which boxes have scores that leave it open whether they are right; see `RELEVANT`."""
        number = max(int(RELEVANT * self.right.sum()), 2 * ENOUGH)
        if number >= len(self.scores):
            return np.ones(len(self.scores), bool)
        mask: NDArray[np.bool_] = self.scores >= -np.partition(-self.scores, number - 1)[number - 1]
        return mask


def calibrate(judged: Judged) -> Calibration | None:
    """Fit a model's calibration to judged boxes; None where there are too few right or too few wrong ones.

    Where the curves do no better on planes that they were not fitted to, the scores stay as they are.
    """
    used = judged.relevant()
    scores, right, names, group = judged.scores[used], judged.right[used], judged.names[used], judged.group[used]
    if not _enough(right):
        return None
    pooled, classes = _fit_all(scores, right, names, group)
    elsewhere = np.empty(len(scores))
    fold = _folds(group)
    for turn in np.unique(fold):
        here, there = fold == turn, fold != turn
        if not _enough(right[there]):
            curves: tuple[Curve, dict[str, Curve]] = (_platt(scores[there], right[there]), {})
        else:
            curves = _fit_all(scores[there], right[there], names[there], group[there])
        elsewhere[here] = curves[0].at(scores[here])
        for name, curve in curves[1].items():
            mine = here & (names == name)
            elsewhere[mine] = curve.at(scores[mine])
    if calibration_error(elsewhere, right) >= calibration_error(scores, right):
        # Elsewhere the curves would do harm: the scores stay what they are.
        pooled, classes, elsewhere = Curve(method="platt", boxes=len(scores)), {}, scores
    return Calibration(
        pooled=pooled,
        classes=classes,
        boxes=len(scores),
        planes=len(np.unique(judged.plane[used])),
        lowest=float(np.clip(scores.min(), 0, 1)),
        error_before=calibration_error(scores, right),
        error_after=calibration_error(elsewhere, right),
        before=tuple(reliability(scores, right)),
        after=tuple(reliability(elsewhere, right)),
    )


def _fit_all(
    scores: NDArray[Any], right: NDArray[np.bool_], names: NDArray[Any], group: NDArray[np.int64]
) -> tuple[Curve, dict[str, Curve]]:
    pooled = _fit(scores, right, group)
    present = np.unique(names).tolist()
    if len(present) == 1:
        return pooled, {}
    parts = {name: names == name for name in present}
    return pooled, {
        name: _fit(scores[mine], right[mine], group[mine]) for name, mine in parts.items() if _enough(right[mine])
    }


def _fit(scores: NDArray[Any], right: NDArray[np.bool_], group: NDArray[np.int64]) -> Curve:
    """Return the curve with the lower cross-validated log loss."""
    fold = _folds(group)
    if len(scores) < MANY or len(np.unique(fold)) < 2:
        return _platt(scores, right)
    losses = {}
    for fit in (_platt, _isotonic):
        chances = np.empty(len(scores))
        for turn in np.unique(fold):
            chances[fold == turn] = fit(scores[fold != turn], right[fold != turn]).at(scores[fold == turn])
        losses[fit] = _log_loss(chances, right)
    return min(losses, key=lambda fit: losses[fit])(scores, right)


def _platt(scores: NDArray[Any], right: NDArray[np.bool_]) -> Curve:
    from scipy.optimize import minimize

    hits, misses = int(right.sum()), int((~right).sum())
    # Platt's targets: as if one more box had been seen of either kind.
    target = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
    logits = _logit(scores)

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = at[0] * logits + at[1]
        off = _logistic(z) - target
        return float((np.logaddexp(0, z) - target * z).mean()), np.array([(off * logits).mean(), off.mean()])

    best = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, _STEEPEST), (-_FURTHEST, _FURTHEST)]).x
    return Curve(method="platt", boxes=len(scores), slope=float(best[0]), offset=float(best[1]))


def _isotonic(scores: NDArray[Any], right: NDArray[np.bool_]) -> Curve:
    from scipy.optimize import isotonic_regression

    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, min(MOST_KNOTS, max(len(order) // 10, 1)))
    said = np.array([scores[part].mean() for part in parts])
    weight = np.array([len(part) for part in parts], float)
    share = np.array([right[part].mean() for part in parts])
    # Scores may be equal in neighbouring parts; these become one knot.
    knots, part_of = np.unique(said, return_inverse=True)
    weights = np.bincount(part_of, weight)
    shares = np.bincount(part_of, weight * share) / weights
    chances = isotonic_regression(shares, weights=weights).x
    # No box is sure to be right or wrong because those seen were.
    least = 1 / (len(scores) + 2)
    return Curve(
        method="isotonic",
        boxes=len(scores),
        scores=tuple(np.clip(knots, 0, 1).tolist()),
        chances=tuple(np.clip(chances, least, 1 - least).tolist()),
    )


def _enough(right: NDArray[np.bool_]) -> bool:
    return bool(min(right.sum(), (~right).sum()) >= ENOUGH)


def _folds(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the boxes so that those of one group, and neighbours, stay together; of a single one they are parted by turns."""
    found, number = np.unique(group, return_inverse=True)
    if len(found) == 1:
        return np.arange(len(group)) % FOLDS
    folds: NDArray[np.int64] = number * min(FOLDS, len(found)) // max(len(found), 1)
    return folds


def _numbered(names: Iterable[Any]) -> NDArray[np.int64]:
    """Number names in the order in which they come first."""
    names = list(names)
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def _log_loss(chances: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    chances = np.clip(chances, 1e-6, 1 - 1e-6)
    return float(-np.where(right, np.log(chances), np.log1p(-chances)).mean())


def _logit(scores: NDArray[Any]) -> NDArray[np.float64]:
    inner = np.clip(np.asarray(scores, float), _EDGE, 1 - _EDGE)
    logits: NDArray[np.float64] = np.log(inner) - np.log1p(-inner)
    return logits


def _logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    chances: NDArray[np.float64] = np.exp(-np.logaddexp(0, -z))
    return chances


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
