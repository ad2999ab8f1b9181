"""Which boxes of very many are worth being shapes that can be edited, and which are dots for now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.table import BoxTable

_MARGIN = 0.15
"""Part of the view's size by which boxes beside it are made ready."""

_READY = 0.6
"""Part of the way to the farthest box in hand within which all have to be in hand."""


@dataclass(frozen=True)
class View:
    """What a person sees of a plane.

    Parameters
    ----------
    plane : tuple of int
        Index of the plane.
    rectangle : (y0, y1, x0, x1)
        What the canvas spans, in pixels of the image.
    zoom : float
        Screen pixels per pixel of the image.
    """

    plane: PlaneIndex
    rectangle: tuple[float, float, float, float]
    zoom: float

    def grown(self, part: float) -> tuple[float, float, float, float]:
        """Return the rectangle with so much of its size added on every side."""
        y0, y1, x0, x1 = self.rectangle
        dy, dx = (y1 - y0) * part, (x1 - x0) * part
        return y0 - dy, y1 + dy, x0 - dx, x1 + dx

    def covers(self, rectangle: tuple[float, float, float, float]) -> bool:
        """Whether another rectangle lies within the view."""
        y0, y1, x0, x1 = self.rectangle
        return y0 <= rectangle[0] and rectangle[1] <= y1 and x0 <= rectangle[2] and rectangle[3] <= x1


def choose(
    table: BoxTable, view: View | None, most: int, pinned: NDArray[np.int64], drawn: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Choose the boxes that are shapes of a layer.

    Parameters
    ----------
    table : BoxTable
        All boxes.
    view : View or None
        What is seen; without it, the boxes that a person has judged and the surest guesses are chosen.
    most : int
        So many boxes are chosen at most, the pinned ones beside.
    pinned : (N,) int64
        Ids of boxes that are chosen wherever they are, as long as they may be seen.
    drawn : (M,) int64
        Ids of the boxes that were chosen before; they stay as long as there is room.

    Returns
    -------
    (K,) int64
        Ids.
    """
    boxes = table.boxes
    showing = table.showing()
    if np.count_nonzero(showing) <= most:
        return boxes.ids[showing].copy()
    always = boxes.rows(pinned)
    always = always[showing[always]]
    if view is None:
        rows = np.flatnonzero(showing)
        order = np.lexsort((-np.nan_to_num(boxes.scores[rows], nan=2.0), boxes.states[rows] == 0))
        return boxes.ids[np.union1d(rows[order[:most]], always)]
    here = np.flatnonzero(showing & table.on(view.plane) & touching(boxes.boxes, view.grown(_MARGIN)))
    if len(here) > most:
        distance = _distance(boxes.boxes[here], view)
        nearest = np.argpartition(distance, most)[:most]
        ready = np.isin(boxes.ids[here], drawn)
        inner = distance < _READY * distance[nearest].max()
        # As long as those in the middle are ready, a short way changes nothing.
        here = here[ready if ready[inner].all() and np.count_nonzero(ready) <= most else nearest]
    elif len(here) < most:
        before = boxes.rows(drawn)
        before = before[showing[before] & (boxes.planes[before] == boxes.plane_code(view.plane))]
        before = np.setdiff1d(before, here)
        room = most - len(here)
        if len(before) > room:
            before = before[np.argpartition(_distance(boxes.boxes[before], view), room)[:room]]
        here = np.concatenate([here, before])
    return boxes.ids[np.union1d(here, always)]


def touching(boxes: NDArray[np.float32], rectangle: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Return which of (N, 4) boxes touch a rectangle ``y0, y1, x0, x1``."""
    y0, y1, x0, x1 = rectangle
    mask: NDArray[np.bool_] = (boxes[:, 2] >= x0) & (boxes[:, 0] <= x1) & (boxes[:, 3] >= y0) & (boxes[:, 1] <= y1)
    return mask


def _distance(boxes: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Return how far boxes lie from the middle of the view, in parts of its size."""
    y0, y1, x0, x1 = view.rectangle
    dx = np.abs(boxes[:, 0] + boxes[:, 2] - (x0 + x1)) / max(x1 - x0, 1e-6)
    dy = np.abs(boxes[:, 1] + boxes[:, 3] - (y0 + y1)) / max(y1 - y0, 1e-6)
    distance: NDArray[np.float32] = np.maximum(dx, dy)
    return distance


def dots(table: BoxTable, view: View, part: float, spacing: float, most: int) -> NDArray[np.int64]:
    """Choose boxes to be seen as dots: no two dots of a class closer than the screen can tell.

    Parameters
    ----------
    table : BoxTable
        All boxes.
    view : View
        What is seen.
    part : float
        So much of the view's size beside it has dots, too.
    spacing : float
        Screen pixels between dots of a class.
    most : int
        About so many dots at most; more are put farther apart.

    Returns
    -------
    (K,) int64
        Ids.
    """
    boxes = table.boxes
    showing = table.showing(view.plane)
    rows = np.flatnonzero(showing & touching(boxes.boxes, view.grown(part)))
    if not len(rows):
        return np.zeros(0, np.int64)
    if len(rows) <= most:
        return boxes.ids[rows]
    corners = boxes.boxes[rows]
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    centers -= centers.min(axis=0)
    # Cells so large that there are not too many of them, each with at most one dot of each class.
    area = float(np.prod(centers.max(axis=0)))
    side = max(spacing / view.zoom, (area * len(boxes.class_names) / most) ** 0.5)
    cells = (centers / side).astype(np.int64)
    across = int(cells[:, 0].max()) + 1
    keys = (cells[:, 1] * across + cells[:, 0]) * len(boxes.class_names) + boxes.labels[rows]
    chosen = np.full(int(keys.max()) + 1, -1)
    chosen[keys] = rows
    ids: NDArray[np.int64] = boxes.ids[chosen[chosen >= 0]]
    return ids
