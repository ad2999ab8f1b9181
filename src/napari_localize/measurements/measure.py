"""Measuring the objects of a plane, and of the planes of a stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_localize.core.areas import inside, union_area
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.measurements.intensity import OnTile, measure_intensities
from napari_localize.measurements.neighbors import nearest_neighbors, nearest_of_same_class
from napari_localize.measurements.tables import MeasuredPlane, Measurements, Reviewed, tables


def measure_planes(
    planes: Iterable[tuple[Mapping[str, int], PlaneSource]],
    detections: Detections | Mapping[tuple[int, ...], Detections],
    *,
    pixel_size: float | None = None,
    channel_names: Sequence[str] | None = None,
    reviewed: Any = None,
    ignored: Any = None,
) -> Measurements:
    """Measure one plane, or those of a stack that have detections.

    Parameters
    ----------
    planes : iterable of (position, plane)
        The position by axis, ``{"t": 0}``; empty for a single plane.
    detections, pixel_size, channel_names, reviewed, ignored
        As in `napari_localize.measure`.

    Raises
    ------
    UserError
        When planes and detections do not fit together, or a setting is wrong.
    """
    by_index = {tuple(position.values()): (position, plane) for position, plane in planes}
    if isinstance(detections, Detections):
        if set(by_index) != {()}:
            raise UserError(
                f"the image has {len(by_index)} planes, but the detections are of one; give them by index, as predict "
                "returns them for a stack."
            )
        detections, ignored = {(): detections}, {(): ignored}
        reviewed = None if reviewed is None else {(): reviewed}
    _check_keys("detections", detections, by_index)
    _check_keys("reviewed rectangles", reviewed, by_index)
    _check_keys("ignored rectangles", ignored, by_index)
    return tables(
        measure_plane(
            by_index[index][1],
            boxes,
            place=by_index[index][0],
            pixel_size=pixel_size,
            channel_names=channel_names,
            known=_known(reviewed, ignored, index),
            marked=reviewed is not None,
        )
        for index, boxes in detections.items()
    )


def measure_plane(
    plane: PlaneSource,
    detections: Detections,
    *,
    place: Mapping[str, Any] | None = None,
    pixel_size: float | None = None,
    channel_names: Sequence[str] | None = None,
    known: KnownArea | None = EVERYWHERE,
    marked: bool = False,
    on_tile: OnTile | None = None,
) -> MeasuredPlane:
    """Measure the objects of one plane.

    Parameters
    ----------
    plane : PlaneSource
        Read in rectangles of bounded size, and only where objects are.
    detections : Detections
        Boxes that are rejected are left out.
    place : mapping, optional
        What the first columns say of the plane: ``{"file": "movie.tif", "t": 3}``.
    pixel_size, channel_names
        As in `napari_localize.measure`.
    known : KnownArea or None
        Where objects are counted; None for nowhere.
    marked : bool
        Whether a person has marked that as reviewed, here or on other planes; else the table says that nobody has.
    on_tile : callable, optional
        Called before each rectangle is read, with how many are done and how many there are. What it raises stops it.

    Raises
    ------
    UserError
        When a setting is wrong.
    """
    height, width, channels = plane.shape
    names = _channel_names(channel_names, channels)
    size = _pixel_size(pixel_size)
    found = detections[detections.states != "rejected"]
    boxes = np.clip(found.boxes.astype(np.float64), 0, [width, height, width, height])
    present = np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    centers = np.where(present[:, None], (boxes[:, :2] + boxes[:, 2:]) / 2, np.nan)
    area: ArrayLike = ()
    if known is not None:
        area = [[0, 0, width, height]] if known.reviewed is None else known.reviewed
    minus = () if known is None else known.ignored
    # Nothing compares with NaN: what lies outside of the image is not counted.
    counted = inside(centers, area, minus)
    columns: dict[str, NDArray[Any]] = {
        "id": found.ids,
        "class": np.array(found.class_names, object)[found.labels],
        "score": found.scores,
        "state": found.states.astype(object),
        "counted": counted,
        **_geometry(boxes, centers, found.labels, present, size),
    }
    intensities = measure_intensities(plane, boxes, on_tile)
    columns["pixels"], columns["background_pixels"] = intensities.pixels, intensities.background_pixels
    for channel, name in enumerate(names):
        for what in ("mean", "integrated", "background", "corrected"):
            columns[f"{what}_{name}"] = getattr(intensities, what)[:, channel]
    return MeasuredPlane(
        place=dict(place or {}),
        objects=columns,
        reviewed=_reviewed(known, marked),
        pixel_size=size,
        area=union_area(area, height, width, minus),
        counts=found[counted].counts(),
    )


def _known(reviewed: Any, ignored: Any, index: tuple[int, ...]) -> KnownArea | None:
    """Return where objects count on a plane, from what `measure` got by index."""
    minus = (ignored or {}).get(index)
    minus = () if minus is None else minus
    if reviewed is None:
        return KnownArea(None, minus)
    return KnownArea(reviewed[index], minus) if index in reviewed else None


def _reviewed(known: KnownArea | None, marked: bool) -> Reviewed:
    if not marked:
        return "unmarked"
    if known is None or known.reviewed == ():
        return "nothing"
    return "plane" if known.reviewed is None else "areas"


def _geometry(
    boxes: NDArray[np.float64],
    centers: NDArray[np.float64],
    labels: NDArray[np.int64],
    present: NDArray[np.bool_],
    pixel_size: float,
) -> dict[str, NDArray[np.float64]]:
    """Return the columns on place and size, in pixels and in micrometres; NaN for boxes outside of the image."""
    width, height = np.where(present[:, None], boxes[:, 2:] - boxes[:, :2], np.nan).T
    any_class, same_class = np.full((2, len(boxes)), np.nan)
    any_class[present] = nearest_neighbors(centers[present])
    same_class[present] = nearest_of_same_class(centers[present], labels[present])
    lengths = {
        "x": centers[:, 0],
        "y": centers[:, 1],
        "width": width,
        "height": height,
        "nearest_neighbor": any_class,
        "nearest_same_class": same_class,
    }
    return {
        **{f"{name}_px": values for name, values in lengths.items()},
        "area_px2": width * height,
        **{f"{name}_um": values * pixel_size for name, values in lengths.items()},
        "area_um2": width * height * pixel_size**2,
    }


def _channel_names(names: Sequence[str] | None, channels: int) -> list[str]:
    if names is None:
        return [f"ch{channel}" for channel in range(channels)]
    if isinstance(names, str):
        raise UserError(f"the channel names are the text {names!r}; give a list of names.")
    if len(names) != channels:
        raise UserError(
            f"there are {len(names)} channel names ({', '.join(names)}), but the image has {channels} channels; give "
            "one name for each."
        )
    if len(set(names)) < channels or not all(names):
        raise UserError(f"the channel names are {', '.join(map(repr, names))}; give each channel a name of its own.")
    return list(names)


def _pixel_size(pixel_size: float | None) -> float:
    """Return micrometres per pixel, NaN where they are not known."""
    if pixel_size is None:
        return float("nan")
    if not 0 < pixel_size < float("inf"):
        raise UserError(f"the pixel size is {pixel_size}; it must be above 0, in micrometres.")
    return float(pixel_size)


def _check_keys(what: str, given: Any, planes: Mapping[tuple[int, ...], Any]) -> None:
    """Make sure that something given by index has only indices of the stack's planes."""
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise UserError(f"the {what} of a stack must be a dictionary by index, but are of type {type(given).__name__}.")
    unknown = [key for key in given if key not in planes]
    if unknown:
        raise UserError(
            f"there are {what} for the plane {unknown[0]!r}, but the image has the planes {next(iter(planes))} to "
            f"{list(planes)[-1]}; give only those of this image."
        )
