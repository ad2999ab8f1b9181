"""The planes of a project as counts need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_localize.core.lots import Lot, Place
from napari_localize.evaluation.units import CountedPlane, planes_of_rows
from napari_localize.project.journal import areas_of, finished_of
from napari_localize.project.lots import lot_of
from napari_localize.project.rows import rows_of_image

if TYPE_CHECKING:
    from napari_localize.core.boxes import BoxRows
    from napari_localize.core.steps import Areas, Finished
    from napari_localize.project.image import ProjectImage
    from napari_localize.project.project import Project


def project_planes(
    project: Project,
    images: Sequence[ProjectImage] | None = None,
    lot: Lot | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Place, CountedPlane]:
    """Return all planes of a project, or of some images, with what a model found and a person says.

    Parameters
    ----------
    project : Project
    images : sequence of ProjectImage, optional
    lot : Lot, optional
        What was drawn; by default from the whole project.
    progress : callable, optional
        Called with how many images are done and how many there are; what it raises stops it all.

    Raises
    ------
    UserError
        When the project cannot be read.
    """
    images = project.images() if images is None else images
    lot = lot_of(project) if lot is None else lot
    planes: dict[Place, CountedPlane] = {}
    for number, image in enumerate(images):
        if progress is not None:
            progress(number, len(images))
        project.settle(image.id)
        with project.database.reading() as connection:
            rows = rows_of_image(connection, image.id)
            finished, areas = finished_of(connection, image.id), areas_of(connection, image.id)
        planes.update(image_planes(image, rows, finished, areas, lot))
    return planes


def image_planes(
    image: ProjectImage, rows: BoxRows, finished: Finished, areas: Areas, lot: Lot
) -> dict[Place, CountedPlane]:
    """Return the planes of an image from all of its boxes, stored or as they are just now."""
    indices = dict.fromkeys([*image.planes(), *sorted(rows.used_planes() | finished)])
    names = {index: image.plane_name(index) for index in indices}
    drawn = {index for number, index in lot.places if number == image.id}
    found = planes_of_rows(rows, names, finished, areas, drawn)
    return {(image.id, index): plane for index, plane in found.items()}
