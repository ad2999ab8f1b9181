"""The command line: ``napari-localize COMMAND``, with a file here for each command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from napari_localize.core.errors import Cancelled, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

DONE, FAILED, AT_FAULT = 0, 1, 2
"""Exit status: done; anything else; the call or the input is at fault."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise UserError(f"{message}; see {self.prog} --help.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 done, 2 the call or the input is at fault, 1 anything else.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A file name that the terminal cannot show must not end the program.
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in arguments
    if argv is None:
        # A cluster that ends a job by this signal finds no half-written files either.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        args = _parser().parse_args(arguments)
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except UserError as error:
        return _end(str(error), AT_FAULT, debug)
    except (KeyboardInterrupt, Cancelled):
        return _end("stopped; nothing half-written was left behind.", FAILED, debug=False)
    except BrokenPipeError:
        # Whoever read the output has enough of it; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last place where a fault can become a sentence
        reason = " ".join(str(error).split()) or "no reason was given"
        text = f"{type(error).__name__}: {reason.rstrip('.')}; run it again with --debug to see where."
        return _end(text, FAILED, debug)


def _end(text: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"napari-localize: error: {text}", file=sys.stderr)
    return status


def _parser() -> Parser:
    import napari_localize
    from napari_localize.cli import convert, count, demo, doctor, evaluate, measure, models, predict, project, train

    common = Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where in the program an error happened")
    parser = Parser(
        prog="napari-localize",
        description="Find, classify and count objects in microscopy images.",
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"napari-localize {napari_localize.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    for module in (predict, train, evaluate, count, measure, convert, project, models, doctor, demo):
        summary = (module.__doc__ or "").strip()
        command = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=summary.splitlines()[0].rstrip("."),
            description=summary,
            parents=[common],
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
