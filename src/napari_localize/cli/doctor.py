"""Report versions and devices, check that they compute rightly, and say how to mend what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_localize.cli._report import result, result_json

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    parser.add_argument("--json", action="store_true", help="write the facts as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; the status is 1 when something is wrong."""
    from napari_localize.engine.doctor import diagnose

    facts = diagnose()
    if args.json:
        result_json(facts)
    else:
        for sentence in facts["sentences"]:
            result(sentence)
    return 0 if facts["ok"] else 1
