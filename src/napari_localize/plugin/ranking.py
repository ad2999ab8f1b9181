"""In which order the images and planes of a project are best finished."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_localize.core.boxes import ROUNDING, STATE_CODES, BoxRows, PlaneIndex
from napari_localize.evaluation.calibration import probability
from napari_localize.evaluation.queue import Candidates, Reason, even, rank_planes
from napari_localize.plugin.queueing import calibration_of
from napari_localize.plugin.thresholds import threshold_of
from napari_localize.project.filters import filter_of
from napari_localize.project.journal import finished_of
from napari_localize.project.points import point_size_of
from napari_localize.project.rows import rows_of_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_localize.core.table import Filter
    from napari_localize.project import Project, ProjectImage

_PLANE_BITS = 23
"""A plane within its image needs no more."""

_ANY_SIZE = (0.0, math.inf)


class Ranked(NamedTuple):
    """A plane to be finished, and why it comes now."""

    image: int
    index: PlaneIndex
    reason: Reason


def rank_project(
    project: Project,
    images: Sequence[ProjectImage],
    progress: Callable[[int, int], None] | None = None,
) -> list[Ranked]:
    """Say in which order planes that are not finished are best looked at: where a model is in doubt about most boxes.

    Every fifth is drawn by lot, see `evaluation.queue.rank_planes`. Guesses that are not shown do not count.

    Parameters
    ----------
    project : Project
    images : sequence of ProjectImage
    progress : callable, optional
        Called with how many images are done and how many there are; what it raises stops it all.

    Returns
    -------
    list of Ranked
        All planes that are not finished; those without guesses come last, but for those drawn by lot.

    Raises
    ------
    UserError
        When the project cannot be read.
    """
    thresholds: dict[str, float] = {}
    places: list[tuple[int, PlaneIndex]] = []
    keys: list[int] = []
    parts: list[Candidates] = []
    classes: dict[str, int] = {}
    for number, image in enumerate(images):
        if progress is not None:
            progress(number, len(images))
        if image.status == "finished":
            continue
        project.settle(image.id)
        with project.database.reading() as connection:
            rows, finished = rows_of_image(connection, image.id), finished_of(connection, image.id)
            shown, sized = filter_of(connection, image.id), point_size_of(connection, image.id) is None
        key_of = {}
        for at, index in enumerate(image.planes()):
            if index not in finished:
                key_of[index] = image.id << _PLANE_BITS | at
                places.append((image.id, index))
                keys.append(key_of[index])
        for name in rows.origin_names:
            thresholds.setdefault(name, threshold_of(name, project))
        parts.append(_candidates(rows, key_of, thresholds, shown, sized, classes))
    if not keys:
        return []
    everything = Candidates(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("keys", "planes", "labels", "chances", "sizes")
        )
    )
    return [Ranked(*places[entry.row], entry.reason) for entry in rank_planes(keys, everything)]


def _candidates(
    rows: BoxRows,
    key_of: dict[PlaneIndex, int],
    thresholds: dict[str, float],
    shown: Filter | None,
    sized: bool,
    classes: dict[str, int],
) -> Candidates:
    """Return the guesses that are shown, on planes that are not finished."""
    planes = np.array([key_of.get(index, -1) for index in rows.plane_indices], np.int64)[rows.planes]
    diameters = np.sqrt((rows.boxes[:, 2:] - rows.boxes[:, :2]).prod(axis=1)).astype(np.float64)
    usual = np.array([thresholds[name] for name in rows.origin_names])[rows.origins]
    lowest, (smallest, largest) = (usual, _ANY_SIZE) if shown is None else shown
    kept = (rows.states == STATE_CODES["proposed"]) & (planes >= 0) & ~(rows.scores < lowest - ROUNDING)
    if sized:
        kept &= (diameters >= smallest) & (diameters <= largest)
    numbers = np.array([classes.setdefault(name, len(classes)) for name in rows.class_names], np.int64)
    rows, planes, diameters = rows[kept], planes[kept], diameters[kept]
    return Candidates(rows.ids, planes, numbers[rows.labels], _chances(rows, thresholds), diameters)


def _chances(rows: BoxRows, thresholds: dict[str, float]) -> NDArray[np.float64]:
    """Return the probability that each box is right; where a card does not tell, scores with the threshold as 0.5."""
    chances = np.ones(len(rows))
    names = np.array([*rows.class_names, ""])[rows.labels]
    for code, origin in enumerate(rows.origin_names):
        mine = rows.origins == code
        calibration = calibration_of(origin)
        if calibration is not None:
            chances[mine] = probability(rows.scores[mine], names[mine], calibration)
        else:
            chances[mine] = even(rows.scores[mine], thresholds[origin] or 0.5)
    return chances
