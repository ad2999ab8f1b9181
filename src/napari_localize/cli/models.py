"""List the models, look at one, bring one in, copy one out, or remove one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.cli._files import check_output_file
from napari_localize.cli._report import result, result_json

if TYPE_CHECKING:
    from napari_localize.evaluation.calibration import Calibration
    from napari_localize.models.card import ModelCard
    from napari_localize.models.registry import ModelEntry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine readable output")
    as_json.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="machine readable output")
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(metavar="ACTION", title="actions (list when none is given)")

    def add(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, parents=[as_json], allow_abbrev=False)
        made.set_defaults(action=action)
        return made

    add("list", _list, "show all models that can be used by name")
    info = add("info", _info, "show a model's card")
    info.add_argument("name", metavar="NAME", help="a model's name, or a .safetensors file")
    bring = add("import", _import, "copy a model file into your model store")
    bring.add_argument("file", metavar="FILE", help="a .safetensors file")
    bring.add_argument("--name", help="what to call it; by default the name in its card")
    take = add("export", _export, "copy a model to a file")
    take.add_argument("name", metavar="NAME", help="such as generalist, mine or mine@3")
    take.add_argument("file", metavar="FILE", help="the .safetensors file to write")
    take.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    remove = add("remove", _remove, "delete a model of yours: one version (mine@3), or all of a name")
    remove.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    args.action(args)
    return 0


def _list(args: argparse.Namespace) -> None:
    from napari_localize.models.registry import list_models, store_folder

    entries = list_models()
    if args.json:
        result_json({"store": str(store_folder()), "models": [_summary(entry) for entry in entries]})
        return
    for entry in entries:
        where = "bundled" if entry.bundled else "yours"
        result(f"{entry.reference:24} {where:8} {entry.card.object_diameter:5.0f} px  {', '.join(entry.card.classes)}")
    if not entries:
        result("There are no models; train one or import a file.")
    result(f"Your models are kept in {store_folder()}.")


def _info(args: argparse.Namespace) -> None:
    from napari_localize.models.card import read_card
    from napari_localize.models.registry import find_model

    path = find_model(args.name)
    card = read_card(path)
    if args.json:
        result_json({"path": str(path), "reference": card.reference, **card.model_dump(mode="json")})
    else:
        _print_card(card, path)


def _import(args: argparse.Namespace) -> None:
    from napari_localize.models.registry import import_model

    entry = import_model(args.file, args.name)
    if args.json:
        result_json({"imported": [_summary(entry)]})
    else:
        result(f"{entry.reference} was imported: {entry.path}")


def _export(args: argparse.Namespace) -> None:
    from napari_localize.models.registry import export_model

    output = Path(args.file)
    check_output_file(output, overwrite=args.overwrite)
    export_model(args.name, output, overwrite=args.overwrite)
    if args.json:
        result_json({"exported": str(output)})
    else:
        result(f"{args.name} was copied to {output}.")


def _remove(args: argparse.Namespace) -> None:
    from napari_localize.models.registry import remove_model

    removed = remove_model(args.name)
    if args.json:
        result_json({"removed": [str(path) for path in removed]})
        return
    for path in removed:
        result(f"{path.stem} was removed: {path}")


def _summary(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "version": entry.version,
        "bundled": entry.bundled,
        "path": str(entry.path),
        "classes": entry.card.classes,
        "object_diameter": entry.card.object_diameter,
        "threshold": entry.card.threshold,
        "metrics": entry.card.metrics,
    }


def _print_card(card: ModelCard, path: Path) -> None:
    result(f"{card.reference}  {path}")
    for name, value in card.model_dump(mode="json", exclude={"name", "version", "calibration"}).items():
        if value in (None, "", {}, []):
            continue
        title = f"{name.replace('_', ' '):16} "
        if isinstance(value, dict):
            text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + " " * 17)
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        result(title + text)
    if card.calibration is not None:
        _print_calibration(card.calibration)


def _print_calibration(calibration: Calibration) -> None:
    """Write the reliability as a small plot: what part of the boxes with a score is right, a # for each 5 %."""
    result(f"{'calibration':16} {calibration.sentence}")
    result(f"{'':16} score  right")
    for one in calibration.before:
        result(f"{'':16}  {one.said:.2f}  {100 * one.right:4.0f} %  {'#' * round(20 * one.right)}")
