"""How an image of a project stands while its boxes are open: counts and states from the layer, not from the disk."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.detections import STATES
from napari_localize.core.table import BoxTable
from napari_localize.project import ProjectImage, ProjectPlane
from napari_localize.project.image import Counts
from napari_localize.project.listing import status_of


def image_now(image: ProjectImage, table: BoxTable) -> ProjectImage:
    """Return an image with the counts and the state that its table has now."""
    planes = max(1, math.prod(n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "YXCS"))
    counts = _merged(_counts(table))
    done = len(table.finished)
    return replace(
        image,
        counts=counts,
        finished=done,
        status=status_of(counts, done, planes, marked=bool(table.areas)),
    )


def planes_now(image: ProjectImage, table: BoxTable) -> list[ProjectPlane]:
    """Return the planes of an image with the counts and the states that its table has now."""
    counts = _counts(table)
    marked = {area.plane for area in table.areas}
    found = []
    for index in dict.fromkeys([*image.planes(), *sorted({*counts, *table.finished})]):
        here = counts.get(index, {})
        status = status_of(here, int(index in table.finished), 1, marked=index in marked)
        found.append(ProjectPlane(image.plane_name(index), image, index, status, here))
    return found


def _counts(table: BoxTable) -> dict[PlaneIndex, Counts]:
    boxes = table.take()
    names, number = boxes.class_names, len(boxes.class_names)
    codes = (boxes.planes.astype(np.int64) * max(number, 1) + boxes.labels) * len(STATES) + boxes.states
    found: dict[PlaneIndex, Counts] = {}
    order = {name: at for at, name in enumerate(table.classes)}
    keys, numbers = np.unique(codes, return_counts=True)
    rows = []
    for key, n in zip(keys.tolist(), numbers.tolist(), strict=True):
        rest, state = divmod(key, len(STATES))
        plane, label = divmod(rest, max(number, 1))
        rows.append((order.get(names[label], number), boxes.plane_indices[plane], names[label], STATES[state], n))
    for _, index, name, state, n in sorted(rows, key=lambda row: row[0]):
        found.setdefault(index, {}).setdefault(name, {})[state] = n
    return found


def _merged(counts: dict[PlaneIndex, Counts]) -> Counts:
    whole: Counts = {}
    for part in counts.values():
        for name, by_state in part.items():
            mine = whole.setdefault(name, {})
            for state, n in by_state.items():
                mine[state] = mine.get(state, 0) + n
    return whole
