"""COCO: one JSON file with images, annotations and categories.

Beyond the standard, an annotation may have ``score`` (absent: made by a person), ``origin``, ``state`` and
``box_id`` (the box's id within its plane, where it differs from the annotation's ``id``, which must be unique
in the file), an image of a stack has ``"plane": {"t": 3}``, and one that a person has finished ``"reviewed": true``; ``"reviewed_areas"`` and
``"ignored_areas"`` of an image are lists of rectangles ``[x, y, width, height]``.
Annotations that are only ``keypoints`` get the box around their visible points, or a square of a nominal size
around a single one. Points are written with one keypoint at the centre of their box. Regions with ``iscrowd`` are not
single objects and are left out. Lists of results, which name neither images nor classes, are read with the data set
that they belong to.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area
from napari_localize.formats.base import EVERYTHING, Format, ReadOptions, portable_name
from napari_localize.formats.points import square_points
from napari_localize.formats.table import BoxTable, assemble, note, rounded, shortest
from napari_localize.formats.text import load_json, short

if TYPE_CHECKING:
    from pathlib import Path

_TABLES = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_RESULT = re.compile(rb'\[\s*(\{[^{}]*"image_id"|\]\s*$)')
_HUGE = 1 << 62
_KINDS: tuple[Literal["reviewed", "ignored"], ...] = ("reviewed", "ignored")


def sniff(head: bytes) -> bool:
    """Say whether a file that begins like this is a COCO data set or a list of COCO results."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return bool(_TABLES.search(text)) if text.startswith(b"{") else bool(_RESULT.match(text))


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read a data set, or a list of results together with the data set that they belong to."""
    content = load_json(path)
    if isinstance(content, list):
        if options.reference is None and content:
            raise UserError(
                f"{path} is a list of COCO results, which names neither images nor classes; "
                "give the data set that it belongs to as well."
            )
        data_set = options.reference or path
        head = load_json(data_set) if content else {}
        rows = content
    else:
        data_set, head = path, content
        rows = _list(head, "annotations", path) if isinstance(head, dict) else []
    if not isinstance(head, dict):
        raise UserError(f"{data_set} is not a COCO data set with images, annotations and categories.")
    return _annotations(head, rows, path, data_set, options.point_size)


def write(path: Path, data: Annotations) -> list[str]:
    """Write a data set that pycocotools loads as it is."""
    images: list[str] = []
    lines: list[str] = []
    ids = np.concatenate([data[name].ids for name in data] or [np.zeros(0, np.int64)])
    own_ids = bool((ids > 0).all()) and len(np.unique(ids)) == len(ids)
    for image_id, (name, part) in enumerate(data.items(), start=1):
        file_name, position = split_plane_name(name)
        image: dict[str, Any] = {"id": image_id, "file_name": file_name}
        if name in data.sizes:
            image["height"], image["width"] = data.sizes[name]
        if position:
            image["plane"] = position
        if name in data.reviewed:
            image["reviewed"] = True
        for kind in _KINDS:
            rectangles = [area.xyxy for area in data.areas.get(name, ()) if area.kind == kind]
            if rectangles:
                image[f"{kind}_areas"] = [
                    [round(float(value), 4) for value in (x0, y0, x1 - x0, y1 - y0)] for x0, y0, x1, y1 in rectangles
                ]
        images.append(json.dumps(image))
        corners = part.boxes.astype(np.float64)
        xywh = rounded(np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]), part.boxes)
        columns = (xywh.tolist(), part.labels.tolist(), shortest(part.scores), part.ids.tolist())
        for bbox, label, score, own, origin, state in zip(
            *columns, part.origins.tolist(), part.states.tolist(), strict=True
        ):
            row: dict[str, Any] = {
                "id": own if own_ids else len(lines) + 1,
                "image_id": image_id,
                "category_id": label + 1,
                "bbox": bbox,
                "area": round(bbox[2] * bbox[3], 4),
                "iscrowd": 0,
            }
            if not own_ids:
                row["box_id"] = own
            if not math.isnan(score):
                row["score"] = score
            if origin:
                row["origin"] = origin
            row["state"] = state
            if data.points:
                x, y, width, height = bbox
                row.update(keypoints=[round(x + width / 2, 4), round(y + height / 2, 4), 2], num_keypoints=1)
            lines.append(json.dumps(row))
    keypoints = {"keypoints": ["center"], "skeleton": []} if data.points else {}
    categories = [json.dumps({"id": n, "name": name, **keypoints}) for n, name in enumerate(data.class_names, start=1)]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"info": {"description": "Boxes by napari-localize"},\n"licenses": [],\n')
        for key, items in (("images", images), ("categories", categories), ("annotations", lines)):
            end = "\n}\n" if key == "annotations" else ",\n"
            file.write(f'"{key}": [\n' + ",\n".join(items) + "\n]" + end)
    return []


FORMAT = Format(
    name="coco",
    title="COCO",
    extensions=(".json",),
    sniff=sniff,
    read=read,
    write=write,
    holds=EVERYTHING | {"areas", "points"},
)


def _annotations(
    head: dict[str, Any], rows: list[Any], path: Path, data_set: Path, point_size: float | None
) -> Annotations:
    images, names, sizes = _images(head, data_set)
    labels, class_names = _categories(head, data_set)
    table, left_out = BoxTable(), Counter[str]()
    notes: list[str] = []
    points: dict[int, float] = {}
    only_points = True
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            left_out["they are not JSON objects"] += 1
            continue
        plane = images.get(_key(row.get("image_id")))
        if plane is None:
            left_out["their image is not in the file"] += 1
            continue
        if row.get("iscrowd"):
            left_out["they mark crowds (iscrowd) and not single objects"] += 1
            continue
        box = _box(row)
        if box is None:
            left_out["they have neither a bbox of four numbers nor visible keypoints"] += 1
            continue
        label = labels.get(_key(row.get("category_id")))
        if label is None:
            raise UserError(
                f"annotation {number} in {path} has the category_id {short(row.get('category_id'))}, which is not "
                f"among the categories of {data_set.name}; add it there."
            )
        if "keypoints" in row and box[:2] == box[2:]:
            points[len(table.box)] = math.nan
        only_points &= _is_point(row, box)
        table.add(
            plane,
            box,
            label,
            score=_number(row.get("score")),
            id=_id(row.get("box_id", row.get("id"))),
            origin=_text(row.get("origin")),
            state=_text(row.get("state")),
        )
    for reason, count in left_out.items():
        note(notes, f"Boxes left out because {reason}", count)
    square_points(table, points, point_size, notes)
    table.points = only_points and bool(table.box)
    result = assemble(table, names, class_names, sizes, notes)
    done = {_key(image["id"]) for image in _list(head, "images", data_set) if image.get("reviewed") is True}
    result.reviewed = frozenset(names[images[key]] for key in done)
    result.areas = _areas(head, images, names, data_set)
    return result


def _areas(head: dict[str, Any], images: dict[Any, int], names: list[str], path: Path) -> dict[str, tuple[Area, ...]]:
    """Return the areas by plane name that a person has reviewed or wants to be ignored."""
    areas: dict[str, list[Area]] = {}
    for image in _list(head, "images", path):
        name = names[images[_key(image["id"])]]
        for kind in _KINDS:
            for rectangle in _list(image, f"{kind}_areas", path):
                if not (type(rectangle) is list and len(rectangle) == 4 and _are_numbers(rectangle)):
                    raise UserError(f"{path} has the area {short(rectangle)}; it must be [x, y, width, height].")
                x, y, width, height = (float(value) for value in rectangle)
                if not (math.isfinite(x + y + width + height) and min(width, height) >= 0):
                    raise UserError(f"{path} has the area {short(rectangle)}, which is no rectangle; mend it.")
                areas.setdefault(name, []).append(Area((), (x, y, x + width, y + height), kind))
    return {name: tuple(parts) for name, parts in areas.items()}


def _images(head: dict[str, Any], path: Path) -> tuple[dict[Any, int], list[str], dict[str, tuple[int, int]]]:
    """Return the plane number of each image id, the planes' names and their sizes."""
    planes: dict[Any, int] = {}
    numbers: dict[str, int] = {}
    sizes = {}
    for number, image in enumerate(_list(head, "images", path)):
        key = _key(image.get("id")) if isinstance(image, dict) else None
        if key is None or not isinstance(image.get("file_name"), str):
            raise UserError(f"image {number} in {path} lacks an id or a file_name; export the file again.")
        name = plane_name(portable_name(image["file_name"]), _position(image, path))
        plane = numbers.setdefault(name, len(numbers))
        if planes.setdefault(key, plane) != plane:
            raise UserError(f"two images in {path} have the id {short(key)}; give every image its own id.")
        size = (image.get("height"), image.get("width"))
        if all(type(side) is int and 0 < side < 1 << 31 for side in size):
            sizes[name] = size
    return planes, list(numbers), sizes


def _position(image: dict[str, Any], path: Path) -> dict[str, int]:
    position = image.get("plane") or {}
    if isinstance(position, dict) and all(
        len(axis) == 1 and type(index) is int and index >= 0 for axis, index in position.items()
    ):
        return position
    raise UserError(
        f'image {short(image["id"])} in {path} has the plane {short(position)}; it must be like {{"t": 3}}.'
    )


def _categories(head: dict[str, Any], path: Path) -> tuple[dict[Any, int], list[str]]:
    labels: dict[Any, int] = {}
    names: dict[str, int] = {}
    for number, category in enumerate(_list(head, "categories", path)):
        key = _key(category.get("id")) if isinstance(category, dict) else None
        if key is None or not isinstance(category.get("name"), str):
            raise UserError(f"category {number} in {path} lacks an id or a name; export the file again.")
        label = names.setdefault(category["name"], len(names))
        if labels.setdefault(key, label) != label:
            raise UserError(f"two categories in {path} have the id {short(key)}; give every one its own id.")
    return labels, list(names)


def _box(row: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Return x0, y0, x1, y1; a single keypoint gives a box without extent."""
    bbox = row.get("bbox")
    if type(bbox) is list and len(bbox) == 4 and _are_numbers(bbox) and (any(bbox[2:]) or "keypoints" not in row):
        x, y, width, height = bbox
        return (x, y, x + width, y + height)
    keypoints = row.get("keypoints")
    if type(keypoints) is not list or not _are_numbers(keypoints):
        return None
    visible = [(x, y) for x, y, v in zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=False) if v > 0]
    if not visible:
        return None
    xs, ys = zip(*visible, strict=True)
    if min(xs) < max(xs) and min(ys) < max(ys):
        return (min(xs), min(ys), max(xs), max(ys))
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return (x, y, x, y)


def _is_point(row: dict[str, Any], box: tuple[float, float, float, float]) -> bool:
    """Whether an object is a single keypoint, in the middle of its box."""
    keypoints = row.get("keypoints")
    if type(keypoints) is not list or len(keypoints) != 3 or not _are_numbers(keypoints) or keypoints[2] <= 0:
        return False
    return all(abs((low + high) / 2 - at) < 0.5 for low, high, at in zip(box[:2], box[2:], keypoints, strict=False))


def _list(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key, [])
    if not isinstance(value, list):
        raise UserError(f"'{key}' in {path} is not a list; this is not a COCO file.")
    return value


def _key(value: Any) -> Any:
    return value if type(value) in (int, float, str) else None


def _are_numbers(values: list[Any]) -> bool:
    return all(type(v) is float or (type(v) is int and -_HUGE < v < _HUGE) for v in values)


def _number(value: Any) -> float:
    return float(value) if _are_numbers([value]) else math.nan


def _id(value: Any) -> int:
    return value if type(value) is int and 0 <= value < _HUGE else -1


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
