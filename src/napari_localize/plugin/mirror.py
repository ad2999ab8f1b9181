"""Writing a table of boxes into a Shapes layer: by difference, in bulk, and no more than has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.boxes import Box, BoxRows, PlaneIndex
from napari_localize.core.colors import STATE_FACES, class_colors
from napari_localize.core.detections import HUMAN
from napari_localize.core.steps import Area, Classes
from napari_localize.core.table import BoxTable
from napari_localize.plugin.editor import Editor
from napari_localize.plugin.layers import COLUMNS, METADATA, default_features, is_points, outline_widths, rgba
from napari_localize.plugin.points import PointsEditor
from napari_localize.plugin.rows import NEW, Rows, has_plane
from napari_localize.plugin.shapes import ShapesEditor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

_SAME = 1e-3  # pixels; napari keeps vertices as float32


_SHAPES, _POINTS = ShapesEditor(), PointsEditor()


def editor_of(layer: Shapes | Points) -> Editor:
    """Return what reads and writes a layer."""
    return _POINTS if is_points(layer) else _SHAPES


def in_use(layer: Shapes | Points) -> bool:
    """Whether a person is drawing, dragging or selecting; touching the layer now would break that."""
    return editor_of(layer).in_use(layer)


def click_side(layer: Shapes | Points) -> float:
    """Side of the square that a click with the tool for rectangles leaves when the mouse is not moved."""
    return editor_of(layer).click_side(layer)


def write_rows(
    layer: Shapes | Points,
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
        Width of the edges of guesses, to which the others' keep their proportion.
    next_class : str
        Class of the box that is drawn next.
    last : Rows
        What the layer held before, to find the features of other plugins again.
    """
    editor = editor_of(layer)
    fits = _in_place(editor, rows, ids, wanted)
    chosen = set(layer.selected_data)
    selected = {key for row, key in enumerate(ids) if row in chosen and key != NEW}
    kept = [key for key, fit in zip(ids, fits, strict=True) if fit]
    known = set(kept)
    add = [key for key in wanted if key not in known]
    if not rows.aligned:
        editor.align(layer)
        _align(layer, ids, last)
    drop = [row for row, fit in enumerate(fits) if not fit]
    if drop or add:
        # By index, so it means nothing from here on; napari may even have left it beyond the end.
        layer.selected_data = set()
    if drop:
        layer.remove(drop)
    if add:
        editor.add(layer, [wanted[key] for key in add], classes, line_width)
    order = kept + add
    # napari forgets what it colours by when another plugin writes features without these columns.
    defaults = layer.feature_defaults
    forgotten = not {"class", "state"} <= set(layer.features)
    restyled = _write_features(layer, order, wanted, len(kept)) or not rows.aligned
    # Assigning features makes the last row the default.
    set_defaults(layer, next_class, defaults)
    editor.set_widths(layer, outline_widths([wanted[key].state for key in order], line_width))
    _paint(editor, layer, classes, restyled, forgotten)
    if (selected and (drop or add)) or max(layer.selected_data, default=NEW) >= len(order):
        layer.selected_data = {row for row, key in enumerate(order) if key in selected}


def _in_place(editor: Editor, rows: Rows, ids: Sequence[int], wanted: Mapping[int, Box]) -> list[bool]:
    """Return for each shape whether it is a box that is wanted, where that lies."""
    boxes = [wanted.get(key) if key != NEW else None for key in ids]
    there = [row for row, box in enumerate(boxes) if box is not None]
    fits = np.zeros(len(boxes), bool)
    found = [boxes[row] for row in there]
    corners = editor.as_drawn(np.array([box.xyxy for box in found if box], np.float32).reshape(-1, 4))
    planes = np.array([box.plane for box in found if box], np.int64).reshape(len(there), rows.indices.shape[1])
    same = (np.abs(rows.boxes[there] - corners) < _SAME).all(axis=1) & (rows.indices[there] == planes).all(axis=1)
    fits[there] = same & rows.exact[there]
    return [bool(fit) for fit in fits]


def _align(layer: Shapes | Points, ids: Sequence[int], last: Rows) -> None:
    """Give every shape one feature row again; napari's vertex tools take shapes out without them."""
    features = layer.features
    where = {key: row for row, key in enumerate(last.ids)} if len(features) == len(last) else {}
    layer.features = features.reindex([where.get(key, NEW) for key in ids]).reset_index(drop=True)


def _write_features(layer: Shapes | Points, order: Sequence[int], wanted: Mapping[int, Box], kept: int) -> bool:
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


def drawn_class(layer: Shapes | Points) -> str | None:
    """Return the class that the layer gives to drawn boxes; None when its defaults are not those of a new box."""
    defaults = layer.feature_defaults
    if not set(COLUMNS) <= set(defaults) or defaults["id"].iloc[0] != NEW:
        return None
    return str(defaults["class"].iloc[0])


