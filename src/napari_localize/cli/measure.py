"""Measure the objects in images and count them by area.

Images and annotations are matched by name, or come from a project. Images without annotations are left out.
Where planes or areas are marked as reviewed, only objects there are counted; none are in areas to be ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.cli._files import check_output_file, find_inputs
from napari_localize.cli._report import Progress, result, result_json, say
from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.detections import STATES
from napari_localize.core.errors import UserError

if TYPE_CHECKING:
    import argparse

    from napari_localize.measurements import MeasuredPlane


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("--images", nargs="+", metavar="DIR|FILE", help="images, folders, patterns or zarr stores")
    add("--annotations", metavar="FILE", help="their boxes, in any known format")
    add("--project", metavar="NAME.localize", help="a project with images and boxes, instead of both")
    add("--output", required=True, metavar="FILE.csv", help="the table of the objects")
    add("--summary", metavar="FILE.csv", help="the table of the planes: counts, areas, densities")
    add(
        "--pixel-size",
        type=float,
        metavar="UM",
        help="micrometres per pixel, for all images; by default what the files say",
    )
    add("--axes", metavar="TYX", help="what the axes of the images are; by default what the files say")
    add("--channel-names", metavar="A,B", help="names of the channels in the columns; ch0, ch1 ... by default")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--json", action="store_true", help="write the table of the planes as JSON to standard output")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    outputs = [Path(path) for path in (args.output, args.summary) if path is not None]
    for path in outputs:
        if path.suffix.lower() != ".csv":
            raise UserError(f"tables are written as .csv, but the output is {path}; change its extension.")
        check_output_file(path, overwrite=args.overwrite)
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise UserError(f"both tables would be written to {outputs[0]}; give each a file of its own.")
    if args.pixel_size is not None and not 0 < args.pixel_size < float("inf"):
        raise UserError(f"the pixel size is {args.pixel_size}; it must be above 0, in micrometres.")
    from napari_localize.measurements import tables

    annotations, images, failed = _given(args)
    files = _files_of(annotations, images) if images else {}
    measured: list[MeasuredPlane] = []
    with Progress(len(files), "images") as progress:
        for number, (name, planes) in enumerate(files.items()):
            progress.describe(name)
            try:
                measured += _measure(name, images[name], planes, annotations, args)
            except UserError as error:
                failed[name] = str(error)
            progress.reach(number + 1)
    for name, reason in failed.items():
        say(f"napari-localize: error: {reason if name in reason else f'{name}: {reason}'}")
    if measured:
        table = tables(measured)
        table.save(*outputs, overwrite=args.overwrite)
        if not args.json:
            result(
                f"{len(table.objects)} objects in {len(table.planes)} planes written to "
                + " and ".join(str(path) for path in outputs)
            )
    if args.json:
        result_json(
            {
                "output": args.output if measured else None,
                "summary": args.summary if measured else None,
                "objects": len(table.objects) if measured else 0,
                "planes": table.planes.astype(object).to_dict("records") if measured else [],
                "failed": [{"file": name, "error": reason} for name, reason in failed.items()],
            }
        )
    return 2 if failed else 0


def _given(args: argparse.Namespace) -> tuple[Annotations, dict[str, Path], dict[str, str]]:
    """Return the boxes, the images by name, and why some cannot be used."""
    if args.project is not None:
        if args.images or args.annotations:
            raise UserError(
                "a project has its own images and boxes; give either --project, or --images and --annotations."
            )
        return _of_project(args.project)
    if not (args.images and args.annotations):
        raise UserError("there is nothing to measure; give --images and --annotations, or --project.")
    from napari_localize.api import read_annotations

    annotations = read_annotations(args.annotations)
    for note in annotations.notes:
        say(f"{args.annotations}: {note}")
    return annotations, *find_inputs(args.images)


def _of_project(path: str) -> tuple[Annotations, dict[str, Path], dict[str, str]]:
    from napari_localize.project import open_project

    images: dict[str, Path] = {}
    failed: dict[str, str] = {}
    planes, sizes, reviewed, areas = {}, {}, [], {}
    with open_project(path) as project:
        classes = tuple(project.classes)
        for image in project.images():
            if image.status == "untouched":
                continue
            try:
                images[image.name] = image.file()
            except UserError as error:
                failed[image.name] = str(error)
                continue
            loaded = image.load()
            table = loaded.table()
            others = {*table.planes(), *loaded.finished, *(area.plane for area in loaded.areas)}
            for index, boxes in table.by_plane(STATES, also=others).items():
                name = image.plane_name(index)
                planes[name] = boxes
                areas[name] = [area for area in loaded.areas if area.plane == index]
                reviewed += [name] if index in loaded.finished else []
                known = dict(zip(image.axes, image.shape, strict=True))
                if known:
                    sizes[name] = (known["Y"], known["X"])
    if not planes and not failed:
        raise UserError(f"the project {path} has no boxes yet; localize its images first, or import boxes.")
    return Annotations(planes, sizes, classes or None, reviewed=reviewed, areas=areas), images, failed


def _files_of(annotations: Annotations, images: dict[str, Path]) -> dict[str, dict[tuple[tuple[str, int], ...], str]]:
    """Return the annotated planes of each image file by their position; file names alone do where they are unique.

    Raises
    ------
    UserError
        When no image is annotated, or it is not clear which one is.
    """
    short: dict[str, list[str]] = {}
    for name in images:
        short.setdefault(_last(name), []).append(name)
    files: dict[str, dict[tuple[tuple[str, int], ...], str]] = {}
    missing = []
    for plane in annotations:
        file_name, position = (plane, {}) if plane in images else split_plane_name(plane)
        found = [file_name] if file_name in images else short.get(_last(file_name), [])
        if not found:
            missing.append(plane)
            continue
        if len(found) > 1:
            raise UserError(f"{plane!r} may be {' or '.join(found[:2])}; name it with its folder in the annotations.")
        other = files.setdefault(found[0], {}).setdefault(tuple(sorted(position.items())), plane)
        if other != plane:
            raise UserError(f"{other!r} and {plane!r} would both be {found[0]}; give the images of both.")
    if not files:
        example = f", such as {missing[0]!r}," if missing else ""
        raise UserError(
            f"none of the {len(missing)} annotated planes{example} is among the {len(images)} images, such as "
            f"{next(iter(images))!r}; names must be equal."
        )
    if missing:
        say(f"{len(missing)} annotated planes such as {missing[0]!r} have no image and are left out.")
    if unused := [name for name in images if name not in files]:
        say(f"{len(unused)} images such as {unused[0]!r} have no annotations and are left out.")
    return files


def _measure(
    name: str,
    path: Path,
    planes: dict[tuple[tuple[str, int], ...], str],
    annotations: Annotations,
    args: argparse.Namespace,
) -> list[MeasuredPlane]:
    from napari_localize.formats.images import open_image
    from napari_localize.measurements import measure_plane

    names = args.channel_names and [name.strip() for name in args.channel_names.split(",")]
    image = open_image(path, args.axes)
    for note in image.notes:
        say(note)
    size = args.pixel_size
    if size is None:
        size = image.pixel_size
        if image.pixel_size_note:
            say(image.pixel_size_note)
    of_file = {tuple(sorted(position.items())): (position, plane) for position, plane in image.planes()}
    measured = []
    for key, wanted in planes.items():
        if len(of_file) == 1 and not any(index for _, index in key):
            # A file of one plane may be named as the first one of a stack.
            key = next(iter(of_file))
        if key not in of_file:
            last = plane_name(name, list(of_file.values())[-1][0])
            raise UserError(f"{wanted!r} is not a plane of {name}, whose last one is {last!r}; mend the annotations.")
        position, plane = of_file[key]
        height, width = plane.shape[:2]
        annotated = annotations.sizes.get(wanted)
        if annotated is not None and tuple(annotated) != (height, width):
            raise UserError(
                f"the boxes of {wanted!r} are of an image of {annotated[1]} x {annotated[0]} pixels, but {name} has "
                f"{width} x {height}; give the image that was annotated."
            )
        measured.append(
            measure_plane(
                plane,
                annotations[wanted],
                place={"file": name, **position},
                pixel_size=size,
                channel_names=names,
                known=annotations.known(wanted),
                marked=annotations.says_what_is_known,
            )
        )
    return measured


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
