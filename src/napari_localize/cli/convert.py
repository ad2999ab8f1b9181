"""Convert an annotation file into another format, which the extension of OUTPUT tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.cli._files import check_output_file, format_of
from napari_localize.cli._report import result, say

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    parser.add_argument("input", metavar="INPUT", help="an annotation file; its format is found from the content")
    parser.add_argument("output", metavar="OUTPUT", help="the file to write, such as boxes.json or boxes.csv")
    parser.add_argument("--format", help="format of OUTPUT, where its extension does not tell")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from napari_localize.api import read_annotations, write_annotations

    output = Path(args.output)
    name = format_of(output, args.format)
    check_output_file(output, overwrite=args.overwrite)
    data = read_annotations(args.input)
    for note in data.notes:
        say(note)
    write_annotations(output, data, format=name, overwrite=args.overwrite)
    result(f"{sum(map(len, data.values()))} boxes of {len(data)} planes written to {output}")
    return 0
