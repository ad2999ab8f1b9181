"""TrackMate: the visible spots of an XML file that Fiji's TrackMate has saved; read only."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name
from napari_localize.core.errors import UserError
from napari_localize.formats.base import Format, ReadOptions, portable_name
from napari_localize.formats.table import BoxTable, assemble, note
from napari_localize.formats.text import load_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_ROOT = re.compile(rb"\s*(<\?xml[^>]*\?>\s*)?<TrackMate[\s>]")


def sniff(head: bytes) -> bool:
    """Say whether a file that begins like this is one of TrackMate."""
    return bool(_ROOT.match(head.removeprefix(b"\xef\xbb\xbf")))


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read the spots: boxes around outlines where there are any, or else around circles."""
    root = load_xml(path)
    image = root.find("Settings/ImageData")
    facts = {} if image is None else image.attrib
    file = portable_name(facts.get("filename", "")) or path.stem
    step_x, step_y, step_z = (_number(facts, key, 1.0) for key in ("pixelwidth", "pixelheight", "voxeldepth"))
    if not (step_x > 0 and step_y > 0 and step_z > 0):
        raise UserError(f"the pixel size in {path} is not above 0; calibrate the image in Fiji and save it again.")
    spots = list(root.iterfind("Model/AllSpots/SpotsInFrame/Spot"))
    visible = [spot for spot in spots if spot.get("VISIBILITY") != "0"]
    qualities = np.array([_number(spot.attrib, "QUALITY") for spot in visible])
    known = qualities[np.isfinite(qualities) & (qualities >= 0)]
    # Detectors with a network give probabilities; others give filter responses, which say nothing as scores.
    are_scores = bool(len(known)) and known.max() <= 1
    frames, slices = _number(facts, "nframes", 1), _number(facts, "nslices", 1)
    moving = frames > 1 or any(_number(spot.attrib, "FRAME", 0) > 0 for spot in visible)
    size = (int(_number(facts, "height", 0)), int(_number(facts, "width", 0)))
    planes: dict[str, int] = {}
    if slices <= 1:
        # A frame in which nothing was found is one with no objects.
        found = root.iterfind("Model/AllSpots/SpotsInFrame")
        numbers = sorted({_whole(_number(frame.attrib, "frame", 0)) for frame in found}) if moving else [0]
        planes = {plane_name(file, {"t": n} if moving else {}): index for index, n in enumerate(numbers)}
    notes, table = list[str](), BoxTable(points=bool(visible))
    for spot, quality in zip(visible, qualities.tolist(), strict=True):
        position = {"t": _whole(_number(spot.attrib, "FRAME", 0))} if moving else {}
        if slices > 1:
            position["z"] = min(_whole(_number(spot.attrib, "POSITION_Z", 0) / step_z), int(min(slices, 1e6)) - 1)
        name = plane_name(file, position)
        x0, y0, x1, y1 = outline = _box(spot)
        table.points &= outline == _circle(spot)
        # TrackMate counts from the middle of the first pixel.
        box = (x0 / step_x + 0.5, y0 / step_y + 0.5, x1 / step_x + 0.5, y1 / step_y + 0.5)
        score = quality if are_scores and quality >= 0 else math.nan
        table.add(planes.setdefault(name, len(planes)), box, 0, score=score, id=_whole(_number(spot.attrib, "ID", -1)))
    note(notes, "Spots left out because they are filtered out in TrackMate", len(spots) - len(visible))
    sizes = dict.fromkeys(planes, size) if min(size) > 0 else {}
    return assemble(table, list(planes), ["object"], sizes, notes)


FORMAT = Format(name="trackmate", title="TrackMate", sniff=sniff, read=read)


def _box(spot: Element) -> tuple[float, float, float, float]:
    """Return the box in units of the image; outlines are given relative to the middle of the spot."""
    x, y = (_number(spot.attrib, key) for key in ("POSITION_X", "POSITION_Y"))
    try:
        outline = np.array((spot.text or "").split(), np.float64)
    except ValueError:
        outline = np.zeros(0)
    if len(outline) < 6 or len(outline) % 2 or not spot.get("ROI_N_POINTS"):
        return _circle(spot)
    xs, ys = outline[::2] + x, outline[1::2] + y
    return (float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))


def _circle(spot: Element) -> tuple[float, float, float, float]:
    x, y, radius = (_number(spot.attrib, key) for key in ("POSITION_X", "POSITION_Y", "RADIUS"))
    return (x - radius, y - radius, x + radius, y + radius)


def _number(attributes: dict[str, str], key: str, default: float = math.nan) -> float:
    try:
        value = float(attributes.get(key, default))
    except ValueError:
        return default
    return value if math.isfinite(value) else default


def _whole(value: float) -> int:
    return round(value) if -1 <= value < 1 << 53 else 0
