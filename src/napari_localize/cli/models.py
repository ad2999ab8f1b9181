"""List the models, see which comes from which, look at one, bring one in, copy one out, rename or remove one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.cli._files import check_output_file
from napari_localize.cli._report import result, result_json

if TYPE_CHECKING:
    from napari_localize.models.history import Node
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
    add("tree", _tree, "show which model was trained from which")
    info = add("info", _info, "show where a model comes from, how it was made and how good it is")
    info.add_argument("name", metavar="NAME", help="a model's name, or a .safetensors file")
    bring = add("import", _import, "copy a model file into your model store")
    bring.add_argument("file", metavar="FILE", help="a .safetensors file")
    bring.add_argument("--name", help="what to call it; by default the name in its card")
    take = add("export", _export, "copy a model to a file")
    take.add_argument("name", metavar="NAME", help="such as generalist, mine or mine@3")
    take.add_argument("file", metavar="FILE", help="the .safetensors file to write")
    take.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    take.add_argument("--with-checks", action="store_true", help="copy its check planes, parts of your images, too")
    rename = add("rename", _rename, "give one version of a model of yours another name")
    rename.add_argument("reference", metavar="NAME@VERSION")
    rename.add_argument("name", metavar="NEW-NAME")
    remove = add(
        "remove", _remove, "delete models of yours: one version (mine@3), all of a name, or one file by its path"
    )
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
    from napari_localize.models.digest import file_digest
    from napari_localize.models.registry import find_model
    from napari_localize.models.story import as_text

    path = find_model(args.name)
    card = read_card(path)
    if args.json:
        result_json({"path": str(path), "reference": card.reference, **card.model_dump(mode="json")})
    else:
        result(as_text(card, path, file_digest(path)))


def _tree(args: argparse.Namespace) -> None:
    from napari_localize.models.history import model_tree, tree_lines
    from napari_localize.models.registry import scan_models

    entries, damaged = scan_models()
    roots = model_tree(entries)
    if args.json:
        result_json(
            {
                "models": [_branch(root) for root in roots],
                "damaged": [{"path": str(each.path), "reason": each.reason} for each in damaged],
            }
        )
        return
    for drawn, node in tree_lines(roots):
        what = ", ".join(node.entry.card.classes) if node.entry else "not there any more"
        result(f"{drawn + node.reference:32} {node.entry.card.created if node.entry else '':10}  {what}")
    for each in damaged:
        result(f"{each.reference:32} cannot be read: {each.reason}")


def _branch(node: Node) -> dict[str, Any]:
    return {
        "reference": node.reference,
        "there": node.entry is not None,
        "children": [_branch(child) for child in node.children],
    }


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
    export_model(args.name, output, overwrite=args.overwrite, with_checks=args.with_checks)
    if args.json:
        result_json({"exported": str(output)})
    else:
        result(f"{args.name} was copied to {output}.")


def _rename(args: argparse.Namespace) -> None:
    from napari_localize.models.registry import rename_model

    entry = rename_model(args.reference, args.name)
    if args.json:
        result_json({"renamed": [_summary(entry)]})
    else:
        result(f"{args.reference} is {entry.reference} now: {entry.path}")


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
