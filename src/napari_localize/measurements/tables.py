"""The measurements of planes as two tables: one row an object, and one row a plane."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

Reviewed = Literal["plane", "areas", "nothing", "unmarked"]
"""What of a plane a person has marked as reviewed; "unmarked" where that is so nowhere, so that all of it counts."""

_LENGTH = re.compile(r"(x|y|width|height|area|nearest_neighbor|nearest_same_class)_(px|um)2?$")
_DIGITS = {"px": 3, "um": 6}
"""Behind the point, of lengths and areas in files."""


@dataclass(frozen=True)
class MeasuredPlane:
    """What was measured on one plane.

    Attributes
    ----------
    place : dict
        The first columns: the file, and where the plane lies in its stack.
    objects : dict of str to (N,) arrays
        The columns of the objects.
    reviewed : {"plane", "areas", "nothing", "unmarked"}
        What of it a person has marked as reviewed.
    pixel_size : float
        Micrometres per pixel; NaN where unknown.
    area : float
        Where objects are counted, in square pixels.
    counts : dict of str to int
        Objects in it by class.
    """

    place: dict[str, Any]
    objects: dict[str, NDArray[Any]]
    reviewed: Reviewed
    pixel_size: float
    area: float
    counts: dict[str, int]


@dataclass(frozen=True)
class Measurements:
    """What was measured.

    Attributes
    ----------
    objects : pandas.DataFrame
        One row an object.
    planes : pandas.DataFrame
        One row a plane.
    """

    objects: pd.DataFrame
    planes: pd.DataFrame

    def save(
        self,
        objects: str | os.PathLike[str],
        planes: str | os.PathLike[str] | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Write the tables as CSV: UTF-8, a header, commas, points in numbers, empty where nothing is known.

        Parameters
        ----------
        objects : path
            For the table of the objects.
        planes : path, optional
            For the table of the planes.
        overwrite : bool
            Whether files that exist may be replaced.

        Raises
        ------
        UserError
            When a file exists already or cannot be written. Then neither is.
        """
        if planes is not None and os.path.abspath(objects) == os.path.abspath(planes):
            raise UserError(f"both tables would be written to {os.fspath(objects)}; give each a file of its own.")
        with ExitStack() as stack:
            # Boxes have single precision: rounded, their sizes are 12.3 and not 12.299999713897705.
            lengths = {str(name): _LENGTH.match(str(name)) for name in self.objects}
            table = self.objects.round({name: _DIGITS[found[2]] for name, found in lengths.items() if found})
            pairs = [(table, objects)] if planes is None else [(table, objects), (self.planes, planes)]
            for frame, target in pairs:
                path = stack.enter_context(atomic_path(target, overwrite=overwrite))
                # A file name need not be text.
                frame.to_csv(path, index=False, encoding="utf-8", errors="backslashreplace")


def tables(parts: Iterable[MeasuredPlane]) -> Measurements:
    """Put planes together; what some of them lack, such as a channel, is empty for those, and a class is counted 0."""
    import pandas as pd

    parts = list(parts)
    numbers = np.array([len(part.objects["id"]) for part in parts], np.int64)
    names = dict.fromkeys(name for part in parts for name in part.objects)
    places = _places(parts)
    objects = {name: column.repeat(numbers) for name, column in places.items()}
    for name in names:
        columns = [part.objects.get(name, np.full(n, np.nan)) for part, n in zip(parts, numbers.tolist(), strict=True)]
        objects[name] = np.concatenate(columns)
    area = np.array([part.area for part in parts])
    size = np.array([part.pixel_size for part in parts])
    square = np.where(area > 0, area * size**2 / 1e6, np.nan)
    counts = {
        name: np.array([part.counts.get(name, 0) for part in parts], np.int64)
        for name in dict.fromkeys(name for part in parts for name in part.counts)
    }
    total = np.array([sum(part.counts.values()) for part in parts], np.int64)
    planes: dict[str, Any] = {
        **places,
        "reviewed": np.array([part.reviewed for part in parts], object),
        "pixel_size_um": size,
        "area_px2": area,
        "area_mm2": area * size**2 / 1e6,
        "count": total,
        "density_per_mm2": total / square,
    }
    for name, count in counts.items():
        planes[f"count_{name}"], planes[f"density_{name}_per_mm2"] = count, count / square
    return Measurements(pd.DataFrame(objects), pd.DataFrame(planes))


def _places(parts: list[MeasuredPlane]) -> dict[str, Any]:
    import pandas as pd

    columns = {}
    for name in dict.fromkeys(name for part in parts for name in part.place):
        values = [part.place.get(name) for part in parts]
        whole = all(value is None or isinstance(value, int) for value in values)
        kind = "object" if not whole else "Int64" if None in values else "int64"
        columns[name] = pd.Series(values, dtype=kind).array
    return columns
