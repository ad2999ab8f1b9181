"""Check sets: a few annotated windows kept beside a model, on which its descendants show what they still can.

A file of arrays (npz, never pickled) on the user's own disk. What is read is bounded, whoever wrote it.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.tiling import Rectangle

MOST_WINDOWS = 12
WINDOW = 512
"""Largest side of a window, in pixels as they are kept."""

MOST_BYTES = 16 << 20
"""All pixels of a set together, before they are packed."""

LARGEST_OBJECT = 64
"""Windows are reduced as long as their objects stay larger than this, in pixels."""

_LARGEST_META = 4 << 20


@dataclass(frozen=True, eq=False)
class CheckWindow:
    """A part of an annotated plane.

    Attributes
    ----------
    plane : str
        What the plane is called; windows of one plane stand together.
    sha256 : str
        Fingerprint of the plane, by which it is known again; may be empty.
    pixels : (H, W, C) array
        As in the image, or reduced.
    boxes : Detections
        In pixels of the window.
    known : KnownArea
        Where in the window the boxes tell everything.
    """

    plane: str
    sha256: str
    pixels: NDArray[Any]
    boxes: Detections
    known: KnownArea = EVERYWHERE

    @property
    def counted(self) -> Detections:
        """The boxes in the known area."""
        return self.boxes[self.known.holds(self.boxes.boxes)]


@dataclass(frozen=True, eq=False)
class CheckSet:
    """What a model could do when it was made.

    Attributes
    ----------
    windows : sequence of CheckWindow
        At most `MOST_WINDOWS`.
    held_back : bool
        Whether the model had not learnt from them.
    """

    windows: Sequence[CheckWindow]
    held_back: bool = True


def cut_window(
    plane: PlaneSource,
    boxes: Detections,
    known: KnownArea,
    window: Rectangle,
    *,
    reduced: int = 1,
    name: str = "",
    sha256: str = "",
) -> CheckWindow:
    """Read a window of a plane, so many times smaller."""
    y0, y1, x0, x1 = window
    y1, x1 = y0 + (y1 - y0) // reduced * reduced, x0 + (x1 - x0) // reduced * reduced
    pixels = plane.read(y0, y1, x0, x1)
    if reduced > 1:
        parts = pixels.reshape((y1 - y0) // reduced, reduced, (x1 - x0) // reduced, reduced, -1)
        pixels = parts.mean(axis=(1, 3)).astype(pixels.dtype)
    height, width, _ = pixels.shape
    corner = np.array([x0, y0] * 2, np.float32)
    moved = (boxes.boxes - corner) / np.float32(reduced)
    near = (moved[:, :2] < [width, height]).all(axis=1) & (moved[:, 2:] > 0).all(axis=1)
    inside = Detections(moved[near], boxes.labels[near], class_names=boxes.class_names).clip(height, width)
    return CheckWindow(name, sha256, np.ascontiguousarray(pixels), inside, known.moved(x0, y0, reduced))


def bounded(windows: Sequence[CheckWindow]) -> list[CheckWindow]:
    """Return the windows that fit into a check set, in turn from each plane, those with boxes first."""
    turns: dict[str, int] = {}
    ranked = []
    for window in sorted(windows, key=lambda window: not len(window.counted)):
        turns[window.plane] = turns.get(window.plane, -1) + 1
        ranked.append((turns[window.plane], window))
    chosen: list[CheckWindow] = []
    left = MOST_BYTES
    for _, window in sorted(ranked, key=lambda pair: pair[0]):
        if len(chosen) < MOST_WINDOWS and window.pixels.nbytes <= left:
            chosen.append(window)
            left -= window.pixels.nbytes
    return chosen


def save_checks(path: str | os.PathLike[str], checks: CheckSet) -> None:
    """Write a check set.

    Raises
    ------
    UserError
        When the file exists or cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    meta = []
    for index, window in enumerate(checks.windows):
        arrays[f"pixels{index}"] = window.pixels
        arrays[f"boxes{index}"] = window.boxes.boxes
        arrays[f"labels{index}"] = window.boxes.labels
        known = [window.known.reviewed, window.known.ignored]
        classes = list(window.boxes.class_names)
        meta.append({"plane": window.plane, "sha256": window.sha256, "known": known, "classes": classes})
    text = json.dumps({"held_back": checks.held_back, "windows": meta})
    arrays["about"] = np.frombuffer(text.encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_checks(path: str | os.PathLike[str]) -> CheckSet:
    """Read a check set.

    Raises
    ------
    UserError
        When the file is missing, damaged, or larger than a check set can be.
    """
    fault = f"{os.fspath(path)} is not a set of check planes, or it is damaged; remove the file."
    try:
        with zipfile.ZipFile(path) as packed:
            sizes = {member.filename: member.file_size for member in packed.infolist()}
        # Before anything is unpacked: little can be packed into a file that claims a great deal.
        if len(sizes) > 3 * MOST_WINDOWS + 1 or sum(sizes.values()) > 2 * MOST_BYTES + _LARGEST_META:
            raise UserError(fault)
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            windows = [
                CheckWindow(
                    str(each["plane"]),
                    str(each["sha256"]),
                    _image(arrays[f"pixels{index}"]),
                    Detections(arrays[f"boxes{index}"], arrays[f"labels{index}"], class_names=tuple(each["classes"])),
                    KnownArea(*each["known"]),
                )
                for index, each in enumerate(about["windows"])
            ]
            return CheckSet(windows, bool(about["held_back"]))
    except OSError as error:
        raise UserError(f"cannot read {os.fspath(path)}: {error.strerror or error}.") from error
    except (UserError, ValueError, TypeError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise UserError(fault) from error


def _image(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.ndim != 3 or pixels.dtype.kind not in "buif" or not 0 < max(pixels.shape[:2]) <= WINDOW:
        raise ValueError("not an image")
    return pixels
