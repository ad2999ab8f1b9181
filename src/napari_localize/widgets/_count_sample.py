"""Choosing planes by lot and going through them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_localize.core.lots import Lot, Place
from napari_localize.evaluation.estimates import FEWEST_PLANES
from napari_localize.evaluation.units import CountedPlane
from napari_localize.plugin.counting import next_drawn
from napari_localize.widgets._parts import SPACING, button, hint, number, row, say, titled

DRAW_KEY, NEXT_KEY = "Alt+Shift+L", "Alt+Shift+J"
_USUAL = 20


class SampleBar(QWidget):
    """How many planes to draw, how many of those drawn are finished, and the next one."""

    draw = Signal(int)
    """Draw so many more planes."""
    go_on = Signal()

    def __init__(self) -> None:
        super().__init__()
        tooltip = f"How many more planes to draw: 20 or more, at least {FEWEST_PLANES}."
        self.amount = QSpinBox()
        self.amount.setRange(1, 1)
        self.amount.setToolTip(tooltip)
        self.draw_button = button(
            "Choose planes by lot",
            "Draw planes at random from those that are not finished, so that they speak for the others.",
            self._draw,
            DRAW_KEY,
            self,
        )
        self.next_button = button(
            "Next plane drawn",
            "Go to the first plane that was drawn and is not finished. Correct it in Review, and finish it there.",
            self.go_on,
            NEXT_KEY,
            self,
        )
        self.state: QLabel = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(titled("Planes", tooltip), self.amount, stretch=1))
        column.addWidget(self.draw_button)
        column.addWidget(self.next_button)
        column.addWidget(self.state)

    def show_lot(self, lot: Lot, planes: Mapping[Place, CountedPlane]) -> None:
        """Show how far a lot is done."""
        drawn = [place for place in lot.places if place in planes]
        taken = set(drawn)
        free = sum(plane.known is None and place not in taken for place, plane in planes.items())
        first = not self.amount.isEnabled() or self.amount.maximum() == 1
        self.amount.setRange(1, max(free, 1))
        if first:
            self.amount.setValue(min(_USUAL, max(free, 1)))
        done = sum(planes[place].known is not None for place in drawn)
        for part in (self.amount, self.draw_button):
            part.setEnabled(free > 0)
        self.next_button.setEnabled(next_drawn(lot, planes) is not None)
        if not drawn:
            say(
                self.state,
                "Choose planes by lot <b>before</b> you look at them, then correct and finish them in Review.",
            )
        elif done < len(drawn):
            say(self.state, f"<b>{done}</b> of {number(len(drawn), 'plane')} drawn by lot finished.")
        else:
            say(self.state, f"All {number(len(drawn), 'plane')} drawn by lot are finished.")

    def _draw(self, checked: Any = None) -> None:
        self.draw.emit(self.amount.value())
