"""Telling a person once that boxes of an earlier session are there."""

from __future__ import annotations

import threading

from napari_localize.project import Recoverable, recoverable

_told = threading.Event()
looking = threading.Lock()
"""Held while somebody looks for what was left behind."""


def left_behind() -> list[Recoverable]:
    """Return what `recoverable` does; two that look at once would hide it from each other."""
    with looking:
        return recoverable()


def tell_of_boxes_left_behind() -> None:
    """Look, behind the back of the window, for boxes that were left without a name; say so once a session."""
    if not _told.is_set():
        _told.set()
        threading.Thread(target=_look, name="napari-localize recovery", daemon=True).start()


def _look() -> None:
    from napari.utils.notifications import show_info

    found = left_behind()
    boxes = sum(each.boxes for each in found)
    if found:
        show_info(
            f"Boxes of an earlier session were kept, {boxes:,} in all, but have no name yet: "
            "open Plugins > Localize > Project to look at them or to discard them."
        )
