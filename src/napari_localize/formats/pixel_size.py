"""How large a pixel is, by what image files say; no pixels are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import tifffile

LENGTHS = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometers", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-6),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
}
"""Micrometres in each unit, by its names in small letters; the two first look alike."""

PLAUSIBLE = (1e-4, 10.0)
"""Micrometres per pixel that a resolution in centimetres is believed in, from electron microscopes to slide scanners
and low magnifications: pages that are meant to be printed have more, 85 at 300 dots an inch and 21 at 1200."""

_ALIKE = 0.01
_CENTIMETER, _MILLIMETER, _MICROMETER = 3, 4, 5
_RESOLUTION_UNITS = {_CENTIMETER: "cm", _MILLIMETER: "mm", _MICROMETER: "um"}


class PixelSize(NamedTuple):
    """Micrometres per pixel, or None; and a sentence when the file says something that cannot be used."""

    value: float | None = None
    note: str = ""


UNKNOWN = PixelSize()


def agreed(x: float, y: float, of: object) -> PixelSize:
    """Return the size of pixels that are so many micrometres wide and high.

    Parameters
    ----------
    x, y : float
    of : object
        What the pixels belong to, for the sentence on pixels that are not square.
    """
    if not all(math.isfinite(side) and side > 0 for side in (x, y)):
        return UNKNOWN
    if abs(x - y) > _ALIKE * max(x, y):
        return PixelSize(
            None,
            f"the pixels of {of} are {x:g} µm wide and {y:g} µm high, so that no single size holds for them; "
            "give one, or measure in pixels.",
        )
    return PixelSize(x if x == y else (x + y) / 2)


def tiff_pixel_size(path: Path) -> PixelSize:
    """Return what a TIFF file says of its first image: as OME, ImageJ, Zeiss LSM, Aperio, or as its resolution.

    A plain resolution counts only when it is metric and `PLAUSIBLE`: dots per inch are for printers.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            return _of_tiff(tiff, path)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError):
        # Whatever is wrong with the notes of a file, its pixels can be used. A fault in XML is a SyntaxError.
        return UNKNOWN


def _of_tiff(tiff: tifffile.TiffFile, path: Path) -> PixelSize:
    page: Any = tiff.pages[0]
    if tiff.is_ome and tiff.ome_metadata:
        found = _of_ome(tiff.ome_metadata, path)
        if found != UNKNOWN:
            return found
    if tiff.is_lsm and tiff.lsm_metadata:
        notes: Any = tiff.lsm_metadata
        return agreed(float(notes["VoxelSizeX"]) * 1e6, float(notes["VoxelSizeY"]) * 1e6, path)
    if tiff.is_svs:
        size = float(tifffile.tifffile.svs_description_metadata(page.description)["MPP"])
        return agreed(size, size, path)
    sides = _sides(page)
    if sides is None:
        return UNKNOWN
    if tiff.is_imagej:
        return _in_unit(sides, str((tiff.imagej_metadata or {}).get("unit", "")), path)
    unit = _RESOLUTION_UNITS.get(int(page.tags["ResolutionUnit"].value)) if "ResolutionUnit" in page.tags else None
    return UNKNOWN if unit is None else _in_unit(sides, unit, path, checked=True)


def _sides(page: Any) -> tuple[float, float] | None:
    """Return width and height of a pixel, in the unit of the resolution."""
    sides = []
    for name in ("XResolution", "YResolution"):
        if name not in page.tags:
            return None
        pixels, length = page.tags[name].value
        sides.append(length / pixels)
    return sides[0], sides[1]


def _in_unit(sides: tuple[float, float], unit: str, path: Path, *, checked: bool = False) -> PixelSize:
    # ImageJ writes the letter for micro as an escape; a program that knows no letters but ASCII leaves that as it is.
    name = unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().lower()
    if name not in LENGTHS:
        return UNKNOWN
    x, y = (side * LENGTHS[name] for side in sides)
    # ImageJ takes dots per inch or centimetre for the scale of a picture, too.
    if (checked or name.startswith("c")) and not all(PLAUSIBLE[0] <= side <= PLAUSIBLE[1] for side in (x, y)):
        return UNKNOWN
    return agreed(x, y, path)


def _of_ome(text: str, path: Path) -> PixelSize:
    for element in ElementTree.fromstring(text).iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            sides = [_length(element.attrib, axis) for axis in "XY"]
            return UNKNOWN if None in sides else agreed(sides[0] or 0.0, sides[1] or 0.0, path)
    return UNKNOWN


def _length(attributes: Mapping[str, str], axis: str) -> float | None:
    size = attributes.get(f"PhysicalSize{axis}")
    # Micrometres are what the schema says where the file does not.
    unit = attributes.get(f"PhysicalSize{axis}Unit", "µm")
    # In OME, Mm is a million metres.
    factor = None if unit == "Mm" else LENGTHS.get(unit.lower())
    return None if size is None or factor is None else float(size) * factor


def zarr_pixel_size(image: Mapping[str, Any], path: Path) -> PixelSize:
    """Return what the ``multiscales`` entry of an OME-Zarr image says of its highest resolution."""
    try:
        axes = image["axes"]
        factors = [_scale(image["datasets"][0], len(axes)), _scale(image, len(axes))]
        sides = []
        for letter in "xy":
            at = next(at for at, axis in enumerate(axes) if axis["name"].lower() == letter)
            sides.append(math.prod(scale[at] for scale in factors) * LENGTHS[str(axes[at]["unit"]).lower()])
        if not any(_has_scale(part) for part in (image["datasets"][0], image)):
            return UNKNOWN
        return agreed(sides[0], sides[1], path)
    except (ValueError, TypeError, LookupError, AttributeError, StopIteration):
        return UNKNOWN


def _scale(part: Mapping[str, Any], axes: int) -> Sequence[float]:
    for entry in part.get("coordinateTransformations") or ():
        if entry.get("type") == "scale":
            return [float(number) for number in entry["scale"]]
    return [1.0] * axes


def _has_scale(part: Mapping[str, Any]) -> bool:
    return any(entry.get("type") == "scale" for entry in part.get("coordinateTransformations") or ())
