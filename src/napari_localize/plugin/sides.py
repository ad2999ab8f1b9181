"""The two sides of an evaluation, from layers and files: what was found, and what is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE, typical_size
from napari_localize.core.steps import Area
from napari_localize.core.table import APPROVED
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import image_planes, is_points, possible_channel_axes
from napari_localize.plugin.measuring import layer_pixel_size
from napari_localize.plugin.pairs import Judged, channel_axis_of, fits, image_of, judged_planes, names_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points, Shapes

    from napari_localize.core.planes import PlaneSource

_PRESENT = frozenset(STATES) - {"rejected"}


@dataclass(frozen=True)
class Side:
    """Boxes by plane, named as `plugin.marks` finds the planes.

    Attributes
    ----------
    planes : Annotations
    sources : dict of str to PlaneSource
        Pixels of the planes.
    words : str
        Where they come from.
    path : str or None
        The file, where it is one.
    pixel_size : float or None
        Micrometres per pixel, by the image layer.
    """

    planes: Annotations
    words: str
    sources: dict[str, PlaneSource] = field(default_factory=dict)
    path: str | None = None
    pixel_size: float | None = None


def layer_found(layer: Shapes | Points, layers: Iterable[Layer]) -> Side:
    """Return all boxes of a layer that nobody has rejected, whatever their score.

    Raises
    ------
    UserError
        When it is not clear which image the layer belongs to.
    """
    boxes = box_layer(layer)
    image = _image_for(layer, list(layers))
    planes = {plane.index: plane for plane in image_planes(image, channel_axis_of(boxes, image))}
    names = {index: plane_name(image.name, plane.position) for index, plane in planes.items()}
    found = {names[index]: part for index, part in boxes.by_plane(_PRESENT, hidden=True).items() if index in names}
    sources = {names[index]: plane.source for index, plane in planes.items()}
    return Side(Annotations(found, points=is_points(layer)), f"the layer '{layer.name}'", sources)


def layer_truth(layer: Shapes | Points, layers: Iterable[Layer]) -> Side:
    """Return what a layer says to be there.

    Where boxes were judged, only those; where something is marked as finished, only there; otherwise on all planes that
    have boxes.

    Raises
    ------
    UserError
        When it is not clear which image the layer belongs to, or nothing is there.
    """
    boxes = box_layer(layer)
    image = _image_for(layer, list(layers))
    planes = {plane.index: plane for plane in image_planes(image, channel_axis_of(boxes, image))}
    judged = boxes.by_plane(APPROVED)
    there = judged or boxes.by_plane(_PRESENT)
    areas: dict[tuple[int, ...], list[Area]] = {}
    for area in boxes.areas:
        areas.setdefault(area.plane, []).append(area)
    chosen = {*there, *boxes.finished, *areas} & set(planes)
    if not chosen:
        raise UserError(f"the layer '{layer.name}' has no boxes to compare with; choose another one, or draw some.")
    names = {index: plane_name(image.name, planes[index].position) for index in sorted(chosen)}
    empty = Detections.empty(tuple(boxes.classes))
    truth = Annotations(
        {name: there.get(index, empty) for index, name in names.items()},
        reviewed=[name for index, name in names.items() if index in boxes.finished],
        areas={name: areas[index] for index, name in names.items() if index in areas},
        points=is_points(layer),
    )
    sources = {name: planes[index].source for index, name in names.items()}
    return Side(truth, f"the layer '{layer.name}'", sources, pixel_size=layer_pixel_size(image))


def reviewed_truth(layers: Iterable[Layer], unopened: Sequence[Judged] = (), problems: Sequence[str] = ()) -> Side:
    """Return the approved boxes of the planes and areas that a person has finished.

    Parameters
    ----------
    layers : iterable of Layer
        All layers of the viewer.
    unopened : sequence of Judged
        Planes of a project whose images are not open.
    problems : sequence of str
        What of the project cannot be read, for the notes.

    Raises
    ------
    UserError
        When nothing is finished.
    """
    layers = list(layers)
    judged = [plane for plane in (*judged_planes(layers), *unopened) if plane.reviewed]
    if not judged:
        raise UserError("no plane or area is finished; finish some in Review, or compare with a layer or a file.")
    areas = {
        plane.name: [
            *(Area((), rectangle, "reviewed") for rectangle in plane.known.reviewed or ()),
            *(Area((), rectangle, "ignored") for rectangle in plane.known.ignored),
        ]
        for plane in judged
    }
    truth = Annotations(
        {plane.name: plane.approved for plane in judged},
        reviewed=[plane.name for plane in judged if plane.finished],
        areas=areas,
        points=all(plane.points for plane in judged),
        notes=[f"{problem} It was left out." for problem in problems],
    )
    names = {plane.name for plane in judged}
    sizes = [layer_pixel_size(image) for image in _images(layers) if any(name.startswith(image.name) for name in names)]
    return Side(
        truth,
        "what was finished in Review",
        {plane.name: plane.source for plane in judged},
        pixel_size=sizes[0] if len(set(sizes)) == 1 else None,
    )


def file_truth(path: str, layers: Iterable[Layer]) -> Side:
    """Return the boxes of an annotation file on the images that are open.

    Raises
    ------
    UserError
        When the file cannot be read, or none of its images is open.
    """
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; choose another file.") from error
    data = _read_once(path, changed)
    planes: dict[str, Detections] = {}
    old_names: dict[str, str] = {}
    sources: dict[str, PlaneSource] = {}
    for image in _images(layers):
        for axis in possible_channel_axes(image):
            known = {tuple(sorted(plane.position.items())): plane for plane in image_planes(image, axis)}
            for name, part in data.items():
                file, position = split_plane_name(name)
                plane = known.get(tuple(sorted(position.items())))
                ours = {file, Path(file).name, Path(file).stem} & names_of(image)
                if plane is None or not ours or name in old_names.values():
                    continue
                new = plane_name(image.name, plane.position)
                planes[new], old_names[new], sources[new] = part, name, plane.source
    if not planes:
        first = next(iter(data), "none")
        raise UserError(f"none of the images that {path} is about is open; open them first, such as {first!r}.")
    left = len(data) - len(planes)
    notes = [*data.notes, *([f"{left} planes of {Path(path).name} are not open and were left out."] if left else [])]
    truth = Annotations(
        planes,
        class_names=data.class_names,
        notes=notes,
        reviewed=[new for new, old in old_names.items() if old in data.reviewed],
        areas={new: data.areas[old] for new, old in old_names.items() if old in data.areas},
        points=data.points,
    )
    return Side(truth, Path(path).name, sources, path=path)


@lru_cache(maxsize=1)
def _read_once(path: str, changed: int) -> Annotations:
    """Keep the last file, which is asked for again whenever a layer changes."""
    from napari_localize.formats import read_annotations

    return read_annotations(path)


def hit_distance(truth: Side, found: Side | None, chosen: float | None) -> float | None:
    """Return the largest distance of a hit in pixels; None where boxes are compared by their overlap.

    Parameters
    ----------
    truth : Side
    found : Side or None
        Either side may be points.
    chosen : float or None
        None for half the size of the objects.
    """
    if not (truth.planes.points or (found is not None and found.planes.points)):
        return None
    return chosen or (typical_size(truth.planes.values()) or POINT_SIZE) / 2


def on_planes_of(found: Side, truth: Side) -> tuple[Annotations, list[str]]:
    """Return what was found on the planes of the truth, and a remark on what is left out.

    Raises
    ------
    UserError
        When they have no plane in common.
    """
    if not set(found.sources) & set(truth.planes):
        raise UserError(f"{found.words} and {truth.words} are of different images; choose two that belong together.")
    kept = {name: part for name, part in found.planes.items() if name in truth.planes}
    left = sum(len(part) for name, part in found.planes.items() if name not in kept)
    notes = [f"{left:,} boxes on other planes were left out, as nothing is known of these."] if left else []
    return Annotations(kept, points=found.planes.points), notes


def _image_for(layer: Shapes | Points, layers: Sequence[Layer]) -> Image:
    """Return the image of a layer; one that names none belongs to the only one that there is."""
    image = image_of(layer, layers)
    if image is None and not box_layer(layer).image_info.get("name"):
        fitting = [one for one in _images(layers) if fits(layer, one)]
        image = fitting[0] if len(fitting) == 1 else None
    if image is None:
        raise UserError(
            f"it is not clear which image {layer.name!r} belongs to; open the image that its boxes were made on."
        )
    return image


def _images(layers: Iterable[Layer]) -> list[Image]:
    return [layer for layer in layers if type(layer).__name__ == "Image"]
