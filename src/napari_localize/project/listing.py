"""Images and planes with their counts, from the summary that is kept beside the boxes."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.detections import STATES
from napari_localize.project.image import Counts, ProjectImage, Status
from napari_localize.project.names import position_of, shape_of, text_of

if TYPE_CHECKING:
    from napari_localize.project.project import Project


@dataclass(frozen=True)
class ProjectPlane:
    """A plane of an image.

    Attributes
    ----------
    name : str
        Such as ``movie.tif#t=3``, or that of the image where it has only this plane.
    image : ProjectImage
    index : tuple of int
        Where it lies along the leading axes of the image.
    status : {"untouched", "predicted", "in work", "finished"}
    counts : dict of str to dict of str to int
        Number of boxes by class and state.
    """

    name: str
    image: ProjectImage
    index: PlaneIndex
    status: Status
    counts: Counts


def list_images(project: Project, connection: sqlite3.Connection) -> list[ProjectImage]:
    """Return all images, in the order in which they were added."""
    counts: dict[int, Counts] = defaultdict(dict)
    for image, name, state, boxes in connection.execute(
        "SELECT image, classes.name, state, SUM(boxes) FROM summary JOIN planes ON planes.id = plane "
        "JOIN classes ON classes.id = class GROUP BY image, class, state ORDER BY rank, state"
    ):
        counts[image].setdefault(name, {})[STATES[state]] = boxes
    finished = dict(connection.execute("SELECT image, SUM(finished) FROM planes GROUP BY image"))
    marked = {image for (image,) in connection.execute("SELECT image FROM areas JOIN planes ON planes.id = plane")}
    found = []
    for key, name, path, axes, text in connection.execute("SELECT id, name, path, axes, shape FROM images ORDER BY id"):
        shape = shape_of(axes, text)
        planes = math.prod(n for axis, n in zip(axes, shape, strict=True) if axis not in "YXCS")
        done = finished.get(key, 0)
        status = status_of(counts[key], done, planes, marked=key in marked)
        found.append(ProjectImage(project, key, name, path, axes, shape, status, counts[key], done))
    return found


def list_planes(
    project: Project, connection: sqlite3.Connection, image: ProjectImage | None = None
) -> list[ProjectPlane]:
    """Return the planes of an image, or of all."""
    counts: dict[tuple[int, str], Counts] = defaultdict(dict)
    where, values = ("", ()) if image is None else (" WHERE image = ?", (image.id,))
    for key, position, name, state, boxes in connection.execute(
        "SELECT image, position, classes.name, state, boxes FROM summary JOIN planes ON planes.id = plane "
        f"JOIN classes ON classes.id = class{where} ORDER BY rank, state",
        values,
    ):
        counts[key, position].setdefault(name, {})[STATES[state]] = boxes
    known: dict[tuple[int, str], bool] = {
        (key, position): bool(done)
        for key, position, done in connection.execute(f"SELECT image, position, finished FROM planes{where}", values)
    }
    marked = set(connection.execute("SELECT image, position FROM areas JOIN planes ON planes.id = plane"))
    extra: dict[int, list[PlaneIndex]] = defaultdict(list)
    for key, position in known:
        extra[key].append(position_of(position))
    found = []
    for each in list_images(project, connection) if image is None else [image]:
        # Where the axes say something else than the boxes, no plane with boxes may go missing.
        indices = dict.fromkeys([*each.planes(), *sorted(extra[each.id])])
        for index in indices:
            place = (each.id, text_of(index))
            status = status_of(counts[place], int(known.get(place, False)), 1, marked=place in marked)
            found.append(ProjectPlane(each.plane_name(index), each, index, status, counts[place]))
    return found


def status_of(counts: Counts, finished: int, planes: int, *, marked: bool) -> Status:
    """Return the status of an image or a plane.

    Parameters
    ----------
    counts : dict of str to dict of str to int
        Its boxes by class and state.
    finished, planes : int
        How many of how many planes are finished.
    marked : bool
        Whether there are areas that a person has finished, or wants to be ignored.
    """
    if finished >= planes:
        return "finished"
    states = {state for by_state in counts.values() for state in by_state}
    if finished or marked or states - {"proposed"}:
        return "in work"
    return "predicted" if states else "untouched"
