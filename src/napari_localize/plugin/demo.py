"""The demonstration's window: opens the samples, runs the Localize dock on each, and saves what came of it.

Runs as a process of its own (``python -m napari_localize.plugin.demo FOLDER``): where no window can be opened
Qt ends the whole process, and the command line that started it goes on without.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.plugin.layers import image_planes
from napari_localize.plugin.pairs import boxes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_localize.core.detections import Detections

BOXES = "boxes.json"
"""Where the boxes go, in the folder that is given."""

PATIENCE = 600.0
"""Seconds that one image may take."""


def main() -> int:
    """Run the demonstration; the status is 0 when everything was saved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--stay", action="store_true", help="leave the window open")
    args = parser.parse_args()

    import napari
    from qtpy.QtCore import QSettings

    # What its user has chosen in the docks is neither read nor changed.
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(args.folder / "user"))
    viewer = napari.Viewer(title="napari-localize demo")
    viewer.window.resize(1400, 900)
    _, dock = viewer.window.add_plugin_dock_widget("napari-localize", "Localize")
    found: dict[str, Detections] = {}
    for file_name in dict.fromkeys(
        split_plane_name(name)[0] for name in read_annotations(sample_folder() / ANNOTATIONS)
    ):
        found |= localize(viewer, dock, file_name, args.model)
        viewer.window.screenshot(str(args.folder / f"{Path(file_name).stem}.png"), canvas_only=False, flash=False)
    write_annotations(args.folder / BOXES, Annotations(found))
    print("done", flush=True)  # noqa: T201 - the command line waits for this word
    if args.stay:
        napari.run()
    else:
        viewer.close()
    return 0


def localize(viewer: Any, dock: Any, file_name: str, model: str) -> dict[str, Detections]:
    """Open a sample, run the dock on all of its planes as a user would, and return what is shown then."""
    viewer.layers.clear()
    image, *_ = viewer.open_sample("napari-localize", Path(file_name).stem)
    dock.image.choose(image)
    dock.model.choose(model)
    (dock.scope.all if dock.scope.all.isEnabled() else dock.scope.plane).setChecked(True)
    dock.run()
    wait(lambda: not dock.busy, f"the boxes of {file_name}")
    boxes = boxes_of(image, viewer.layers, None)
    if boxes is None:
        raise UserError(f"{file_name}: {dock.status.text()}")
    viewer.dims.set_point(0, 0)
    viewer.reset_view()
    wait_a_moment()
    return {plane_name(file_name, plane.position): boxes.detections(plane.index) for plane in image_planes(image)}


def wait(condition: Callable[[], bool], what: str) -> None:
    """Let the window work until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}")
        QApplication.processEvents()
        time.sleep(0.01)


def wait_a_moment() -> None:
    """Let the window draw what has changed."""
    end = time.monotonic() + 0.5
    wait(lambda: time.monotonic() > end, "the window")


if __name__ == "__main__":
    raise SystemExit(main())
