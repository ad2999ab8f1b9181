"""A model run on the images of a project, one after the other; what has been done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE, typical_size

if TYPE_CHECKING:
    import sqlite3

    from napari_localize.core.boxes import PlaneIndex
    from napari_localize.core.detections import Detections
    from napari_localize.core.planes import PlaneSource
    from napari_localize.core.settings import PredictSettings
    from napari_localize.core.table import Filter
    from napari_localize.project.image import ProjectImage
    from napari_localize.project.project import Project

Find = Callable[[Sequence["PlaneSource"], Callable[[float], None]], Sequence["Detections"]]
"""Finds the objects of some planes, and says now and then which part of them is done."""

Found = Mapping["PlaneIndex", "Detections"]

Show = Callable[["ProjectImage", Found], "int | None"]
"""Puts what was found on an image where it is open, and returns as `BoxTable.propose`; None where it is not open."""

Progress = Callable[[float, int, str], None]
"""Told how many images are done, how many there are, and which one is next."""


@dataclass
class RunReport:
    """What has become of a run.

    Attributes
    ----------
    images, planes, boxes : int
        How many were done, and how many boxes were found that are shown.
    kept : int
        Boxes left out because a person has judged the same object.
    before : list of str
        Images on which this model had run in the same way before.
    failed : dict of str to str
        Why, by name, images could not be used.
    """

    images: int = 0
    planes: int = 0
    boxes: int = 0
    kept: int = 0
    before: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def run_on(
    project: Project,
    images: Sequence[ProjectImage],
    find: Find,
    origin: str,
    settings: PredictSettings,
    *,
    again: bool = False,
    points: bool = False,
    shown: Filter | None = None,
    progress: Progress | None = None,
    show: Show | None = None,
    stored: Callable[[ProjectImage], None] | None = None,
) -> RunReport:
    """Put what a model finds on images in the place of what models had guessed there, as `Project.propose` does.

    Each image is stored as a whole as soon as it is done, so that a run that was stopped goes on where it was.

    Parameters
    ----------
    project : Project
    images : sequence of ProjectImage
    find : callable
        Runs the model.
    origin : str
        ``name@version`` of the model.
    settings : PredictSettings
        How it runs.
    again : bool
        Whether images are looked at on which this model has run with these settings before.
    points : bool
        Whether images that have no boxes yet get points at the centres.
    shown : (float, (float, float)), optional
        Lowest score and diameters of the guesses that are shown when the image is opened.
    progress, show : callable, optional
    stored : callable, optional
        Told of each image whose boxes have been changed in the project, as it was not open.

    Returns
    -------
    RunReport
        Images that cannot be read stop nothing else.

    Raises
    ------
    UserError
        When the project cannot be written.
    """
    report = RunReport()
    lowest = 0.0 if shown is None else shown[0]
    how = _how(origin, settings)
    for number, image in enumerate(images):

        def tell(part: float, number: int = number, name: str = image.name) -> None:
            if progress is not None:
                progress(number + part, len(images), name)

        tell(0.0)
        with project.database.reading() as connection:
            done = _noted(connection, image.id) == _as_noted(connection, image.id, how)
        if done and not again:
            report.before.append(image.name)
            continue
        try:
            sources = plane_sources(image)
            answers = find(list(sources.values()), tell)
        except UserError as error:
            report.failed[image.name] = str(error)
            continue
        found = dict(zip(sources, answers, strict=True))
        try:
            kept = None if show is None else show(image, found)
            if kept is None:
                kept = _store(image, found, origin, points, shown)
                if stored is not None:
                    stored(image)
            with project.database.transaction() as connection:
                _note(connection, image.id, how)
        except UserError:
            if any(known.id == image.id for known in project.images()):
                raise
            continue  # it was taken out of the project meanwhile
        report.kept += kept
        report.images += 1
        report.planes += len(found)
        report.boxes += sum(int((part.scores >= lowest).sum()) for part in found.values())
    return report


def plane_sources(image: ProjectImage) -> dict[PlaneIndex, PlaneSource]:
    """Return the planes of an image's file by index; their pixels are read when they are asked for.

    Raises
    ------
    UserError
        When the file is missing, has changed, or cannot be read.
    """
    from napari_localize.formats.images import open_image

    file = open_image(image.file())
    return {tuple(position.values()): source for position, source in file.planes()}


def _store(image: ProjectImage, found: Found, origin: str, points: bool, shown: Filter | None) -> int:
    if points and not image.counts:
        lowest = 0.0 if shown is None else shown[0]
        image.set_point_size(typical_size(part[part.scores >= lowest] for part in found.values()) or POINT_SIZE)
    if shown is not None:
        image.set_filter(shown)
    return image.load().table(image.journal()).propose(found, origin)


def _how(origin: str, settings: PredictSettings) -> dict[str, object]:
    """Say how a model runs, as far as it matters for what is found."""
    names = ("threshold", "object_diameter", "pixel_size", "channel")
    return {"model": origin, **{name: getattr(settings, name) for name in names}}


def _as_noted(connection: sqlite3.Connection, image: int, how: Mapping[str, object]) -> str:
    """Return the note of a run on an image as its file is now."""
    found = connection.execute("SELECT fingerprint FROM images WHERE id = ?", (image,)).fetchone()
    return json.dumps({**how, "file": found and found[0]})


def _noted(connection: sqlite3.Connection, image: int) -> str | None:
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (_key(image),)).fetchone()
    return None if found is None else str(found[0])


def _note(connection: sqlite3.Connection, image: int, how: Mapping[str, object]) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (_key(image), _as_noted(connection, image, how)),
    )


def forget_run(connection: sqlite3.Connection, image: int) -> None:
    """Forget that a model has run on an image, within the transaction of the caller."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_key(image),))


def _key(image: int) -> str:
    return f"run:{image}"
