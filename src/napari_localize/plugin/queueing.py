"""The review queue of a layer of boxes: which boxes are in it, what is known of them, and how far the review has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.boxes import STATE_CODES, PlaneIndex
from napari_localize.core.detections import EXAMPLES, HUMAN, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.table import APPROVED, BoxTable
from napari_localize.evaluation.budget import UNSURE, Standing
from napari_localize.evaluation.calibration import Calibration, probability
from napari_localize.evaluation.doubts import DOUBTFUL, SURE
from napari_localize.evaluation.estimates import FEWEST_PLANES, Estimate, estimate_share
from napari_localize.evaluation.queue import (
    LOT_SHARE,
    Candidates,
    Entry,
    Order,
    ReviewQueue,
    compress,
    even,
    first_of_lot,
    lot,
    rank_planes,
    uncertainty,
)
from napari_localize.models.card import read_card
from napari_localize.models.registry import find_model
from napari_localize.plugin.boxes import BoxLayer
from napari_localize.plugin.layers import image_planes
from napari_localize.plugin.pairs import channel_axis_of, image_of
from napari_localize.plugin.teaching import plane_key

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_localize.core.columns import BoxColumns
    from napari_localize.core.planes import PlaneSource
    from napari_localize.core.steps import Area

MOST_DESCRIBED = 20_000
"""The looks of so many boxes are described; the least certain guesses first."""

_PROPOSED, _REJECTED = STATE_CODES["proposed"], STATE_CODES["rejected"]


@dataclass(frozen=True, eq=False)
class Looks:
    """How boxes look, by id.

    Attributes
    ----------
    ids : (M,) int64
        In rising order.
    table : (M, C) float32
        See `evaluation.queue.compress`.
    """

    ids: NDArray[np.int64]
    table: NDArray[np.float32]

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the looks of some boxes; those that are not known look like the average."""
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        there = self.ids[at] == ids
        looks: NDArray[np.float32] = np.where(there[:, None], self.table[at], 0)
        return looks


@dataclass(frozen=True, eq=False)
class Request:
    """What the engine is asked about some planes: how boxes look, or what a model finds."""

    indices: list[PlaneIndex]
    planes: list[PlaneSource]
    keys: list[str]
    boxes: list[Detections]

    def looks(self, tables: Sequence[NDArray[np.float32]]) -> Looks:
        """Return how the boxes look, from the engine's answer."""
        ids = np.concatenate([part.ids for part in self.boxes])
        order = np.argsort(ids)
        return Looks(ids[order], compress(np.concatenate(tables)[order]))


@dataclass
class Stock:
    """The boxes of a layer as a queue sees them, at one moment.

    Attributes
    ----------
    candidates : Candidates
        Their keys are ids of boxes, their planes codes of the table.
    threshold : float
        Of their chances.
    reviewed : Candidates
        The boxes of models that a person has judged, and whether they are right.
    right : (R,) bool
    population : (P,) int64
        Ids of all boxes of models, judged or not, in the order of their lots.
    """

    candidates: Candidates
    threshold: float
    reviewed: Candidates
    right: NDArray[np.bool_]
    population: NDArray[np.int64]

    def chance(self, key: int, score: float) -> float:
        """Return the probability that a box of the queue is right; its score where it is none of these."""
        row = self.row(key)
        return score if row is None else float(self.candidates.chances[row])

    def queue(self, order: Order) -> ReviewQueue:
        """Return a queue of these boxes."""
        return ReviewQueue(self.candidates, order, threshold=self.threshold, reviewed=self.reviewed, right=self.right)

    def row(self, key: int) -> int | None:
        """Return the row of a box among the candidates; None where it is none of them."""
        at = np.flatnonzero(self.candidates.keys == key)
        return int(at[0]) if len(at) else None


