"""Which box, or which plane, a person should look at next.

A queue mixes four reasons. **Uncertain**: the box may well be wrong, as the model's
chance says, revised by what a person has said of boxes that look like it. **Different**: the box looks like none that was
reviewed or is in the queue already (greedy k-centre, Sener and Savarese, ICLR 2018, weighted by the uncertainty as in
BADGE, Ash et al., ICLR 2020). **Suspicious**: what a person has said and what a model says do not agree.
**By lot**: a share of the queue that is drawn at random, so that something can be said of all boxes.

The lot is a fixed order of all boxes that depends on nothing but their keys and the seed. Those of its first boxes that
have been judged are a random sample of all, whatever else was judged meanwhile and for whatever reason; see `first_of_lot`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_localize.evaluation.revise import MOST_LESSONS, Reviser

Reason = Literal["uncertain", "different", "suspicious", "lot"]
Order = Literal["useful", "uncertain", "different", "suspicious", "lot"]
_Pick = Callable[[], int | None]

LOT_SHARE = 0.2
"""Share of a queue of the most useful boxes, or planes, that is drawn by lot."""

SUSPICIOUS_SHARE = 0.2
"""Share of it that is suspicious, as long as there is such a box."""

MOST_SPREAD = 500
"""So many boxes are chosen to differ; the rest follow by uncertainty alone."""

MOST_REVIEWED = 512
"""So many reviewed boxes, drawn by lot, stand for all when differences are measured."""

ALIKE = 0.8
"""So much a box is worth that looks exactly like one before it, beside one that looks like none."""

COLUMNS = 32
"""Features are reduced to so many."""

PLANE_CAP = 20.0
"""Bits of uncertainty on a plane beyond which it is not worth more: nobody learns as much from the hundredth box."""

_SURE = 0.5
"""Bits below which a box is in the queue for its looks rather than for the doubt about it."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes that may be looked at.

    Attributes
    ----------
    keys : (N,) int64
        Unique; what the lot is drawn from.
    planes, labels : (N,) int64
        Number of each one's plane, and of its class.
    chances : (N,) float64
        Probability that each is right, or the model's score.
    sizes : (N,) float64
        Diameters in pixels.
    features : (N, C) float32, optional
        How they look, as `compress` returns them.
    doubts : (N,) float64, optional
        How suspicious a box is, of which a person has said something already: above 0, to 1. 0: nobody has judged it.
    """

    keys: NDArray[np.int64]
    planes: NDArray[np.int64]
    labels: NDArray[np.int64]
    chances: NDArray[np.float64]
    sizes: NDArray[np.float64]
    features: NDArray[np.float32] | None = None
    doubts: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        columns = {name: getattr(self, name) for name in ("planes", "labels", "chances", "sizes", "features", "doubts")}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.keys):
                raise ValueError(f"there are {len(self.keys)} keys but {len(column)} {name}")

    def __len__(self) -> int:
        return len(self.keys)

    def looks(self, kinds: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the features, or what size and class tell where there are none; (N, C).

        Parameters
        ----------
        kinds : (K,) int64, optional
            Numbers of the classes that are told apart; by default those that the boxes have.
        """
        if self.features is not None:
            return self.features
        kinds = np.unique(self.labels) if kinds is None else kinds
        table = [np.log(np.maximum(self.sizes, 1.0)), *(3.0 * (self.labels == kind) for kind in kinds[:COLUMNS])]
        return np.stack(table, axis=1).astype(np.float32)


class Entry(NamedTuple):
    """A place in a queue: a row of the candidates, and why it is there."""

    row: int
    reason: Reason


def uncertainty(chances: ArrayLike, threshold: float = 0.5) -> NDArray[np.float64]:
    """Return the entropy in bits of whether boxes are right, 0 to 1.

    Parameters
    ----------
    chances : (N,) array
        Probabilities, or scores; NaN is certain.
    threshold : float
        Where nothing is known: 0.5 of probabilities, the threshold of a model of scores.
    """
    return _entropy(even(chances, threshold))


