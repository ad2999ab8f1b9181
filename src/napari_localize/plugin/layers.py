"""Between napari's layers and the core: (y, x) and the half pixel, planes, transforms, feature columns.

napari puts the centre of the first pixel at 0, so an image spans -0.5 to H - 0.5; boxes in the core span
pixel edges from 0 to H. Nothing outside this module knows about that, nor about the order of the axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.colors import STATE_FACES, STATE_WIDTHS
from napari_localize.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from napari.layers import Image, Layer, Points, Shapes
    from numpy.typing import NDArray

    from napari_localize.core.planes import PlaneSource

METADATA = "napari_localize"
"""Key in `layer.metadata` under which a layer of boxes keeps its classes, finished planes and image."""

COLUMNS: Mapping[str, Any] = {"class": object, "score": float, "id": np.int64, "origin": object, "state": object}
"""Feature columns of a layer of boxes: a score is NaN when a person made the box, an id is -1 until it is known."""

MOST_SHAPES = 300
"""Up to so many boxes are all shapes of their layer, of more those are where a person looks: napari takes longer than
a person notices to exchange more shapes than this."""

MOST_POINTS = 4_000
"""The same for points, of which napari exchanges more in that time."""

_HALF = 0.5


def boxes_to_vertices(boxes: NDArray[Any], indices: Sequence[Sequence[float]] | NDArray[Any]) -> NDArray[np.float32]:
    """Turn boxes into the corners of rectangles.

    Parameters
    ----------
    boxes : (N, 4)
        ``x0, y0, x1, y1`` as pixel edges.
    indices : (N, D - 2)
        The plane of each box: its coordinates along the leading axes of the layer.

    Returns
    -------
    (N, 4, D) float32
        Corners in the data coordinates of a layer.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    leading = np.asarray(indices, np.float32)
    if leading.ndim != 2:
        leading = leading.reshape(len(boxes), 0)
    vertices = np.empty((len(boxes), 4, leading.shape[1] + 2), np.float32)
    vertices[:, :, :-2] = leading[:, None, :]
    vertices[:, :, -2] = boxes[:, [1, 1, 3, 3]] - _HALF
    vertices[:, :, -1] = boxes[:, [0, 2, 2, 0]] - _HALF
    return vertices


