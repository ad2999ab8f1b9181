"""Writing a table of boxes into a Shapes layer: by difference, in bulk, and no more than has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.detections import HUMAN
from napari_localize.plugin.colors import STATE_FACES, class_colors
from napari_localize.plugin.history import Box, Classes
from napari_localize.plugin.layers import COLUMNS, METADATA, boxes_to_vertices, default_features
from napari_localize.plugin.rows import NEW, Rows
from napari_localize.plugin.table import BoxTable

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from napari.layers import Shapes
    from numpy.typing import NDArray

_SAME = 1e-3  # pixels; napari keeps vertices as float32


def in_use(layer: Shapes) -> bool:
    """Whether a person is drawing, dragging or selecting; touching the shapes now would break that."""
    return any(getattr(layer, name, False) for name in ("_is_creating", "_is_moving", "_is_selecting"))


def click_side(layer: Shapes) -> float:
    """Side of the square that a click with the tool for rectangles leaves when the mouse is not moved."""
    return float(getattr(layer, "_normalized_vertex_radius", 0.0)) / 2


def write_rows(
    layer: Shapes,
    rows: Rows,
    ids: Sequence[int],
    wanted: Mapping[int, Box],
    classes: Classes,
    line_width: float,
    next_class: str,
    last: Rows,
) -> None:
    """Change a layer so that it holds the wanted boxes and nothing else.

    Parameters
    ----------
    layer : Shapes
        The layer.
    rows, ids
        What it holds now, and which box each shape is; `NEW` for shapes that are to go.
    wanted : mapping of int to Box
        The boxes to be shown, by id.
    classes : dict of str to str
        Colour by class.
    line_width : float
        Width of the edges of boxes that are added.
    next_class : str
        Class of the box that is drawn next.
    last : Rows
        What the layer held before, to find the features of other plugins again.
    """
    fits = [
        key != NEW and key in wanted and bool(rows.exact[row]) and _same_place(rows, row, wanted[key])
        for row, key in enumerate(ids)
    ]
    chosen = set(layer.selected_data)
    selected = {key for row, key in enumerate(ids) if row in chosen and key != NEW}
    kept = [key for key, fit in zip(ids, fits, strict=True) if fit]
    known = set(kept)
    add = [key for key in wanted if key not in known]
    if not rows.aligned:
        _align(layer, ids, last)
    drop = [row for row, fit in enumerate(fits) if not fit]
    if drop or add:
        # By index, so it means nothing from here on; napari may even have left it beyond the end.
        layer.selected_data = set()
    if drop:
        layer.remove(drop)
    if add:
        _add(layer, [wanted[key] for key in add], classes, line_width)
    order = kept + add
    # napari forgets what it colours by when another plugin writes features without these columns.
    defaults = layer.feature_defaults
    forgotten = not {"class", "state"} <= set(layer.features)
    restyled = _write_features(layer, order, wanted, len(kept)) or not rows.aligned
    # Assigning features makes the last row the default.
    set_defaults(layer, next_class, defaults)
    _paint(layer, classes, restyled, forgotten)
    if selected and (drop or add):
        layer.selected_data = {row for row, key in enumerate(order) if key in selected}


def _same_place(rows: Rows, row: int, box: Box) -> bool:
    return rows.plane(row) == box.plane and bool(np.abs(rows.boxes[row] - np.array(box.xyxy, np.float32)).max() < _SAME)


def _align(layer: Shapes, ids: Sequence[int], last: Rows) -> None:
    """Give every shape one feature row and one colour again; napari's vertex tools take shapes out without them."""
    shapes = layer._data_view
    for name in ("_edge_color", "_face_color"):
        setattr(shapes, name, getattr(shapes, name)[: layer.nshapes])
    features = layer.features
    where = {key: row for row, key in enumerate(last.ids)} if len(features) == len(last) else {}
    layer.features = features.reindex([where.get(key, NEW) for key in ids]).reset_index(drop=True)


def _add(layer: Shapes, boxes: Sequence[Box], classes: Classes, line_width: float) -> None:
    corners = np.array([box.xyxy for box in boxes], np.float32)
    layer.add(
        boxes_to_vertices(corners, [box.plane for box in boxes]),
        shape_type="rectangle",
        edge_width=line_width,
        edge_color=np.array([rgba(classes[box.label]) for box in boxes]),
        face_color=np.array([STATE_FACES[box.state] for box in boxes]),
    )


def _write_features(layer: Shapes, order: Sequence[int], wanted: Mapping[int, Box], kept: int) -> bool:
    """Write the feature columns where they differ; returns whether boxes that stayed need another colour."""
    boxes = [wanted[key] for key in order]
    columns: dict[str, NDArray[Any]] = {
        "class": np.array([box.label for box in boxes], object),
        "score": np.array([np.nan if box.score is None else box.score for box in boxes], float),
        "id": np.array(order, np.int64),
        "origin": np.array([box.origin for box in boxes], object),
        "state": np.array([box.state for box in boxes], object),
    }
    frame = layer.features.copy()
    different, restyled = False, False
    for name, values in columns.items():
        if name in frame:
            old = frame[name].to_numpy()
            wrong = ~((old == values) | (_missing(old) & _missing(values)))
            if not wrong.any():
                continue
            restyled |= name in ("class", "state") and bool(wrong[:kept].any())
        frame[name] = values
        different = True
    if different:
        layer.features = frame
    return restyled


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(values != values, bool)


