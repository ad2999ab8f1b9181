"""How an image of a project stands while its boxes are open: counts and states from the layer, not from the disk."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from napari_localize.core.boxes import BoxRows, PlaneIndex
from napari_localize.core.detections import STATES
from napari_localize.core.table import BoxTable
from napari_localize.project import ProjectImage, ProjectPlane
from napari_localize.project.image import Counts
from napari_localize.project.listing import status_of


def image_now(image: ProjectImage, table: BoxTable) -> ProjectImage:
    """Return an image with the state that its table has now, and its counts without guesses that the filter hides."""
    planes = max(1, math.prod(n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "YXCS"))
    everything, seen = _merged(_counts(table.take())), _merged(_counts(_seen(table)))
    done = len(table.finished)
    status = status_of(everything, done, planes, marked=bool(table.areas))
    return replace(image, counts=_ordered(seen, table), finished=done, status=status)


def planes_now(image: ProjectImage, table: BoxTable) -> list[ProjectPlane]:
    """Return the planes of an image with the states that its table has now, and their counts as of `image_now`."""
    counts, seen = _counts(table.take()), _counts(_seen(table))
    marked = {area.plane for area in table.areas}
    found = []
    for index in dict.fromkeys([*image.planes(), *sorted({*counts, *table.finished})]):
        here = counts.get(index, {})
        status = status_of(here, int(index in table.finished), 1, marked=index in marked)
        found.append(ProjectPlane(image.plane_name(index), image, index, status, _ordered(seen.get(index, {}), table)))
    return found


def _seen(table: BoxTable) -> BoxRows:
    return table.boxes.take(table.passing())


def _ordered(counts: Counts, table: BoxTable) -> Counts:
    """Return counts in the order of the class list."""
    return {name: counts[name] for name in table.classes if name in counts}


def _counts(boxes: BoxRows) -> dict[PlaneIndex, Counts]:
    names, number = boxes.class_names, len(boxes.class_names)
    codes = (boxes.planes.astype(np.int64) * max(number, 1) + boxes.labels) * len(STATES) + boxes.states
    found: dict[PlaneIndex, Counts] = {}
    keys, numbers = np.unique(codes, return_counts=True)
    for key, n in zip(keys.tolist(), numbers.tolist(), strict=True):
        rest, state = divmod(key, len(STATES))
        plane, label = divmod(rest, max(number, 1))
        found.setdefault(boxes.plane_indices[plane], {}).setdefault(names[label], {})[STATES[state]] = n
    return found


def _merged(counts: dict[PlaneIndex, Counts]) -> Counts:
    whole: Counts = {}
    for part in counts.values():
        for name, by_state in part.items():
            mine = whole.setdefault(name, {})
            for state, n in by_state.items():
                mine[state] = mine.get(state, 0) + n
    return whole