def even(chances: ArrayLike, threshold: float = 0.5) -> NDArray[np.float64]:
    """Return chances, stretched so that the threshold becomes 0.5; the parameters are those of `uncertainty`."""
    given = np.clip(np.nan_to_num(np.asarray(chances, float), nan=1.0), 0, 1)
    threshold = min(max(threshold, 1e-3), 1 - 1e-3)
    stretched: NDArray[np.float64] = np.where(
        given < threshold, 0.5 * given / threshold, 1 - 0.5 * (1 - given) / (1 - threshold)
    )
    return stretched


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    bits: NDArray[np.float64] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return bits


def lot(keys: ArrayLike, seed: int = 0) -> NDArray[np.uint64]:
    """Return the lot of each key: they are drawn from the lowest on.

    Nothing but key and seed decides (SplitMix64), so that boxes keep their lots while others come and go.
    """
    with np.errstate(over="ignore"):
        z = np.asarray(keys, np.int64).astype(np.uint64) + np.uint64(seed % 2**32 + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        lots: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return lots


def first_of_lot(keys: ArrayLike, judged: ArrayLike, seed: int = 0) -> NDArray[np.intp]:
    """Return the rows that are a random sample: those drawn first, up to the first that is not judged.

    Parameters
    ----------
    keys : (N,) array
        Of all boxes, or planes, that something is to be said about.
    judged : (N,) bool
        Whether a person has judged it, or has passed it over.
    seed : int
    """
    order = np.argsort(lot(keys, seed), kind="stable")
    there = np.asarray(judged, bool)[order]
    return order if there.all() else order[: int(np.argmin(there))]


def compress(features: NDArray[np.float32], columns: int = COLUMNS) -> NDArray[np.float32]:
    """Standardise the columns of features and keep their main components; (N, at most `columns`), distances about 1."""
    table = np.nan_to_num(np.asarray(features, np.float32))
    if not table.size:
        return np.zeros((len(table), 1), np.float32)
    table = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-6)
    values, axes = np.linalg.eigh(table.T @ table / len(table))
    main = table @ axes[:, ::-1][:, :columns].astype(np.float32)
    reduced: NDArray[np.float32] = main / np.float32(max(np.sqrt(max(values.sum(), 0.0)), 1e-6))
    return reduced


