"""Time the gallery in a real napari window: opening it, first crops, scrolling, judging and sorting by likeness.

python benchmarks/gallery.py
xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gallery.py --boxes 2000 20000

Seconds are those of the clock and, in brackets, those that the process computed, as other programs may be running.
Opening counts until the dock can be used; first crops until those in view are drawn; scrolling is the longest time for
which the window did not react, while it goes through all boxes. The sort by likeness includes the first look of the
network at the image, with its process warm; looks says how often it looked. The image is the nuclei sample, repeated.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ALIKE = 2_000
SCROLLS = 60


def main() -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--no-likeness", action="store_true", help="leave the network out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_LOCALIZE_DATA"] = os.environ["NAPARI_LOCALIZE_MODELS"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
        from qtpy.QtCore import QSettings

        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, home)
        rows = [measure(number, likeness=not args.no_likeness) for number in args.boxes]
    columns = list(rows[0])
    print("  ".join(f"{name:>18}" for name in columns))
    for row in rows:
        print("  ".join(f"{row[name]:>18}" for name in columns))
    return 0


def measure(number: int, *, likeness: bool) -> dict[str, str]:
    """Open a window with so many boxes and go through the steps."""
    import napari

    from napari_localize.widgets.gallery import GalleryWidget

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    boxes = fill(viewer, number)
    settle()
    gallery, opened, first = None, "", ""
    for turn in range(2):  # the first one also loads the code
        began = now()
        gallery = GalleryWidget(viewer)
        viewer.window.add_dock_widget(gallery, name="Gallery")
        opened = since(began)
        wait(lambda dock=gallery: dock.crops.made and dock.crops.idle)
        settle()
        first = since(began)
        if not turn:
            viewer.window.remove_dock_widget(gallery)
            settle()
    bar = gallery.view.verticalScrollBar()
    stalls = []
    for value in np.linspace(0, bar.maximum(), SCROLLS).astype(int):
        began = time.perf_counter()
        bar.setValue(int(value))
        settle()
        stalls.append(time.perf_counter() - began)
    gallery.view.select_rows(list(range(100)))
    settle()
    began = now()
    gallery.accept()
    settle()
    judged = since(began)
    assert boxes.by_state()["accepted"] == 100
    row = {
        "boxes": f"{number:,}",
        "open, s": opened,
        "first crops, s": first,
        "scroll, ms (max)": f"{1000 * np.median(stalls):.0f} ({1000 * max(stalls):.0f})",
        "judge 100, s": judged,
    }
    if likeness:
        seconds, looks = sort_by_likeness(viewer, gallery) if number >= ALIKE else ("-", "-")
        row |= {f"likeness {ALIKE:,}, s": seconds, "looks": looks}
    viewer.close()
    settle()
    return row


def fill(viewer: Any, number: int) -> Any:
    """Show repeated nuclei with their true boxes as guesses."""
    import tifffile

    from napari_localize.core.detections import Detections
    from napari_localize.core.samples import ANNOTATIONS, sample_folder
    from napari_localize.formats import read_annotations
    from napari_localize.plugin.boxes import box_layer
    from napari_localize.plugin.layers import new_box_layer
    from napari_localize.plugin.pairs import pair
    from napari_localize.plugin.window import windows_of

    pixels = tifffile.imread(sample_folder() / "nuclei.tif")
    truth = read_annotations(sample_folder() / ANNOTATIONS)["nuclei.tif"].boxes
    repeats = int(np.ceil(np.sqrt(number / len(truth))))
    image = viewer.add_image(np.tile(pixels, (repeats, repeats)), name="nuclei")
    high, wide = pixels.shape
    moved = [truth + np.array([x * wide, y * high] * 2) for y in range(repeats) for x in range(repeats)]
    corners = np.concatenate(moved)[:number]
    layer = new_box_layer(image, ("nucleus",))
    pair(layer, image)
    windows_of(viewer)
    viewer.add_layer(layer)
    boxes = box_layer(layer)
    scores = np.random.default_rng(0).uniform(0.1, 1, len(corners))
    boxes.set_proposals({(): Detections(corners, scores=scores, class_names=("nucleus",))}, "model@1")
    viewer.reset_view()
    return boxes


def sort_by_likeness(viewer: Any, gallery: Any) -> tuple[str, str]:
    """Sort 2,000 boxes on a new image by likeness, and count how often the network looks at it."""
    from napari_localize.engine.client import shared_engine

    shared_engine().doctor().result()
    viewer.layers.clear()
    settle()
    fill(viewer, ALIKE)
    settle()
    gallery.view.select_rows([0])
    looks = 0

    def count(news: dict[str, Any]) -> None:
        nonlocal looks
        looks += news["event"] == "progress"  # there is one after each look

    gallery._jobs.news.connect(count)
    began = time.perf_counter()
    gallery.sort_by_likeness()
    wait(lambda: not gallery.busy)
    took = time.perf_counter() - began
    gallery.refresh()
    if gallery.busy:
        sys.exit("what is known was asked for again")
    gallery._jobs.news.disconnect(count)
    shared_engine().release()
    return f"{took:.1f}", str(looks)


def now() -> tuple[float, float]:
    """Return the time of the clock and the time that this process has computed."""
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> str:
    """Say how much time has passed."""
    clock, own = (later - earlier for later, earlier in zip(now(), began, strict=True))
    return f"{clock:.2f} ({own:.2f})"


def settle() -> None:
    """Let the window do what is due."""
    from qtpy.QtWidgets import QApplication

    for _ in range(3):
        QApplication.processEvents()


def wait(condition: Callable[[], Any], patience: float = 600) -> None:
    """Let the window work until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + patience
    while not condition():
        if time.perf_counter() > end:
            sys.exit("it took too long")
        QApplication.processEvents()
        time.sleep(0.002)


if __name__ == "__main__":
    raise SystemExit(main())