def stock(
    boxes: BoxLayer,
    looks: Looks | None = None,
    doubts: Mapping[int, float] | None = None,
    without: Iterable[int] = (),
) -> Stock:
    """Gather what may come into the queue of a layer.

    Parameters
    ----------
    boxes : BoxLayer
    looks : Looks, optional
    doubts : mapping of id to float, optional
        How much a model that was asked again doubts boxes that a person has judged; by default their own scores tell.
    without : iterable of int
        Ids of boxes that have had their turn.
    """
    table = boxes.table
    rows = table.boxes
    chances, threshold = chances_of(boxes)
    known, ignored = _where(boxes)
    passing = _passing(table) & ~ignored
    proposed = rows.states == _PROPOSED
    guesses = passing & proposed & ~known
    suspicion = np.zeros(len(rows))
    sure = proposed & known & passing & (chances >= SURE)
    suspicion[sure] = chances[sure]
    judged = ~proposed & ~np.isnan(rows.scores)
    suspicion[judged] = np.where(rows.states == _REJECTED, chances, 1 - chances)[judged]
    if doubts:
        ids = np.fromiter(doubts, np.int64, len(doubts))
        at = rows.where(ids)
        values = np.fromiter(doubts.values(), float, len(doubts))[at >= 0]
        suspicion[at[at >= 0]] = values
    suspicion[suspicion < DOUBTFUL] = 0
    suspicion[guesses | ignored] = 0
    chosen = guesses | (suspicion > 0)
    chosen &= ~np.isin(rows.ids, np.fromiter(without, np.int64))

    def described(picked: NDArray[np.intp]) -> Candidates:
        ids = rows.ids[picked]
        return Candidates(
            keys=ids.copy(),
            planes=rows.planes[picked].astype(np.int64),
            labels=rows.labels[picked].astype(np.int64),
            chances=chances[picked],
            sizes=table.diameters()[picked].astype(float),
            features=None if looks is None else looks.of(ids),
            doubts=suspicion[picked],
        )

    before = np.flatnonzero(judged & passing)
    population = rows.ids[_population(boxes)]
    return Stock(
        described(np.flatnonzero(chosen)),
        threshold,
        described(before),
        rows.states[before] != _REJECTED,
        population[np.argsort(lot(population), kind="stable")],
    )


def chances_of(boxes: BoxLayer) -> tuple[NDArray[np.float64], float]:
    """Return the probability that each box is right, as far as its model's card tells what scores mean, and the threshold.

    Returns
    -------
    (N,) float64, float
        In the order of the table's rows. The threshold is 0.5 of probabilities, and the lowest score shown of scores;
        where some guesses have the one and some the other, these scores are stretched so that it is 0.5 for all.
    """
    table = boxes.table.boxes
    chances = np.clip(np.nan_to_num(table.scores, nan=1.0), 0, 1)
    calibrated = np.zeros(len(table), bool)
    names = np.array([*table.class_names, ""])[table.labels]
    for code in np.unique(table.origins).tolist():
        calibration = calibration_of(table.origin_names[code])
        if calibration is not None:
            mine = table.origins == code
            chances[mine] = probability(table.scores[mine], names[mine], calibration)
            calibrated |= mine
    guesses, lowest = table.states == _PROPOSED, boxes.filter[0] or 0.5
    if not calibrated[guesses].any() and guesses.any():
        return chances, lowest
    chances[~calibrated] = even(chances[~calibrated], lowest)
    return chances, 0.5


def calibration_of(origin: str) -> Calibration | None:
    """Return what the scores of a model mean, as its card says; None for what is no model, or not installed."""
    if origin in ("", HUMAN, EXAMPLES):
        return None
    try:
        path = find_model(origin)
        return _calibration(path, path.stat().st_mtime_ns)
    except (OSError, UserError):
        return None


@lru_cache(maxsize=32)
def _calibration(path: Path, changed: int) -> Calibration | None:
    return read_card(path).calibration


def newest_guess(boxes: BoxLayer) -> int:
    """Return the highest id of a guess: it rises when a model has run."""
    rows = boxes.table.boxes
    return int(rows.ids[rows.states == _PROPOSED].max(initial=0))


def model_of(boxes: BoxLayer) -> str | None:
    """Return the model that made most of the guesses, as far as it is installed."""
    table = boxes.table.boxes
    counts = np.bincount(table.origins[~np.isnan(table.scores)], minlength=len(table.origin_names))
    for code in np.argsort(-counts, kind="stable").tolist():
        name = table.origin_names[code] if counts[code] else ""
        try:
            if name not in ("", HUMAN, EXAMPLES):
                find_model(name)
                return name
        except UserError:
            continue
    return None


def _passing(table: BoxTable) -> NDArray[np.bool_]:
    """Return which boxes score and size let through, judged or not; those of a person do."""
    scores = table.boxes.scores
    low, high = table.diameter_range
    mask: NDArray[np.bool_] = ~(scores < table.min_score - 1e-6)
    if table.point_size is None:
        sizes = table.diameters()
        mask &= (table.boxes.states != _PROPOSED) | ((sizes >= low) & (sizes <= high))
    return mask


