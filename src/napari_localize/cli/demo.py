"""Show the main job on the sample images."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command can be given."""


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return 0
