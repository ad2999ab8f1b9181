"""Count objects, with an interval, from a model's boxes and some planes that a person has reviewed.

The reviewed planes must be a random sample: draw them before looking. Where planes are marked as reviewed only these
count, otherwise all that the file names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.cli._files import check_output_file
from napari_localize.cli._report import result, result_json, say
from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("--predictions", required=True, metavar="FILE", help="a model's boxes on all planes, in any known format")
    add("--reviewed", required=True, metavar="FILE", help="what is there on some of these planes")
    add("--threshold", type=float, metavar="T", help="lowest score that counts; by default all boxes do")
    add("--output", metavar="FILE.csv", help="a table of the planes")
    add("--overwrite", action="store_true", help="replace a file that exists")
    add("--json", action="store_true", help="write the numbers as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise UserError(f"the threshold is {args.threshold}; it must be between 0 and 1.")
    if args.output is not None:
        check_output_file(Path(args.output), overwrite=args.overwrite)
    from napari_localize.api import count, read_annotations

    data = [read_annotations(path) for path in (args.predictions, args.reviewed)]
    for path, read in zip((args.predictions, args.reviewed), data, strict=True):
        for note in read.notes:
            say(f"{path}: {note}")
    report = count(*data, threshold=args.threshold)
    if args.output is not None:
        with atomic_path(args.output, overwrite=args.overwrite) as temporary:
            report.planes.to_csv(temporary)
    if args.json:
        result_json({"sentence": report.sentence, "classes": report.classes.to_dict("index")})
    else:
        result(report.classes.to_string(float_format="{:.3g}".format, na_rep="-", index_names=False))
        result(report.sentence)
    return 0
