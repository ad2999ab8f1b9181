"""From layers of boxes to layers of points and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.points import POINT_SIZE, centered
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import METADATA, box_layer_kwargs, transform_of
from napari_localize.plugin.pairs import image_of, pair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer, Points, Shapes


def usual_size(layer: Shapes | Points) -> float:
    """Return the nominal size of the points of a layer, or the median diameter of its boxes, in pixels."""
    table = box_layer(layer).table
    if table.point_size is not None:
        return table.point_size
    return float(np.median(table.diameters())) if len(table.boxes) else POINT_SIZE


def converted(layer: Shapes | Points, layers: Iterable[Layer], size: float, *, points: bool) -> Shapes | Points:
    """Return a new layer of points, or of boxes, with the objects of another one.

    Class, score, id, origin and state stay, and so do finished planes and areas; what was done cannot be undone in the
    new layer.

    Parameters
    ----------
    layer : Shapes or Points
        A layer of boxes or points; it stays as it is.
    layers : iterable of Layer
        Those among which its image is.
    size : float
        Nominal size of the points, or side of the boxes, in pixels.
    points : bool
        Whether points are wanted.
    """
    from napari.layers import Points, Shapes

    old = box_layer(layer)
    rows = old.table.take()
    # Sizes mean nothing for points, so what they hide does not come along.
    _, (smallest, largest) = old.filter
    diameters = old.table.diameters()
    fits = (rows.states != 0) | old.points | ((diameters >= smallest) & (diameters <= largest))
    rows = rows[fits]
    middle = (rows.boxes[:, :2] + rows.boxes[:, 2:]) / 2
    classes = old.classes
    point_size = size if points else None
    metadata = {
        **layer.metadata.get(METADATA, {}),
        "kept": replace(rows, boxes=centered(middle, size)),
        "point_size": point_size,
    }
    new = (Points if points else Shapes)(
        ndim=layer.ndim,
        name=f"{layer.name} as {'points' if points else 'boxes'}",
        metadata={METADATA: metadata},
        **box_layer_kwargs(next(iter(classes)), point_size),
        **transform_of(layer),
    )
    image = image_of(layer, layers)
    if image is not None:
        pair(new, image)
    boxes = box_layer(new)
    boxes.set_filter(old.filter[0])
    boxes.set_shown_states(old.shown_states)
    return new
