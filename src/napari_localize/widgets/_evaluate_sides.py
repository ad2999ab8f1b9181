"""Choosing what is evaluated, and what it is compared with."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_localize.core.errors import UserError
from napari_localize.core.settings import PredictSettings
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.evaluating import EvaluatingTask, check_task
from napari_localize.plugin.layers import is_box_layer, is_points
from napari_localize.plugin.sides import Side, file_truth, hit_distance, layer_found, layer_truth, reviewed_truth
from napari_localize.widgets._boxes_picker import can_hold_boxes
from napari_localize.widgets._memory import preference, remember, remembered
from napari_localize.widgets._models import ModelPicker, model_news
from napari_localize.widgets._parts import SPACING, button, combo, hint, row, say, shown_key, titled
from napari_localize.widgets._unopened import UnopenedPlanes
from napari_localize.widgets._watch import LayerList

FILE_KEY, CLASSES_KEY = "Ctrl+Alt+F", "Ctrl+Alt+I"
RUN, REVIEWED, FILE = "a model, run now", "what was finished in Review", "an annotation file"
_FOUND_TIP = "What is judged: a model that is run on the planes compared, or the boxes of a layer, also those that its score hides."
_TRUTH_TIP = "What is taken to be right: planes and areas that were finished in Review, an annotation file, or the boxes of a layer."


class SidesPicker(QWidget):
    """Two combos that follow the layers of the viewer, and what counts as a hit."""

    changed = Signal()
    """Another choice was made."""

    def __init__(self, viewer: Any, unopened: UnopenedPlanes) -> None:
        super().__init__()
        self._viewer, self._unopened = viewer, unopened
        unopened.changed.connect(self._refresh)
        self._list = LayerList(viewer, self)
        self._list.changed.connect(self._refresh)
        self._file = ""
        self._asked = False
        self.found, self.truth = combo(_FOUND_TIP), combo(_TRUTH_TIP)
        self._found: list[Any] = []
        self._truth: list[Any] = []
        self.model = ModelPicker("Model", "evaluated model", "The model that is run and judged.", "model")
        self.file_button = button("File ...", "Choose an annotation file to compare with.", self.ask, FILE_KEY, self)
        self.file_name: QLabel = hint()
        self.iou = QDoubleSpinBox()
        self.iou.setRange(0.05, 0.95)
        self.iou.setSingleStep(0.05)
        self.iou.setValue(0.5)
        self.iou.setPrefix("IoU ")
        self.iou.setToolTip("How much a box must overlap the true one (intersection over union) to be a hit.")
        self.distance = QDoubleSpinBox()
        self.distance.setRange(0.0, 10_000.0)
        self.distance.setSpecialValueText("half the size of a point")
        self.distance.setSuffix(" px")
        self.distance.setToolTip("How far a point may be from the true one to be a hit.")
        self.ignore_classes = QCheckBox(f"Ignore classes   {shown_key(CLASSES_KEY)}")
        self.ignore_classes.setToolTip(
            "Take all objects for ones of the same class, such as for a model that knows only one. "
            f"Key: {shown_key(CLASSES_KEY)}."
        )
        self.ignore_classes.setShortcut(QKeySequence(CLASSES_KEY))
        self._hit = row(titled("Hit"), self.iou, self.distance, stretch=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(titled("Judge", _FOUND_TIP), self.found, stretch=1))
        column.addWidget(self.model)
        column.addLayout(row(titled("Against", _TRUTH_TIP), self.truth, stretch=1))
        column.addWidget(self.file_name)
        column.addWidget(self.file_button)
        column.addLayout(self._hit)
        column.addWidget(self.ignore_classes)
        self.found.currentIndexChanged.connect(self._chosen)
        self.truth.currentIndexChanged.connect(self._chosen)
        self.truth.activated.connect(self._truth_activated)
        self.model.changed.connect(self.changed)
        self.iou.valueChanged.connect(self.changed)
        self.distance.valueChanged.connect(self.changed)
        self.ignore_classes.toggled.connect(self.changed)
        model_news().kept.connect(self.model.choose)

    # The viewer

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self._list.start()
        self._refresh()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._list.stop()

    def _refresh(self, event: Any = None) -> None:
        layers = [layer for layer in self._viewer.layers if can_hold_boxes(layer)]
        found, truth = self.found_choice, self.truth_choice
        _fill(self.found, self._found, [RUN, *layers], found)
        if not self._asked:
            truth = self._usual(layers)
        _fill(self.truth, self._truth, [REVIEWED, FILE, *layers], truth)
        self._chosen()

    def _usual(self, layers: list[Any]) -> Any:
        """Return what to compare with while nobody has chosen: what is finished, or the topmost layer without guesses."""
        finished = any(is_box_layer(one) and (box_layer(one).finished or box_layer(one).areas) for one in layers)
        finished = finished or bool(self._unopened.planes())
        others = [layer for layer in layers if layer is not self.found_choice and not _has_guesses(layer)]
        return REVIEWED if finished or not others else others[-1]

    # The choices

    @property
    def found_choice(self) -> Any:
        """`RUN`, or a layer."""
        index = self.found.currentIndex()
        return self._found[index] if 0 <= index < len(self._found) else RUN

    @property
    def truth_choice(self) -> Any:
        """`REVIEWED`, `FILE` or a layer."""
        index = self.truth.currentIndex()
        return self._truth[index] if 0 <= index < len(self._truth) else REVIEWED

    def choose(self, found: Any = None, truth: Any = None) -> None:
        """Choose `RUN` or a layer to judge; `REVIEWED`, `FILE` or a layer to compare with."""
        if found is not None:
            self.found.setCurrentIndex(_place(self._found, found))
        if truth is not None:
            self._asked = True
            self.truth.setCurrentIndex(_place(self._truth, truth))

    def choose_file(self, path: str) -> None:
        """Compare with an annotation file."""
        self._file = path
        self.choose(truth=FILE)
        self._chosen()

    def ask(self) -> None:
        """Ask for an annotation file."""
        start = remembered("folder of truth", str(Path.home()))
        name, _ = QFileDialog.getOpenFileName(self, "Annotation file to compare with", start)
        if name:
            remember("folder of truth", str(Path(name).parent))
            self.choose_file(name)

    def task(self) -> EvaluatingTask:
        """Take down what is to be compared.

        Raises
        ------
        UserError
            When the two sides do not fit together.
        """
        layers, judged, against = self._viewer.layers, self.found_choice, self.truth_choice
        if judged is against:
            raise UserError(f"'{judged.name}' cannot be compared with itself; choose another layer, or run a model.")
        others = [layer for layer in layers if layer is not judged]
        truth = self._truth_side(others)
        found, threshold = None, None
        if judged is not RUN:
            found = layer_found(judged, layers)
            threshold = box_layer(judged).filter[0] or None
        task = EvaluatingTask(
            truth,
            found,
            model=self.model.name if found is None else "",
            iou=self.iou.value(),
            distance=hit_distance(truth, found, self.distance.value() or None),
            ignore_classes=self.ignore_classes.isChecked(),
            settings=PredictSettings(device=str(preference("engine", "device", "auto"))),
            threshold=threshold,
        )
        check_task(task)
        return task

    def _truth_side(self, others: list[Any]) -> Side:
        choice = self.truth_choice
        if choice is REVIEWED:
            if self._unopened.busy:
                raise UserError("the project is still being read; evaluate again in a moment.")
            return reviewed_truth(others, self._unopened.planes(), self._unopened.problems())
        if choice is FILE:
            if not self._file:
                raise UserError("no annotation file is chosen; press 'File ...' and choose one.")
            return file_truth(self._file, self._viewer.layers)
        return layer_truth(choice, self._viewer.layers)

    def _truth_activated(self) -> None:
        self._asked = True
        if self.truth_choice is FILE and not self._file:
            self.ask()

    def _chosen(self) -> None:
        self.model.setVisible(self.found_choice is RUN)
        is_file = self.truth_choice is FILE
        self.file_button.setVisible(is_file)
        say(self.file_name, escape(Path(self._file).name) if is_file and self._file else "")
        layers = [one for one in (self.found_choice, self.truth_choice) if not isinstance(one, str)]
        points = any(is_points(layer) for layer in layers)
        self.distance.setVisible(points)
        self.iou.setVisible(not points)
        self.changed.emit()


def _has_guesses(layer: Any) -> bool:
    return is_box_layer(layer) and box_layer(layer).by_state()["proposed"] > 0


def _fill(widget: Any, choices: list[Any], new: list[Any], chosen: Any) -> None:
    with QSignalBlocker(widget):
        choices[:] = new
        widget.clear()
        widget.addItems([choice if isinstance(choice, str) else choice.name for choice in choices])
        widget.setCurrentIndex(_place(choices, chosen))


def _place(choices: list[Any], chosen: Any) -> int:
    return next((at for at, choice in enumerate(choices) if choice is chosen), 0)
