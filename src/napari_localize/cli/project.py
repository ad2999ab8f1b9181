"""Keep images, boxes and every edit in a project: make one, fill it, run a model on it, look at it, export it, check it.

PROJECT is the folder NAME.localize; the ending may be left out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.cli._files import check_output, format_of
from napari_localize.cli._report import Progress, result, result_json, say
from napari_localize.cli._settings import add_settings, settings_of
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.formats.registry import FORMATS

if TYPE_CHECKING:
    from napari_localize.core.detections import Detections
    from napari_localize.core.planes import PlaneSource
    from napari_localize.project import Project, ProjectImage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)

    def add(name: str, action: Any, text: str, of: str = "PROJECT") -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, parents=[debug], allow_abbrev=False)
        made.add_argument("project", metavar=of)
        made.set_defaults(action=action)
        return made

    add("create", _create, "make an empty project", "PATH")
    bring = add("add", _add, "add image files, which stay where they are")
    bring.add_argument("images", nargs="+", metavar="IMAGES", help="images, folders, patterns or zarr stores")
    take = add("import", _import, "add the boxes of an annotation file, as one step that can be undone")
    take.add_argument("file", metavar="FILE", help="its format is found from the content")
    find = add("predict", _predict, "run a model on all images; goes on where it was stopped")
    add_settings(find)
    find.add_argument("--again", action="store_true", help="also where this model has run with the same settings")
    status = add("status", _status, "list the images with what has been done and how many boxes they have")
    status.add_argument("--json", action="store_true", help="machine readable output")
    export = add("export", _export, "write all boxes to an annotation file")
    export.add_argument("output", metavar="OUTPUT", help="the file to write, such as boxes.json or boxes.csv")
    export.add_argument("--format", help="format of OUTPUT, where its extension does not tell")
    export.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    relink = add("relink", _relink, "find image files that were moved, by what they hold")
    relink.add_argument("folder", metavar="FOLDER", help="where to look, also in the folders in it")
    check = add("check", _check, "look for damage, and for images that are missing or have changed")
    check.add_argument("--repair", action="store_true", help="mend the database; the damaged one is kept")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    status: int = args.action(args)
    return status


def _create(args: argparse.Namespace) -> int:
    from napari_localize.project.folder import make_project, project_folder

    folder = project_folder(args.project)
    make_project(folder)
    result(f"{folder} made")
    return 0


def _add(args: argparse.Namespace) -> int:
    failed: dict[str, str] = {}
    with _writable(args.project) as project:
        before = len(project.images())
        project.add_images(args.images, failed)
        images = project.images()
        result(f"{len(images) - before} images added; {project.path} has {len(images)}")
    for name, reason in failed.items():
        say(f"napari-localize: error: {name}: {reason}")
    return 2 if failed else 0


def _import(args: argparse.Namespace) -> int:
    with _writable(args.project) as project:
        before = _boxes(project.images())
        for note in project.import_annotations(args.file):
            say(note)
        result(f"{_boxes(project.images()) - before} boxes of {args.file} added to {project.path}")
    return 0


def _predict(args: argparse.Namespace) -> int:
    from napari_localize.models.card import read_card
    from napari_localize.models.digest import file_digest
    from napari_localize.models.registry import find_model
    from napari_localize.project.running import run_on

    settings = settings_of(args)
    path = find_model(args.model)
    card = read_card(path)
    if settings.threshold is None:
        settings = replace(settings, threshold=card.threshold)
    with _writable(args.project) as project:
        images = project.images()
        if not images:
            raise UserError(f"{project.path} has no images yet; add some with: napari-localize project add")
        from napari_localize.api import load_model
        from napari_localize.models.predict import predict_plane, settings_for_stack

        # After the project, as torch takes seconds.
        model = load_model(args.model, args.device)
        say(model.device_text)
        project.add_model(card.reference, file_digest(path), card.model_dump(mode="json"))

        def find(planes: Sequence[PlaneSource], tell: Callable[[float], None]) -> list[Detections]:
            found = []
            try:
                chosen = settings_for_stack(model, planes, settings)
                for number, plane in enumerate(planes):
                    found.append(predict_plane(model, plane, chosen))
                    tell((number + 1) / len(planes))
            except (Cancelled, MemoryError):
                raise
            except Exception as error:  # one image that cannot be used must not stop the others
                raise UserError(str(error) or type(error).__name__) from error
            return found

        with Progress(len(images), "images") as bar:

            def show(done: float, total: int, name: str) -> None:
                bar.describe(name)
                bar.reach(done)

            shown = (settings.threshold or 0.0, (0.0, math.inf))
            report = run_on(
                project, images, find, card.reference, settings, again=args.again, shown=shown, progress=show
            )
        result(
            f"{report.boxes - report.kept} boxes on {report.planes} planes of {report.images} images put into {project.path}"
        )
    if report.before:
        say(f"{len(report.before)} images left out, as {card.reference} had run on them in the same way; see --again")
    if report.kept:
        say(f"{report.kept} boxes left out, as a person has judged the same objects")
    for name, reason in report.failed.items():
        say(f"napari-localize: error: {name}: {reason}")
    return 2 if report.failed else 0


def _status(args: argparse.Namespace) -> int:
    with _readable(args.project) as project:
        images = project.images()
        if project.read_only_reason:
            say(project.read_only_reason)
        problems = {image.name: image.problem() for image in images}
        if args.json:
            result_json(
                {
                    "project": str(project.path),
                    "read_only": project.read_only_reason,
                    "classes": project.classes,
                    "images": [_summary(image, problems[image.name]) for image in images],
                }
            )
            return 0
        for image in images:
            planes = image.plane_count
            done = f", {image.finished} of {planes} planes finished" if planes > 1 else ""
            result(f"{image.name}: {image.status}{done}{_counts(image)}")
        finished, planes = sum(image.finished for image in images), sum(image.plane_count for image in images)
        result(f"{len(images)} images, {planes} planes, {finished} finished, {_boxes(images)} boxes")
    for problem in filter(None, problems.values()):
        say(problem)
    return 0


def _export(args: argparse.Namespace) -> int:
    output = Path(args.output)
    name = format_of(output, args.format)
    with _readable(args.project) as project:
        check_output(output, name, overwrite=args.overwrite)
        notes = project.export_annotations(output, format=name, overwrite=args.overwrite)
        without = () if "rejected" in FORMATS[name].holds else ("rejected",)
        result(f"{_boxes(project.images(), without)} boxes written to {output}")
    for note in notes:
        say(note)
    return 0


def _relink(args: argparse.Namespace) -> int:
    with _writable(args.project) as project:
        done = project.relink(args.folder)
    for name, path in done.found.items():
        result(f"{name}: {path}")
    for name in done.missing:
        say(f"napari-localize: error: {name}: not found in {args.folder}.")
    return 2 if done.missing else 0


def _check(args: argparse.Namespace) -> int:
    from napari_localize.project.folder import project_folder
    from napari_localize.project.salvage import repair_project

    problems = _problems(args.project)
    if problems and args.repair:
        for line in repair_project(project_folder(args.project)):
            say(line)
        problems = _problems(args.project)
    for problem in problems:
        result(problem)
    if not problems:
        result("nothing is wrong")
    return 2 if problems else 0


def _problems(path: str) -> list[str]:
    from napari_localize.project.folder import project_folder

    if not project_folder(path).is_dir():
        raise UserError(f"there is no project at {project_folder(path)}; give the folder NAME.localize.")
    try:
        with _readable(path) as project:
            return project.check()
    except UserError as error:
        return [str(error)]


def _readable(path: str) -> Project:
    from napari_localize.project import open_project

    return open_project(path)


def _writable(path: str) -> Project:
    project = _readable(path)
    if project.read_only_reason is not None:
        project.close()
        raise UserError(project.read_only_reason)
    return project


def _boxes(images: list[ProjectImage], without: Collection[str] = ()) -> int:
    """Return the number of boxes of images, but for those in some states."""
    by_states = [by_state for image in images for by_state in image.counts.values()]
    return sum(number for by_state in by_states for state, number in by_state.items() if state not in without)


def _counts(image: ProjectImage) -> str:
    parts = [
        f"{sum(by_state.values())} {name} ({', '.join(f'{number} {state}' for state, number in by_state.items())})"
        for name, by_state in image.counts.items()
    ]
    return "".join(f"; {part}" for part in parts)


def _summary(image: ProjectImage, problem: str | None) -> dict[str, Any]:
    return {
        "name": image.name,
        "path": image.path and str(image.path),
        "axes": image.axes,
        "shape": list(image.shape),
        "status": image.status,
        "planes": image.plane_count,
        "finished": image.finished,
        "counts": image.counts,
        "problem": problem,
    }