def set_defaults(layer: Shapes | Points, class_name: str, others: Any = None) -> None:
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


def _paint(editor: Editor, layer: Shapes | Points, classes: Classes, restyled: bool, forgotten: bool) -> None:
    """Colour outlines by class and faces by state, as the features say."""
    edges = {name: rgba(color) for name, color in classes.items()}
    faces = {state: np.array(color, np.float32) for state, color in STATE_FACES.items()}
    if forgotten:
        setattr(layer, f"{editor.outline}_color", "white")
        layer.face_color = "white"
    for attribute, column, colors in ((editor.outline, "class", edges), ("face", "state", faces)):
        if getattr(layer, f"{attribute}_color_mode") != "cycle":
            setattr(layer, f"{attribute}_color", column)
        if not _same_colors(editor.colors(layer, attribute), colors):
            editor.set_colors(layer, attribute, colors)
            restyled = True
    if restyled:
        layer.refresh_colors()


def _same_colors(old: Mapping[Any, Any], new: Mapping[str, Any]) -> bool:
    return all(name in old and np.allclose(old[name], color) for name, color in new.items())


class Kept:
    """The boxes that belong to a layer and are not among its shapes, looked up when somebody asks.

    It lies in the layer's metadata, so that a copy of the layer and a file written from it have all boxes.
    """

    def __init__(self, table: BoxTable, drawn: NDArray[np.int64]) -> None:
        self._table = table
        self.drawn = drawn
        """(N,) ids of the boxes that are shapes of the layer."""

    def rows(self) -> BoxRows:
        """Return the boxes; guesses that the filter hides are not among them."""
        return self._table.boxes.take(self._table.passing() & ~np.isin(self._table.boxes.ids, self.drawn))

    def __deepcopy__(self, memo: Any) -> BoxRows:
        """Return the boxes as they are now."""
        return self.rows()


def save_metadata(layer: Shapes | Points, table: BoxTable, kept: Kept) -> None:
    """Note in the layer's metadata what its shapes cannot say.

    Classes with colours, the finished planes and areas; the boxes that pass the filter and are not among those
    drawn; and how many proposals the filter hides.
    """
    old = layer.metadata.get(METADATA, {})
    # A new object each time: copies of the layer share the old one.
    new = {
        **old,
        "classes": list(table.classes),
        "colors": dict(table.classes),
        "finished": sorted(list(plane) for plane in table.finished),
        "areas": sorted([list(area.plane), list(area.xyxy), area.kind] for area in table.areas),
        "kept": kept,
        "point_size": table.point_size,
        "filter": {"min_score": table.min_score, "hidden_proposals": int((~table.passing()).sum())},
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
        Which box each shape is; `NEW` for shapes without an area or before the first plane, which can be kept nowhere.
    """
    names = list(metadata.get("classes", ())) or (["object"] if not any(rows.labels) else [])
    finished = frozenset(_plane(plane) for plane in metadata.get("finished", ()) if has_plane((), plane))
    areas = frozenset(
        Area(_plane(plane), tuple(xyxy), kind)
        for plane, xyxy, kind in metadata.get("areas", ())
        if has_plane((), plane)
    )
    table = BoxTable(class_colors(names, metadata.get("colors")), finished, areas, metadata.get("point_size"))
    kept = metadata.get("kept")
    if kept is not None:
        table.load(kept.rows() if isinstance(kept, Kept) else kept)
    ids = [NEW] * len(rows)
    found: dict[int, Box] = {}
    default = next(iter(table.classes), "object")
    fine = [row for row in range(len(rows)) if rows.has_area(row) and min(rows.plane(row), default=0) >= 0]
    for row in fine:
        key = rows.ids[row]
        if key != NEW and key not in table.boxes and key not in found:
            ids[row] = key
            found[key] = _from_row(rows, row, default)
    table.load(BoxRows.from_boxes(found))
    new = [row for row in fine if ids[row] == NEW]
    for row, key in zip(new, table.new_ids(len(new)).tolist(), strict=True):
        ids[row] = key
    table.load(BoxRows.from_boxes({ids[row]: _from_row(rows, row, default) for row in new}))
    return table, ids


def _plane(values: Sequence[Any]) -> PlaneIndex:
    return tuple(int(i) for i in values)


def _from_row(rows: Rows, row: int, default_class: str) -> Box:
    score = rows.scores[row]
    origin = rows.origins[row] or ("" if score is not None else HUMAN)
    state = rows.states[row] or ("added" if origin == HUMAN else "proposed")
    return Box(rows.plane(row), rows.xyxy(row), rows.labels[row] or default_class, score, origin, state)
