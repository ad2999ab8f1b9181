"""The options of commands that run a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_localize.core.settings import PredictSettings

if TYPE_CHECKING:
    import argparse


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Say which model runs, and how."""
    add = parser.add_argument
    add("--model", required=True, metavar="NAME|FILE", help="see napari-localize models")
    add("--threshold", type=float, metavar="T", help="lowest score, 0 to 1; by default the model's own")
    add("--object-diameter", type=float, metavar="PX", help="typical size of the objects; found by default")
    add("--pixel-size", type=float, metavar="UM", help="micrometres per pixel, instead of the diameter")
    add("--channel", type=int, metavar="N", help="the only channel to look at, counted from 0")
    add("--device", default="auto", metavar="auto|cpu|cuda[:N]|mps", help="where to compute (default: auto)")
    add("--batch-size", type=int, metavar="N", help="tiles at a time; by default chosen by device")


def settings_of(args: argparse.Namespace) -> PredictSettings:
    """Return what was given.

    Raises
    ------
    UserError
        When a value makes no sense.
    """
    return PredictSettings(
        threshold=args.threshold,
        object_diameter=args.object_diameter,
        pixel_size=args.pixel_size,
        channel=args.channel,
        device=args.device,
        batch_size=args.batch_size,
    )
