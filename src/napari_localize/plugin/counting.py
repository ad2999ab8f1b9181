"""What is counted in a viewer, a layer of boxes or a whole project: its planes, and which of them were drawn by lot."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_localize.core.annotations import plane_name
from napari_localize.core.errors import UserError
from napari_localize.core.lots import Lot, Place
from napari_localize.evaluation.units import CountedPlane, planes_of_rows
from napari_localize.models.card import ModelCard, read_card
from napari_localize.models.registry import find_model
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import METADATA, usual_axes
from napari_localize.plugin.opening import layer_of, open_images, open_in
from napari_localize.plugin.window import show_plane
from napari_localize.project.counting import image_planes, project_planes
from napari_localize.project.lots import lot_of, set_lot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Points, Shapes

    from napari_localize.project import Project, ProjectImage

UNSAVED = "boxes.json"
"""Stands in a command for the boxes of a layer that are in no project."""

_LOT = "lot"
"""Entry of a layer's metadata."""

Planes = dict[Place, CountedPlane]


class Counted(Protocol):
    """What a count is made of."""

    @property
    def lot(self) -> Lot:
        """The planes drawn by lot."""

    def keep_lot(self, lot: Lot) -> None:
        """Remember planes that were drawn; raises UserError when they cannot be stored."""

    def open_planes(self) -> Planes:
        """Return the planes whose boxes are open in the viewer, as they are now."""

    def stored_planes(self, progress: Callable[[int, int], None]) -> Planes:
        """Return the other planes; may take long, and may be called on another thread."""

    def show(self, place: Place) -> None:
        """Bring a plane into view; raises UserError when it cannot be opened."""

    @property
    def command(self) -> str:
        """The arguments by which ``napari-localize count`` counts the same."""


class CountedLayer:
    """The planes of one layer of boxes."""

    def __init__(self, viewer: Any, layer: Shapes | Points) -> None:
        self._viewer, self.layer = viewer, layer

    @property
    def _image(self) -> ProjectImage | None:
        return keeper_of(self._viewer).image_of(self.layer)

    @property
    def lot(self) -> Lot:
        image = self._image
        noted = Lot.from_values(self.layer.metadata.get(METADATA, {}).get(_LOT))
        stored = Lot() if image is None else lot_of(image.project, image.id)
        if stored.places:
            return stored
        # The layer may have been kept elsewhere when the planes were drawn.
        number = 0 if image is None else image.id
        return Lot(noted.seed, tuple((number, index) for _, index in noted.places))

    def keep_lot(self, lot: Lot) -> None:
        image = self._image
        if image is not None and not image.project.read_only_reason:
            set_lot(image.project, lot, image.id)
        self.layer.metadata[METADATA] = {**self.layer.metadata.get(METADATA, {}), _LOT: lot.as_values()}

    def open_planes(self) -> Planes:
        boxes, image, lot = box_layer(self.layer), self._image, self.lot
        table = boxes.table
        if image is not None:
            return image_planes(image, table.take(), table.finished, table.areas, lot)
        names = {index: _name(boxes, index) for index in _indices(boxes)}
        drawn = {index for _, index in lot.places}
        planes = planes_of_rows(table.take(), names, table.finished, table.areas, drawn)
        return {(0, index): plane for index, plane in planes.items()}

    def stored_planes(self, progress: Callable[[int, int], None]) -> Planes:
        return {}

    def show(self, place: Place) -> None:
        show_plane(self._viewer, self.layer, place[1])
        self._viewer.layers.selection.active = self.layer

    @property
    def command(self) -> str:
        image, project = self._image, keeper_of(self._viewer).project
        if image is None or image.project is not project:
            return f'"{UNSAVED}"'
        return f'"{project.path}" --image "{image.name}"'


class CountedProject:
    """The planes of all images of a project."""

    def __init__(self, viewer: Any, project: Project) -> None:
        self._viewer, self.project = viewer, project

    @property
    def lot(self) -> Lot:
        return lot_of(self.project)

    def keep_lot(self, lot: Lot) -> None:
        set_lot(self.project, lot)

    def open_planes(self) -> Planes:
        lot, planes = self.lot, Planes()
        for layer, image in open_images(self._viewer, self.project):
            table = box_layer(layer).table
            planes.update(image_planes(image, table.take(), table.finished, table.areas, lot))
        return planes

    def stored_planes(self, progress: Callable[[int, int], None]) -> Planes:
        return project_planes(self.project, progress=progress)

    def planes_of(self, images: Collection[int]) -> Planes:
        """Return the planes of some images, by number, as they are stored."""
        if not images:
            return {}
        return project_planes(self.project, [image for image in self.project.images() if image.id in images])

    def show(self, place: Place) -> None:
        image = self.project.image(place[0])
        layer = layer_of(self._viewer, image)
        if layer is not None:
            show_plane(self._viewer, layer, place[1])
            self._viewer.layers.selection.active = layer
            return
        plane = next((one for one in self.project.planes(image) if one.index == place[1]), image)
        open_in(self._viewer, plane, replace=True)

    @property
    def command(self) -> str:
        return f'"{self.project.path}"'


def draw_by_lot(counted: Counted, planes: Mapping[Place, CountedPlane], number: int) -> Lot:
    """Draw so many more of the planes that nobody has finished, remember them, and return all that were drawn."""
    free = [place for place, plane in planes.items() if plane.known is None]
    lot = counted.lot.drawn(number, free)
    counted.keep_lot(lot)
    return lot


def next_drawn(lot: Lot, planes: Mapping[Place, CountedPlane]) -> Place | None:
    """Return the first plane of a lot, in the order of drawing, that is not finished."""
    return next((place for place in lot.places if place in planes and planes[place].known is None), None)


def card_of(planes: Mapping[Place, CountedPlane]) -> ModelCard | None:
    """Return the card of the model that most boxes are from, where it is installed."""
    numbers: dict[str, int] = {}
    for plane in planes.values():
        names, counts = np.unique(plane.found.origins, return_counts=True)
        for name, number in zip(names.tolist(), counts.tolist(), strict=True):
            numbers[name] = numbers.get(name, 0) + number
    if not numbers:
        return None
    try:
        return read_card(find_model(max(numbers, key=lambda name: numbers[name])))
    except UserError:
        return None


def _indices(boxes: BoxLayer) -> list[tuple[int, ...]]:
    leading = boxes.layer.ndim - 2
    known = tuple(boxes.image_info.get("planes", ()))
    seen = boxes.planes()
    sizes = known if len(known) == leading else tuple(max((p[a] + 1 for p in seen), default=1) for a in range(leading))
    return list(dict.fromkeys([*np.ndindex(*sizes), *seen]))


def _name(boxes: BoxLayer, index: tuple[int, ...]) -> str:
    info = boxes.image_info
    axes = list(info.get("axes", ()))
    axes = axes if len(axes) == len(index) else list(usual_axes(len(index)))
    name = str(info.get("file") or info.get("name") or boxes.layer.name)
    return plane_name(name, dict(zip(axes, index, strict=True)))
