"""What belongs to which in a YOLO folder: label files, images, names of classes."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.formats.base import portable_name
from napari_localize.formats.beside import image_size
from napari_localize.formats.sources import list_images
from napari_localize.formats.text import load_bytes

CLASSES, PLANES = "data.yaml", "planes.csv"

_LISTS = ("classes.txt", "obj.names", "labels.txt")
_NO_LABELS = (*_LISTS, "train.txt", "val.txt", "test.txt", "notes.txt", "readme.txt")
_LARGEST_LIST = 1 << 18
_MOST_FILES = 1_000_000
_ENOUGH = 500
"""So many files of a folder are looked at to find out whether it is one of YOLO."""

_NAMES = re.compile(rb"^names\s*:", re.MULTILINE)
_SETS = re.compile(rb"^(train|val|nc|path)\s*:", re.MULTILINE)


def is_classes(head: bytes) -> bool:
    """Whether a file that begins like this names the classes of a data set."""
    return bool(_NAMES.search(head) and _SETS.search(head)) and b"\0" not in head


def is_labels(head: bytes) -> bool:
    """Whether a file that begins like this has the boxes of an image."""
    cells = head.lstrip().partition(b"\n")[0].split()
    try:
        return len(cells) > 4 and cells[0].isdigit() and all(0 <= float(cell) <= 1 for cell in cells[1:])
    except ValueError:
        return False


def sniff_folder(folder: Path) -> bool:
    """Say whether a folder names classes as YOLO does, or some of the text files in it are labels."""
    try:
        if is_classes(_head(folder / CLASSES)):
            return True
        return any(is_labels(_head(file)) for file in itertools.islice(_text_files(folder, quickly=True), 20))
    except OSError:
        return False


class Folder:
    """A data set, or a part of one.

    Parameters
    ----------
    path : Path
        The folder, the ``data.yaml`` in it, or a label file.
    images : Path, optional
        The folder of the images, if they are not where the labels are.

    Attributes
    ----------
    files : list of Path
        The label files.
    classes : list of str
        Names of the classes in the order of their numbers.
    reviewed : set of str
        Planes that a person has finished.
    """

    def __init__(self, path: Path, images: Path | None) -> None:
        single = path.is_file() and path.suffix.lower() not in (".yaml", ".yml")
        start = path if path.is_dir() else path.parent
        self._root = _root_of(start)
        self.files = [path] if single else sorted(itertools.islice(_text_files(start), _MOST_FILES))
        named = [path] if path.is_file() and not single else [self._root / CLASSES, self._root.parent / CLASSES]
        lists = [folder / name for folder in (start, self._root) for name in _LISTS]
        self.classes = next((_class_names(file) for file in (*named, *lists) if file.is_file()), [])
        self.reviewed: set[str] = set()
        self._planes = self._listed(self._root / PLANES)
        self._base = images or self._root
        if images is None and (self._root / "images").is_dir():
            self._base = self._root / "images"
        self._images: dict[str, Path] | None = None
        self._beside = self._base != self._root and images is None

    def image_of(self, file: Path) -> tuple[str, tuple[int, int]] | None:
        """Return name and size of the plane of a label file, or None where they cannot be known."""
        relative = file.relative_to(self._root).as_posix()
        if relative in self._planes:
            return self._planes[relative]
        parts = list(PurePosixPath(relative).with_suffix("").parts)
        swapped = ["images" if part == "labels" else part for part in parts]
        without = [part for part in parts if part != "labels"]
        found = self._find("/".join(swapped)) or self._find("/".join(without)) or self._find("/".join(parts))
        size = None if found is None else image_size(found[1])
        return None if found is None or size is None else (found[0], size)

    def _find(self, stem: str) -> tuple[str, Path] | None:
        if self._images is None:
            # The images of a folder are listed once, and only when a plane is not listed.
            self._images = {}
            for image in list_images(self._base):
                name = image.relative_to(self._base).as_posix()
                self._images.setdefault(name.removesuffix(image.suffix), image)
        path = self._images.get(stem)
        return None if path is None else (path.relative_to(self._base).as_posix(), path)

    def _listed(self, file: Path) -> dict[str, tuple[str, tuple[int, int]]]:
        if not file.is_file():
            return {}
        text = load_bytes(file, 1 << 28).decode("utf-8-sig", errors="replace")
        planes = {}
        try:
            for row in csv.DictReader(io.StringIO(text, newline="")):
                height, width = int(row["height"]), int(row["width"])
                if not (0 < height < 1 << 31 and 0 < width < 1 << 31):
                    raise ValueError(row)
                name = portable_name(row["plane"])
                planes[row["labels"]] = (name, (height, width))
                if row.get("reviewed") == "1":
                    self.reviewed.add(name)
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
            raise UserError(
                f"{file} does not list label files, planes and sizes; remove it or write it anew."
            ) from error
        return planes


def _root_of(folder: Path) -> Path:
    """Return the data set that a folder belongs to: the folder itself, or the one around the ``labels`` it lies in.

    Data sets may lie in folders called ``labels``, too: what lists classes or planes is one, or else what has labels.
    """
    around = [each.parent for each in (folder, *folder.parents[:2]) if each.name == "labels"]
    listed = (each for each in (folder, *around) if any((each / name).is_file() for name in (CLASSES, PLANES)))
    return next(listed, folder if not around or (folder / "labels").is_dir() else around[0])


def _text_files(folder: Path, *, quickly: bool = False) -> Iterator[Path]:
    """Give the files that may have labels: those in folders called ``labels`` if there are any, or else all.

    Only the first entries of the folder are looked at where it must be quick.
    """
    others = []
    seen = 0
    inside = _root_of(folder) != folder
    found = False
    for parent, folders, files in os.walk(folder):
        path = Path(parent)
        parts = path.relative_to(folder).parts
        folders.sort(key=lambda name: (name != "labels", name))
        seen += len(files)
        texts = [path / name for name in files if name.lower().endswith(".txt") and not name.startswith(".")]
        if inside or "labels" in parts:
            found = found or bool(texts)
            yield from texts
        else:
            others += [text for text in texts if text.name.lower() not in _NO_LABELS]
        if quickly and (seen > _ENOUGH or len(parts) > 3):
            break
    if not found:
        yield from others


def _head(file: Path) -> bytes:
    if not file.is_file():
        return b""
    with file.open("rb") as opened:
        return opened.read(1 << 16)


def _class_names(file: Path) -> list[str]:
    content = load_bytes(file, _LARGEST_LIST)
    if file.suffix.lower() not in (".yaml", ".yml"):
        return content.decode("utf-8-sig", errors="replace").splitlines()
    import yaml

    try:
        # Not the parser in C, which deeply nested content crashes.
        data: Any = yaml.load(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid YAML; export it again.") from error
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict):
        numbers = [key for key in names if type(key) is int and 0 <= key < 10_000]
        names = [names.get(number, number) for number in range(max(numbers, default=-1) + 1)]
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise UserError(f"'names' in {file} is no list of class names; export it again.")
    return [str(name) for name in names]
