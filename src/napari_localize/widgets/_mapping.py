"""Which class of the data is learnt as which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_localize.core.errors import UserError
from napari_localize.core.mapping import check_class_map, suggest_class_map
from napari_localize.widgets._parts import button, hint, row, say

NOT_LEARNT = "(do not learn)"
_HEADS = ("Class in the data", "Boxes", "Learn as")


class ClassMapDialog(QDialog):
    """A table of the classes; after `exec`, `class_map` is what was chosen.

    Parameters
    ----------
    counts : mapping of str to int
        Boxes of each class of the data.
    wanted : iterable of str
        Names that the base model knows.
    class_map : mapping of str to str or None
        What was chosen before; for other classes one spelling is suggested.
    parent : QWidget
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        wanted: Iterable[str],
        class_map: Mapping[str, str | None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Classes to learn")
        self._wanted = tuple(wanted)
        self._names = sorted(counts, key=lambda name: -counts[name])
        self.class_map = dict(class_map)
        text = QLabel(
            "Classes that are the same thing under two names can be learnt as one. Objects of a class that is not "
            "learnt are ignored: they do not count as background."
        )
        text.setWordWrap(True)
        self.table = QTableWidget(len(self._names), len(_HEADS))
        self.table.setHorizontalHeaderLabels(_HEADS)
        self.table.verticalHeader().hide()
        self.table.setToolTip("Choose for each class another one, type a new name, or do not learn it.")
        heads = self.table.horizontalHeader()
        for column, mode in enumerate(("Stretch", "ResizeToContents", "Stretch")):
            heads.setSectionResizeMode(column, getattr(QHeaderView.ResizeMode, mode))
        self.choices: dict[str, QComboBox] = {}
        for place, name in enumerate(self._names):
            self._fill_row(place, name, counts[name])
        self._problem: QLabel = hint()
        self.take_button = button(
            "Use these", "Learn the classes as chosen; it is remembered for these data.", self._take
        )
        self.suggest_button = button(
            "Suggest", "Learn names that differ only in case, blanks or plural as one class.", self.suggest
        )
        self.reset_button = button("As they are", "Learn each class under its own name.", self.reset)
        self.close_button = button("Close", "Change nothing.", self.reject)
        self.take_button.setDefault(True)
        column = QVBoxLayout(self)
        for part in (text, self.table, self._problem):
            column.addWidget(part)
        column.addLayout(row(self.suggest_button, self.reset_button))
        column.addLayout(row(self.take_button, self.close_button))
        self.resize(440, 320)
        if class_map:
            self._show(class_map)
        else:
            self.suggest()

    def suggest(self) -> None:
        """Propose one spelling for names that differ in nothing else."""
        self._show(suggest_class_map(self._names, self._wanted))

    def reset(self) -> None:
        """Propose that each class stays as it is."""
        self._show({})

    def text(self) -> str:
        """Return what is wrong with the choice, if anything is."""
        return self._problem.text()

    def _fill_row(self, place: int, name: str, number: int) -> None:
        for column, text in enumerate((name, f"{number:,}")):
            item = QTableWidgetItem(text)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(place, column, item)
        choice = QComboBox()
        choice.setEditable(True)
        choice.addItems([*dict.fromkeys([name, *self._names, *self._wanted]), NOT_LEARNT])
        choice.setToolTip(f"What objects of the class {name} are learnt as.")
        self.table.setCellWidget(place, 2, choice)
        self.choices[name] = choice

    def _show(self, class_map: Mapping[str, str | None]) -> None:
        for name, choice in self.choices.items():
            choice.setCurrentText(class_map.get(name, name) or NOT_LEARNT)
        say(self._problem, "")

    def _take(self) -> None:
        texts = {name: choice.currentText().strip() for name, choice in self.choices.items()}
        chosen = {name: None if text == NOT_LEARNT else text for name, text in texts.items() if text != name}
        try:
            check_class_map(chosen, self._names)
            if all(chosen.get(name, name) is None for name in self._names):
                raise UserError("no class is left to be learnt; choose at least one.")
        except UserError as error:
            say(self._problem, f"<b>{str(error)[:1].upper()}{str(error)[1:]}</b>")
            return
        self.class_map = chosen
        self.accept()