def drawn_class(layer: Shapes) -> str | None:
    """Return the class that the layer gives to drawn boxes; None when its defaults are not those of a new box."""
    defaults = layer.feature_defaults
    if not set(COLUMNS) <= set(defaults) or defaults["id"].iloc[0] != NEW:
        return None
    return str(defaults["class"].iloc[0])


def set_defaults(layer: Shapes, class_name: str, others: Any = None) -> None:
    """Set the features of the next drawn box, where they are not so; other plugins' columns keep their defaults."""
    current = layer.feature_defaults
    others = current if others is None else others
    if drawn_class(layer) == class_name and others is current:
        return
    values = default_features(class_name)
    for name in current.columns:
        if name not in COLUMNS:
            values[name] = (others if name in others else current)[name].iloc[0]
    layer.feature_defaults = values


def _paint(layer: Shapes, classes: Classes, restyled: bool, forgotten: bool) -> None:
    """Colour edges by class and faces by state, as the features say."""
    edges = {name: rgba(color) for name, color in classes.items()}
    faces = {state: np.array(color, np.float32) for state, color in STATE_FACES.items()}
    if forgotten:
        layer.edge_color = layer.face_color = "white"
    for attribute, column, colors in (("edge", "class", edges), ("face", "state", faces)):
        if getattr(layer, f"{attribute}_color_mode") != "cycle":
            setattr(layer, f"{attribute}_color", column)
        if not _same_colors(getattr(layer, f"{attribute}_color_cycle_map"), colors):
            setattr(layer, f"{attribute}_color_cycle_map", colors)
            restyled = True
    if restyled:
        layer.refresh_colors()


def _same_colors(old: Mapping[Any, Any], new: Mapping[str, Any]) -> bool:
    return all(name in old and np.allclose(old[name], color) for name, color in new.items())


def rgba(color: str) -> NDArray[np.float32]:
    """Turn ``#RRGGBB`` into four numbers from 0 to 1."""
    return np.array([*(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0], np.float32)


def save_metadata(layer: Shapes, table: BoxTable, drawn: Container[int]) -> None:
    """Note in the layer's metadata what its shapes cannot say.

    Classes with colours and the finished planes; the boxes that pass the filter and are not among those drawn
    (``kept``), so that a copy of the layer and a file written from it have them; and how many proposals the
    filter hides.
    """
    hidden = [(key, box) for key, box in table.boxes.items() if key not in drawn]
    kept = [[key, *box] for key, box in hidden if table.passes(box)]
    old = layer.metadata.get(METADATA, {})
    # A new object each time: copies of the layer share the old one.
    new = {
        **old,
        "classes": list(table.classes),
        "colors": dict(table.classes),
        "finished": sorted(list(plane) for plane in table.finished),
        "kept": kept,
        "filter": {"min_score": table.min_score, "hidden_proposals": len(hidden) - len(kept)},
    }
    if new != old:
        layer.metadata[METADATA] = new


def take_over(metadata: Mapping[str, Any], rows: Rows) -> tuple[BoxTable, list[int]]:
    """Make a table of what a layer holds.

    Parameters
    ----------
    metadata : mapping
        What `save_metadata` noted, if it did.
    rows : Rows
        The shapes of the layer.

    Returns
    -------
    table : BoxTable
        With the boxes of the layer and those of its metadata.
    ids : list of int
        Which box each shape is; `NEW` for shapes without an area.
    """
    names = list(metadata.get("classes", ())) or (["object"] if not any(rows.labels) else [])
    finished = frozenset(tuple(int(i) for i in plane) for plane in metadata.get("finished", ()))
    table = BoxTable(class_colors(names, metadata.get("colors")), finished)
    table.load({int(key): _box(values) for key, *values in metadata.get("kept", ())})
    ids = [NEW] * len(rows)
    fine = [row for row in range(len(rows)) if rows.has_area(row)]
    for row in fine:
        if rows.ids[row] != NEW and rows.ids[row] not in table.boxes:
            ids[row] = rows.ids[row]
            table.load({ids[row]: _from_row(rows, row, next(iter(table.classes), "object"))})
    for row in fine:
        if ids[row] == NEW:
            ids[row] = table.new_id()
            table.load({ids[row]: _from_row(rows, row, next(iter(table.classes), "object"))})
    return table, ids


def _from_row(rows: Rows, row: int, default_class: str) -> Box:
    score = rows.scores[row]
    origin = rows.origins[row] or ("" if score is not None else HUMAN)
    state = rows.states[row] or ("added" if origin == HUMAN else "proposed")
    return Box(rows.plane(row), rows.xyxy(row), rows.labels[row] or default_class, score, origin, state)


def _box(values: Sequence[Any]) -> Box:
    plane, xyxy, label, score, origin, state = values
    x0, y0, x1, y1 = (float(value) for value in xyxy)
    return Box(tuple(int(i) for i in plane), (x0, y0, x1, y1), label, score, origin, state)
