"""ImageJ and Fiji: regions of interest in a ``.roi`` file, or many in a ``.zip`` as the ROI Manager saves them.

Boxes are rectangles with parts of a pixel; their ``group`` and colour stand for the class, and their properties hold
class, score, id, origin, state and plane. Points are points, with a nominal size in their properties. Rectangles, ovals
and outlines are read as the boxes around them; lines and text are left out. A position along z or t names the plane.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.colors import class_colors
from napari_localize.core.errors import UserError
from napari_localize.formats.base import EVERYTHING, Format, ReadOptions, portable_name
from napari_localize.formats.beside import image_of
from napari_localize.formats.names import safe_name
from napari_localize.formats.points import square_points
from napari_localize.formats.table import BoxTable, assemble, box_id, note, shortest
from napari_localize.formats.text import load_bytes

if TYPE_CHECKING:
    from roifile import ImagejRoi

_EMPTY_ZIP = b"PK\5\6" + bytes(16)
_LARGEST_ROI, _LARGEST_ZIP, _MOST = 1 << 26, 1 << 30, 1_000_000
_AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
_READABLE = " ,;:@/()[]+*#&'=!?~"


def sniff(head: bytes) -> bool:
    """Say whether a file that begins like this is a region of interest, or a zip file of them."""
    if head.startswith(b"PK\3\4"):
        length = int.from_bytes(head[26:28], "little")
        return head[30 : 30 + length].lower().endswith(b".roi")
    return head.startswith((b"Iout", _EMPTY_ZIP))


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read all regions of a file."""
    image, size = image_of(path, options)
    table, points, notes, left_out = BoxTable(), dict[int, float](), list[str](), Counter[str]()
    planes: dict[str, int] = {}
    classes: dict[str, int] = {}
    for name, content in _contents(path):
        roi = _parse(content, f"{name} in {path}" if name else str(path))
        facts = _facts(roi.props)
        plane = portable_name(facts.get("plane", "")) or plane_name(image, _position(roi))
        label = facts.get("class") or (f"group {roi.group}" if roi.group else "object")
        boxes = _boxes(roi)
        left_out["they are lines, text or images"] += not boxes
        for box in boxes:
            if box[:2] == box[2:]:
                points[len(table.box)] = _number(facts.get("size", ""))
            table.add(
                planes.setdefault(plane, len(planes)),
                box,
                classes.setdefault(label, len(classes)),
                score=_number(facts.get("score", "")),
                id=box_id(facts.get("id")) if len(boxes) == 1 else -1,
                origin=facts.get("origin", ""),
                state=facts.get("state", ""),
            )
    note(notes, "Regions left out because they are lines, text or images", left_out.total())
    square_points(table, points, options.point_size, notes)
    sizes = {} if size is None else {name: size for name in planes if split_plane_name(name)[0] == image}
    return assemble(table, list(planes), list(classes), sizes, notes)


def write(path: Path, data: Annotations) -> list[str]:
    """Write a zip file that the ROI Manager opens; it knows one image."""
    colors = class_colors(data.class_names)
    width = len(str(sum(map(len, data.values()))))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        number = 0
        for plane, part in data.items():
            columns = (part.boxes, part.labels, shortest(part.scores), part.ids, part.origins, part.states)
            for box, label, score, own, origin, state in zip(*columns, strict=True):
                number += 1
                class_name = data.class_names[label]
                name = f"{number:0{width}}-{safe_name(class_name)[:40]}"
                facts = {"class": class_name, "plane": plane, "id": str(own), "origin": origin, "state": state}
                if not math.isnan(score):
                    facts["score"] = str(score)
                if data.points:
                    facts["size"] = f"{math.sqrt(float(box[2] - box[0]) * float(box[3] - box[1])):.6g}"
                roi = _region(box.astype(np.float64), data.points)
                at = split_plane_name(plane)[1]
                roi.z_position, roi.t_position = (at[axis] + 1 if axis in at else 0 for axis in "zt")
                roi.group = int(label) % 255 + 1
                roi.stroke_color = bytes.fromhex("FF" + colors[class_name][1:7])
                roi.name = name.encode("ascii", "replace").decode()
                roi.props = "".join(f"{key}: {_quoted(value)}\n" for key, value in facts.items())
                file.writestr(f"{name}.roi", roi.tobytes())
    images = {split_plane_name(name)[0] for name in data}
    if len(images) > 1:
        return [f"ImageJ takes all regions of a file for those of one image, but these are of {len(images)} images."]
    return []


