"""What a person has finished on images of a project that are not open in the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_localize.core.annotations import split_plane_name
from napari_localize.core.boxes import STATE_CODES, BoxRows, PlaneIndex
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.steps import Classes
from napari_localize.core.table import APPROVED
from napari_localize.formats.sources import planes_of
from napari_localize.plugin.pairs import Judged
from napari_localize.project import ProjectImage
from napari_localize.project.journal import areas_of, finished_of
from napari_localize.project.names import classes_of
from napari_localize.project.points import point_size_of
from napari_localize.project.rows import rows_of_image


@dataclass
class Unopened:
    """The finished planes of images by number, and sentences on images that cannot be read."""

    planes: dict[int, list[Judged]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)


def finished_on(images: Sequence[ProjectImage], progress: Callable[[int, int], None] | None = None) -> Unopened:
    """Return the planes of images that are finished, wholly or in part, as they are on disk; no pixels are read.

    Parameters
    ----------
    images : sequence of ProjectImage
    progress : callable, optional
        Called with how many images are done and how many there are; what it raises stops it all.

    Raises
    ------
    UserError
        When the project cannot be read.
    """
    found = Unopened()
    for number, image in enumerate(images):
        if progress is not None:
            progress(number, len(images))
        if image.status not in ("in work", "finished"):
            continue
        with image.project.database.reading() as connection:
            rows, classes = rows_of_image(connection, image.id), classes_of(connection)
            finished, areas = finished_of(connection, image.id), areas_of(connection, image.id)
            points = point_size_of(connection, image.id) is not None
        chosen = finished | {area.plane for area in areas if area.kind == "reviewed"}
        if not chosen:
            continue
        try:
            path = image.file()
            sources = {tuple(sorted(position.items())): source for position, source in planes_of(path)}
        except UserError as error:
            found.problems[image.id] = str(error)
            continue
        parts = rows.parts()
        planes = []
        for index in sorted(chosen):
            source = _source(image.plane_name(index), sources)
            if source is None:
                found.problems[image.id] = f"{image.plane_name(index)} is finished, but {path} has no such plane."
                continue
            known = KnownArea.of(tuple(area for area in areas if area.plane == index), index in finished)
            here = parts.get(index, BoxRows.empty())
            approved, denied = (_in_states(here, index, states, classes) for states in (APPROVED, ("rejected",)))
            if known is not None:
                name, whole = image.plane_name(index), index in finished
                planes.append(Judged(name, source, approved, denied, known, whole, str(path), points))
        found.planes[image.id] = planes
    return found


def _source(name: str, sources: dict[tuple[tuple[str, int], ...], PlaneSource]) -> PlaneSource | None:
    """Return the pixels of a plane; a file with a single one has it whatever it is called."""
    position = tuple(sorted(split_plane_name(name)[1].items()))
    return sources.get(position, next(iter(sources.values())) if len(sources) == 1 else None)


def _in_states(rows: BoxRows, plane: PlaneIndex, states: Sequence[str], classes: Classes) -> Detections:
    codes = [STATE_CODES[state] for state in states]
    return rows[np.isin(rows.states, codes)].detections(plane, classes)
