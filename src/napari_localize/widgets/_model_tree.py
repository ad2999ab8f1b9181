"""All models as a tree: each under the one that it was trained from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_localize.models.history import Node
    from napari_localize.models.registry import DamagedModel, ModelEntry

_HEADS = ("Model", "AP50", "F1", "Date", "Classes")
_WIDTHS = (110, 42, 42, 78, 60)
_KEY, _REFERENCE, _KNOWN = (Qt.ItemDataRole.UserRole + number for number in range(3))
_GONE = "It was removed, or never came to this computer; the models below were trained from it."


class ModelTree(QTreeWidget):
    """Models, those that are missing or damaged in grey."""

    chosen = Signal()
    """Another model is selected, or none."""

    def __init__(self) -> None:
        super().__init__()
        self._models: dict[str, ModelEntry | DamagedModel | None] = {}
        self.setHeaderLabels(list(_HEADS))
        self.setToolTip("All models, each under the one that it was trained from.")
        self.setIndentation(11)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setUniformRowHeights(True)
        self.setMinimumHeight(180)
        head = self.header()
        assert head is not None
        head.setStretchLastSection(True)
        for column, width in enumerate(_WIDTHS):
            self.setColumnWidth(column, width)
        self.currentItemChanged.connect(self._changed)

    @property
    def selected(self) -> ModelEntry | DamagedModel | None:
        """The selected model, or the selected file that is damaged."""
        return self._models.get(self.key)

    @property
    def key(self) -> str:
        """What tells the selected row from all others: of most models the reference, of a missing one never."""
        return self._said(_KEY)

    @property
    def reference(self) -> str:
        """What the selected row is called; a missing model may be called as one of the user's is."""
        return self._said(_REFERENCE)

    def _said(self, role: int) -> str:
        item = self.currentItem()
        return "" if item is None else str(item.data(0, role))

    def show_models(self, roots: Sequence[Node], damaged: Sequence[DamagedModel], choose: str = "") -> None:
        """Show a tree of models and the files that cannot be read; what was selected stays so."""
        wanted = (choose,) if choose else (self.key, self.reference)
        folded = {str(item.data(0, _KEY)) for item in self.items() if not item.isExpanded()}
        before = self.key
        with QSignalBlocker(self):
            self.clear()
            self._models = {}
            for root in roots:
                self._add(root)
            for each in damaged:
                self._add_damaged(each)
            for item in self.items():
                item.setExpanded(str(item.data(0, _KEY)) not in folded or not before)
            self.choose(*wanted)
        self._changed()

    def choose(self, *wanted: str) -> None:
        """Select a row by its key or its reference, the first of them that is there; or else the first row."""
        items = list(self.items())
        ways = [(role, text) for text in wanted for role in (_KEY, _REFERENCE)]
        found = [item for role, text in ways for item in items if item.data(0, role) == text] or items[:1]
        if found:
            self.setCurrentItem(found[0])
            self.scrollToItem(found[0])

    def filter(self, text: str) -> int:
        """Show only models with all words of a text in what is known of them, and what they come from.

        Returns
        -------
        int
            How many fit.
        """
        words = text.casefold().split()
        fitting = 0
        for item in reversed(list(self.items())):
            fits = all(word in item.data(0, _KNOWN) for word in words)
            fitting += fits
            below = any(not item.child(index).isHidden() for index in range(item.childCount()))
            item.setHidden(not fits and not below)
        return fitting

    def items(self) -> Iterator[QTreeWidgetItem]:
        """Yield all rows, each before those below it."""
        waiting = [self.topLevelItem(index) for index in reversed(range(self.topLevelItemCount()))]
        while waiting:
            item = waiting.pop()
            assert item is not None
            yield item
            waiting += [item.child(index) for index in reversed(range(item.childCount()))]

    def _add(self, root: Node) -> None:
        rows: dict[int, QTreeWidgetItem] = {}
        for node in root.walk():
            item = self._item(node)
            rows[id(node)] = item
            above = rows.get(id(node.parent))
            if above is None:
                self.addTopLevelItem(item)
            else:
                above.addChild(item)

    def _item(self, node: Node) -> QTreeWidgetItem:
        from napari_localize.models.story import measure_of

        entry = node.entry
        if entry is None:
            # Never the key of a model that is there: another one of the user's may be called the same.
            item = self._row((node.reference, "", "", "", "not there"), f"missing: {node.reference}", "", None)
            _grey(item, f"{node.reference} is not there any more. {_GONE}")
            return item
        card = entry.card
        classes = ", ".join(card.classes[:20])[:300]
        numbers = ["" if (value := measure_of(card, name)) is None else f"{value:.2f}" for name in ("AP50", "F1")]
        known = f"{classes} {card.created[:10]} {card.description[:2000]} {'bundled' if entry.bundled else 'yours'}"
        item = self._row((entry.reference, *numbers, card.created[:10], classes), entry.reference, known, entry)
        stopped = "Its training was stopped by hand before its time." if card.training.get("stopped") is True else ""
        told = (entry.reference, card.description[:300], f"Classes: {classes}", stopped)
        item.setToolTip(0, "\n".join(filter(None, told)))
        item.setToolTip(4, classes)
        for column in (1, 2):
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(column, "On the planes that were held back from its training, or its test images.")
        return item

    def _add_damaged(self, damaged: DamagedModel) -> None:
        key = f"damaged {damaged.path.name}"
        item = self._row((damaged.reference, "", "", "", "cannot be read"), key, "damaged", damaged)
        _grey(item, damaged.reason)
        self.addTopLevelItem(item)

    def _row(
        self, texts: Sequence[str], key: str, known: str, model: ModelEntry | DamagedModel | None
    ) -> QTreeWidgetItem:
        # Two files, and two missing models, may be called the same.
        keys = (key, *(f"{key} {number}" for number in range(2, len(self._models) + 2)))
        key = next(each for each in keys if each not in self._models)
        self._models[key] = model
        item = QTreeWidgetItem(list(texts))
        item.setData(0, _KEY, key)
        item.setData(0, _REFERENCE, texts[0])
        item.setData(0, _KNOWN, f"{texts[0]} {known}".casefold())
        return item

    def _changed(self) -> None:
        self.chosen.emit()


def _grey(item: QTreeWidgetItem, tip: str) -> None:
    font = item.font(0)
    font.setItalic(True)
    for column in range(len(_HEADS)):
        item.setForeground(column, Qt.GlobalColor.gray)
        item.setFont(column, font)
        item.setToolTip(column, tip)
