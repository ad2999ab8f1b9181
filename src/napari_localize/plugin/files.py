"""Between layers of boxes and annotations by file and plane, as they are in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.boxes import BoxRows
from napari_localize.core.colors import STATE_FACES, class_colors
from napari_localize.core.detections import STATES, Detections
from napari_localize.plugin.layers import METADATA, MOST_BOXES, box_layer_kwargs, boxes_to_vertices, usual_axes
from napari_localize.plugin.mirror import take_over
from napari_localize.plugin.rows import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    LayerData = tuple[Any, dict[str, Any], str]

MOST_LAYERS = 12
"""The boxes of more files than this come as one layer with a plane for each file."""


def to_annotations(data: Sequence[Any], meta: Mapping[str, Any]) -> Annotations:
    """Return what a layer of boxes holds, given its data and attributes as napari's writers get them.

    Boxes that are not shown count when a person has judged them; guesses that the filter hides do not.
    """
    import pandas as pd

    notes = dict(meta.get("metadata", {}).get(METADATA, {}))
    kinds = meta.get("shape_type", "rectangle")
    kinds = [kinds] * len(data) if isinstance(kinds, str) else kinds
    ndim = int(meta.get("ndim") or (np.shape(data[0])[1] if len(data) else 2))
    rows = rows_of([np.asarray(shape) for shape in data], kinds, pd.DataFrame(meta.get("features", {})), ndim)
    table, _ = take_over(notes, rows)
    image = notes.get("image", {})
    size = image.get("size")
    files = notes.get("files")
    axes = list(image.get("axes", ())) or list(usual_axes(ndim - 2))
    name = image.get("file") or image.get("name") or str(meta.get("name", "image"))
    planes: dict[str, Detections] = {}
    reviewed = []
    for index in sorted({*table.planes(), *([()] if ndim == 2 else [])}):
        if files:
            key = files[index[0]] if index[0] < len(files) else f"{name}#{index[0]}"
        else:
            key = plane_name(name, dict(zip(axes, index, strict=True)))
        planes[key] = table.detections(index, STATES)
        if index in table.finished:
            reviewed.append(key)
    known = dict.fromkeys(planes, size) if size else notes.get("sizes", {})
    sizes = {key: (int(known[key][0]), int(known[key][1])) for key in planes if key in known}
    return Annotations(planes, sizes, list(table.classes), reviewed=reviewed)


def to_layers(annotations: Annotations, name: str) -> list[LayerData]:
    """Return layers for the boxes of a file: one for each image, or one for all when there are many.

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
    if sum(map(len, annotations.values())) > MOST_BOXES:
        return [_points(annotations, list(files), name)]
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
    return _layer(annotations, planes, 2 + len(axes), {"image": image}, f"{file} boxes")


def _layer(
    annotations: Annotations,
    planes: Mapping[tuple[int, ...], str],
    ndim: int,
    notes: Mapping[str, Any],
    name: str,
) -> LayerData:
    names = annotations.class_names or ("object",)
    colors = class_colors(names)
    vertices: list[Any] = [np.zeros((0, 4, ndim), np.float32)]
    columns: dict[str, list[Any]] = {"class": [], "score": [], "id": [], "origin": [], "state": []}
    kept = []
    ids_of = _layer_ids([annotations[plane] for plane in planes.values()])
    for (index, plane), ids in zip(planes.items(), ids_of, strict=True):
        part = annotations[plane]
        labels = [part.class_names[label] for label in part.labels.tolist()]
        hidden = part.states == "rejected"
        kept.append(BoxRows.from_detections(index, part[hidden], ids[hidden]))
        shown = part.boxes[~hidden]
        vertices.append(boxes_to_vertices(shown, np.tile(np.array(index, np.float32), (len(shown), 1))))
        columns["class"] += [label for label, out in zip(labels, hidden.tolist(), strict=True) if not out]
        for column, values in (("score", part.scores), ("id", ids), ("origin", part.origins), ("state", part.states)):
            columns[column] += values[~hidden].tolist()
    metadata = {
        **notes,
        "classes": list(names),
        "colors": colors,
        "finished": [list(index) for index, plane in planes.items() if plane in annotations.reviewed],
        "kept": BoxRows.concatenate(kept),
    }
    meta = {**box_layer_kwargs(names[0]), "name": name, "metadata": {METADATA: metadata}}
    if columns["id"]:
        # napari gives colours in the order of the sorted values.
        meta["features"] = columns
        meta["edge_color_cycle"] = [colors[label] for label in sorted(set(columns["class"]))]
        meta["face_color_cycle"] = [list(STATE_FACES[state]) for state in sorted(set(columns["state"]))]
        return np.concatenate(vertices), {**meta, "shape_type": "rectangle", "edge_width": 1}, "shapes"
    return None, {**meta, "ndim": ndim}, "shapes"


def _layer_ids(parts: Sequence[Detections]) -> list[NDArray[np.int64]]:
    """Return the ids of some planes, numbered anew when two planes share one: in a layer they may not."""
    ids = np.concatenate([part.ids for part in parts] or [np.zeros(0, np.int64)])
    if len(np.unique(ids)) != len(ids) or (ids < 0).any():
        ids = np.arange(1, len(ids) + 1)
    return np.split(ids, np.cumsum([len(part) for part in parts])[:-1])


def _points(annotations: Annotations, files: Sequence[str], name: str) -> LayerData:
    centers, classes, scores = [], [], []
    several = len(annotations) > 1
    for number, part in enumerate(annotations.values()):
        points = part.centers[:, ::-1] - np.float32(0.5)
        centers.append(np.insert(points, 0, number, axis=1) if several else points)
        classes += [part.class_names[label] for label in part.labels.tolist()]
        scores += part.scores.tolist()
    colors = class_colors(annotations.class_names)
    meta = {
        "name": name,
        "features": {"class": classes, "score": scores},
        "face_color": "class",
        "face_color_cycle": [colors[label] for label in sorted(set(classes))],
        "border_width": 0,
        "size": 6,
        "metadata": {"files": list(files)},
    }
    return np.concatenate(centers), meta, "points"
