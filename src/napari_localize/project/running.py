"""A model run on the images of a project, one after the other; what has been done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE, typical_size
from napari_localize.core.table import BoxTable
from napari_localize.project.filters import set_filter
from napari_localize.project.journal import areas_of, finished_of
from napari_localize.project.names import classes_of
from napari_localize.project.points import point_size_of, set_point_size
from napari_localize.project.rows import rows_of_image
from napari_localize.project.runs import as_noted, note_run, noted

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    for number, listed in enumerate(images):

        def tell(part: float, number: int = number, name: str = listed.name) -> None:
            if progress is not None:
                progress(number + min(part, 0.99), len(images), name)

        tell(0.0)
        # The project may have another folder by now, and the image may be gone.
        image = _now(project, listed)
        if image is None:
            continue
        with project.database.reading() as connection:
            done = noted(connection, image.id) == as_noted(connection, image.id, how)
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
                kept = _store(image, found, origin, how, points, shown)
                if stored is not None:
                    stored(image)
            else:
                # Only when the boxes are on disk may it say that there is nothing to be done again.
                project.settle(image.id)
                with project.database.transaction() as connection:
                    note_run(connection, image.id, how)
        except UserError:
            if _now(project, image) is not None:
                raise
            continue
        report.kept += kept
        report.images += 1
        report.planes += len(found)
        report.boxes += sum(int((part.scores >= lowest).sum()) for part in found.values())
    return report


def _now(project: Project, image: ProjectImage) -> ProjectImage | None:
    return next((known for known in project.images() if known.id == image.id), None)


def plane_sources(image: ProjectImage) -> dict[PlaneIndex, PlaneSource]:
    """Return the planes of an image's file by index; their pixels are read when they are asked for.

    Boxes that were made on a layer may know an axis of length 1 more or less than the file, and channels as planes.

    Raises
    ------
    UserError
        When the file is missing, has changed, cannot be read, or has other planes.
    """
    from napari_localize.formats.images import open_image

    file = open_image(image.file())
    own = {tuple(position.values()): source for position, source in file.planes()}
    if not image.axes:
        return own
    wanted = image.planes()
    sizes = dict(zip(file.axes, file.shape, strict=True))
    of_boxes = _long(n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "YXCS")
    outer = [axis for axis in file.axes if axis not in "YXCS"]
    if _long(sizes[axis] for axis in outer) == of_boxes:
        return dict(zip(wanted, own.values(), strict=True))
    order = [axis for axis in file.axes if axis not in "YXS"]
    if "C" in outer or "S" in sizes or _long(sizes[axis] for axis in order) != of_boxes:
        raise UserError(f"{image.path} has other planes than its boxes were made on; add the file as a new image.")
    sources: dict[PlaneIndex, PlaneSource] = {}
    for index, place in zip(wanted, np.ndindex(*(sizes[axis] for axis in order)), strict=True):
        at = dict(zip(order, place, strict=True))
        channel = at.pop("C")
        sources[index] = _Channel(own[tuple(at.values())], channel)
    return sources


def _long(sizes: Iterable[int]) -> list[int]:
    return [n for n in sizes if n != 1]


@dataclass(frozen=True)
class _Channel:
    """One channel of a plane."""

    source: PlaneSource
    channel: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.source.shape[:2], 1)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        return self.source.read(y0, y1, x0, x1)[..., self.channel : self.channel + 1]


def _store(
    image: ProjectImage, found: Found, origin: str, how: Mapping[str, object], points: bool, shown: Filter | None
) -> int:
    """Put what was found into the project, in one piece: what a person does meanwhile comes before it or after it."""
    project = image.project
    project.settle(image.id)
    with project.database.transaction() as connection:
        rows, size = rows_of_image(connection, image.id), point_size_of(connection, image.id)
        if points and not len(rows) and size is None:
            lowest = 0.0 if shown is None else shown[0]
            size = typical_size(part[part.scores >= lowest] for part in found.values()) or POINT_SIZE
            set_point_size(connection, image.id, size)
        if shown is not None:
            set_filter(connection, image.id, shown)
        table = BoxTable(
            classes_of(connection), finished_of(connection, image.id), areas_of(connection, image.id), size
        )
        table.load(rows)
        table.journal = image.journal()
        if shown is not None:
            table.min_score = shown[0]
        kept = table.propose(found, origin)
        note_run(connection, image.id, how)
    return kept


def _how(origin: str, settings: PredictSettings) -> dict[str, object]:
    """Say how a model runs, as far as it matters for what is found."""
    names = ("threshold", "object_diameter", "pixel_size", "channel")
    return {"model": origin, **{name: getattr(settings, name) for name in names}}
