"""Time editing very many boxes in a real napari window, beside a plain Shapes layer with the same boxes.

python benchmarks/editing.py --boxes 200000 --images 10
xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/editing.py

A step is timed from the change of the camera, the box or the slider until the boxes that belong there are drawn on
the canvas and no event is left. The plain layer runs in a process of its own and is given up after --patience seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 40
DENSITY = 900
"""Pixels of the image for each box."""


def main() -> int:
    """Run each side in its own process and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=200_000, help="on one plane")
    parser.add_argument("--images", type=int, default=10, help="in the project, each with so many boxes")
    parser.add_argument("--patience", type=float, default=600, help="seconds for the plain layer")
    parser.add_argument("--side", choices=["napari", "ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:

        def report(name: str, value: Any) -> None:
            print(json.dumps([name, value]), flush=True)

        SIDES[args.side](args, report)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_LOCALIZE_DATA"] = folder
        project = Path(folder) / "many.localize"
        began = time.perf_counter()
        make_project(project, args)
        print(f"{args.images * args.boxes:,} boxes written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        results = {side: run_side(side, project, args) for side in SIDES}
    print(f"{args.boxes:,} boxes on the plane, {args.images * args.boxes:,} in the project")
    for name, unit in ROWS.items():
        cells = [f"{show(results[side].get(name)):>22}" for side in ("ours", "plain")]
        print(f"{name + ', ' + unit:<58}", *cells)
    for side in ("ours", "plain"):
        if "memory" in results[side] and "memory" in results["napari"]:
            print(f"memory above napari's own, {side}: {results[side]['memory'] - results['napari']['memory']:.2f} GB")
    return 0


ROWS = {
    "a frame in which nothing changes": "ms, median / p95",
    "open the project": "s",
    "show the plane with its boxes": "s",
    "pan by a tenth of the view": "ms, median / p95",
    "jump to another place": "ms, median / p95",
    "zoom by a fifth": "ms, median / p95",
    "move one box": "ms, median / p95",
    "move one box until it is on disk": "ms, median / p95",
    "accept one box": "ms, median / p95",
    "score slider": "ms, median / p95",
}


def show(value: Any) -> str:
    """Return a number or a pair of them as text."""
    if value is None:
        return "-"
    return " / ".join(f"{one:.0f}" for one in value) if isinstance(value, list) else f"{value:.2f}"


def run_side(side: str, project: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run one side in a process of its own and return what it has reported until it ended or was given up."""
    command = [sys.executable, __file__, "--side", side, "--project", str(project), "--boxes", str(args.boxes)]
    lines = ""
    try:
        limit = args.patience if side == "plain" else None
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit, check=True).stdout
    except subprocess.TimeoutExpired as error:
        lines = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else (error.stdout or "")
        print(f"{side}: given up after {args.patience:.0f} s", file=sys.stderr)
    return dict(json.loads(line) for line in lines.splitlines() if line.startswith("["))


def side_of(number: int) -> int:
    """Height and width of the image in pixels."""
    return int((number * DENSITY) ** 0.5)


def some_boxes(number: int, seed: int) -> Any:
    """Return boxes all over the plane, with three classes and scores."""
    from napari_localize.core.detections import Detections

    rng = np.random.default_rng(seed)
    start = rng.uniform(0, side_of(number) - 20, (number, 2)).astype(np.float32)
    corners = np.concatenate([start, start + rng.uniform(8, 20, (number, 2))], axis=1)
    return Detections(corners, rng.integers(0, 3, number), rng.random(number), class_names=("a", "b", "c"))


def make_project(path: Path, args: argparse.Namespace) -> None:
    """Write a project whose images have no files."""
    from napari_localize import open_project

    side = side_of(args.boxes)
    with open_project(path, create=True) as project:
        for number in range(args.images):
            image = project.add_array(f"image {number}", (side, side), "YX")
            project.propose(image.name, some_boxes(args.boxes, number), "model@1")


class Window:
    """A napari window, and how long things take in it."""

    def __init__(self, number: int) -> None:
        import napari

        side = side_of(number)
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1400, 900)
        self.side = side
        self.image = self.viewer.add_image(np.zeros((side, side), np.uint8), name="image 0")
        self.settle()

    def settle(self) -> None:
        """Run the event loop until nothing is waiting."""
        from napari.qt import get_qapp

        application = get_qapp()
        application.processEvents()
        while self.busy():
            application.processEvents()
        application.processEvents()

    def busy(self) -> bool:
        """Whether something will happen soon."""
        return False

    def timed(self, step: Callable[[int], None]) -> list[float]:
        """Return median and 95th percentile in milliseconds of a step."""
        times = []
        for number in range(STEPS):
            began = time.perf_counter()
            step(number)
            self.settle()
            times.append((time.perf_counter() - began) * 1e3)
        return np.percentile(times, [50, 95]).round(1).tolist()

    def look(self, y: float, x: float, zoom: float | None = None) -> None:
        """Move the camera."""
        camera = self.viewer.scene.camera if hasattr(self.viewer, "scene") else self.viewer.camera
        if zoom is not None:
            camera.zoom = zoom
        camera.center = (0, y, x)

    def views(self, report: Callable[[str, Any], None]) -> None:
        """Time panning, jumping and zooming."""
        rng = np.random.default_rng(0)
        middle = self.side / 2
        self.look(middle, middle, 1.0)
        self.settle()
        report("a frame in which nothing changes", self.timed(lambda n: self.look(middle, middle + 0.01 * n)))
        report("pan by a tenth of the view", self.timed(lambda n: self.look(middle, middle + 120 * n)))
        place = rng.uniform(self.side * 0.2, self.side * 0.8, (STEPS, 2))
        report("jump to another place", self.timed(lambda n: self.look(*place[n])))
        # In from the whole plane until boxes fill the canvas, and out again.
        zooms = np.concatenate([0.05 * 1.2 ** np.arange(STEPS // 2), 0.05 * 1.2 ** np.arange(STEPS // 2)[::-1]])
        report("zoom by a fifth", self.timed(lambda n: self.look(middle, middle, float(zooms[n]))))
        self.look(middle, middle, 1.5)
        self.settle()


def memory() -> float:
    """Memory of this process in GB."""
    import psutil

    return psutil.Process().memory_info().rss / 1e9


def move_by_hand(layer: Any, row: int) -> None:
    """Do what napari does when a person lets go of a box."""
    layer._data_view.shift(row, np.array([2.0, 2.0]))
    layer.refresh()
    layer.events.data(value=layer.data, action="changed", data_indices=(row,), vertex_indices=((),))


def run_napari(args: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """napari with the image alone."""
    window = Window(args.boxes)
    window.settle()
    report("memory", memory())
    window.viewer.close()


def run_ours(args: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """The project's boxes with our plugin."""
    from napari_localize import open_project
    from napari_localize.plugin.boxes import box_layer
    from napari_localize.plugin.keeping import close_keepers, keeper_of
    from napari_localize.plugin.layers import new_box_layer
    from napari_localize.plugin.window import windows_of
    from napari_localize.widgets.review import ReviewWidget

    window = Window(args.boxes)
    viewer = window.viewer
    viewer.window.add_dock_widget(ReviewWidget(viewer), name="Review")
    windows = windows_of(viewer)
    window.busy = lambda: windows.busy  # type: ignore[method-assign]
    window.settle()

    began = time.perf_counter()
    project = open_project(args.project)
    images = project.images()
    report("open the project", time.perf_counter() - began)

    keeper = keeper_of(viewer)
    keeper.open(project)
    began = time.perf_counter()
    layer = new_box_layer(window.image, ("a", "b", "c"))
    keeper.show(images[0], layer)
    viewer.add_layer(layer)
    window.settle()
    report("show the plane with its boxes", time.perf_counter() - began)
    boxes = box_layer(layer)
    window.views(report)

    def move(number: int) -> None:
        move_by_hand(layer, number)
        boxes.reconcile()

    report("move one box", window.timed(move))
    stored = []
    for number in range(STEPS):
        began = time.perf_counter()
        move(number)
        project.settle()
        stored.append((time.perf_counter() - began) * 1e3)
        window.settle()
    report("move one box until it is on disk", np.percentile(stored, [50, 95]).round(1).tolist())
    guesses = iter(boxes.drawn[boxes.table.in_states(("proposed",))[boxes.table.boxes.rows(boxes.drawn)]].tolist())
    report("accept one box", window.timed(lambda n: boxes.accept([next(guesses)])))
    report("score slider", window.timed(lambda n: boxes.set_filter(n / STEPS)))
    boxes.set_filter(0.0)
    window.settle()
    report("memory", memory())
    close_keepers()
    viewer.close()


def run_plain(args: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """A plain Shapes layer with all boxes, coloured by class."""
    window = Window(args.boxes)
    found = some_boxes(args.boxes, 0)
    y, x = found.boxes[:, [1, 1, 3, 3]], found.boxes[:, [0, 2, 2, 0]]
    names = np.array(found.class_names)[found.labels]
    began = time.perf_counter()
    layer = window.viewer.add_shapes(
        np.stack([y, x], axis=-1),
        shape_type="rectangle",
        features={"class": names, "score": found.scores},
        edge_color="class",
        edge_color_cycle=["#E69F00", "#56B4E9", "#009E73"],
        face_color="transparent",
    )
    window.settle()
    report("show the plane with its boxes", time.perf_counter() - began)
    report("memory", memory())
    window.views(report)
    report("move one box", window.timed(lambda n: move_by_hand(layer, n)))

    def hide(number: int) -> None:
        colors = layer.edge_color
        colors[:, 3] = found.scores >= number / STEPS
        layer.edge_color = colors

    report("score slider", window.timed(hide))
    window.viewer.close()


SIDES = {"napari": run_napari, "ours": run_ours, "plain": run_plain}


if __name__ == "__main__":
    raise SystemExit(main())
