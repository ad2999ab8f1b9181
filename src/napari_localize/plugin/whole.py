"""A layer with all of its boxes, for whoever writes it to a file: also those that are dots at the moment."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.colors import STATE_FACES
from napari_localize.core.detections import STATES
from napari_localize.plugin.layers import METADATA, boxes_to_points, boxes_to_vertices, rgba

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Points, Shapes

    from napari_localize.core.boxes import BoxRows
    from napari_localize.core.table import BoxTable

    LayerData = tuple[Any, dict[str, Any], str]

_COPIES = "napari.layers._layer_actions"
"""Where napari copies layers. A copy finds the other boxes by the metadata; as shapes they would take minutes."""


def give_whole(layer: Shapes | Points, table_now: Callable[[], tuple[BoxTable, np.ndarray[Any, Any]]]) -> None:
    """Have a layer give all boxes to napari's writers, whichever plugin they are of.

    napari asks a layer by this method alone, and knows of no other way to tell it what else belongs into a file.

    Parameters
    ----------
    layer : Shapes or Points
        The layer.
    table_now : callable
        Gives the table, and the (N,) ids of the boxes that are objects of the layer.
    """
    # The layer holds this function, which must not keep it alive.
    own, original = weakref.ref(layer), type(layer).as_layer_data_tuple

    def as_layer_data_tuple() -> LayerData:
        table, drawn = table_now()
        given: LayerData = original(own())
        if sys._getframe(1).f_globals.get("__name__") == _COPIES:
            return given
        rest = table.boxes.take(table.showing() & ~np.isin(table.boxes.ids, drawn))
        return with_rows(given, rest, table) if len(rest) else given

    layer.as_layer_data_tuple = as_layer_data_tuple


def with_rows(given: LayerData, rest: BoxRows, table: BoxTable) -> LayerData:
    """Return the data of a layer with more boxes in it, at least one."""
    import pandas as pd

    data, state, kind = given
    number = len(rest)
    planes = np.array(rest.plane_indices, np.float32).reshape(len(rest.plane_indices), -1)[rest.planes]
    classes = np.array(rest.class_names, object)[rest.labels]
    states = np.array(STATES, object)[rest.states]
    outlines = np.array([rgba(table.classes[name]) for name in classes])
    faces = np.array([STATE_FACES[one] for one in states])
    features = pd.DataFrame(
        {
            "class": classes,
            "score": rest.scores,
            "id": rest.ids,
            "origin": np.array(rest.origin_names, object)[rest.origins],
            "state": states,
        }
    )
    features = pd.concat([state["features"], features], ignore_index=True)
    state["features"] = features
    state["properties"] = {name: features[name].to_numpy() for name in features}
    if kind == "points":
        sizes = np.sqrt((rest.boxes[:, 2:] - rest.boxes[:, :2]).prod(axis=1))
        more = {
            "symbol": np.full(number, state["symbol"][0]),
            "size": sizes,
            "shown": np.ones(number, bool),
            "border_width": np.full(number, state["border_width"][0]),
            "border_color": outlines,
            "face_color": faces,
        }
        data = np.concatenate([data, boxes_to_points(rest.boxes, planes)])
    else:
        more = {
            "shape_type": ["rectangle"] * number,
            "z_index": [0] * number,
            "edge_width": [state["edge_width"][0]] * number,
            "edge_color": outlines,
            "face_color": faces,
        }
        data = [*data, *boxes_to_vertices(rest.boxes, planes)]
    for name, values in more.items():
        joined = [*state[name], *values]
        state[name] = joined if isinstance(values, list) else np.array(joined)
    notes = state["metadata"][METADATA]
    hidden = table.boxes.take(table.passing() & ~table.showing())
    state["metadata"] = {**state["metadata"], METADATA: {**notes, "kept": hidden}}
    return data, state, kind
