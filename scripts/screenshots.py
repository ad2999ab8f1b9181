"""Take the pictures of README and guide from the running program: docs/images/*.png.

Run it with a screen, or as ``scripts/with-screen.sh .venv/bin/python scripts/screenshots.py``. It goes through the
loop on the nuclei sample as a person would: localize, correct, train; and it opens a project. Nothing of whoever runs
it is read or changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = 1280, 800
MODEL = "nuclei"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long to train")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        from napari_localize.models.registry import STORE_VARIABLE
        from napari_localize.project.folder import DATA_VARIABLE

        os.environ[STORE_VARIABLE] = os.environ[DATA_VARIABLE] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
        take_pictures(args.seconds, home)


def take_pictures(seconds: int, home: str) -> None:
    import napari
    from qtpy.QtCore import QSettings

    from napari_localize.plugin.demo import wait

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, home)
    IMAGES.mkdir(exist_ok=True)
    viewer = napari.Viewer(title="napari")
    viewer.window.resize(*SIZE)
    image, truth = viewer.open_sample("napari-localize", "nuclei")
    image.contrast_limits = (0, 120)
    viewer.layers.remove(truth)
    _, loop = viewer.window.add_plugin_dock_widget("napari-localize", "Localize, review, retrain")

    take_teach_picture(viewer, loop, truth)
    loop.setCurrentWidget(loop.localize)
    loop.localize.model.choose(MODEL)
    loop.localize.run()
    wait(lambda: not loop.localize.busy, "the boxes")
    viewer.reset_view()
    picture(viewer, "localize")

    loop.setCurrentWidget(loop.review)
    boxes = loop.review.boxes
    boxes.add_class("mitosis")
    viewer.camera.zoom *= 1.6
    correct(boxes, loop.review, image.data)
    picture(viewer, "review")
    take_queue_picture(viewer, loop)

    boxes.finish(())
    loop.setCurrentWidget(loop.retrain)
    loop.retrain.base.choose(MODEL)
    loop.retrain.amount.setValue(seconds)
    wait(loop.retrain.train_button.isEnabled, "something to learn from")
    loop.retrain.train()
    wait(lambda: not loop.retrain.busy, "the new model")
    viewer.reset_view()
    picture(viewer, "retrain")
    viewer.window.remove_dock_widget(loop)
    take_project_picture(viewer, Path(home))
    viewer.close()


def take_teach_picture(viewer: Any, loop: Any, truth: Any) -> None:
    """Draw one box and show what is found to be like it."""
    from napari_localize.plugin.boxes import box_layer
    from napari_localize.plugin.demo import wait

    loop.setCurrentWidget(loop.review)
    loop.review.new_boxes()
    boxes, teach = loop.review.boxes, loop.review.teach
    known = box_layer(truth).detections().boxes
    middle = np.abs(known.reshape(-1, 2, 2).mean(axis=1) - 256).sum(axis=1).argmin()
    x0, y0, x1, y1 = known[middle] - 0.5
    boxes.layer.add_rectangles([[[y0, x0], [y0, x1], [y1, x1], [y1, x0]]])
    teach.toggle()
    wait(lambda: boxes.number_of_guesses(()) and not teach.busy, "what is alike")
    viewer.reset_view()
    picture(viewer, "teach")
    teach.toggle()
    viewer.layers.remove(boxes.layer)


def take_queue_picture(viewer: Any, loop: Any) -> None:
    """Judge some boxes by the queue, as the score says, show what it tells then, and take all back."""
    from napari_localize.plugin.demo import wait, wait_a_moment

    review = loop.review
    boxes, queue = review.boxes, review.queue
    queue.order.setCurrentText("by lot")
    queue.toggle()
    wait(lambda: not queue.busy, "how the boxes look")
    judged = 0
    for order, number in (("by lot", 24), ("most useful", 3)):
        queue.order.setCurrentText(order)
        for _ in range(number):
            wait_a_moment()
            (review.accept if boxes.get(queue.current).score > 0.6 else review.reject)()
            judged += 1
    picture(viewer, "queue")
    queue.toggle()
    for _ in range(judged):
        boxes.undo()


def take_project_picture(viewer: Any, home: Path) -> None:
    """Show a project of the samples in which some planes are finished."""
    from napari_localize.core.samples import ANNOTATIONS, sample_folder
    from napari_localize.plugin.demo import wait
    from napari_localize.project import open_project

    with open_project(home / "growth", create=True) as project:
        project.add_images([sample_folder()])
        project.import_annotations(sample_folder() / ANNOTATIONS)
        with project.edit("finish") as edit:
            for plane in ("nuclei.tif", "bacteria.tif#t=0", "bacteria.tif#t=1", "bacteria.tif#t=2"):
                edit.finish(plane)
    viewer.layers.clear()
    _, dock = viewer.window.add_plugin_dock_widget("napari-localize", "Project")
    dock.tasks.open_path(home / "growth.localize")
    dock.next_unfinished()
    dock.list.unfolded.emit(dock.current.image, True)
    entries = [dock.model.entry(row) for row in range(dock.model.rowCount())]
    wait(lambda: all(dock.thumbnails.get(entry) is not None for entry in entries), "the small pictures")
    picture(viewer, "project")


def correct(boxes: Any, review: Any, pixels: Any) -> None:
    """Give the brightest cells a class of their own, accept some boxes, reject some, and stop at an uncertain one."""
    shown = sorted(boxes.shown().items(), key=lambda item: item[1].score or 0.0)
    keys = [key for key, _ in shown]

    def brightness(box: Any) -> float:
        x0, y0, x1, y1 = (max(0, round(side)) for side in box.xyxy)
        return float(pixels[y0:y1, x0:x1].mean())

    bright = sorted(keys, key=lambda key: brightness(boxes.get(key)))[-8:]
    boxes.set_class(bright, "mitosis")
    boxes.accept([key for key in keys[-50:] if key not in bright])
    boxes.reject([key for key in keys[:3] if key not in bright][:2])
    boxes.layer.mode = "select"
    review.next_guess()


def picture(viewer: Any, name: str) -> None:
    """Save the window, with as many colours as fit into a small file."""
    from PIL import Image

    from napari_localize.plugin.demo import wait_a_moment

    wait_a_moment()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    path = IMAGES / f"{name}.png"
    Image.fromarray(pixels).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size >> 10} kB")


if __name__ == "__main__":
    main()
