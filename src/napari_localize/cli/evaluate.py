"""Compare predicted boxes with true ones: AP50, AP, precision, recall, F1 by class, error of the count by image.

With --report a page with all numbers, their intervals, curves and the worst images; with --receipt what is needed to
come to the same numbers again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.cli._files import check_output_file
from napari_localize.cli._report import result, result_json, say
from napari_localize.core.errors import UserError

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from napari_localize.core.annotations import Annotations
    from napari_localize.evaluation.report import EvaluationReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("--predictions", required=True, metavar="FILE", help="boxes in any known format")
    add(
        "--annotations",
        required=True,
        metavar="FILE",
        help="the true boxes: a file, or a project, of which what is finished counts",
    )
    add(
        "--iou", type=float, default=0.5, help="overlap of a hit, for precision, recall and F1 (default: 0.5); of boxes"
    )
    add("--threshold", type=float, metavar="T", help="lowest score that counts, but for AP; by default all boxes do")
    add("--distance", type=float, metavar="PX", help="compare centres, not boxes: largest distance of a hit, in pixels")
    add("--pixel-size", type=float, metavar="UM", help="micrometres per pixel, for sizes and distances in the report")
    add("--ignore-classes", action="store_true", help="take all objects for ones of the same class")
    add("--images", metavar="FOLDER", help="the images, for pictures of the worst ones in the report")
    add("--report", metavar="FILE.html", help="write a page with everything")
    add("--receipt", metavar="FILE.json", help="write model, data, settings and versions")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--json", action="store_true", help="write the table as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    _check(args)
    from napari_localize.api import evaluate, read_annotations
    from napari_localize.project import open_project
    from napari_localize.project.exchange import reviewed_annotations
    from napari_localize.training.gathering import is_project

    if is_project(args.annotations):
        with open_project(args.annotations, read_only=True) as project:
            annotations = reviewed_annotations(project)
        predictions = _on_planes_of(annotations, read_annotations(args.predictions), args)
    else:
        annotations = read_annotations(args.annotations)
        predictions = read_annotations(args.predictions, reference=args.annotations)
    read = [
        f"{path}: {note}"
        for path, data in ((args.predictions, predictions), (args.annotations, annotations))
        for note in data.notes
    ]
    for note in read:
        say(note)
    report: EvaluationReport | None = None
    # Points are compared by their distance, which is what the limit of a hit is then.
    if (
        annotations.points
        or args.ignore_classes
        or any(value is not None for value in (args.threshold, args.distance, args.report, args.receipt))
    ):
        report = _report(args, predictions, annotations)
    table = evaluate(predictions, annotations, iou=args.iou) if report is None else report.table
    for note in table.attrs["notes"]:
        if note not in read:
            say(note)
    if args.json:
        *classes, everything = table.to_dict("records")
        summary: dict[str, Any] = {"iou": args.iou, "all": everything}
        if report is not None:
            summary |= {"threshold": args.threshold, "distance": report.limit if report.points else None}
            summary["intervals"] = {name: [one.low, one.high] for name, one in report.intervals.items()}
        result_json(
            summary
            | {
                "classes": dict(zip(table.index[:-1], classes, strict=True)),
                "count_error_per_image": table.attrs["count_error_per_image"],
            }
        )
    else:
        _print(table)
    return 0


def _on_planes_of(annotations: Annotations, predictions: Annotations, args: argparse.Namespace) -> Annotations:
    """Leave out what was predicted on planes of a project that are not finished, as nothing is known of these."""
    from napari_localize.core.annotations import Annotations

    kept = {name: part for name, part in predictions.items() if name in annotations}
    if not kept:
        raise UserError(
            f"{args.predictions} is about none of the planes that are finished in {args.annotations}, such as "
            f"{next(iter(annotations))!r}; names must be equal."
        )
    notes = list(predictions.notes)
    if len(kept) < len(predictions):
        notes.append(f"{len(predictions) - len(kept)} planes that are not finished in the project are left out.")
    return Annotations(kept, class_names=predictions.class_names, notes=notes, points=predictions.points)


def _check(args: argparse.Namespace) -> None:
    """Find what is wrong with the call before anything is read."""
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise UserError(f"the threshold is {args.threshold}; it must be between 0 and 1.")
    if args.pixel_size is not None and not 0 < args.pixel_size < float("inf"):
        raise UserError(f"the pixel size is {args.pixel_size}; it must be above 0 micrometres.")
    if args.images is not None and not Path(args.images).is_dir():
        raise UserError(f"{args.images} is not a folder; give the folder of the images.")
    outputs = [Path(path) for path in (args.report, args.receipt) if path is not None]
    if len(outputs) == 2 and outputs[0].absolute() == outputs[1].absolute():
        raise UserError(f"the report and the receipt are both to be written to {outputs[0]}; give two names.")
    for path in outputs:
        check_output_file(path, overwrite=args.overwrite)


def _report(args: argparse.Namespace, predictions: Annotations, annotations: Annotations) -> EvaluationReport:
    from napari_localize.evaluation.making import make_report
    from napari_localize.evaluation.receipt import models_of
    from napari_localize.models.identity import identify_only

    report = make_report(
        predictions,
        annotations,
        sources={"predictions": args.predictions, "annotations": args.annotations},
        iou=args.iou,
        threshold=args.threshold,
        distance=args.distance,
        pixel_size=args.pixel_size,
        ignore_classes=args.ignore_classes,
        images=args.images,
        model=identify_only(models_of(predictions)),
    )
    if args.report is not None:
        report.save(args.report, overwrite=args.overwrite)
    if args.receipt is not None:
        report.save_receipt(args.receipt, overwrite=args.overwrite)
    return report


def _print(table: pd.DataFrame) -> None:
    result(table.to_string(float_format="{:.3f}".format, na_rep="-", index_names=False))
    errors = table.attrs["count_error_per_image"]
    result("\nerror of the count, by image")
    for name, error in errors.items():
        result(f"{error:8.1%}  {name}")