FORMAT = Format(
    name="imagej",
    title="ImageJ ROI",
    extensions=(".zip", ".roi"),
    sniff=sniff,
    read=read,
    write=write,
    holds=EVERYTHING - {"rejected", "reviewed", "sizes", "empty", "classes"} | {"points"},
)


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give name and content of each region; nothing is unpacked to disk, and no more than fits into memory."""
    content = load_bytes(path)
    if content.startswith(b"Iout"):
        yield "", content
        return
    read = 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            entries = [entry for entry in file.infolist() if entry.filename.lower().endswith(".roi")]
            if len(entries) > _MOST:
                raise UserError(f"{path} has {len(entries)} regions, but at most {_MOST} are read; split it.")
            for entry in entries:
                with file.open(entry) as opened:
                    roi = opened.read(_LARGEST_ROI + 1)
                read += len(roi)
                if len(roi) > _LARGEST_ROI or read > _LARGEST_ZIP:
                    raise UserError(f"{path} unpacks to more than regions of interest have; save it again in ImageJ.")
                yield entry.filename[:80], roi
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is a damaged or locked zip file ({error}); save it again in ImageJ.") from error


def _parse(content: bytes, what: str) -> ImagejRoi:
    import struct

    from roifile import ImagejRoi

    try:
        return ImagejRoi.frombytes(content)
    except (ValueError, TypeError, struct.error, OverflowError, MemoryError, IndexError) as error:
        raise UserError(f"{what} is not a region that ImageJ has written ({error}); save it again.") from error


def _boxes(roi: ImagejRoi) -> list[tuple[float, float, float, float]]:
    """Return the box around a region, one without extent for each point, or nothing."""
    kind, subtype = roi.roitype.name, roi.subtype.name
    if kind == "POINT":
        if roi.subpixel_coordinates is not None:
            places = roi.subpixel_coordinates.astype(np.float64)
        elif roi.integer_coordinates is not None:
            # A whole number means the pixel, so its middle.
            places = roi.integer_coordinates + np.array([roi.left, roi.top]) + 0.5
        else:
            return []
        return [(x, y, x, y) for x, y in places.tolist()]
    if kind not in _AREAS or subtype in ("TEXT", "IMAGE", "ARROW"):
        return []
    if roi.subpixelrect and not roi.composite:
        return [(roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd)]
    outline = roi.subpixel_coordinates
    if outline is None and roi.integer_coordinates is not None:
        # The corners of pixels, so that the box ends there.
        outline = roi.integer_coordinates + np.array([roi.left, roi.top])
    if outline is not None and len(outline):
        return [(*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist())]
    return [(roi.left, roi.top, roi.right, roi.bottom)]


def _region(box: Any, is_point: bool) -> ImagejRoi:
    """Return a rectangle, or a point in its middle."""
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    x0, y0, x1, y1 = box.tolist()
    if is_point:
        return ImagejRoi.frompoints(np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]))
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION)
    roi.xd, roi.yd, roi.widthd, roi.heightd = x0, y0, x1 - x0, y1 - y0
    roi.left, roi.top, roi.right, roi.bottom = (min(round(side), 65535) for side in (x0, y0, x1, y1))
    return roi


def _position(roi: ImagejRoi) -> dict[str, int]:
    """Return the plane; a stack that is not told to be one in time is one in depth."""
    at = {"t": roi.t_position, "z": roi.z_position or (0 if roi.t_position else roi.position)}
    return {axis: index - 1 for axis, index in at.items() if index > 0}


def _facts(props: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in props.split("\n"))
    return {key.strip(): unquote(value.strip()) for key, colon, value in pairs if colon}


def _quoted(text: str) -> str:
    """Return a text in ASCII that reads like the text where it can; ImageJ drops blanks at its ends."""
    return re.sub(r"^ +| +$", lambda blanks: "%20" * len(blanks[0]), quote(text, safe=_READABLE, errors="replace"))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
