"""Choosing a model, and reading what its card says."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import QLabel, QToolButton, QVBoxLayout, QWidget

from napari_localize.widgets._memory import remember, remembered
from napari_localize.widgets._parts import combo, hint, row, say, titled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtGui import QShowEvent

    from napari_localize.models.card import ModelCard
    from napari_localize.models.registry import ModelEntry

DEFAULT_MODEL = "generalist"
NO_MODEL = "No model is installed: import one with <i>napari-localize models import FILE</i>."


class ModelNews(QObject):
    """Tells every open dock that a model was kept or removed."""

    kept = Signal(str)
    """Name of a model that is new in the store."""
    use = Signal(str)
    """Name of a model that is to be run."""
    start_from = Signal(str)
    """Name of a model that is to be trained on."""
    changed = Signal()
    """Models have come, gone, or are called something else."""


@lru_cache
def model_news() -> ModelNews:
    """Return the one `ModelNews` of this process."""
    return ModelNews()


def chosen_name(entry: ModelEntry) -> str:
    """Return what a model is chosen by: a bundled one has a single version."""
    return entry.name if entry.bundled else entry.reference


def newest_first(entries: Iterable[ModelEntry]) -> list[tuple[ModelEntry, bool]]:
    """Return models name by name, newest version first, and whether each is an older one of its name."""
    names: dict[str, list[ModelEntry]] = {}
    for entry in entries:
        names.setdefault(entry.name, []).append(entry)
    return [
        (entry, index > 0)
        for versions in names.values()
        for index, entry in enumerate(sorted(versions, key=lambda entry: -entry.version))
    ]


class ModelPicker(QWidget):
    """A combo of all models there are, with what the card of the chosen one says."""

    changed = Signal()

    def __init__(self, title: str, memory_key: str, tooltip: str, otherwise: str = "") -> None:
        super().__init__()
        self._memory_key = memory_key
        self._combo = combo(tooltip)
        self._info = QToolButton()
        self._info.setText("i")
        self._info.setCheckable(True)
        self._cards: list[ModelCard] = []
        self._panel: QLabel = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(titled(title, tooltip), self._combo, self._info, stretch=1))
        column.addWidget(self._panel)
        self._combo.currentIndexChanged.connect(self._chosen)
        self._combo.activated.connect(self._remember)
        self._info.toggled.connect(self._show_card)
        model_news().changed.connect(self._read_again)
        self.refresh(remembered(memory_key, remembered(otherwise, DEFAULT_MODEL) if otherwise else DEFAULT_MODEL))

    @property
    def name(self) -> str:
        """Name of the chosen model as the engine takes it, empty where there is none."""
        return str(self._combo.currentData() or "")

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        index = self._combo.currentIndex()
        return self._cards[index] if index >= 0 else None

    def refresh(self, choose: str = "") -> None:
        """Read the list of models again, and choose one; by default what was chosen stays so."""
        from napari_localize.models.registry import list_models

        choose = choose or self.name
        before = self.name
        with QSignalBlocker(self._combo):
            self._combo.clear()
            self._cards = []
            for entry, older in newest_first(list_models()):
                name = chosen_name(entry)
                self._combo.addItem(f"    {name}" if older else name, name)
                self._cards.append(entry.card)
            if self._cards:
                self._combo.setCurrentIndex(max(self._combo.findData(choose), 0))
        self._combo.setEnabled(bool(self._cards))
        self._show_card()
        if self.name != before:
            self.changed.emit()

    def _read_again(self) -> None:
        self.refresh()

    def choose(self, name: str) -> None:
        """Choose a model by name and remember it."""
        self.refresh(name)
        self._remember()

    def showEvent(self, event: QShowEvent) -> None:
        # The command line or another napari may have brought models meanwhile.
        self.refresh()
        super().showEvent(event)

    def _remember(self) -> None:
        remember(self._memory_key, self.name)

    def _chosen(self) -> None:
        self._show_card()
        self.changed.emit()

    def _show_card(self) -> None:
        card = self.card
        text = NO_MODEL if card is None else card_html(card)
        self._info.setToolTip(text)
        say(self._panel, text if self._info.isChecked() or card is None else "")


def card_html(card: ModelCard) -> str:
    """Put a model card into a few lines of rich text."""
    low, high = card.diameter_range
    rows = [
        ("Classes", ", ".join(card.classes)),
        ("Diameter", f"{card.object_diameter:.0f} px, works from {low:.0f} to {high:.0f} px"),
        ("Threshold", f"{card.threshold:.2f}"),
        ("Measured", metrics_text(card.metrics)),
        ("From", card.parent or "scratch"),
        ("Licence", card.licence),
    ]
    lines = "".join(
        f"<tr><td style='padding-right: 8px'>{name}</td><td>{escape(str(value))}</td></tr>"
        for name, value in rows
        if value
    )
    return f"<b>{escape(card.reference)}</b><table>{lines}</table>"


def metrics_text(metrics: dict[str, Any]) -> str:
    """Put the measured quality of a model into one line; of several parts of the data the strictest counts.

    >>> metrics_text({"test": {"AP50": 0.871, "F1": 0.86, "count_error": 0.03}})
    'AP50 0.87, F1 0.86, count error 3 % (test)'
    """
    parts = [(name, part) for name, part in metrics.items() if isinstance(part, dict)]
    name, numbers = next((part for part in parts if part[0] == "test"), parts[0] if parts else ("", metrics))
    words = [f"{key} {value:.2f}" for key in ("AP50", "AP", "F1") if isinstance(value := numbers.get(key), int | float)]
    error = numbers.get("count_error")
    if isinstance(error, int | float):
        words.append(f"count error {100 * error:.0f} %")
    return ", ".join(words) + (f" ({name})" if name and words else "")
