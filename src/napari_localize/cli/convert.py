"""Convert annotations into another format, which the extension of OUTPUT or --format tells.

What the new format cannot hold is said. --points makes points of boxes, --boxes makes boxes of points. Label images are no annotation files by themselves: name them with
--input-format labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.cli._files import check_output, format_of
from napari_localize.cli._report import result, say

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("input", metavar="INPUT", help="an annotation file or folder; its format is found from the content")
    add("output", metavar="OUTPUT", help="the file to write, such as boxes.json or boxes.csv, or a folder")
    add("--format", help="format of OUTPUT: coco, csv, yolo, voc, geojson, imagej or napari")
    add("--input-format", metavar="FORMAT", help="format of INPUT, where the content does not tell: labels")
    add("--images", metavar="DIR", help="the folder of the images, for formats that need their names or sizes")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--points", action="store_true", help="write the centres of the boxes as points")
    kind.add_argument("--boxes", metavar="SIZE", type=float, help="write boxes of SIZE pixels around the points")
    add("--overwrite", action="store_true", help="replace OUTPUT if it exists")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from napari_localize.api import read_annotations, write_annotations
    from napari_localize.core.points import to_boxes, to_points

    output = Path(args.output)
    name = format_of(output, args.format)
    check_output(output, name, overwrite=args.overwrite)
    data = read_annotations(args.input, format=args.input_format, images=args.images)
    if args.points:
        data = to_points(data)
    elif args.boxes is not None:
        data = to_boxes(data, args.boxes)
    notes = [*data.notes, *write_annotations(output, data, format=name, overwrite=args.overwrite)]
    for note in notes:
        say(note)
    what = "points" if data.points else "boxes"
    result(f"{sum(map(len, data.values()))} {what} of {len(data)} planes written to {output}")
    return 0
