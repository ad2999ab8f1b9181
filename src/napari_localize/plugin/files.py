"""Between layers of boxes and annotations by file and plane, as they are in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.boxes import BoxRows
from napari_localize.core.colors import STATE_FACES, class_colors
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.points import POINT_SIZE, typical_size
from napari_localize.core.steps import Area
from napari_localize.plugin.layers import (
    METADATA,
    MOST_POINTS,
    MOST_SHAPES,
    box_layer_kwargs,
    boxes_to_points,
    boxes_to_vertices,
    usual_axes,
)
from napari_localize.plugin.mirror import take_over
from napari_localize.plugin.points import read_points
from napari_localize.plugin.rows import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    LayerData = tuple[Any, dict[str, Any], str]

MOST_LAYERS = 12
"""The boxes of more files than this come as one layer with a plane for each file."""


def to_annotations(data: Sequence[Any], meta: Mapping[str, Any]) -> Annotations:
    """Return what a layer of boxes or points holds, given its data and attributes as napari's writers get them.

    Boxes that are not shown count when a person has judged them; guesses that the filter hides do not.
    """
    import pandas as pd

    notes = dict(meta.get("metadata", {}).get(METADATA, {}))
    points = "symbol" in meta
    features = pd.DataFrame(meta.get("features", {}))
    if points:
        ndim = np.asarray(data).shape[-1]
        rows = read_points(np.asarray(data), meta.get("size", POINT_SIZE), features)
    else:
        kinds = meta.get("shape_type", "rectangle")
        kinds = [kinds] * len(data) if isinstance(kinds, str) else kinds
        ndim = int(meta.get("ndim") or (np.shape(data[0])[1] if len(data) else 2))
        rows = rows_of([np.asarray(shape) for shape in data], kinds, features, ndim)
    table, _ = take_over(notes, rows)
    image = notes.get("image", {})
    size = image.get("size")
    files = notes.get("files")
    axes = list(image.get("axes", ())) or list(usual_axes(ndim - 2))
    name = image.get("file") or image.get("name") or str(meta.get("name", "image"))
    planes: dict[str, Detections] = {}
    reviewed = []
    areas: dict[str, list[Area]] = {}
    others = {*table.planes(), *(area.plane for area in table.areas), *([()] if ndim == 2 else [])}
    for index, boxes in table.by_plane(STATES, also=others).items():
        if files:
            key = files[index[0]] if index[0] < len(files) else f"{name}#{index[0]}"
        else:
            key = plane_name(name, dict(zip(axes, index, strict=True)))
        planes[key] = boxes
        if index in table.finished:
            reviewed.append(key)
        here = sorted(area for area in table.areas if area.plane == index)
        if here:
            areas[key] = here
    known = dict.fromkeys(planes, size) if size else notes.get("sizes", {})
    sizes = {key: (int(known[key][0]), int(known[key][1])) for key in planes if key in known}
    return Annotations(planes, sizes, list(table.classes), points=points, reviewed=reviewed, areas=areas)


def to_layers(annotations: Annotations, name: str) -> list[LayerData]:
    """Return layers for the boxes or points of a file: one for each image, or one for all when there are many.

    Of very many only some are shapes of the layer; `plugin.boxes.box_layer` knows the others, too.

    Parameters
    ----------
    annotations : Annotations
        What was read.
    name : str
        The file's name, for a layer of many images and for a file without any.
    """
    files: dict[str, dict[str, str]] = {}
    for plane in annotations:
        files.setdefault(split_plane_name(plane)[0], {})[plane] = plane
    if not files:
        return [_layer(annotations, {}, 2, {"image": {"name": name, "axes": []}}, name)]
    if len(files) > MOST_LAYERS:
        planes: dict[tuple[int, ...], str] = {(number,): plane for number, plane in enumerate(annotations)}
        sizes = {plane: list(size) for plane, size in annotations.sizes.items()}
        notes = {"image": {"name": name, "axes": ["i"], "planes": [len(planes)]}, "files": list(annotations)}
        return [_layer(annotations, planes, 3, {**notes, "sizes": sizes}, name)]
    return [_image_layer(annotations, file, list(names)) for file, names in files.items()]


def _image_layer(annotations: Annotations, file: str, names: Sequence[str]) -> LayerData:
    positions = [split_plane_name(name)[1] for name in names]
    axes = list(dict.fromkeys(axis for position in positions for axis in position))
    planes = {
        tuple(position.get(axis, 0) for axis in axes): name for name, position in zip(names, positions, strict=True)
    }
    image: dict[str, Any] = {"name": file, "file": file, "axes": axes}
    if names[0] in annotations.sizes:
        image["size"] = list(annotations.sizes[names[0]])
    what = "points" if annotations.points else "boxes"
    return _layer(annotations, planes, 2 + len(axes), {"image": image}, f"{file} {what}")


def _layer(
    annotations: Annotations,
    planes: Mapping[tuple[int, ...], str],
    ndim: int,
    notes: Mapping[str, Any],
    name: str,
) -> LayerData:
    names = annotations.class_names or ("object",)
    colors = class_colors(names)
    ids_of = _layer_ids([annotations[plane] for plane in planes.values()])
    rows = BoxRows.concatenate(
        BoxRows.from_detections(index, annotations[plane], ids)
        for (index, plane), ids in zip(planes.items(), ids_of, strict=True)
    )
    size = typical_size(annotations.values()) or POINT_SIZE if annotations.points else None
    kind = "shapes" if size is None else "points"
    shapes = _first(rows, MOST_SHAPES if size is None else MOST_POINTS)
    metadata = {
        **notes,
        "classes": list(names),
        "colors": colors,
        "finished": [list(index) for index, plane in planes.items() if plane in annotations.reviewed],
        "areas": [
            [list(index), list(area.xyxy), area.kind]
            for index, plane in planes.items()
            for area in annotations.areas.get(plane, ())
        ],
        "kept": rows[~shapes],
        "point_size": size,
    }
    meta = {**box_layer_kwargs(names[0], size), "name": name, "metadata": {METADATA: metadata}}
    rows = rows[shapes]
    if not len(rows):
        return None, {**meta, "ndim": ndim}, kind
    columns = {
        "class": np.array(rows.class_names, object)[rows.labels],
        "score": rows.scores,
        "id": rows.ids,
        "origin": np.array(rows.origin_names, object)[rows.origins],
        "state": np.array(STATES, object)[rows.states],
    }
    meta["features"] = {column: values.tolist() for column, values in columns.items()}
    # napari gives colours in the order of the sorted values.
    meta["edge_color_cycle" if size is None else "border_color_cycle"] = [
        colors[label] for label in sorted(set(columns["class"]))
    ]
    meta["face_color_cycle"] = [list(STATE_FACES[state]) for state in sorted(set(columns["state"]))]
    indices = np.array(rows.plane_indices, np.float32).reshape(len(rows.plane_indices), ndim - 2)
    if size is not None:
        places = boxes_to_points(rows.boxes, indices[rows.planes])
        sizes = np.round(np.sqrt((rows.boxes[:, 2:] - rows.boxes[:, :2]).prod(axis=1).astype(float)), 3)
        return places, {**meta, "size": sizes, "border_width": 1, "border_width_is_relative": False}, kind
    vertices = boxes_to_vertices(rows.boxes, indices[rows.planes])
    return vertices, {**meta, "shape_type": "rectangle", "edge_width": 1}, kind


def _first(rows: BoxRows, most: int) -> NDArray[np.bool_]:
    """Return which boxes a layer has at first: none that are rejected and, of very many, those that a person has judged."""
    seen = np.flatnonzero(rows.states != STATES.index("rejected"))
    order = np.lexsort((-np.nan_to_num(rows.scores[seen], nan=2.0), rows.states[seen] == STATES.index("proposed")))
    mask = np.zeros(len(rows), bool)
    mask[np.sort(seen[order[:most]])] = True
    return mask


def _layer_ids(parts: Sequence[Detections]) -> list[NDArray[np.int64]]:
    """Return the ids of some planes, numbered anew when two planes share one: in a layer they may not."""
    ids = np.concatenate([part.ids for part in parts] or [np.zeros(0, np.int64)])
    if len(np.unique(ids)) != len(ids) or (ids < 0).any():
        ids = np.arange(1, len(ids) + 1)
    return np.split(ids, np.cumsum([len(part) for part in parts])[:-1])
