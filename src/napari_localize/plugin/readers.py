"""Opening annotation files as layers of boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_localize.plugin.files import LayerData


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader when all files and folders are annotations by their content, else None.

    The files that napari itself writes for shapes and points are left to napari.
    """
    from napari_localize.formats import find_format

    paths = [path] if isinstance(path, str) else path
    entries = [find_format(one) for one in paths]
    ours = [entry is not None and entry.name != "napari" for entry in entries]
    return read_boxes if ours and all(ours) else None


def read_boxes(path: str | list[str]) -> list[LayerData]:
    """Read annotation files and folders as layers of boxes.

    What was mended or left out is said in a notification.

    Raises
    ------
    UserError
        When a file cannot be read.
    """
    from napari.utils.notifications import show_warning

    from napari_localize.formats import read_annotations
    from napari_localize.plugin.files import to_layers

    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        annotations = read_annotations(one)
        name = Path(one).name
        parts = to_layers(annotations, name)
        notes = list(annotations.notes)
        if notes:
            show_warning(f"{name}: " + "; ".join(note.rstrip(".") for note in notes) + ".")
        layers += parts
    _follow_view()
    return layers


def _follow_view() -> None:
    """Have the viewer show what of very many boxes is in view, though no dock of ours may be open."""
    from napari import current_viewer

    from napari_localize.plugin.window import windows_of

    viewer = current_viewer()
    if viewer is not None:
        windows_of(viewer)
