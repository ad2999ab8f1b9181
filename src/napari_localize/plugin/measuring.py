"""Measuring the boxes of a layer on its image: what is to be done is taken from the layers, the rest needs none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.known import KnownArea
from napari_localize.measurements import Measurements, measure_plane, tables
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import Plane, image_planes
from napari_localize.plugin.measured import Lookup
from napari_localize.plugin.pairs import channel_axis_of, image_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points, Shapes

    from napari_localize.core.boxes import PlaneIndex

_ALIKE = 0.01
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class PlaneTask:
    """A plane with its boxes as they are now."""

    plane: Plane
    detections: Detections
    known: KnownArea | None


@dataclass(frozen=True)
class MeasuringTask:
    """What is to be measured; holds pixels of layers, but no layers.

    Attributes
    ----------
    name : str
        The image, as annotation files name it.
    planes : tuple of PlaneTask
        Those that have boxes, or on which something is marked as reviewed.
    marked : bool
        Whether something is marked as reviewed on any plane.
    pixel_size : float or None
        Micrometres per pixel where they are known already.
    size_from : str
        Where they come from, in words.
    path : str or None
        The file that may know them otherwise.
    channel_names : tuple of str or None
    revision : int
        State of the boxes; see `BoxLayer.revision`.
    """

    name: str
    planes: tuple[PlaneTask, ...]
    marked: bool
    pixel_size: float | None
    size_from: str
    path: str | None
    channel_names: tuple[str, ...] | None
    revision: int

    @property
    def boxes(self) -> int:
        """How many boxes there are."""
        return sum(len(task.detections) for task in self.planes)


@dataclass(frozen=True)
class Measured:
    """The numbers of a layer.

    Attributes
    ----------
    task : MeasuringTask
        What was measured.
    tables : Measurements
    pixel_size : float or None
    size_from : str
        Where the pixel size comes from, in words, or why it is not known.
    lookup : Lookup
        The numbers by box.
    """

    task: MeasuringTask
    tables: Measurements
    pixel_size: float | None
    size_from: str
    lookup: Lookup


def measuring_task(layer: Shapes | Points, layers: Iterable[Layer], pixel_size: float | None = None) -> MeasuringTask:
    """Take down what is to be measured of a layer of boxes; reads no pixels.

    Boxes count that are not rejected, and guesses that the filter does not hide.

    Parameters
    ----------
    layer : Shapes or Points
    layers : iterable of Layer
        All layers of the viewer.
    pixel_size : float, optional
        Micrometres per pixel; by default what the image layer says, or else its file.

    Raises
    ------
    UserError
        When the layer belongs to no image, or has no boxes on it.
    """
    boxes, layers = box_layer(layer), list(layers)
    image = image_of(layer, layers)
    if image is None:
        raise UserError(
            f"it is not clear which image {layer.name!r} belongs to; open the image that its boxes were made on, "
            "or localize on the image anew."
        )
    planes = {plane.index: plane for plane in image_planes(image, channel_axis_of(boxes, image))}
    marked = bool(boxes.finished) or any(area.kind == "reviewed" for area in boxes.areas)
    found = boxes.by_plane(set(STATES) - {"rejected"}, also=_indices(boxes))
    tasks = [_plane_task(boxes, planes[index], found[index], marked) for index in found if index in planes]
    if not any(len(task.detections) for task in tasks) and not marked:
        raise UserError(f"{layer.name!r} has no boxes on {image.name!r}; localize first, or draw some.")
    info = boxes.image_info
    size_from = "as typed"
    if pixel_size is None:
        pixel_size, size_from = layer_pixel_size(image), f"from the layer '{image.name}'"
    return MeasuringTask(
        name=str(info.get("file") or image.name),
        planes=tuple(tasks),
        marked=marked,
        pixel_size=pixel_size,
        size_from=size_from,
        path=None if image.source.path is None else str(image.source.path),
        channel_names=_COLOURS if image.rgb else None,
        revision=boxes.revision,
    )


def _indices(boxes: BoxLayer) -> set[PlaneIndex]:
    flat = [()] if boxes.layer.ndim == 2 else []
    return {*boxes.planes(), *boxes.finished, *(area.plane for area in boxes.areas), *flat}


def _plane_task(boxes: BoxLayer, plane: Plane, found: Detections, marked: bool) -> PlaneTask:
    areas = [area for area in boxes.areas if area.plane == plane.index]
    known = KnownArea.of(areas, plane.index in boxes.finished or not marked)
    return PlaneTask(plane, found, known)


def layer_pixel_size(image: Image) -> float | None:
    """Return micrometres per pixel by the scale and the units of a layer; None when they are no lengths or differ."""
    sides = []
    for scale, unit in zip(np.asarray(image.scale)[-2:], tuple(getattr(image, "units", ()))[-2:], strict=False):
        try:
            sides.append(abs(float(scale)) * float((1 * unit).to("micrometer").magnitude))
        except (TypeError, ValueError, AttributeError):
            # Pixels are no length: pint raises a TypeError.
            return None
    if len(sides) < 2 or not 0 < min(sides) <= max(sides) < float("inf") or np.ptp(sides) > _ALIKE * max(sides):
        return None
    return float(np.mean(sides)) if np.ptp(sides) else sides[0]


class MeasuringJob:
    """Measures in the thread that asks for the result, and can be stopped from another one between two tiles.

    Parameters
    ----------
    task : MeasuringTask
    on_event : callable
        Gets ``{"event": "progress", "done": ..., "total": ...}``, in planes.
    """

    def __init__(self, task: MeasuringTask, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._task, self._on_event = task, on_event
        self._stop = threading.Event()

    def cancel(self) -> None:
        """Stop before the next tile is read."""
        self._stop.set()

    def result(self, timeout: float | None = None) -> Measured:
        """Measure.

        Raises
        ------
        Cancelled
            When `cancel` was called.
        UserError
            When the image cannot be read or a setting is wrong.
        """
        task = self._task
        size, size_from = (task.pixel_size, task.size_from) if task.pixel_size else self._file_size()
        parts = []
        for number, each in enumerate(task.planes):

            def heed(done: int, total: int, before: int = number) -> None:
                self._heed(before + done / total)

            self._heed(number)
            parts.append(
                measure_plane(
                    each.plane.source,
                    each.detections,
                    place={"file": task.name, **each.plane.position},
                    pixel_size=size,
                    channel_names=task.channel_names,
                    known=each.known,
                    marked=task.marked,
                    on_tile=heed,
                )
            )
        self._heed(len(task.planes))
        found = tables(parts)
        leading = {"file", *(axis for each in task.planes for axis in each.plane.position)}
        planes = [(each.plane.index, each.detections) for each in task.planes]
        return Measured(task, found, size, size_from, Lookup(found, planes, leading, lengths=size is not None))

    def _heed(self, done: float) -> None:
        if self._stop.is_set():
            raise Cancelled
        self._on_event({"event": "progress", "done": done, "total": len(self._task.planes)})

    def _file_size(self) -> tuple[float | None, str]:
        """Ask the file of the image, if that is what the layer shows."""
        from napari_localize.formats.images import open_image

        if self._task.path is None:
            return None, ""
        try:
            file = open_image(self._task.path)
        except UserError:
            # A file that only another plugin can read.
            return None, ""
        shape = self._task.planes[0].plane.source.shape if self._task.planes else ()
        if file.plane_shape[:2] != shape[:2]:
            return None, ""
        return file.pixel_size, f"from the file {file.path.name}" if file.pixel_size else file.pixel_size_note
