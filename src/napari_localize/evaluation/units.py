"""What counts are made of: planes, or the reviewed parts of them, with what a model found there and what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.boxes import BoxRows, PlaneIndex
from napari_localize.core.detections import HUMAN, Detections
from napari_localize.core.known import KnownArea, Rectangles
from napari_localize.core.steps import Areas
from napari_localize.core.table import APPROVED
from napari_localize.evaluation.matching import match_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CountedPlane:
    """A plane with what a model found on it and what a person says of it.

    Attributes
    ----------
    name : str
    found : Detections
        The model's boxes with their scores, wherever on the plane; judged ones, too.
    true : Detections
        What is there, in the known area.
    known : KnownArea or None
        Where a person has finished everything; None for nowhere.
    ignored : rectangles
        What counts for nothing, where nothing is known.
    drawn : bool
        Whether the plane was chosen by lot.
    """

    name: str
    found: Detections
    true: Detections = field(default_factory=Detections.empty)
    known: KnownArea | None = None
    ignored: Rectangles = ()
    drawn: bool = False


def counted_plane(
    name: str, boxes: Detections, known: KnownArea | None, ignored: Rectangles = (), drawn: bool = False
) -> CountedPlane:
    """Tell on a plane that a model and a person have worked on what was found and what is there.

    Found is every box of a model, whatever has become of it: still proposed, accepted, edited or rejected. Of an edited
    box the place that the model gave it is not known any more; it counts where it is now, as found. There are the boxes
    that were accepted, edited or added. A box that hits another one that is there is right, even when it was rejected.

    Parameters
    ----------
    name : str
    boxes : Detections
        All boxes of the plane, rejected ones and those below any threshold too.
    known, ignored, drawn
        See `CountedPlane`.
    """
    found = boxes[(boxes.origins != HUMAN) & ~np.isnan(boxes.scores)]
    there = np.isin(boxes.states, list(APPROVED)) if known is not None else np.zeros(len(boxes), bool)
    return CountedPlane(name, found, boxes[there], known, ignored, drawn)


def planes_of_rows(
    rows: BoxRows,
    names: Mapping[PlaneIndex, str],
    finished: Collection[PlaneIndex],
    areas: Areas,
    drawn: Collection[PlaneIndex] = (),
) -> dict[PlaneIndex, CountedPlane]:
    """Return the planes of an image by index, from all of its boxes.

    Parameters
    ----------
    rows : BoxRows
    names : mapping of plane index to str
        All planes that there are.
    finished, areas
        What a person has finished, and what is to be left out.
    drawn : collection of plane index
        Those that were chosen by lot.
    """
    parts = rows.parts()
    classes = tuple(rows.used_classes())
    by_plane: dict[PlaneIndex, list[Any]] = {}
    for area in areas:
        by_plane.setdefault(area.plane, []).append(area)
    planes = {}
    for index, name in names.items():
        here = by_plane.get(index, ())
        boxes = parts[index].detections(index, classes) if index in parts else Detections.empty(classes)
        ignored = tuple(area.xyxy for area in here if area.kind == "ignored")
        planes[index] = counted_plane(name, boxes, KnownArea.of(here, index in finished), ignored, index in drawn)
    return planes


class Units:
    """Planes as units of a count: a plane that is finished in part is two, the part and the rest.

    Parameters
    ----------
    planes : sequence of CountedPlane

    Attributes
    ----------
    classes : tuple of str
        All that are there or were found.
    plane : (U,) int64
        Index of each unit's plane.
    reviewed, sample : (U,) bool
        Whether it is known what is there, and whether that tells something of the other units: where planes were drawn
        by lot, only these do; without any that is finished, all that are reviewed.
    true : (U, C) float64
        Objects by class, NaN where nobody has reviewed.
    in_parts : bool
        Whether some planes are reviewed in part only.
    """

    def __init__(self, planes: Sequence[CountedPlane]) -> None:
        self.classes = tuple(
            dict.fromkeys(name for one in planes for part in (one.true, one.found) for name in part.class_names)
        )
        units = [(index, *unit) for index, one in enumerate(planes) for unit in _units(one)]
        self.plane = np.array([unit[0] for unit in units], np.int64)
        self.reviewed = np.array([unit[2] is not None for unit in units], bool)
        drawn = self.reviewed & np.array([planes[index].drawn for index in self.plane.tolist()], bool)
        self.by_lot = bool(drawn.any())
        self.sample = drawn if self.by_lot else self.reviewed
        self.in_parts = len(units) > len(planes)
        self.true = np.full((len(units), len(self.classes)), np.nan)
        hits = []
        labels = []
        for row, (_, found, true) in enumerate(units):
            ours = found.with_classes(self.classes)
            labels.append(ours.labels)
            if true is None:
                hits.append(np.zeros(len(ours), bool))
                continue
            there = true.with_classes(self.classes)
            self.true[row] = np.bincount(there.labels, minlength=len(self.classes))
            hits.append(match_boxes(ours.boxes, ours.labels, _sure(ours), there.boxes, there.labels, 0.5))
        unit = np.repeat(np.arange(len(units)), [len(found) for _, found, _ in units])
        score = _joined([_sure(found) for _, found, _ in units], np.float64)
        order = np.argsort(-score, kind="stable")
        self._falling = -score[order]
        self._cell = (unit * len(self.classes) + _joined(labels, np.int64))[order]
        self._hit = _joined(hits, np.bool_)[order]
        self._origins = [set(np.unique(found.origins).tolist()) for _, found, _ in units]

    @property
    def lowest_score(self) -> float:
        """The lowest score of a box, 0 without any."""
        return -float(self._falling[-1]) if len(self._falling) else 0.0

    def at(self, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what was found at a threshold, and how much of it is right where that is known: (U, C) each."""
        # A float32 score of 0.7 is a little less than 0.7.
        number = int(np.searchsorted(self._falling, -threshold + 1e-6, side="right"))
        shape = self.true.shape
        cells, hit = self._cell[:number], self._hit[:number]
        return tuple(  # type: ignore[return-value]
            np.bincount(part, minlength=shape[0] * shape[1]).reshape(shape) for part in (cells, cells[hit])
        )

    def origins(self, of: NDArray[np.bool_]) -> set[str]:
        """Return the models that found something in some of the units."""
        return set().union(*(self._origins[row] for row in np.flatnonzero(of).tolist())) - {""}


def _units(plane: CountedPlane) -> Iterator[tuple[Detections, Detections | None]]:
    """Yield what was found and what is there in the known area, and what was found beside it."""
    known, found = plane.known, plane.found
    if known is not None:
        yield found[known.holds(found.boxes)], plane.true[known.holds(plane.true.boxes)]
        if known.reviewed is None:
            return
        found = found[~KnownArea(known.reviewed).holds(found.boxes)]
    ignored = plane.ignored if known is None else known.ignored
    yield found[KnownArea(None, ignored).holds(found.boxes)], None


def _sure(boxes: Detections) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = np.nan_to_num(boxes.scores.astype(np.float64), nan=1.0)
    return scores


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
