"""Find, classify and count objects in microscopy images; train the models that do it from corrected boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_localize.api import (
        count,
        evaluate,
        load_model,
        measure,
        predict,
        read_annotations,
        report,
        teach,
        train,
        write_annotations,
    )
    from napari_localize.core.annotations import Annotations
    from napari_localize.core.detections import Detections
    from napari_localize.core.errors import UserError
    from napari_localize.core.points import to_boxes, to_points
    from napari_localize.measurements.tables import Measurements
    from napari_localize.project import open_project

    __version__: str

__all__ = [
    "Annotations",
    "Detections",
    "Measurements",
    "UserError",
    "__version__",
    "count",
    "evaluate",
    "load_model",
    "measure",
    "open_project",
    "predict",
    "read_annotations",
    "report",
    "teach",
    "to_boxes",
    "to_points",
    "train",
    "write_annotations",
]

_MODULES = {
    "Annotations": "napari_localize.core.annotations",
    "Detections": "napari_localize.core.detections",
    "Measurements": "napari_localize.measurements.tables",
    "UserError": "napari_localize.core.errors",
    "open_project": "napari_localize.project",
    "to_boxes": "napari_localize.core.points",
    "to_points": "napari_localize.core.points",
}


def __getattr__(name: str) -> Any:
    # napari imports this module when it looks for plugins: everything waits until it is asked for.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        value: Any = _version()
    else:
        from importlib import import_module

        value = getattr(import_module(_MODULES.get(name, "napari_localize.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-localize")
    except PackageNotFoundError:
        # Run from a folder of source that was never installed.
        return "0+unknown"
