"""Which boxes a gallery shows, how large, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QSizePolicy, QSlider, QVBoxLayout, QWidget
from superqt import QDoubleRangeSlider

from napari_localize.core.arrange import ORDERS, SURE_FIRST, Wanted
from napari_localize.widgets._judge import state_icon
from napari_localize.widgets._memory import remember, remembered, remembered_number
from napari_localize.widgets._parts import SPACING, Section, button, combo, row, titled

ALIKE, STRANGE = "like the selected ones", "most unusual"
"""Orders for which the engine looks at the boxes."""

LEAST_SIDE, MOST_SIDE = 40, 224
_STEP = 8
_SETTLE_MS = 60
_ALL = "all classes"
_STATES = (
    ("guesses", ("proposed",), "Show guesses: boxes of a model that nobody has judged yet."),
    ("accepted", ("accepted",), "Show boxes of a model that a person has accepted."),
    ("corrected", ("edited", "added"), "Show boxes that a person has changed or drawn."),
    ("rejected", ("rejected",), "Show boxes that a person has rejected; accept them to bring them back."),
)


class GalleryFilter(QWidget):
    """The controls above the crops."""

    changed = Signal()
    """Other boxes, or another order, are wanted."""
    sized = Signal(int)
    hidden = Signal()
    """Whether judged boxes go from the gallery at once has changed."""
    again = Signal()
    used = Signal()
    """A choice was made: the keys belong to the crops again."""

    def __init__(self) -> None:
        super().__init__()
        self.order = combo("What comes first. The last two look at the image, which takes a moment.")
        self.order.addItems([*ORDERS, ALIKE, STRANGE])
        self.order.setCurrentText(remembered("gallery order", SURE_FIRST))
        if self.order.currentText() in (ALIKE, STRANGE):
            self.order.setCurrentText(SURE_FIRST)
        self.again_button = quiet(
            button(
                "Again   R",
                "Put the boxes in order again, and leave out what no longer belongs here. Key: R.",
                self.again,
            )
        )
        self.again_button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.size = QSlider(Qt.Orientation.Horizontal)
        self.size.setRange(LEAST_SIDE, MOST_SIDE)
        self.size.setSingleStep(_STEP)
        self.size.setValue(int(remembered_number("gallery size", 76)))
        self.size.setToolTip("How large the crops are. Keys: + and -.")
        self.size.setMinimumWidth(60)
        self.hide_judged = QCheckBox("hide judged   H")
        self.hide_judged.setToolTip(
            "Take a box out of the gallery as soon as it is judged, instead of greying it. Key: H."
        )
        self.hide_judged.setChecked(remembered("gallery hides", "") == "yes")
        self.states = {name: _state_box(states[0], name, tip) for name, states, tip in _STATES}
        self.states["guesses"].setChecked(True)
        self.label = combo("Show only boxes of one class.")
        self.plane = combo("Show the boxes of all planes, or of the one in view.", ("all planes", "this plane"))
        self.scores = QDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.scores.setRange(0.0, 1.0)
        self.scores.setValue((0.0, 1.0))
        self.scores.setToolTip("Show only boxes with scores in this range; what a person has drawn counts as 1.")
        self._scores_text = QLabel("0.00 - 1.00")
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.changed)
        self._build()
        self._connect()

    def _build(self) -> None:
        more = Section("Which boxes", "Choose by class, plane and score.")
        more.rows.addLayout(row(self.label, self.plane))
        more.rows.addLayout(row(titled("Score"), self.scores, self._scores_text, stretch=1))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(titled("First"), self.order, self.again_button, stretch=1))
        column.addLayout(row(*self.states.values()))
        column.addWidget(more)
        column.addLayout(row(titled("Size"), self.size, self.hide_judged, stretch=1))
        for widget in (self.hide_judged, *self.states.values()):
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _connect(self) -> None:
        self.order.currentTextChanged.connect(self._ordered)
        self.size.valueChanged.connect(self._sized)
        self.hide_judged.toggled.connect(self._hidden)
        for state in self.states.values():
            state.toggled.connect(self._settle.start)
        self.label.currentIndexChanged.connect(self._settle.start)
        self.plane.currentIndexChanged.connect(self._settle.start)
        self.scores.valueChanged.connect(self._scored)
        for chooser in (self.order, self.label, self.plane):
            chooser.activated.connect(self.used)
        self.size.sliderReleased.connect(self.used)
        self.scores.sliderReleased.connect(self.used)

    @property
    def this_plane(self) -> bool:
        """Whether only the boxes of the plane in view are shown."""
        return self.plane.currentIndex() == 1

    def wanted(self, plane: tuple[int, ...]) -> Wanted:
        """Return which boxes are wanted, with `plane` in view."""
        chosen = (states for name, states, _ in _STATES if self.states[name].isChecked())
        label = self.label.currentText() if self.label.currentIndex() > 0 else None
        low, high = self.scores.value()
        return Wanted(
            frozenset(state for states in chosen for state in states),
            label,
            plane if self.this_plane else None,
            (float(low), float(high)),
        )

    def show_classes(self, names: Sequence[str]) -> None:
        """Offer classes."""
        texts = [_ALL, *names]
        if [self.label.itemText(at) for at in range(self.label.count())] == texts:
            return
        chosen = self.label.currentText()
        with QSignalBlocker(self.label):
            self.label.clear()
            self.label.addItems(texts)
            self.label.setCurrentIndex(texts.index(chosen) if chosen in texts else 0)

    def show_counts(self, counts: Mapping[str, int], planes: bool) -> None:
        """Say how many boxes there are in each state, and whether there are other planes."""
        for name, states, _ in _STATES:
            self.states[name].setText(f"{sum(counts.get(state, 0) for state in states):,}")
        self.plane.setEnabled(planes)

    def set_order(self, order: str) -> None:
        """Choose an order without telling anyone."""
        with QSignalBlocker(self.order):
            self.order.setCurrentText(order)

    def set_states(self, names: Iterable[str]) -> None:
        """Show the boxes of some states."""
        for name, state in self.states.items():
            state.setChecked(name in names)

    def larger(self) -> None:
        """Make the crops larger."""
        self.size.setValue(self.size.value() + _STEP)

    def smaller(self) -> None:
        """Make the crops smaller."""
        self.size.setValue(self.size.value() - _STEP)

    def _ordered(self, order: str) -> None:
        remember("gallery order", order)
        self.changed.emit()

    def _sized(self, side: int) -> None:
        remember("gallery size", side)
        self.sized.emit(side)

    def _hidden(self, hide: bool) -> None:
        remember("gallery hides", "yes" if hide else "")
        self.hidden.emit()

    def _scored(self, scores: Sequence[float]) -> None:
        low, high = scores
        self._scores_text.setText(f"{low:.2f} - {high:.2f}")
        self._settle.start()


def quiet(widget: QWidget) -> QWidget:
    """Let a click on a button leave the keys with the crops."""
    widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return widget


def _state_box(state: str, name: str, tooltip: str) -> QCheckBox:
    widget = QCheckBox()
    widget.setIcon(state_icon(state))
    widget.setAccessibleName(name)
    widget.setToolTip(tooltip)
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return widget
