"""Find the objects in images and write their boxes.

INPUT is files, folders, patterns such as "plate/*.tif", or zarr stores. The output is one file for everything,
or, when it is a folder or a name without extension, one file for each image.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.cli._files import Target, find_inputs
from napari_localize.cli._report import Progress, result, result_json, say
from napari_localize.cli._settings import add_settings, settings_of
from napari_localize.core.annotations import Annotations, plane_name
from napari_localize.core.errors import Cancelled, UserError

if TYPE_CHECKING:
    import argparse

    from napari_localize.core.detections import Detections
    from napari_localize.core.settings import PredictSettings
    from napari_localize.models.localizer import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("input", nargs="+", metavar="INPUT", help="images, folders, patterns or zarr stores")
    add("--output", required=True, metavar="FILE|FOLDER", help="one file for all images, or a folder")
    add(
        "--format",
        help="coco, csv, yolo, voc, geojson, imagej; by default from the extension of the output, coco in a folder",
    )
    add_settings(parser)
    add("--axes", metavar="TYX", help="what the axes of the images are; by default what the files say")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--json", action="store_true", help="write a machine readable summary to standard output")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    settings = settings_of(args)
    images, failed = find_inputs(args.input)
    target = Target.of(args.output, args.format, list(images), overwrite=args.overwrite)
    from napari_localize.models.card import read_card
    from napari_localize.models.registry import find_model

    # Before torch is imported, which takes seconds.
    read_card(find_model(args.model))
    from napari_localize.api import load_model

    model = load_model(args.model, args.device)
    say(model.device_text)
    job = _Job(model, settings, target, args.axes, args.overwrite, quiet=args.json)
    job.failed = {name: _without(name, reason) for name, reason in failed.items()}
    try:
        job.run(images)
    finally:
        for name, reason in job.failed.items():
            say(f"napari-localize: error: {name}: {reason}")
    if args.json:
        result_json(job.summary())
    return 2 if job.failed else 0


@dataclass
class _Job:
    model: Model
    settings: PredictSettings
    target: Target
    axes: str | None
    overwrite: bool
    quiet: bool
    found: dict[str, Detections] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    done: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    remarks: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    def run(self, images: dict[str, Path]) -> None:
        """Work on all images, and write what was found."""
        with Progress(len(images), "images") as progress:
            for index, (name, path) in enumerate(images.items()):
                progress.describe(name)
                try:
                    found, sizes, planes = self._localize(name, path, index, progress)
                except (KeyboardInterrupt, Cancelled, MemoryError):
                    raise
                except Exception as error:  # noqa: BLE001 - one damaged file must not stop the others
                    self.failed[name] = _reason(error, path)
                    continue
                finally:
                    progress.reach(index + 1)
                self._keep(name, found, sizes)
                self._report(name, planes)
        if self.target.files is None and self.done:
            self._write(self.target.path, self.found, self.sizes)
        if not self.quiet and self.done:
            boxes = sum(plane["boxes"] for image in self.done for plane in image["planes"])
            result(f"{boxes} boxes in {len(self.done)} images written to {self.target.path}")

    def _localize(
        self, name: str, path: Path, index: int, progress: Progress
    ) -> tuple[dict[str, Detections], dict[str, tuple[int, int]], list[dict[str, Any]]]:
        from napari_localize.formats.images import open_image
        from napari_localize.models.predict import predict_plane, settings_for_stack

        image = open_image(path, self.axes)
        for note in image.notes:
            say(note)
        planes = list(image.planes())
        settings = settings_for_stack(self.model, [plane for _, plane in planes], self.settings)
        found, sizes, summaries = {}, {}, []
        for number, (position, plane) in enumerate(planes):
            diameter: float | None = None

            def on_event(event: dict[str, Any], number: int = number) -> None:
                nonlocal diameter
                if event["event"] == "progress":
                    fraction = (number + event["done"] / event["total"]) / len(planes)
                    progress.reach(index + fraction)
                elif event["event"] == "diameter":
                    diameter = event["object_diameter"]
                elif event["event"] == "message" and event["text"] not in self.remarks:
                    self.remarks.add(event["text"])
                    say(event["text"])

            boxes = predict_plane(self.model, plane, settings, on_event=on_event)
            key = plane_name(name, position)
            found[key], sizes[key] = boxes, plane.shape[:2]
            summary = {"boxes": len(boxes), "counts": boxes.counts(), "object_diameter": diameter}
            summaries.append({**summary, "position": position} if position else summary)
        return found, sizes, summaries

    def _keep(self, name: str, found: dict[str, Detections], sizes: dict[str, tuple[int, int]]) -> None:
        if self.target.files is None:
            self.found |= found
            self.sizes |= sizes
        else:
            self._write(self.target.files[name], found, sizes)

    def _write(self, path: Path, found: dict[str, Detections], sizes: dict[str, tuple[int, int]]) -> None:
        from napari_localize.api import write_annotations

        if self.target.files is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"cannot make the folder {path.parent}: {error.strerror}.") from error
        data = Annotations(found, sizes, self.model.card.classes)
        for note in write_annotations(path, data, format=self.target.format, overwrite=self.overwrite):
            if note not in self.remarks:
                self.remarks.add(note)
                say(note)

    def _report(self, name: str, planes: list[dict[str, Any]]) -> None:
        self.done.append({"file": name, "planes": planes})
        if self.quiet:
            return
        counts = ", ".join(f"{number} {label}" for label, number in _total(planes).items())
        where = f" in {len(planes)} planes" if len(planes) > 1 else ""
        sizes = [plane["object_diameter"] for plane in planes if plane["object_diameter"]]
        size = f" (about {sum(sizes) / len(sizes):.0f} px)" if sizes else ""
        result(f"{name}: {counts}{where}{size}")

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        planes = [plane for image in self.done for plane in image["planes"]]
        return {
            "model": self.model.card.reference,
            "device": str(self.model.device),
            "output": str(self.target.path) if self.done else None,
            "format": self.target.format,
            "images": self.done,
            "boxes": sum(plane["boxes"] for plane in planes),
            "counts": _total(planes),
            "failed": [{"file": name, "error": reason} for name, reason in self.failed.items()],
            "seconds": round(time.monotonic() - self.began, 2),
        }


def _total(planes: list[dict[str, Any]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for plane in planes:
        total.update(plane["counts"])
    return dict(total)


def _reason(error: Exception, path: Path) -> str:
    """Return a sentence on why a file could not be used, without its name where it begins with that."""
    if isinstance(error, UserError):
        return _without(str(path), str(error))
    return f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())}); copy or export it again."


def _without(name: str, reason: str) -> str:
    return reason.removeprefix(f"{name}: ").removeprefix(f"{name} ")
