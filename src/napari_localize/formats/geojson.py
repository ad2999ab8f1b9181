"""GeoJSON as QuPath reads and writes it: one feature an object, all of one image.

Boxes are polygons with ``classification``; the score is the measurement ``Score``, and ``metadata``, which QuPath
keeps, has plane, id, origin and state. What a model has found is a detection, what a person has drawn is an
annotation. Points are points, with a nominal size in ``metadata``. Any polygons are read as the boxes around them;
annotations without
a class beside detections are regions, such as a tissue, and no objects. QuPath passes over the list of planes and
classes.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.colors import class_colors
from napari_localize.core.errors import UserError
from napari_localize.formats.base import EVERYTHING, Format, ReadOptions, portable_name
from napari_localize.formats.beside import image_of, stack_axes
from napari_localize.formats.points import square_points
from napari_localize.formats.table import BoxTable, assemble, box_id, note, rounded, shortest
from napari_localize.formats.text import load_json

_FEATURES = re.compile(rb'"type"\s*:\s*"Feature(Collection)?"')
_OWN = "napari_localize"
_SCORES = ("score", "detection probability", "probability")


def sniff(head: bytes) -> bool:
    """Say whether a file that begins like this holds GeoJSON features."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text[:1] in (b"{", b"[") and bool(_FEATURES.search(text[:4096]))


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read the objects of a file."""
    content = load_json(path)
    features = content.get("features", [content]) if isinstance(content, dict) else content
    if not isinstance(features, list):
        raise UserError(f"'features' in {path} is not a list; this is no GeoJSON of objects.")
    own = content.get(_OWN) if isinstance(content, dict) else None
    planes, sizes, classes, reviewed = _header(own if isinstance(own, dict) else {})
    objects = [(_properties(feature), feature) for feature in features if isinstance(feature, dict)]
    left_out = Counter({"they are not GeoJSON objects": len(features) - len(objects)})
    some_detected = any(_kind(properties) in ("detection", "cell", "tile") for properties, _ in objects)
    own_names = dict.fromkeys(name for name in [*planes, *(_plane_in(p) for p, _ in objects)] if name)
    named = {split_plane_name(name)[0] for name in own_names}
    image, size = (named.pop(), None) if len(named) == 1 else image_of(path, options)
    # QuPath leaves out the position on the first plane; what else there is tells which axes the image has.
    positions = [split_plane_name(name)[1] for name in own_names if split_plane_name(name)[0] == image]
    seen = {axis for p, feature in objects if not _plane_in(p) for axis in _position(feature.get("geometry"))}
    known = [*(axis for at in positions for axis in at), *([] if own_names else stack_axes(path, options))]
    first = dict.fromkeys((axis for axis in (*known, *sorted(seen)) if axis in "tz"), 0)
    table, points, notes = BoxTable(), dict[int, float](), list[str]()
    for properties, feature in objects:
        corners = _corners(feature.get("geometry"))
        class_name = _class(properties)
        if corners is None:
            left_out["they have no area and no place"] += 1
            continue
        if some_detected and not class_name and _kind(properties) not in ("detection", "cell", "tile"):
            left_out["they are annotations without a class beside detections, so regions and not objects"] += 1
            continue
        name = _plane_in(properties) or plane_name(image, first | _position(feature["geometry"]))
        metadata = _dict(properties.get("metadata"))
        if corners[:2] == corners[2:]:
            points[len(table.box)] = _size(metadata.get("size"))
        table.add(
            planes.setdefault(name, len(planes)),
            corners,
            classes.setdefault(class_name or "object", len(classes)),
            score=_score(properties),
            id=box_id(metadata.get("id")),
            origin=_text(metadata.get("origin")),
            state=_text(metadata.get("state")),
        )
    for reason, count in left_out.items():
        note(notes, f"Objects left out because {reason}", count)
    square_points(table, points, options.point_size, notes)
    if not objects and own is None:
        planes[image] = 0
    if size is not None:
        sizes |= {name: size for name in planes if split_plane_name(name)[0] == image}
    result = assemble(table, list(planes), list(classes), sizes, notes)
    result.reviewed = frozenset(reviewed)
    return result


def write(path: Path, data: Annotations) -> list[str]:
    """Write a feature collection that QuPath imports; it takes all objects for those of the open image."""
    lines = []
    colors = class_colors(data.class_names)
    classes = [json.dumps({"name": name, "color": list(bytes.fromhex(colors[name][1:7]))}) for name in data.class_names]
    for name, part in data.items():
        position = split_plane_name(name)[1]
        at = {"c": -1, "z": position.get("z", 0), "t": position.get("t", 0)}
        plane = f', "plane": {json.dumps(at)}' if {"z", "t"} & set(position) else ""
        quoted = json.dumps(name)
        corners = rounded(part.boxes.astype(np.float64), part.boxes).tolist()
        columns = (part.labels.tolist(), shortest(part.scores), part.ids.tolist(), part.origins.tolist())
        for box, label, score, own, origin, state in zip(corners, *columns, part.states.tolist(), strict=True):
            x0, y0, x1, y1 = box
            kind, measured = ("annotation", "{}") if math.isnan(score) else ("detection", f'{{"Score": {score}}}')
            # By hand, which is several times faster than to have the whole object written.
            shape, size = (
                f'"Polygon", "coordinates": [[[{x0}, {y0}], [{x1}, {y0}], [{x1}, {y1}], [{x0}, {y1}], [{x0}, {y0}]]]',
                "",
            )
            if data.points:
                shape = f'"Point", "coordinates": [{(x0 + x1) / 2:.10g}, {(y0 + y1) / 2:.10g}]'
                size = f', "size": "{math.sqrt((x1 - x0) * (y1 - y0)):.6g}"'
            lines.append(
                f'{{"type": "Feature", "geometry": {{"type": {shape}{plane}}}, "properties": {{"objectType": "{kind}", '
                f'"classification": {classes[label]}, "measurements": {measured}, "metadata": {{"plane": '
                f'{quoted}, "id": "{own}", "origin": {json.dumps(origin)}, "state": "{state}"{size}}}}}}}'
            )
    known = [{"name": name, "reviewed": name in data.reviewed, "size": data.sizes.get(name)} for name in data]
    own_part = json.dumps({"classes": data.class_names, "planes": known})
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"type": "FeatureCollection",\n"{_OWN}": {own_part},\n"features": [\n')
        file.write(",\n".join(lines) + "\n]\n}\n")
    images = {split_plane_name(name)[0] for name in data}
    if len(images) > 1:
        return [f"QuPath takes all objects of a file for those of one image, but these are of {len(images)} images."]
    return []


FORMAT = Format(
    name="geojson",
    title="QuPath GeoJSON",
    extensions=(".geojson",),
    sniff=sniff,
    read=read,
    write=write,
    holds=EVERYTHING - {"rejected"} | {"points"},
)


def _header(own: dict[str, Any]) -> tuple[dict[str, int], dict[str, tuple[int, int]], dict[str, int], list[str]]:
    """Return what this program has written beside the features: planes, sizes, classes, planes that are reviewed."""
    planes: dict[str, int] = {}
    sizes, reviewed = {}, []
    for plane in _list(own.get("planes")):
        name = _dict(plane).get("name")
        if not isinstance(name, str):
            continue
        planes.setdefault(name, len(planes))
        size = plane.get("size")
        if isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side < 1 << 31 for side in size):
            sizes[name] = (size[0], size[1])
        if plane.get("reviewed") is True:
            reviewed.append(name)
    names = dict.fromkeys(name for name in _list(own.get("classes")) if isinstance(name, str))
    return planes, sizes, {name: number for number, name in enumerate(names)}, reviewed


def _corners(geometry: Any) -> tuple[float, float, float, float] | None:
    """Return the box around a geometry of any type; a point gives a box without extent."""
    places = list(_places(geometry))
    if not places:
        return None
    xs, ys = zip(*places, strict=True)
    return (min(xs), min(ys), max(xs), max(ys))


def _places(geometry: Any) -> Iterator[tuple[float, float]]:
    open_parts: list[Any] = [_dict(geometry).get("coordinates")]
    open_parts += [_dict(part).get("coordinates") for part in _list(_dict(geometry).get("geometries"))]
    while open_parts:
        part = open_parts.pop()
        if not isinstance(part, list) or not part:
            continue
        if isinstance(part[0], list):
            open_parts += part
        elif len(part) > 1 and type(part[0]) in (int, float) and type(part[1]) in (int, float):
            # Whole numbers of any length are JSON; these are left out afterwards, as infinite.
            yield tuple(float(v) if abs(v) < 1e300 else math.inf for v in part[:2])  # type: ignore[misc]


def _position(geometry: Any) -> dict[str, int]:
    """Return the position that QuPath gives; 0 stands there for an image without that axis too."""
    plane = _dict(_dict(geometry).get("plane"))
    return {axis: plane[axis] for axis in "tz" if type(plane.get(axis)) is int and 0 < plane[axis] < 1 << 31}


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    return _dict(feature.get("properties"))


def _plane_in(properties: dict[str, Any]) -> str:
    return portable_name(_text(_dict(properties.get("metadata")).get("plane")))


def _kind(properties: dict[str, Any]) -> str:
    return _text(properties.get("objectType", properties.get("object_type"))).lower()


def _class(properties: dict[str, Any]) -> str:
    """Return the name of the class; QuPath writes derived classes as a list of names."""
    classification = _dict(properties.get("classification"))
    names = classification.get("names")
    if isinstance(names, list):
        return ": ".join(name for name in names if isinstance(name, str))
    return _text(classification.get("name"))


def _score(properties: dict[str, Any]) -> float:
    measured = properties.get("measurements")
    if isinstance(measured, list):
        measured = {m.get("name"): m.get("value") for m in measured if isinstance(m, dict) and _text(m.get("name"))}
    named = {_text(key).lower(): value for key, value in _dict(measured).items()}
    value = next((named[name] for name in _SCORES if name in named), None)
    return float(value) if type(value) is float or (type(value) is int and abs(value) < 1 << 62) else math.nan


def _size(value: Any) -> float:
    """Return the nominal size of a point; QuPath keeps metadata as text."""
    try:
        return float(_text(value))
    except ValueError:
        return math.nan


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
