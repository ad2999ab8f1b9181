"""Sample images with their true boxes, for File > Open Sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.plugin.layers import boxes_to_vertices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    LayerData = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return fluorescent nuclei, (512, 512)."""
    return _sample("nuclei.tif")


def tissue() -> list[LayerData]:
    """Return a stained gland of the colon, (232, 232, 3)."""
    return _sample("tissue.png")


def bacteria() -> list[LayerData]:
    """Return growing bacteria in phase contrast, (8, 296, 288): time, y, x."""
    return _sample("bacteria.tif", ("t", "y", "x"))


def _sample(file_name: str, axis_labels: Sequence[str] = ("y", "x")) -> list[LayerData]:
    folder = sample_folder()
    pixels = _read(folder / file_name)
    name = Path(file_name).stem
    image = {"name": name, "axis_labels": tuple(axis_labels)}
    boxes, truth = _truth(folder, file_name, pixels.shape[: len(axis_labels) - 2], axis_labels)
    truth |= {"name": f"{name} truth", "axis_labels": tuple(axis_labels)}
    return [(pixels, image, "image"), (boxes, truth, "shapes")]


def _read(path: Path) -> NDArray[Any]:
    if path.suffix == ".tif":
        import tifffile

        return np.asarray(tifffile.imread(path))
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def _truth(
    folder: Path, file_name: str, planes: Sequence[int], axis_labels: Sequence[str]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the true boxes as rectangles; hidden, so that nobody takes them for what a model has found."""
    from napari_localize.formats import read_annotations

    annotations = read_annotations(folder / ANNOTATIONS)
    vertices, classes = [], []
    for index in np.ndindex(*planes):
        position = dict(zip(axis_labels, index, strict=False))
        part = annotations.get(plane_name(file_name, position), Detections.empty())
        vertices.append(boxes_to_vertices(part.boxes, [index] * len(part)))
        classes += [part.class_names[label] for label in part.labels]
    look = {"edge_color": "magenta", "face_color": "transparent", "edge_width": 1, "opacity": 1.0, "visible": False}
    return np.concatenate(vertices), {"shape_type": "rectangle", "features": {"class": classes}, **look}