def vertices_to_boxes(
    shapes: Sequence[NDArray[Any]], ndim: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Turn shapes of any kind into the boxes around them.

    Parameters
    ----------
    shapes : sequence of (V, D)
        Vertices in the data coordinates of a layer.
    ndim : int
        The layer's number of axes D.

    Returns
    -------
    boxes : (N, 4) float32
        ``x0, y0, x1, y1`` as pixel edges; smallest upright box around each shape.
    indices : (N, D - 2) int64
        The nearest plane of each shape.
    exact : (N,) bool
        Whether the shape is that box already: an upright rectangle on one plane.
    """
    n = len(shapes)
    low, high = np.zeros((n, ndim), np.float32), np.zeros((n, ndim), np.float32)
    exact = np.zeros(n, bool)
    quads = np.array([len(shape) == 4 for shape in shapes], bool)
    if quads.any():
        corners = np.stack([np.asarray(shapes[row]) for row in np.flatnonzero(quads).tolist()])
        low[quads], high[quads] = corners.min(1), corners.max(1)
        on_edge = (corners == low[quads][:, None]) | (corners == high[quads][:, None])
        # Four different corners of the envelope; a bow tie or a rectangle folded flat has fewer.
        at_high = corners[:, :, -2:] == high[quads][:, None, -2:]
        kinds = np.sort(at_high[..., 0] * 2 + at_high[..., 1], axis=1)
        exact[quads] = on_edge.all((1, 2)) & (kinds == np.arange(4)).all(1)
    for row in np.flatnonzero(~quads).tolist():
        vertices = np.asarray(shapes[row])
        low[row], high[row] = vertices.min(0), vertices.max(0)
    with np.errstate(invalid="ignore"):
        middle = (low[:, :-2] + high[:, :-2]) / 2
        indices = np.nan_to_num(np.round(middle)).astype(np.int64)
    exact &= (low[:, :-2] == indices).all(1) & (high[:, :-2] == indices).all(1)
    boxes = np.concatenate([low[:, :-3:-1], high[:, :-3:-1]], axis=1) + np.float32(_HALF)
    return boxes, indices, exact


def boxes_to_points(boxes: NDArray[Any], indices: Sequence[Sequence[float]] | NDArray[Any]) -> NDArray[np.float64]:
    """Turn boxes into their centres.

    Parameters
    ----------
    boxes : (N, 4)
        ``x0, y0, x1, y1`` as pixel edges.
    indices : (N, D - 2)
        The plane of each box.

    Returns
    -------
    (N, D) float64
        Points in the data coordinates of a layer.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    leading = np.asarray(indices, np.float64)
    if leading.ndim != 2:
        leading = leading.reshape(len(boxes), 0)
    return np.hstack([leading, (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2 - _HALF])


def points_to_boxes(
    points: NDArray[Any], sizes: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Turn points into squares around them.

    Parameters
    ----------
    points : (N, D)
        Points in the data coordinates of a layer.
    sizes : (N,)
        Sides of the squares.

    Returns
    -------
    boxes : (N, 4) float32
        ``x0, y0, x1, y1`` as pixel edges.
    indices : (N, D - 2) int64
        The nearest plane of each point.
    exact : (N,) bool
        Whether the point lies on that plane.
    """
    places = np.asarray(points, np.float64)
    middle, half = places[:, :-3:-1] + _HALF, np.asarray(sizes, np.float64)[:, None] / 2
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = np.hstack([middle - half, middle + half]).astype(np.float32)
        indices = np.nan_to_num(np.round(places[:, :-2])).astype(np.int64)
    return boxes, indices, (places[:, :-2] == indices).all(axis=1)


def rgba(color: str) -> NDArray[np.float32]:
    """Turn ``#RRGGBB`` into four numbers from 0 to 1."""
    return np.array([*(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0], np.float32)


def outline_widths(states: Sequence[str | None], line_width: float) -> list[float]:
    """Return the widths of boxes' outlines by their states."""
    return [line_width * STATE_WIDTHS.get(state or "", 1.0) for state in states]


def transform_of(layer: Layer, drop: int | None = None) -> dict[str, Any]:
    """Return a layer's place in the world as keyword arguments for another layer.

    Parameters
    ----------
    layer : Layer
        Any layer; of a multiscale image, level 0 counts.
    drop : int, optional
        An axis that the other layer does not have, such as channels.
    """
    keep = [axis for axis in range(layer.ndim) if axis != drop]
    block = np.ix_(keep, keep)
    corner = np.ix_([*keep, layer.ndim], [*keep, layer.ndim])
    place: dict[str, Any] = {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "affine": np.asarray(layer.affine.affine_matrix)[corner],
        "rotate": _square(layer.rotate, layer.ndim)[block],
        "shear": _upper(layer.shear, layer.ndim)[block][np.triu_indices(len(keep), 1)],
    }
    for name in ("units", "axis_labels"):
        if hasattr(layer, name):
            place[name] = tuple(getattr(layer, name)[axis] for axis in keep)
    return place


def _square(rotate: Any, ndim: int) -> NDArray[np.float64]:
    matrix = np.asarray(rotate, float)
    return matrix if matrix.shape == (ndim, ndim) else np.eye(ndim)


def _upper(shear: Any, ndim: int) -> NDArray[np.float64]:
    values = np.asarray(shear, float)
    if values.shape == (ndim, ndim):
        return values
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = values
    return matrix


@dataclass(frozen=True)
class Plane:
    """One plane of an image layer.

    Parameters
    ----------
    index : tuple of int
        Where its boxes lie along the leading axes of a layer of boxes; empty in a 2-D layer.
    position : dict of str to int
        The same by the name of the axis, without channels, as `core.annotations.plane_name` wants it.
    source : PlaneSource
        The pixels, read piece by piece.
    """

    index: tuple[int, ...]
    position: dict[str, int]
    source: PlaneSource


class _LayerPlane:
    """A plane of an array that is only touched when a rectangle of it is asked for."""

    def __init__(self, data: Any, index: tuple[int | None, ...], rgb: bool) -> None:
        self._data = data
        self._index = index
        self._rgb = rgb
        shape = [int(n) for n in data.shape]
        if rgb:
            # A fourth channel is opacity, which says nothing about the object.
            self.shape = (shape[-3], shape[-2], min(shape[-1], 3))
        else:
            self.shape = (shape[-2], shape[-1], shape[index.index(None)] if None in index else 1)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Return the (y1 - y0, x1 - x0, C) pixels of a rectangle inside the plane."""
        leading = tuple(slice(None) if at is None else at for at in self._index)
        part = np.asarray(self._data[(*leading, slice(y0, y1), slice(x0, x1))])
        if self._rgb:
            return part[..., : self.shape[2]]
        return np.moveaxis(part, 0, -1) if None in self._index else part[..., np.newaxis]


def image_planes(layer: Layer, channel_axis: int | None = None) -> list[Plane]:
    """List the planes of an image layer without reading pixels.

    Parameters
    ----------
    layer : Image
        numpy, dask, zarr or anything that slices; of a multiscale layer the finest level.
    channel_axis : int, optional
        The leading axis that holds channels; the last axis of an RGB layer needs no mention.

    Raises
    ------
    UserError
        When the layer is not an image, is empty, does not hold real numbers or has no such axis.
    """
    data, rgb = _image_data(layer)
    shape = tuple(int(n) for n in data.shape)
    leading = shape[: -3 if rgb else -2]
    if channel_axis is not None and not 0 <= channel_axis < len(leading):
        raise UserError(
            f"layer {layer.name!r} has no axis {channel_axis} for channels before its last two axes; "
            f"its shape is {shape}."
        )
    if rgb and channel_axis is not None:
        raise UserError(f"layer {layer.name!r} is RGB: its last axis holds the channels; give no other axis.")
    if 0 in shape:
        raise UserError(f"layer {layer.name!r} is empty: its shape is {shape}.")
    if np.dtype(data.dtype).kind not in "buif":
        raise UserError(f"layer {layer.name!r} holds {data.dtype} numbers; convert it to real numbers first.")
    names = axis_names(layer, len(leading))
    steps = [1 if axis == channel_axis else size for axis, size in enumerate(leading)]
    planes = []
    for at in np.ndindex(*steps):
        index: tuple[int | None, ...] = tuple(None if axis == channel_axis else i for axis, i in enumerate(at))
        position = {name: i for name, i in zip(names, index, strict=True) if i is not None}
        planes.append(Plane(box_index(at, channel_axis), position, _LayerPlane(data, index, rgb)))
    return planes


def possible_channel_axes(image: Image) -> tuple[int | None, ...]:
    """Return what may have been taken for the axis of channels of an image when its planes got their names."""
    return (None,) if image.rgb else (None, *range(image.ndim - 2))


def box_index(index: Sequence[int], channel_axis: int | None = None) -> tuple[int, ...]:
    """Return where the boxes of a plane lie, given its place in the image.

    A leading channel axis is left out, so that the boxes are seen over every channel. napari lines layers
    up at their last axes, so further back it has to stay, and the boxes lie on the first channel.
    """
    if channel_axis is None:
        return tuple(index)
    at = list(index)
    if channel_axis == 0:
        del at[0]
    else:
        at[channel_axis] = 0
    return tuple(at)


def axis_names(layer: Layer, leading: int) -> tuple[str, ...]:
    """Return one letter for each of the first axes of a layer: its own labels where it has any."""
    labels = [str(label) for label in getattr(layer, "axis_labels", ())][:leading]
    letters = [label[0].lower() if label[:1].isalpha() and not label.startswith("axis ") else "" for label in labels]
    if len(letters) == leading and all(letters) and len({*letters, "y", "x"}) == leading + 2:
        return tuple(letters)
    return usual_axes(leading)


def usual_axes(leading: int) -> tuple[str, ...]:
    """Return letters for leading axes that have no names of their own: position, time, depth."""
    usual = "abcdefgptz"
    return tuple(usual[len(usual) - leading :])


def _image_data(layer: Layer) -> tuple[Any, bool]:
    from napari.layers import Image, Labels

    if not isinstance(layer, Image | Labels):
        kind = type(layer).__name__.lower()
        raise UserError(f"layer {layer.name!r} is a {kind} layer; choose an image layer.")
    data = layer.data[0] if layer.multiscale else layer.data
    return data, bool(getattr(layer, "rgb", False))


def empty_features() -> pd.DataFrame:
    """Return a table with the feature columns and no rows."""
    import pandas as pd

    return pd.DataFrame({name: np.array([], dtype) for name, dtype in COLUMNS.items()})


def default_features(class_name: str) -> dict[str, Any]:
    """Return the features of a box that a person is about to draw."""
    return {"class": class_name, "score": np.nan, "id": -1, "origin": "human", "state": "added"}


def box_layer_kwargs(class_name: str, point_size: float | None = None) -> dict[str, Any]:
    """Return what every layer of boxes, or of points, is made with: columns, colours by class and state, opacity."""
    outline = {"edge_color": "class"} if point_size is None else {"border_color": "class", "size": point_size}
    return {
        "features": empty_features(),
        "feature_defaults": default_features(class_name),
        **outline,
        "face_color": "state",
        "face_color_cycle": [list(color) for color in STATE_FACES.values()],
        "opacity": 1.0,
    }


def new_box_layer(
    image: Image,
    class_names: Sequence[str] = ("object",),
    *,
    channel_axis: int | None = None,
    name: str | None = None,
    point_size: float | None = None,
) -> Shapes | Points:
    """Make an empty layer of boxes, or of points of a nominal size, that lies on an image layer.

    Returns
    -------
    Shapes or Points
        Not in a viewer yet; `plugin.boxes.box_layer` takes charge of it.
    """
    from napari.layers import Points, Shapes

    planes = image_planes(image, channel_axis)
    drop = channel_axis if channel_axis == 0 else None
    data, rgb = _image_data(image)
    leading = [int(n) for n in data.shape[: -3 if rgb else -2]]
    if channel_axis is not None:
        leading[channel_axis] = 1
    height, width, _ = planes[0].source.shape
    metadata = {
        "classes": list(class_names),
        "point_size": point_size,
        "image": {
            "name": image.name,
            "file": Path(str(image.source.path)).name if image.source.path else None,
            "size": [height, width],
            "planes": leading[1:] if drop == 0 else leading,
            "axes": list(axis_names(image, len(leading))[1 if drop == 0 else 0 :]),
        },
    }
    return (Shapes if point_size is None else Points)(
        ndim=image.ndim - (drop is not None),
        name=name or f"{image.name} {'boxes' if point_size is None else 'points'}",
        metadata={METADATA: metadata},
        **box_layer_kwargs(class_names[0] if class_names else "object", point_size),
        **transform_of(image, drop),
    )


def is_points(layer: Layer) -> bool:
    """Whether a layer is one of points."""
    return type(layer).__name__ == "Points"


def is_box_layer(layer: Layer) -> bool:
    """Whether a layer of shapes or points is one of boxes by its metadata or its feature columns."""
    if type(layer).__name__ not in ("Shapes", "Points"):
        return False
    return METADATA in layer.metadata or {"class", "state"} <= set(layer.features)


def view_index(layer: Layer, point: Sequence[float]) -> tuple[int, ...]:
    """Return the plane of a layer that a point of the world lies on."""
    data = np.asarray(layer.world_to_data(point))
    return tuple(int(i) for i in np.round(data[:-2]))


def iterate_indices(planes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All plane indices of a layer with so many planes along its leading axes, in order."""
    yield from np.ndindex(*planes)
