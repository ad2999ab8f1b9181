"""A model's card as it is read in the Models dock."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_localize.widgets._curve import TrainingCurve
from napari_localize.widgets._parts import hint, say

if TYPE_CHECKING:
    from napari_localize.models.card import ModelCard

_LONGEST = 2000
_MEASURES = ("AP50", "F1", "precision", "recall", "count_error")


class CardView(QWidget):
    """What a model's card says, and the curve of its training."""

    def __init__(self, theme: str) -> None:
        super().__init__()
        self._above, self._below = hint(), hint()
        for label in (self._above, self._below):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setToolTip("What the model's card says; it travels in the model's file.")
        self.curve = TrainingCurve(theme)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self._above, self.curve, self._below):
            column.addWidget(part)

    def show_card(self, card: ModelCard, path: Path, sha256: str) -> None:
        """Show what is known about a model."""
        from napari_localize.models.story import curve_of

        for label, html in zip((self._above, self._below), card_pages(card, path, sha256), strict=True):
            say(label, html)
        points = curve_of(card)
        if not points:
            self.curve.hide()
            return
        self.curve.clear()
        for point in points:
            self.curve.add(*point)

    def show_text(self, html: str) -> None:
        """Show a text instead of a card."""
        say(self._above, html)
        say(self._below, "")
        self.curve.hide()

    def text(self) -> str:
        """Return what is shown."""
        return self._above.text() + self._below.text()


def card_pages(card: ModelCard, path: Path, sha256: str) -> tuple[str, str]:
    """Put a card into rich text: what goes above the curve of its training, and what goes below."""
    from napari_localize.models.story import ORIGIN, QUALITY, RECIPE, measured, story

    above, below = [f"<b>{escape(card.reference)}</b>"], []
    if card.description:
        above.append(f"<p style='margin: 2px 0'>{escape(card.description[:_LONGEST])}</p>")
    for title, lines in story(card, path, sha256 or "being computed ..."):
        page = above if title in (ORIGIN, RECIPE) else below
        page.append(f"<p style='margin: 8px 0 2px 0'><b>{escape(title)}</b></p>")
        if title == QUALITY:
            page.append(_measures(measured(card)))
            continue
        rows = "".join(
            f"<tr><td style='padding-right: 8px'>{escape(name)}</td><td>{_breakable(value)}</td></tr>"
            for name, value in lines
        )
        page.append(f"<table>{rows}</table>")
    return "".join(above), "".join(below)


def _measures(parts: list[tuple[str, Mapping[str, Any]]]) -> str:
    """Put measures into a table, with what each row was measured on above it."""
    from napari_localize.models.story import measures_in_words

    head = "".join(f"<th align='right'>{name}</th>" for name in ("AP50", "F1", "prec.", "recall", "count err."))
    rows = [f"<tr>{head}</tr>"]
    for name, numbers in parts:
        sizes = measures_in_words({key: numbers.get(key) for key in ("planes", "images", "boxes")})
        rows.append(f"<tr><td colspan='5'>{escape(', '.join(filter(None, (name[:100], sizes))))}</td></tr>")
        cells = (_shown(key, numbers.get(key)) for key in _MEASURES)
        rows.append("<tr>" + "".join(f"<td align='right'>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table width='100%'>{''.join(rows)}</table>"


def _shown(key: str, value: Any) -> str:
    if not isinstance(value, int | float) or value != value:
        return "-"
    return f"{100 * value:.0f} %" if key == "count_error" else f"{value:.2f}"


def _breakable(value: str) -> str:
    """Let long words, such as paths and check sums, go on in the next line: a dock is narrow."""
    words = (
        "\u200b".join(word[at : at + 16] for at in range(0, len(word), 16)) if len(word) > 24 else word
        for word in value.split(" ")
    )
    return escape(" ".join(words))
