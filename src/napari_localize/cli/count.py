"""Count objects, with an interval, from a model's boxes and some planes that a person has reviewed.

BOXES is a project, or an annotation file that has both: what a model found and what a person said of it. Otherwise give
both by --predictions and --reviewed. The reviewed planes must be a random sample: draw them before looking. Where planes
are marked as reviewed only these count, otherwise all that the file names.
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

    from napari_localize.core.annotations import Annotations
    from napari_localize.evaluation.counts import CountReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("boxes", nargs="?", metavar="BOXES", help="a project, or a file of boxes saved after reviewing")
    add("--image", metavar="NAME", help="count one image of the project")
    add("--predictions", metavar="FILE", help="a model's boxes on all planes, in any known format")
    add("--reviewed", metavar="FILE", help="what is there on some of these planes")
    add("--threshold", type=float, metavar="T", help="lowest score that counts; by default all boxes do")
    add("--output", metavar="FILE.csv", help="a table of the planes")
    add("--overwrite", action="store_true", help="replace a file that exists")
    add("--json", action="store_true", help="write the numbers as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise UserError(f"the threshold is {args.threshold}; it must be between 0 and 1.")
    if (args.boxes is None) == (args.predictions is None) or (args.predictions is None) != (args.reviewed is None):
        raise UserError("give a project or a file of boxes, or both --predictions and --reviewed.")
    if args.image is not None and (args.boxes is None or Path(args.boxes).is_file()):
        raise UserError("--image counts one image of a project; of files give one that holds only this image.")
    if args.output is not None:
        check_output_file(Path(args.output), overwrite=args.overwrite)
    report = _report(args)
    if args.output is not None:
        with atomic_path(args.output, overwrite=args.overwrite) as temporary:
            report.planes.to_csv(temporary)
    if args.json:
        result_json(
            {
                "sentence": report.sentence,
                "notes": list(report.notes),
                "threshold": report.threshold,
                "classes": report.classes.to_dict("index"),
            }
        )
    else:
        result(report.classes.to_string(float_format="{:.3g}".format, na_rep="-", index_names=False))
        result(report.sentence)
        for note in report.notes:
            say(note)
    return 0


def _report(args: argparse.Namespace) -> CountReport:
    from napari_localize.evaluation.counts import Counting
    from napari_localize.evaluation.units import counted_plane
    from napari_localize.project.folder import project_folder

    if args.predictions is not None:
        from napari_localize.api import count

        return count(_read(args.predictions), _read(args.reviewed), threshold=args.threshold)
    folder = project_folder(args.boxes)
    if folder.is_dir() and not Path(args.boxes).is_file():
        from napari_localize.project import open_project
        from napari_localize.project.counting import project_planes
        from napari_localize.project.lots import lot_of

        with open_project(folder, read_only=True) as project:
            images = None if args.image is None else [project.image(args.image)]
            lot = lot_of(project, None if images is None else images[0].id)
            planes = list(project_planes(project, images, lot).values())
        counting = Counting(planes, says_how_chosen=True)
    else:
        data = _read(args.boxes)
        counting = Counting(
            [
                counted_plane(
                    name,
                    boxes,
                    data.known(name) if data.says_what_is_known else None,
                    tuple(area.xyxy for area in data.areas.get(name, ()) if area.kind == "ignored"),
                )
                for name, boxes in data.items()
            ]
        )
    if not counting.units.reviewed.any():
        raise UserError(f"no plane of {args.boxes} is reviewed; finish some that were chosen at random.")
    return counting.at(args.threshold)


def _read(path: str) -> Annotations:
    from napari_localize.api import read_annotations

    data = read_annotations(path)
    for note in data.notes:
        say(f"{path}: {note}")
    return data
