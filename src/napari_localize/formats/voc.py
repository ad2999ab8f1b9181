"""Pascal VOC: one XML file for an image, or a folder of them.

``filename`` names the image, ``bndbox`` gives the edges of a box in pixels, counted from 0 as labelImg and CVAT do.
Beyond the standard an object may have ``score``, ``id``, ``origin`` and ``state``, an image of a stack has
``<plane><axis name="t">3</axis></plane>`` and one that a person has finished ``<reviewed>1</reviewed>``; other programs
pass over them.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.formats.base import EVERYTHING, Format, ReadOptions, portable_name
from napari_localize.formats.names import file_stems
from napari_localize.formats.table import BoxTable, assemble, box_id, note, rounded, shortest
from napari_localize.formats.text import load_xml, xml_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_BOX = ("xmin", "ymin", "xmax", "ymax")
_ROOT = re.compile(rb"\s*(<\?xml[^>]*\?>\s*)?(<!--.{0,2000}?-->\s*)?<annotation[\s>]", re.DOTALL)
_MOST_FILES = 1_000_000
_ENOUGH = 500
"""So many entries of a folder are looked at to find out whether it is one of VOC files."""


def sniff(head: bytes) -> bool:
    """Say whether a file that begins like this is a VOC annotation."""
    return bool(_ROOT.match(head.removeprefix(b"\xef\xbb\xbf")))


def sniff_folder(folder: Path) -> bool:
    """Say whether one of the first XML files in a folder, or in the folders in it, is a VOC annotation."""
    try:
        return any(sniff(_head(file)) for file in itertools.islice(_xml_files(folder, quickly=True), 20))
    except OSError:
        return False


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read a file, or all files in a folder and the folders in it."""
    files = sorted(itertools.islice(_xml_files(path), _MOST_FILES)) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    planes: dict[str, int] = {}
    classes: dict[str, int] = {}
    sizes, reviewed, notes = {}, set(), list[str]()
    table, left_out = BoxTable(), Counter[str]()
    for file in files:
        content = load_xml(file)
        if content.tag != "annotation":
            left_out["Files left out because they are not VOC annotations"] += 1
            continue
        name = _plane(content, file.relative_to(root))
        plane = planes.setdefault(name, len(planes))
        height, width = (_number(content.find("size"), side) for side in ("height", "width"))
        if 0 < height < 1 << 31 and 0 < width < 1 << 31:
            sizes[name] = (int(height), int(width))
        if content.findtext("reviewed") == "1":
            reviewed.add(name)
        for item in content.iterfind("object"):
            corners = item.find("bndbox")
            if corners is None:
                left_out["Boxes left out because they have no bndbox"] += 1
                continue
            x0, y0, x1, y1 = (_number(corners, side) for side in _BOX)
            table.add(
                plane,
                (x0, y0, x1, y1),
                classes.setdefault(_text(item, "name") or "object", len(classes)),
                score=_number(item, "score"),
                id=box_id(item.findtext("id")),
                origin=_text(item, "origin"),
                state=_text(item, "state"),
            )
    for reason, count in left_out.items():
        note(notes, reason, count)
    result = assemble(table, list(planes), list(classes), sizes, notes)
    result.reviewed = frozenset(reviewed)
    return result


def write(path: Path, data: Annotations) -> list[str]:
    """Write one file for the only plane, or a folder with a file for each plane."""
    if not path.is_dir():
        if len(data) != 1:
            raise UserError(
                f"a VOC file holds one image, but there are {len(data)}; give a name without .xml for a folder."
            )
        _write_file(path, data, next(iter(data)))
        return []
    for name, stem in file_stems(data).items():
        file = path / f"{stem}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_file(file, data, name)
    return []


FORMAT = Format(
    name="voc",
    title="Pascal VOC",
    extensions=(".xml",),
    sniff=sniff,
    read=read,
    write=write,
    holds=EVERYTHING - {"rejected", "classes"},
    sniff_folder=sniff_folder,
    suffixes=(".xml",),
)


def _write_file(path: Path, data: Annotations, name: str) -> None:
    file_name, position = split_plane_name(name)
    part = data[name]
    lines = ["<annotation>", f"  <folder></folder>\n  <filename>{xml_text(file_name)}</filename>"]
    lines += [
        "  <plane>"
        + "".join(f'<axis name="{xml_text(axis)}">{at}</axis>' for axis, at in position.items())
        + "</plane>"
    ] * bool(position)
    if name in data.sizes:
        height, width = data.sizes[name]
        lines.append(f"  <size><width>{width}</width><height>{height}</height><depth>1</depth></size>")
    lines += ["  <segmented>0</segmented>", "  <reviewed>1</reviewed>"][: 1 + (name in data.reviewed)]
    corners = rounded(part.boxes.astype(np.float64), part.boxes).tolist()
    columns = (part.labels.tolist(), shortest(part.scores), part.ids.tolist(), part.origins, part.states)
    names = [xml_text(class_name) for class_name in data.class_names]
    for box, label, score, own, origin, state in zip(corners, *columns, strict=True):
        sides = "".join(f"<{side}>{value}</{side}>" for side, value in zip(_BOX, box, strict=True))
        lines += [
            f"  <object>\n    <name>{names[label]}</name>",
            "    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>",
            f"    <bndbox>{sides}</bndbox>",
            f"    <id>{own}</id><origin>{xml_text(str(origin))}</origin><state>{state}</state>"
            + ("" if math.isnan(score) else f"<score>{score}</score>"),
            "  </object>",
        ]
    path.write_text("\n".join([*lines, "</annotation>\n"]), encoding="utf-8", newline="\n")


def _xml_files(folder: Path, *, quickly: bool = False) -> Iterator[Path]:
    """Give the XML files in a folder and the folders in it; only among its first entries where it must be quick."""
    seen = 0
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in files:
            seen += 1
            if name.lower().endswith(".xml") and not name.startswith("."):
                yield Path(parent, name)
            if quickly and seen > _ENOUGH:
                return


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4096)


def _plane(content: Element, file: Path) -> str:
    """Return the name of the image; without a folder in it, it lies like the XML file."""
    name = portable_name(_text(content, "filename")) or file.stem
    folders = [part for part in file.parent.parts if part != "Annotations"]
    if folders and "/" not in name:
        name = "/".join([*folders, name])
    position = {}
    for axis in content.iterfind("plane/axis"):
        letter, at = axis.get("name", ""), (axis.text or "").strip()
        if len(letter) == 1 and at.isascii() and at.isdigit() and len(at) < 10:
            position[letter] = int(at)
    return plane_name(name, position)


def _text(item: Element, tag: str) -> str:
    """Return the text of an element; blanks at its ends count unless it stands on a line of its own."""
    text = item.findtext(tag) or ""
    return text.strip() if "\n" in text.strip(" ") else text


def _number(item: Element | None, tag: str) -> float:
    try:
        return float((item.findtext(tag) if item is not None else None) or math.nan)
    except ValueError:
        return math.nan
