"""Old and new model side by side, and what to do with the new one."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QMessageBox, QVBoxLayout, QWidget

from napari_localize.core.findings import KIND_COLORS, Finding
from napari_localize.evaluation.verdict import Verdict, changes_in_words, listed_in_words, verdict
from napari_localize.widgets._domains import domains_html
from napari_localize.widgets._findings import FindingsBar
from napari_localize.widgets._parts import button, hint, line, row, say, titled

KEEP_KEY, DISCARD_KEY = "Ctrl+Shift+K", "Ctrl+Shift+D"
_COLOURS = {"better": "#2DB48E", "worse": "#E69F00", "about the same": "#56B4E9", "undecided": "#56B4E9"}
_COLUMNS = ("AP50", "F1", "count_error")


class ComparisonBox(QWidget):
    """What a training has brought, and the choice between keeping and discarding it."""

    keep = Signal(str)
    """The name to keep the new model under."""
    discard = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._changes: list[Finding] = []
        self._doubt = ""
        self._title: QLabel = hint()
        self._table: QLabel = hint()
        self._table.setToolTip(
            "AP50: 1 is every object found and nothing else. F1: at the model's own threshold. Count error: how far "
            "the number of boxes of a plane is from the true one."
        )
        self._sentence: QLabel = hint()
        self._domains: QLabel = hint()
        self._domains.setToolTip(
            "What the models that this one goes back to could do, and whether it still can: the planes kept beside them, "
            "and the sample images for the bundled ones. F1 of the old and the new model, each at its own threshold."
        )
        self._differing: QLabel = hint()
        self._differing.setToolTip("What the new model does otherwise than the old one; click to go through it.")
        self._differing.linkActivated.connect(self.findings_of)
        self.findings = FindingsBar(viewer)
        self.name = QLineEdit()
        self.name.setPlaceholderText("name of the new model")
        self.name.setToolTip("Under this name the model is found in Localize; a name that exists gets a new version.")
        self.keep_button = button("Keep", "Keep the new model under this name.", self._keep, KEEP_KEY, self)
        self.discard_button = button("Discard", "Forget the new model.", self.discard, DISCARD_KEY, self)
        self.name.returnPressed.connect(self.keep_button.click)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (line(), self._title, self._table, self._domains, self._sentence):
            column.addWidget(part)
        column.addWidget(self._differing)
        column.addWidget(self.findings)
        column.addLayout(row(titled("Keep as"), self.name, stretch=1))
        column.addLayout(row(self.keep_button, self.discard_button))
        self.hide()

    def present(self, title: str, comparison: Mapping[str, Any], old_name: str, name: str) -> None:
        """Show the outcome of a training and suggest a name."""
        old, new, planes = comparison.get("old"), comparison["new"], comparison.get("planes", [])
        judged = verdict(comparison)
        say(self._title, title)
        say(self._table, _table(old, new, old_name, judged.word) if planes else "")
        say(self._domains, domains_html(comparison.get("domains") or ()))
        note = escape(str(comparison.get("note", "")))
        say(self._sentence, " ".join(filter(None, (escape(judged.sentence), note))))
        self._sentence.setToolTip("Compared on: " + ", ".join(escape(str(plane)) for plane in planes) if planes else "")
        self._changes = [Finding.from_dict(change) for change in comparison.get("changes", [])]
        listed = {change.kind for change in self._changes}
        links = [
            f"<a style='color: {KIND_COLORS[kind]}' href='{kind}'>{escape(text)}</a>"
            if kind in listed
            else escape(text)
            for kind, text in changes_in_words(comparison).items()
        ]
        cut = listed_in_words(comparison)
        say(self._differing, "Boxes that differ: " + ", ".join(links) + (f" ({cut})" if cut else "") if links else "")
        self.findings.clear()
        self.name.setText(name)
        # Enter in the name, and the button that stands out, never switch to something worse.
        self._doubt = "" if judged.keep else _doubt(judged)
        self.keep_button.setDefault(judged.keep)
        self.discard_button.setDefault(not judged.keep)
        self.show()

    def text(self) -> str:
        """Return all that is written here."""
        return " ".join(
            label.text() for label in (self._title, self._table, self._domains, self._sentence, self._differing)
        )

    def put_away(self) -> None:
        """Hide, with the marks on the image."""
        self.findings.clear()
        self.hide()

    def findings_of(self, kind: str) -> None:
        """Go through what differs in one way."""
        self.findings.set_findings("What differs, wrong changes first", self._changes, kind)

    def _keep(self) -> None:
        if self._doubt:
            answer = QMessageBox.question(self, "Keep this model?", self._doubt)
            if answer != QMessageBox.StandardButton.Yes:
                return
        self.keep.emit(self.name.text().strip())


def _doubt(judged: Verdict) -> str:
    """Say why it is asked whether a model is to be kept."""
    if judged.word == "worse":
        return "On the planes compared the new model is worse than the old one. Keep it all the same?"
    if judged.behind:
        return "On the planes compared the new model did worse, though they do not say for sure that it is. Keep it all the same?"
    return f"The new model forgets {', '.join(judged.forgets)}, and is not known to be better elsewhere. Keep it?"


def _table(old: Mapping[str, float] | None, new: Mapping[str, float], old_name: str, word: str) -> str:
    head = "".join(
        f"<th align='right' style='padding-left: 10px'>{text}</th>" for text in ("AP50", "F1", "count error")
    )
    lines = [f"<tr><th></th>{head}</tr>"]
    if old is not None:
        lines.append(_line(escape(old_name), old, ""))
    mark = f"<b style='color: {_COLOURS[word]}'>{word}</b>" if word else ""
    lines.append(_line("<b>new model</b>", new, ""))
    return f"<table width='100%'>{''.join(lines)}</table>{mark}"


def _line(name: str, metrics: Mapping[str, float], mark: str) -> str:
    cells = "".join(
        f"<td align='right' style='padding-left: 10px'>{_shown(key, metrics.get(key))}</td>" for key in _COLUMNS
    )
    return f"<tr><td>{name}</td>{cells}{mark}</tr>"


def _shown(key: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{100 * value:.0f} %" if key == "count_error" else f"{value:.2f}"
