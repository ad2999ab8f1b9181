"""YOLO: a folder with ``data.yaml`` and a text file for each image in ``labels``.

A line is class, centre x, centre y, width and height as fractions of the image, and a score where nobody has judged the
boxes of a model: programs that train refuse files with scores. Lines of outlines are read as the boxes around them.
``planes.csv``, which other programs pass over, has the name and size of the image of each text file, so that the
folder can be read without the images; else they are looked for in the folder, or in the one that is given.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np

from napari_localize.core.annotations import Annotations, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.formats.base import EVERYTHING, Format, ReadOptions
from napari_localize.formats.names import file_stems
from napari_localize.formats.table import BoxTable, assemble, note, shortest
from napari_localize.formats.text import load_bytes
from napari_localize.formats.yolo_folder import CLASSES, PLANES, Folder, is_classes, is_labels, sniff_folder

_LARGEST_FILE = 1 << 26
_MOST_CLASSES = 10_000


def sniff(head: bytes) -> bool:
    """Say whether a file that begins like this is the ``data.yaml`` of a data set, or has the labels of an image."""
    return is_classes(head) or is_labels(head)


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read a folder, the one that a ``data.yaml`` lies in, or the labels of a single image."""
    folder = Folder(path, options.images)
    table, notes, lost = BoxTable(), list[str](), Counter[str]()
    planes: dict[str, int] = {}
    sizes: dict[str, tuple[int, int]] = {}
    largest = len(folder.classes) - 1
    for file in folder.files:
        image = folder.image_of(file)
        if image is None:
            lost["Label files left out because their image is not there or cannot be read"] += 1
            continue
        name, (height, width) = image
        sizes[name] = (height, width)
        plane = planes.setdefault(name, len(planes))
        for label, x0, y0, x1, y1, score in _lines(file):
            largest = max(largest, label)
            table.add(plane, (x0 * width, y0 * height, x1 * width, y1 * height), label, score=score)
    if lost and not planes:
        raise UserError(
            f"the images of {path} are not found, and YOLO boxes are fractions of their sizes; "
            "give the folder of the images."
        )
    for reason, count in lost.items():
        note(notes, reason, count)
    unnamed = range(len(folder.classes), largest + 1)
    note(notes, "Classes that have no name in the file and are called by their number", len(unnamed))
    names, labels = _distinct([*folder.classes, *map(str, unnamed)])
    table.label = [labels[label] for label in table.label]
    result = assemble(table, list(planes), names, sizes, notes)
    result.reviewed = frozenset(folder.reviewed & set(planes))
    return result


def write(path: Path, data: Annotations) -> list[str]:
    """Write a new folder; the images go into ``images`` beside ``labels`` before a program can train with it."""
    import yaml

    unknown = next((name for name in data if name not in data.sizes), None)
    if unknown is not None:
        raise UserError(
            f"YOLO boxes are fractions of the image, but the size of {unknown} is not known; "
            "give the folder of the images."
        )
    guessed = all(bool((part.states == "proposed").all() and not np.isnan(part.scores).any()) for part in data.values())
    (path / "labels").mkdir()
    stems = file_stems(data)
    with (path / PLANES).open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["labels", "plane", "height", "width", "reviewed"])
        for name, part in data.items():
            height, width = data.sizes[name]
            relative = f"labels/{stems[name]}.txt"
            table.writerow([relative, name, height, width, int(name in data.reviewed)])
            sides = np.array([width, height, width, height], np.float64)
            corners = np.clip(part.boxes.astype(np.float64) / sides, 0, 1)
            low, high = corners[:, :2], corners[:, 2:]
            rows = np.hstack([(low + high) / 2, high - low]).tolist()
            scores = [f" {score}" for score in shortest(part.scores)] if guessed else [""] * len(part)
            inside: list[bool] = np.asarray((high > low).all(axis=1)).tolist()
            lines = [
                f"{label} {x:.10g} {y:.10g} {w:.10g} {h:.10g}{score}\n"
                for label, (x, y, w, h), score, here in zip(part.labels.tolist(), rows, scores, inside, strict=True)
                if here
            ]
            (path / relative).parent.mkdir(parents=True, exist_ok=True)
            (path / relative).write_text("".join(lines), encoding="ascii", newline="\n")
    content = {"train": "images", "val": "images", "nc": len(data.class_names), "names": list(data.class_names)}
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    (path / CLASSES).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    notes = []
    if not guessed and any(not np.isnan(part.scores).all() for part in data.values()):
        notes.append("Scores are left out: with boxes that a person has judged, a YOLO folder is one to train with.")
    if any(split_plane_name(name)[1] for name in data):
        notes.append(
            "YOLO wants an image file for each plane of a stack; planes.csv says which label file is of which."
        )
    return notes


FORMAT = Format(
    name="yolo",
    title="YOLO",
    sniff=sniff,
    read=read,
    write=write,
    holds=EVERYTHING - {"ids", "origins", "states", "rejected"},
    sniff_folder=sniff_folder,
    suffixes=(".txt", ".yaml", ".csv"),
)


def _lines(file: Path) -> list[tuple[int, float, float, float, float, float]]:
    """Return class, x0, y0, x1, y1 as fractions, and score of each line."""
    found = []
    for number, line in enumerate(load_bytes(file, _LARGEST_FILE).decode(errors="replace").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            values = [float(cell) for cell in cells[1:]]
            label = int(float(cells[0]))
        except (ValueError, OverflowError):
            values, label = [], -1
        if len(values) < 4 or not 0 <= label < _MOST_CLASSES:
            raise UserError(
                f"line {number} of {file} is {line[:40]!r}, not the number of a class "
                "and four fractions; export it again."
            )
        score = math.nan
        if len(values) < 6:
            x, y, width, height = values[:4]
            score = values[4] if len(values) == 5 else math.nan
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        else:
            xs, ys = values[::2], values[1::2]
            box = (min(xs), min(ys), max(xs), max(ys))
        found.append((label, *box, score))
    return found


def _distinct(names: list[str]) -> tuple[list[str], list[int]]:
    """Return each name once, and where each of the given ones is among them."""
    order: dict[str, int] = {}
    labels = [order.setdefault(name, len(order)) for name in names]
    return list(order), labels