def _where(boxes: BoxLayer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which boxes lie where a person has finished everything, and which where nothing is of concern."""
    table = boxes.table
    rows = table.boxes
    known, ignored = np.zeros((2, len(rows)), bool)
    areas: dict[PlaneIndex, list[Area]] = {}
    for area in boxes.areas:
        areas.setdefault(area.plane, []).append(area)
    rows_on = _rows_on(rows)
    for plane in {*areas, *boxes.finished} & set(rows_on):
        here = rows_on[plane]
        there = KnownArea.of(areas.get(plane, ()), plane in boxes.finished)
        if there is not None:
            known[here] = there.holds(rows.boxes[here])
        out = tuple(area.xyxy for area in areas.get(plane, ()) if area.kind == "ignored")
        ignored[here] = ~KnownArea(None, out).holds(rows.boxes[here])
    return known, ignored


def _rows_on(rows: BoxColumns) -> dict[PlaneIndex, NDArray[np.intp]]:
    """Return the rows of each plane that has any; to look for those of each plane in turn would take long for many."""
    order = np.argsort(rows.planes, kind="stable")
    codes, starts = np.unique(rows.planes[order], return_index=True)
    return {
        rows.plane_indices[code]: part for code, part in zip(codes.tolist(), np.split(order, starts[1:]), strict=False)
    }


def _population(boxes: BoxLayer) -> NDArray[np.bool_]:
    """Return which boxes something is to be said of: those of models, without guesses where all was said already."""
    table = boxes.table
    known, ignored = _where(boxes)
    mask: NDArray[np.bool_] = _passing(table) & ~ignored & ~np.isnan(table.boxes.scores)
    mask &= ~(known & (table.boxes.states == _PROPOSED))
    return mask


def standing(
    boxes: BoxLayer,
    stock: Stock,
    *,
    skipped: Iterable[int] = (),
    done: Iterable[int] = (),
    seconds: float | None = None,
    order: Order = "useful",
    planes: int = 1,
) -> Standing:
    """Say how far the review of a layer has come.

    Parameters
    ----------
    boxes : BoxLayer
    stock : Stock
        What the queue was made of.
    skipped : iterable of int
        Ids of boxes that were passed over.
    done : iterable of int
        Ids of suspicious boxes that were looked at again.
    seconds : float or None
        For each judgement.
    order : str
        Of the queue.
    planes : int
        How many planes there are.
    """
    rows = boxes.table.boxes
    at = rows.where(stock.population)
    # A guess that is gone was replaced, and nobody knows what it was.
    ids, at = stock.population[at >= 0], at[at >= 0]
    states = rows.states[at]
    judged = states != _PROPOSED
    passed = np.isin(ids, np.fromiter(skipped, np.int64)) & ~judged
    seen = judged | passed
    drawn = len(seen) if seen.all() else int(np.argmin(seen))
    rejected = states == _REJECTED
    waiting = rows.where(stock.candidates.keys)
    doubts = stock.candidates.doubts
    suspicious = np.zeros(len(waiting), bool) if doubts is None else doubts > 0
    again = np.isin(stock.candidates.keys, np.fromiter(done, np.int64))
    there = waiting >= 0
    still = np.zeros(len(waiting), bool)
    still[there] = rows.states[waiting[there]] == _PROPOSED
    bits = uncertainty(stock.candidates.chances, stock.threshold)
    return Standing(
        total=len(ids),
        approved=int((judged & ~rejected).sum()),
        rejected=int(rejected.sum()),
        right=int((judged & ~rejected)[:drawn].sum()),
        wrong=int(rejected[:drawn].sum()),
        unknown=int(passed[:drawn].sum()),
        unsure=int((still & ~suspicious & (bits >= UNSURE)).sum()),
        suspicious=int((there & suspicious & ~again).sum()),
        seconds=seconds,
        lot_share={"useful": LOT_SHARE, "lot": 1.0}.get(order, 0.0),
        recall=recall_of(boxes, planes),
    )


def random_planes(finished: Iterable[int], planes: int) -> list[int]:
    """Return the numbers of the finished planes that are a random sample of all: those drawn first by lot.

    Parameters
    ----------
    finished : iterable of int
        Numbers of the finished planes, from 0 in the order of the stack.
    planes : int
        How many planes there are.
    """
    judged = np.zeros(planes, bool)
    judged[[number for number in finished if 0 <= number < planes]] = True
    return first_of_lot(np.arange(planes), judged).tolist()


def recall_of(boxes: BoxLayer, planes: int) -> Estimate | None:
    """Return the share of the objects that models found, from planes finished by lot; None from too few."""
    sizes = boxes.image_info.get("planes") or ()
    if int(np.prod(sizes, dtype=int)) != planes or not boxes.finished:
        return None
    finished = {int(np.ravel_multi_index(plane, sizes)) if plane else 0: plane for plane in boxes.finished}
    sample = random_planes(finished, planes)
    if len(sample) < FEWEST_PLANES:
        return None
    table = boxes.table
    approved = table.in_states(APPROVED)
    true, found = (
        _counted_on(table.boxes, mask, [finished[number] for number in sample])
        for mask in (approved, approved & ~np.isnan(table.boxes.scores))
    )
    return estimate_share(found, true, planes)


def _counted_on(rows: BoxColumns, mask: NDArray[np.bool_], planes: Sequence[PlaneIndex]) -> NDArray[np.int64]:
    """Return how many of some boxes lie on each of the planes."""
    numbers = np.bincount(rows.planes[mask], minlength=len(rows.plane_indices)).tolist()
    on = dict(zip(rows.plane_indices, numbers, strict=False))
    return np.array([on.get(plane, 0) for plane in planes], np.int64)


def plane_order(boxes: BoxLayer, stock: Stock, sizes: Sequence[int], looks: Looks | None = None) -> list[Entry]:
    """Say in which order the planes of a layer are best finished; rows of the entries are numbers of planes.

    Parameters
    ----------
    boxes : BoxLayer
    stock : Stock
    sizes : sequence of int
        How many planes there are along each leading axis.
    looks : Looks, optional
    """
    rows = boxes.table.boxes
    total = int(np.prod(sizes, dtype=int))
    number = np.array([_number(plane, sizes) for plane in rows.plane_indices], np.int64)
    finished = {_number(plane, sizes) for plane in boxes.finished}
    keys = np.array([key for key in range(total) if key not in finished], np.int64)
    taken = stock.candidates
    on = number[taken.planes] if len(taken) else taken.planes
    open_ = np.isin(on, keys) & (True if taken.doubts is None else taken.doubts <= 0)
    left = Candidates(
        taken.keys[open_],
        on[open_],
        taken.labels[open_],
        taken.chances[open_],
        taken.sizes[open_],
        None if taken.features is None else taken.features[open_],
    )
    means = []
    if looks is not None:
        rows_on = _rows_on(rows)
        means = [looks.of(rows.ids[rows_on[plane]]).mean(axis=0) for plane in boxes.finished if plane in rows_on]
    entries = rank_planes(keys, left, threshold=stock.threshold, reviewed=np.array(means) if means else None)
    return [Entry(int(keys[entry.row]), entry.reason) for entry in entries]


def _number(plane: PlaneIndex, sizes: Sequence[int]) -> int:
    clipped = [min(max(at, 0), size - 1) for at, size in zip(plane, sizes, strict=True)]
    return int(np.ravel_multi_index(clipped, tuple(sizes))) if clipped else 0


def to_describe(boxes: BoxLayer, layers: Iterable[Layer]) -> Request:
    """Return what the engine is asked to describe: the boxes of all planes, of very many the least certain ones.

    Raises
    ------
    UserError
        Without the image.
    """
    table = boxes.table
    rows = table.boxes
    chances, threshold = chances_of(boxes)
    wanted = np.flatnonzero(_passing(table))
    if len(wanted) > MOST_DESCRIBED:
        bits = uncertainty(chances[wanted], threshold)
        wanted = wanted[np.argsort(-bits, kind="stable")[:MOST_DESCRIBED]]
    parts = rows.take(wanted).parts()
    return _request(boxes, layers, {plane: parts[plane].detections(plane, boxes.classes) for plane in sorted(parts)})


def to_check(boxes: BoxLayer, layers: Iterable[Layer]) -> Request:
    """Return the planes on which a person has judged boxes, with these, for a model to look at again.

    Raises
    ------
    UserError
        Without the image, or without any judged box.
    """
    states = (*APPROVED, "rejected")
    parts = boxes.by_plane(states)
    if not parts:
        raise UserError("Nothing is reviewed yet, so nothing can be suspicious; begin with the most useful boxes.")
    return _request(boxes, layers, parts)


def _request(boxes: BoxLayer, layers: Iterable[Layer], parts: Mapping[PlaneIndex, Detections]) -> Request:
    image = image_of(boxes.layer, layers)
    if image is None:
        raise UserError("The image of these boxes is not open; open it first.")
    sources = {one.index: one.source for one in image_planes(image, channel_axis_of(boxes, image))}
    indices = [plane for plane in parts if plane in sources]
    if not indices:
        raise UserError("There are no boxes to look at yet; run a model, or draw some.")
    return Request(
        indices,
        [sources[plane] for plane in indices],
        [plane_key(image, plane) for plane in indices],
        [parts[plane] for plane in indices],
    )
