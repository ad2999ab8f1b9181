"""Compare predicted boxes with true ones: AP50, AP, precision, recall, F1 by class, error of the count by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_localize.cli._report import result, result_json, say

if TYPE_CHECKING:
    import argparse

    import pandas as pd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("--predictions", required=True, metavar="FILE", help="boxes in any known format")
    add("--annotations", required=True, metavar="FILE", help="the true boxes")
    add("--iou", type=float, default=0.5, help="overlap of a hit, for precision, recall and F1 (default: 0.5)")
    add("--json", action="store_true", help="write the table as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from napari_localize.api import evaluate, read_annotations

    annotations = read_annotations(args.annotations)
    predictions = read_annotations(args.predictions, reference=args.annotations)
    for path, data in ((args.predictions, predictions), (args.annotations, annotations)):
        for note in data.notes:
            say(f"{path}: {note}")
    table = evaluate(predictions, annotations, iou=args.iou)
    for note in table.attrs["notes"]:
        say(note)
    if args.json:
        *classes, everything = table.to_dict("records")
        result_json(
            {
                "iou": args.iou,
                "all": everything,
                "classes": dict(zip(table.index[:-1], classes, strict=True)),
                "count_error_per_image": table.attrs["count_error_per_image"],
            }
        )
    else:
        _print(table)
    return 0


def _print(table: pd.DataFrame) -> None:
    result(table.to_string(float_format="{:.3f}".format, na_rep="-", index_names=False))
    errors = table.attrs["count_error_per_image"]
    result("\nerror of the count, by image")
    for name, error in errors.items():
        result(f"{error:8.1%}  {name}")
