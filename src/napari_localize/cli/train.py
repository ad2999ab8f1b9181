"""Train a model from annotated images.

Images and annotations are matched by name; projects know their images, and without --images those are taken that lie
beside the annotations. Of several annotation files and projects everything is learnt together, an image that more than
one of them has once. Ctrl-C ends the training and keeps the best model so far; pressed
twice it leaves nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.cli._files import check_output_file
from napari_localize.cli._report import Progress, result, result_json, say
from napari_localize.core.errors import UserError
from napari_localize.core.groups import HOLD_BACK
from napari_localize.core.mapping import parse_class_map
from napari_localize.core.recipe import RecipeChoices
from napari_localize.core.settings import TrainSettings
from napari_localize.evaluation.forgetting import f1_in_words
from napari_localize.evaluation.verdict import changes_in_words, verdict

if TYPE_CHECKING:
    import argparse
    from types import FrameType


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""
    add = parser.add_argument
    add("--images", nargs="+", metavar="DIR", help="folder of the images, or several")
    add(
        "--annotations",
        required=True,
        nargs="+",
        metavar="FILE",
        help="their boxes, in any known format; several files or projects are learnt from together",
    )
    add("--map", action="append", default=[], metavar="OLD=NEW", help="learn a class as another one, OLD= not at all")
    add("--hold-back", default="auto", choices=HOLD_BACK, help="of what whole ones are judged on (default: auto)")
    add("--output", required=True, metavar="FILE.safetensors", help="where the model goes")
    add("--base", default="generalist", metavar="NAME|FILE|none", help="what to start from (default: generalist)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, metavar="S", help="how long to train (default: 60)")
    length.add_argument("--epochs", type=int, metavar="N", help="how often to go through the images instead")
    add("--seed", type=int, default=0, metavar="N", help="for a repeatable training, with --epochs (default: 0)")
    add("--device", default="auto", metavar="auto|cpu|cuda[:N]|mps", help="where to compute (default: auto)")
    add(
        "--recipe",
        nargs="+",
        action="extend",
        default=[],
        metavar="PART=VALUE",
        help="parts of the recipe that are not to be chosen automatically, such as head_first=0.3 copy_paste=0: "
        + ", ".join(part.name for part in fields(RecipeChoices)),
    )
    add("--overwrite", action="store_true", help="replace a file that exists")
    add("--json", action="store_true", help="write a machine readable summary to standard output")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    output = Path(args.output)
    if output.suffix != ".safetensors":
        raise UserError(f"models are written as .safetensors, but the output is {output}; change its extension.")
    settings = TrainSettings(
        base=None if args.base.lower() == "none" else args.base,
        seconds=args.seconds,
        epochs=args.epochs,
        device=args.device,
        seed=args.seed,
        recipe=RecipeChoices.parse(args.recipe),
        hold_back=args.hold_back,
    )
    class_map = parse_class_map(args.map)
    check_output_file(output, overwrite=args.overwrite)
    for folder in args.images or ():
        if not Path(folder).is_dir():
            raise UserError(f"{folder} is not a folder; give the folder of the images.")
    from napari_localize.models.card import read_card
    from napari_localize.models.registry import find_model

    if settings.base is not None:
        read_card(find_model(settings.base))
    from napari_localize.training.gathering import gather

    pairs = gather(args.images, args.annotations, class_map)
    for note in pairs.notes:
        say(note)
    from napari_localize.training.train import train_model

    with (
        _stop_on_interrupt() as stopped,
        Progress(settings.epochs or settings.seconds or 60, "epochs" if settings.epochs else "s") as progress,
    ):
        trained = train_model(
            pairs.planes,
            pairs.annotations,
            settings,
            names=pairs.names,
            known=pairs.known,
            places=pairs.places,
            on_event=lambda event: _show(event, progress),
            should_stop=stopped.is_set,
        )
    trained.model.save(output, overwrite=args.overwrite)
    if args.json:
        result_json(
            {
                "output": str(output),
                "model": trained.model.card.reference,
                "base": trained.model.card.parent,
                "device": str(trained.model.device),
                "classes": trained.model.card.classes,
                "threshold": trained.model.card.threshold,
                "comparison": {key: value for key, value in trained.comparison.items() if key != "changes"},
                "verdict": verdict(trained.comparison)._asdict(),
                "changes": changes_in_words(trained.comparison),
                "cancelled": trained.cancelled,
                "recipe": trained.recipe,
                "steps": trained.steps,
            }
        )
    else:
        _print_comparison(trained.comparison)
        result(f"The {'best model so far' if trained.cancelled else 'model'} was written to {output}.")
    return 1 if trained.cancelled else 0


def _show(event: dict[str, Any], progress: Progress) -> None:
    if event["event"] == "message":
        say(event["text"])
    elif event["event"] == "curve":
        progress.describe(f"loss {event['train_loss']:.3f}")
        if event["ap50"] is not None:
            say(f"{event['seconds']:.0f} s: validation loss {event['validation_loss']:.3f}, AP50 {event['ap50']:.3f}")
    elif event["event"] == "progress":
        progress.reach(event["done"], event["total"])


def _print_comparison(comparison: dict[str, Any]) -> None:
    old, new = comparison["old"], comparison["new"]
    keys = [key for key in ("AP50", "AP", "F1", "precision", "recall", "count_error") if key in new]
    result(f"{'':12}" + "".join(f"{key.replace('_', ' '):>13}" for key in keys))
    for title, row in (("old model", old), ("new model", new)):
        if row is not None:
            result(f"{title:12}" + "".join(f"{row[key]:13.3f}" for key in keys))
    if comparison["note"]:
        result(comparison["note"])
    result(verdict(comparison).sentence)
    for domain in comparison["domains"]:
        word = "forgets" if domain["forgets"] else domain["word"]
        result(f"Earlier domain {domain['name']}: {f1_in_words(domain)}{f' ({word})' if word else ''}.")
    if differing := changes_in_words(comparison):
        result("Boxes that differ: " + ", ".join(differing.values()) + ".")


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a polite request; the second one interrupts as usual."""
    stopped = threading.Event()

    def ask(signum: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        say("Stopping, the best model so far is kept; press Ctrl-C again to leave nothing.")

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
