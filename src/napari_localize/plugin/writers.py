"""Saving a layer of boxes or points with napari's File menu.

A file has the boxes that the layer shows, and those hidden ones that a person has judged. Guesses of a model that the
filter hides are not written: nobody has seen them. What a format cannot hold, such as rejected boxes, is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def write_coco(path: str, data: Sequence[Any], meta: Mapping[str, Any]) -> list[str]:
    """Write the boxes of a shapes layer, or the points of a points layer, as a COCO data set; also an empty layer."""
    return _write(path, data, meta, "coco")


def write_csv(path: str, data: Sequence[Any], meta: Mapping[str, Any]) -> list[str]:
    """Write the boxes of a shapes layer, or the points of a points layer, as a table; also an empty layer."""
    return _write(path, data, meta, "csv")


def write_geojson(path: str, data: Sequence[Any], meta: Mapping[str, Any]) -> list[str]:
    """Write the boxes of a shapes layer, or the points of a points layer, as objects for QuPath."""
    return _write(path, data, meta, "geojson")


def write_imagej(path: str, data: Sequence[Any], meta: Mapping[str, Any]) -> list[str]:
    """Write the boxes of a shapes layer, or the points of a points layer, as regions for the ROI Manager of ImageJ."""
    return _write(path, data, meta, "imagej")


def write_voc(path: str, data: Sequence[Any], meta: Mapping[str, Any]) -> list[str]:
    """Write the boxes of a shapes layer, or the points of a points layer on a single plane as a Pascal VOC file."""
    return _write(path, data, meta, "voc")


def _write(path: str, data: Sequence[Any], meta: Mapping[str, Any], name: str) -> list[str]:
    from napari_localize.formats import write_annotations
    from napari_localize.plugin.files import to_annotations

    # napari's dialog has asked already whether an existing file is to be replaced.
    notes = write_annotations(path, to_annotations(data, meta), format=name, overwrite=True)
    if notes:
        from napari.utils.notifications import show_warning

        show_warning(" ".join(notes))
    return [path]
