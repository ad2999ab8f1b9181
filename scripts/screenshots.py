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
SECOND_TRAINING = 20
"""Seconds."""


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

    take_gallery_picture(viewer, loop)
    boxes.finish(())
    loop.setCurrentWidget(loop.retrain)
    loop.retrain.base.choose(MODEL)
    loop.retrain.amount.setValue(seconds)
    wait(loop.retrain.train_button.isEnabled, "something to learn from")
    loop.retrain.train()
    wait(lambda: not loop.retrain.busy, "the new model")
    viewer.reset_view()
    picture(viewer, "retrain")
    take_models_picture(viewer, loop)
    take_count_picture(viewer)
    take_evaluate_picture(viewer)
    take_project_picture(viewer, Path(home))
    viewer.close()


def take_models_picture(viewer: Any, loop: Any) -> None:
    """Keep the new model, train another one from it, and show where that comes from."""
    from napari_localize.models.registry import describe_model
    from napari_localize.plugin.demo import wait

    loop.retrain.comparison.keep.emit("mitosis")
    loop.setCurrentWidget(loop.retrain)
    loop.retrain.base.choose("mitosis@1")
    loop.retrain.amount.setValue(SECOND_TRAINING)
    wait(loop.retrain.train_button.isEnabled, "something to learn from")
    loop.retrain.train()
    wait(lambda: not loop.retrain.busy, "the second model")
    loop.retrain.comparison.keep.emit("mitosis")
    viewer.window.remove_dock_widget(loop)
    describe_model("mitosis@2", "Nuclei and mitoses of the growth experiment, 20x.")
    _, dock = viewer.window.add_plugin_dock_widget("napari-localize", "Models")
    dock.parent().raise_()
    dock.refresh_and_choose("mitosis@2")
    wait(lambda: not dock.busy and dock.tree.key == "mitosis@2" and "growth" in dock.card.text(), "the models")
    picture(viewer, "models")
    viewer.window.remove_dock_widget(dock)


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


def take_gallery_picture(viewer: Any, loop: Any) -> None:
    """Show all boxes side by side, some of them just accepted and one rejected."""
    from napari_localize.plugin.demo import wait

    _, dock = viewer.window.add_plugin_dock_widget("napari-localize", "Gallery")
    loop.parent().hide()
    viewer.reset_view()
    dock.view.select_rows([0, 1, 2, 3])
    dock.accept()
    dock.view.select_rows([6])
    dock.reject()
    dock.view.select_rows([7, 8])
    wait(lambda: dock.crops.made and dock.crops.idle, "the crops")
    picture(viewer, "gallery")
    for _ in range(2):
        dock.undo()
    viewer.window.remove_dock_widget(dock)
    loop.parent().show()


def take_count_picture(viewer: Any) -> None:
    """Count a stack of parts of the nuclei sample, some of which were drawn by lot and reviewed."""
    from napari_localize.plugin.boxes import box_layer
    from napari_localize.plugin.demo import wait

    pixels = np.asarray(next(layer for layer in viewer.layers if layer.name.startswith("nuclei")).data)
    viewer.layers.clear()
    parts = [pixels[y : y + 128, x : x + 128] for y in range(0, 385, 64) for x in range(0, 385, 64)]
    image = viewer.add_image(np.stack(parts), name="stack", contrast_limits=(0, 120))
    _, localize = viewer.window.add_plugin_dock_widget("napari-localize", "Localize")
    localize.image.choose(image)
    localize.model.choose(MODEL)
    localize.scope.all.setChecked(True)
    localize.run()
    wait(lambda: not localize.busy, "the boxes of the stack")
    viewer.window.remove_dock_widget(localize)
    _, dock = viewer.window.add_plugin_dock_widget("napari-localize", "Count")
    boxes = box_layer(viewer.layers.selection.active)
    dock.sample.amount.setValue(14)
    dock.sample.draw_button.click()
    for image_index in [index for _, index in dock.counted.lot.places][:12]:
        found = boxes.detections(image_index)
        boxes.reject(found.ids[found.scores < 0.6].tolist())
        boxes.finish(image_index)
    dock.go_on()
    viewer.reset_view()
    picture(viewer, "count")
    viewer.window.remove_dock_widget(dock)


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


def take_evaluate_picture(viewer: Any) -> None:
    """Judge a model by the true boxes, and look at one that should not be there."""
    from napari_localize.plugin.demo import wait, wait_a_moment

    viewer.layers.clear()
    image, _ = viewer.open_sample("napari-localize", "nuclei")
    image.contrast_limits = (0, 120)
    _, dock = viewer.window.add_plugin_dock_widget("napari-localize", "Evaluate")
    dock.sides.model.choose(MODEL)
    dock.evaluate()
    wait(lambda: not dock.busy, "the numbers")
    dock.result.plot_choice.setCurrentText("F1 by threshold")
    dock.result.set_threshold(0.3)
    dock.result.follow("kind:false positive")
    wait_a_moment()
    picture(viewer, "evaluate", colors=256)
    viewer.window.remove_dock_widget(dock)


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


def picture(viewer: Any, name: str, colors: int = 128) -> None:
    """Save the window, with as many colours as fit into a small file."""
    from PIL import Image

    from napari_localize.plugin.demo import wait_a_moment

    wait_a_moment()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    path = IMAGES / f"{name}.png"
    Image.fromarray(pixels).convert("RGB").quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size >> 10} kB")


if __name__ == "__main__":
    main()
