"""The numbers of boxes beside their layer, and in its features for those boxes that are shapes."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import COLUMNS
from napari_localize.plugin.mirror import in_use
from napari_localize.plugin.timer import single_shot

if TYPE_CHECKING:
    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_localize.core.boxes import PlaneIndex
    from napari_localize.core.detections import Detections
    from napari_localize.measurements import Measurements
    from napari_localize.plugin.measuring import Measured

Place = tuple[Any, ...]
"""Index of a plane, and x0, y0, x1, y1."""

_WAIT_MS = 50
_MOVED = 1e-3  # pixels
_NOT_FEATURES = ("counted", "state", *COLUMNS)

_numbers: weakref.WeakKeyDictionary[Shapes | Points, Numbers] = weakref.WeakKeyDictionary()


def put_measured(layer: Shapes | Points, measured: Measured) -> Numbers:
    """Keep numbers beside a layer, instead of older ones, and show those of its shapes as features."""
    old = _numbers.get(layer)
    if old is not None:
        old.close()
    numbers = _numbers[layer] = Numbers(layer, measured, () if old is None else old.columns)
    return numbers


def measured_of(layer: Shapes | Points) -> Measured | None:
    """Return what was measured of a layer in this session."""
    numbers = _numbers.get(layer)
    return None if numbers is None else numbers.measured


class Lookup:
    """Finds the numbers of a box among those of many; made where it holds nobody up.

    Parameters
    ----------
    tables : Measurements
    planes : iterable of (PlaneIndex, Detections)
        What was measured, in the order of the table.
    leading : collection of str
        Columns that say where a plane lies.
    lengths : bool
        Whether columns in micrometres are wanted.
    """

    def __init__(
        self,
        tables: Measurements,
        planes: Iterable[tuple[PlaneIndex, Detections]],
        leading: Collection[str],
        lengths: bool,
    ) -> None:
        table = tables.objects
        self.columns = tuple(
            str(name)
            for name in table.columns
            if name not in leading
            and name not in _NOT_FEATURES
            and (lengths or not str(name).endswith(("_um", "_um2")))
        )
        self._values = table[list(self.columns)].to_numpy(np.float64)
        self._row_of = dict(zip(table["id"].tolist(), range(len(table)), strict=True))
        # Rejected boxes are not measured.
        self._places: list[Place] = [
            (index, *corners) for index, found in planes for corners in found.boxes[found.states != "rejected"].tolist()
        ]
        self._row_at = dict(zip(self._places, range(len(table)), strict=True))

    def numbers(self, key: int, place: Place) -> NDArray[np.float64] | None:
        """Return the numbers of a box in the order of `columns`, if it is where it was when it was measured."""
        row = self._row_of.get(key)
        if row is None or not _same_place(self._places[row], place):
            # A project that takes the boxes gives them other ids.
            row = self._row_at.get(place)
        return None if row is None else self._values[row]


class Numbers:
    """Keeps the numbers of a layer in its features.

    Of very many boxes only some are shapes and have a row among the features: whenever others become shapes, they get
    their numbers. A box that has been moved since has none until it is measured again, or back in its place.
    """

    def __init__(self, layer: Shapes | Points, measured: Measured, old: tuple[str, ...] = ()) -> None:
        self.measured = measured
        self._boxes = box_layer(layer)
        self._lookup = measured.lookup
        self.columns = self._lookup.columns
        self._old = tuple(name for name in old if name not in self.columns)
        self._timer: Any = single_shot(self.fill)
        self._boxes.changed.connect(self._wake)
        self._boxes.drawn_changed.connect(self._wake)
        self.fill()

    def close(self) -> None:
        """Write no more features; those that are there stay."""
        self._boxes.changed.disconnect(self._wake)
        self._boxes.drawn_changed.disconnect(self._wake)
        if self._timer is not None:
            self._timer.stop()

    def _wake(self) -> None:
        # Not at once: whoever pans through many boxes should not wait for their numbers.
        if self._timer is None:
            self.fill()
        elif not self._timer.isActive():
            self._timer.start(_WAIT_MS)

    def fill(self) -> None:
        """Write the numbers of those boxes that are shapes now."""
        boxes = self._boxes
        if not boxes.alive:
            return
        layer = boxes.layer
        if in_use(layer):
            if self._timer is not None:
                self._timer.start(_WAIT_MS)
            return
        boxes.reconcile()
        features = layer.features
        if "id" not in features:
            return
        values = self._values_of(boxes, features["id"].tolist())
        columns = dict(zip(self.columns, values.T, strict=True))
        stale = [name for name in self._old if name in features]
        if not stale and all(name in features and _same(features[name], column) for name, column in columns.items()):
            return
        frame = features.drop(columns=stale).assign(**columns)
        # Assigning features makes the last row the default of the next box, which has no numbers.
        defaults = layer.feature_defaults
        others = {name: defaults[name].iloc[0] for name in frame.columns if name in defaults}
        layer.features = frame
        layer.feature_defaults = {**others, **dict.fromkeys(self.columns, np.nan)}

    def _values_of(self, boxes: BoxLayer, ids: list[int]) -> NDArray[np.float64]:
        values = np.full((len(ids), len(self.columns)), np.nan)
        for row, key in enumerate(ids):
            box = boxes.get(key)
            found = None if box is None else self._lookup.numbers(key, (box.plane, *box.xyxy))
            if found is not None:
                values[row] = found
        return values


def _same_place(one: Place, other: Place) -> bool:
    return bool(one[0] == other[0] and np.abs(np.subtract(one[1:], other[1:])).max() < _MOVED)


def _same(old: Any, new: NDArray[np.float64]) -> bool:
    values = old.to_numpy()
    return values.dtype.kind == "f" and np.array_equal(values, new, equal_nan=True)
