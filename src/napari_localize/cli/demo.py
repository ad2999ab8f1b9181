"""Find the objects in the sample images, in napari, and compare with their true boxes.

Runs in a window where there is a screen, otherwise in the same napari off screen. Screenshots and the boxes, as
COCO and as a table, go to the output folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.cli._report import result, say
from napari_localize.core.annotations import Annotations, split_plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.project.folder import DATA_VARIABLE

if TYPE_CHECKING:
    import argparse

MODEL = "generalist"
BOXES, TABLE = "boxes.json", "boxes.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("--output", default="napari-localize-demo", metavar="FOLDER", help="default: napari-localize-demo")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--stay", action="store_true", help="leave the window open at the end")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from napari_localize.api import read_annotations, write_annotations
    from napari_localize.models.registry import find_model

    truth = read_annotations(sample_folder() / ANNOTATIONS)
    find_model(MODEL)
    output = Path(args.output)
    stems = dict.fromkeys(Path(split_plane_name(name)[0]).stem for name in truth)
    names = [BOXES, TABLE, *(f"{stem}.png" for stem in stems)]
    taken = [output / name for name in names if (output / name).exists()]
    if taken and not args.overwrite:
        raise UserError(f"{taken[0]} exists already; choose another folder with --output or add --overwrite.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix=".demo-", dir=output)
    except OSError as error:
        raise UserError(f"cannot write into {output}: {error.strerror}; choose another folder.") from error
    with work as name:
        folder = Path(name)
        window = _Window(folder, stay=args.stay)
        if not window.done:
            say(f"No window could be opened here ({window.reason}), so the pictures are drawn without napari.")
            _without_window(folder, truth)
        found = read_annotations(folder / BOXES)
        write_annotations(folder / TABLE, found)
        for name in names:
            os.replace(folder / name, output / name)
        _print(found, truth)
        result(f"Boxes and pictures are in {output}.")
        window.wait()
    return 0


class _Window:
    """The process that shows napari and does the work; `done` tells whether it did, `reason` why not."""

    def __init__(self, folder: Path, *, stay: bool) -> None:
        command = [sys.executable, "-m", "napari_localize.plugin.demo", str(folder), "--model", MODEL]
        environment = dict(os.environ)
        if has_screen():
            command += ["--stay"] if stay else []
        elif shutil.which("xvfb-run"):
            command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", *command]
        else:
            environment["QT_QPA_PLATFORM"] = "offscreen"
        if "--stay" not in command:
            # Nobody will want back what was found here.
            environment[DATA_VARIABLE] = str(folder / "user")
        say("Opening napari ...")
        with (folder / "window.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        self.reason = ""
        try:
            self.done = any(line.strip() == b"done" for line in self._process.stdout or ())
        except BaseException:
            self._process.terminate()
            self._process.wait()
            raise
        if not self.done:
            self._process.wait()
            lines = (folder / "window.log").read_text(errors="replace").strip().splitlines()
            self.reason = lines[-1] if lines else f"status {self._process.returncode}"

    def wait(self) -> None:
        """Wait until the window is closed."""
        self._process.communicate()


def has_screen() -> bool:
    """Whether a window would be seen."""
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return False
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _without_window(folder: Path, truth: Annotations) -> None:
    """Do the same in this process, with the library."""
    from napari_localize.api import load_model, predict, write_annotations
    from napari_localize.core.annotations import plane_name

    model = load_model(MODEL)
    planes: dict[str, Detections] = {}
    for file_name in dict.fromkeys(split_plane_name(name)[0] for name in truth):
        path = sample_folder() / file_name
        found = predict(path, model)
        axes = next(list(split_plane_name(name)[1]) for name in truth if split_plane_name(name)[0] == file_name)
        for index, boxes in ({(): found} if isinstance(found, Detections) else found).items():
            planes[plane_name(file_name, dict(zip(axes, index, strict=True)))] = boxes
        first = found if isinstance(found, Detections) else next(iter(found.values()))
        _draw(path, first, folder / f"{path.stem}.png")
    write_annotations(folder / BOXES, Annotations(planes))


def _draw(image: Path, boxes: Detections, target: Path) -> None:
    """Draw boxes on the first plane of an image."""
    import numpy as np
    from PIL import Image, ImageDraw

    from napari_localize.formats.sources import planes_of
    from napari_localize.models.intensity import find_intensity_map

    _, plane = next(planes_of(image))
    height, width, _ = plane.shape
    seen = find_intensity_map(plane)(plane.read(0, height, 0, width))
    drawn = Image.fromarray((seen * 255).astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    for x0, y0, x1, y1 in boxes.boxes.tolist():
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline="yellow")
    drawn.save(target)


def _print(found: Annotations, truth: Annotations) -> None:
    """Compare counts and boxes, whatever the classes are called."""
    from napari_localize.evaluation.metrics import summarize

    files: dict[str, list[str]] = {}
    for name in truth:
        files.setdefault(split_plane_name(name)[0], []).append(name)
    result(f"{'image':16}{'planes':>7}{'found':>7}{'true':>7}{'precision':>11}{'recall':>8}")
    for file_name, names in files.items():
        predicted = [_one_class(found[name]) for name in names]
        true = [_one_class(truth[name]) for name in names]
        measured = summarize(predicted, true)
        counts = f"{len(names):7}{sum(map(len, predicted)):7}{sum(map(len, true)):7}"
        result(f"{file_name:16}{counts}{measured['precision']:11.2f}{measured['recall']:8.2f}")


def _one_class(boxes: Detections) -> Detections:
    return Detections(boxes.boxes, scores=boxes.scores)