class ReviewQueue:
    """Hands out boxes one by one, each once; nothing is computed before it is asked for.

    Parameters
    ----------
    candidates : Candidates
    order : {"useful", "uncertain", "different", "suspicious", "lot"}
        ``useful`` mixes all reasons, the others are one each.
    threshold : float
        Of the chances, see `uncertainty`.
    reviewed : Candidates, optional
        Boxes that a person has judged before, with features where the candidates have some.
    right : (R,) bool, optional
        Whether there are such objects.
    seed : int
    lot_share : float
        Of ``useful``: how much is drawn by lot; any part of the queue from its beginning has that share.
    """

    def __init__(
        self,
        candidates: Candidates,
        order: Order = "useful",
        *,
        threshold: float = 0.5,
        reviewed: Candidates | None = None,
        right: NDArray[np.bool_] | None = None,
        seed: int = 0,
        lot_share: float = LOT_SHARE,
    ) -> None:
        if order not in get_args(Order):
            raise ValueError(f"there is no order {order!r}; choose one of {', '.join(get_args(Order))}")
        self._order, self._lot_share = order, lot_share
        # By key, so that the order in which boxes are given does not matter.
        self._rows = np.argsort(candidates.keys, kind="stable")
        keys = candidates.keys[self._rows]
        chances = even(candidates.chances[self._rows], threshold)
        self._bits = _entropy(chances)
        self._says = chances >= 0.5
        self._worth = np.abs(self._says - chances)
        doubts = np.zeros(len(keys)) if candidates.doubts is None else candidates.doubts[self._rows]
        self._open = doubts <= 0
        self._free = np.ones(len(keys), bool)
        self._lots = iter(np.lexsort((lot(keys, seed), ~self._open))[: int(self._open.sum())].tolist())
        self._plain = iter(np.lexsort((keys, -self._bits, ~self._open))[: int(self._open.sum())].tolist())
        self._suspects = iter(np.lexsort((keys, -doubts))[: int((~self._open).sum())].tolist())
        both = (candidates.labels,) if reviewed is None else (candidates.labels, reviewed.labels)
        kinds = np.unique(np.concatenate(both))
        self._looks = candidates.looks(kinds)[self._rows]
        self._squares = (self._looks**2).sum(axis=1)
        self._reviser = Reviser(chances, self._looks)
        self._places = np.argsort(self._rows)
        self._revised = False
        self._nearest = np.full(len(keys), np.inf, np.float32)
        self._handed = self._lots_handed = self._suspects_handed = self._spread = 0
        if reviewed is not None and len(reviewed):
            some = np.argsort(lot(reviewed.keys, seed))[:MOST_LESSONS]
            looks = reviewed.looks(kinds)[some]
            if candidates.features is not None:
                self._come_near(looks[:MOST_REVIEWED])
            if right is not None:
                self._reviser.study(even(reviewed.chances[some], threshold), looks, right[some])
                self._revise()

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        for pick, reason in self._choices():
            at = pick()
            if at is not None:
                return self._hand_out(at, reason)
        raise StopIteration

    def judge(self, row: int, right: bool | None) -> None:
        """Learn from what a person says of a box, or, by None, takes back: boxes that look like it are put anew.

        Parameters
        ----------
        row : int
            Of the candidates.
        right : bool or None
            Whether there is such an object.
        """
        place = int(self._places[row])
        if right is None:
            self._reviser.forget(place)
        else:
            self._reviser.learn(place, right)
        self._revise()

    def _revise(self) -> None:
        if self._order == "useful":
            self._revised = True
            chances = self._reviser.chances()
            self._bits = _entropy(chances)
            self._worth = np.abs(self._says - chances)

    def _choices(self) -> list[tuple[_Pick, Reason]]:
        """Return what to try, in this order."""
        by_lot: tuple[_Pick, Reason] = (self._next_of_lot, "lot")
        suspicious: tuple[_Pick, Reason] = (self._next_suspect, "suspicious")
        plain: tuple[_Pick, Reason] = (self._next_plain, "uncertain")
        spread: tuple[_Pick, Reason] = (self._next_spread, "different")
        if self._order != "useful":
            return [{"lot": by_lot, "suspicious": suspicious, "uncertain": plain, "different": spread}[self._order]]
        after = self._handed + 1
        if self._lots_handed < int(after * self._lot_share + 1e-9):
            return [by_lot, suspicious, spread]
        rest = after - self._lots_handed
        if self._suspects_handed < int(rest * SUSPICIOUS_SHARE / (1 - self._lot_share) + 1e-9):
            return [suspicious, spread, by_lot]
        return [spread, suspicious, by_lot]

    def _hand_out(self, at: int, reason: Reason) -> Entry:
        self._free[at] = False
        self._handed += 1
        self._lots_handed += reason == "lot"
        self._suspects_handed += reason == "suspicious"
        if self._order in ("useful", "different") and self._spread <= MOST_SPREAD:
            self._come_near(self._looks[at : at + 1])
        if reason == "different" and self._order == "useful" and self._bits[at] >= _SURE:
            reason = "uncertain"
        return Entry(int(self._rows[at]), reason)

    def _next_of_lot(self) -> int | None:
        return next((at for at in self._lots if self._free[at]), None)

    def _next_suspect(self) -> int | None:
        return next((at for at in self._suspects if self._free[at]), None)

    def _next_plain(self) -> int | None:
        return next((at for at in self._plain if self._free[at]), None)

    def _next_spread(self) -> int | None:
        self._spread += 1
        if self._spread > MOST_SPREAD and not self._revised:
            return self._next_plain()
        free = self._free & self._open
        if not free.any():
            return None
        if self._spread > MOST_SPREAD:
            return int(np.argmax(np.where(free, self._worth, -1.0)))
        # The first one is as far from nothing as any other.
        far = np.ones(len(free)) if np.isinf(self._nearest[0]) else np.sqrt(self._nearest)
        if self._order == "different":
            gain = (0.1 + 0.9 * self._bits) * far
        else:
            # What looks like something in the queue is worth less, not nothing.
            typical = max(float(far[free].mean()), 1e-9)
            gain = self._worth * (ALIKE + (1 - ALIKE) * np.minimum(far / typical, 1.0))
        return int(np.argmax(np.where(free, gain + 1e-6 * self._bits, -1.0)))

    def _come_near(self, others: NDArray[np.float32]) -> None:
        """Note how near to some looks each candidate is."""
        for start in range(0, len(others), 64):
            part = others[start : start + 64]
            apart = self._squares[:, None] - 2 * (self._looks @ part.T) + (part**2).sum(axis=1)
            np.minimum(self._nearest, np.maximum(apart.min(axis=1), 0), out=self._nearest)


def rank_boxes(
    candidates: Candidates,
    order: Order = "useful",
    *,
    threshold: float = 0.5,
    reviewed: Candidates | None = None,
    right: NDArray[np.bool_] | None = None,
    seed: int = 0,
    lot_share: float = LOT_SHARE,
    limit: int | None = None,
) -> list[Entry]:
    """Say in which order boxes are best looked at.

    The parameters are those of `ReviewQueue`; `limit` is how many are wanted, by default all.
    """
    queue = ReviewQueue(
        candidates, order, threshold=threshold, reviewed=reviewed, right=right, seed=seed, lot_share=lot_share
    )
    number = len(candidates) if limit is None else limit
    return [entry for entry, _ in zip(queue, range(number), strict=False)]


def rank_planes(
    keys: Sequence[int] | NDArray[np.int64],
    candidates: Candidates,
    *,
    threshold: float = 0.5,
    reviewed: NDArray[np.float32] | None = None,
    seed: int = 0,
    lot_share: float = LOT_SHARE,
) -> list[Entry]:
    """Say in which order planes are best finished.

    Parameters
    ----------
    keys : (P,) int
        Numbers of the planes that are not finished, with boxes or without.
    candidates : Candidates
        Their boxes that nobody has judged; `Candidates.planes` are numbers in `keys`.
    threshold : float
        See `uncertainty`.
    reviewed : (R, C) array, optional
        Mean features of planes that are finished.
    seed : int
    lot_share : float
        How much is drawn by lot.

    Returns
    -------
    list of Entry
        Their rows are those of `keys`; the reasons ``uncertain`` (much uncertainty, and unlike the planes before) and
        ``lot``.
    """
    keys = np.asarray(keys, np.int64)
    number = len(keys)
    order = np.argsort(keys, kind="stable")
    at = np.searchsorted(keys[order], candidates.planes)
    if len(candidates) and not (number and (keys[order][np.minimum(at, number - 1)] == candidates.planes).all()):
        raise ValueError("a candidate lies on a plane that is not among the keys")
    boxes = np.bincount(at, minlength=number)
    bits = np.minimum(np.bincount(at, uncertainty(candidates.chances, threshold), minlength=number), PLANE_CAP)
    looks = candidates.looks()
    mean = np.zeros((number, looks.shape[1]), np.float32)
    np.add.at(mean, at, looks)
    mean /= np.maximum(boxes, 1)[:, None]
    nearest = np.full(number, np.inf, np.float32)
    if reviewed is not None and candidates.features is not None:
        for look in np.asarray(reviewed, np.float32)[:MOST_REVIEWED]:
            np.minimum(nearest, ((mean - look) ** 2).sum(axis=1), out=nearest)
    lots = iter(np.argsort(lot(keys[order], seed), kind="stable").tolist())
    free = np.ones(number, bool)
    entries: list[Entry] = []
    drawn = 0

    def gain() -> NDArray[np.float64]:
        far = np.ones(number) if np.isinf(nearest).all() else np.sqrt(nearest)
        # Planes that look alike are still worth half as much as one like no other.
        there = free & (boxes > 0)
        typical = max(float(far[there].mean()), 1e-9) if there.any() else 1.0
        worth: NDArray[np.float64] = bits * (0.5 + 0.5 * np.minimum(far / typical, 1.0))
        return worth

    later: Iterator[int] = iter(())
    for handed in range(1, number + 1):
        reason: Reason = "lot" if drawn < int(handed * lot_share + 1e-9) else "uncertain"
        if handed == MOST_SPREAD + 1:
            # Long before one comes here the order is made anew.
            later = iter(np.argsort(-gain(), kind="stable").tolist())
        if reason == "lot":
            best = next(one for one in lots if free[one])
            drawn += 1
        elif handed > MOST_SPREAD:
            best = next(one for one in later if free[one])
        else:
            best = int(np.argmax(np.where(free, gain(), -1.0)))
        free[best] = False
        if handed <= MOST_SPREAD:
            np.minimum(nearest, ((mean - mean[best]) ** 2).sum(axis=1), out=nearest)
        entries.append(Entry(int(order[best]), reason))
    return entries
