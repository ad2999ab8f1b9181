"""The dock that trains a model from corrected boxes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QSignalBlocker, QTimer
from qtpy.QtWidgets import QLabel, QSpinBox

from napari_localize.core.errors import UserError
from napari_localize.core.groups import kinds_told
from napari_localize.core.settings import TrainSettings
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.material import count_classes, home_of, material, split_of
from napari_localize.plugin.pairs import Judged, judged_planes
from napari_localize.training.pairs import Pairs
from napari_localize.widgets._comparison import ComparisonBox
from napari_localize.widgets._curve import TrainingCurve
from napari_localize.widgets._data import DataBox
from napari_localize.widgets._dock import Dock, fail, warn
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import idle_seconds, preference, remember, remembered, remembered_number
from napari_localize.widgets._models import ModelPicker, model_news
from napari_localize.widgets._parts import CancelButton, ProgressRow, button, combo, duration, hint, row, say, titled
from napari_localize.widgets._recipe import RecipeSection
from napari_localize.widgets._split import HeldBackBox
from napari_localize.widgets._unopened import UnopenedPlanes
from napari_localize.widgets._watch import AllBoxes

TRAIN_KEY = "Ctrl+Shift+R"
_RECOUNT_MS = 300
_UNITS = {"seconds": (10, 600, 60), "epochs": (1, 1000, 20)}


@dataclass
class Candidate:
    """A trained model of which nobody has said whether to keep it."""

    path: Path
    title: str
    comparison: dict[str, Any]
    base: str
    name: str


# By viewer, so that a model that took minutes to train is still there when the dock was closed and opened again.
_candidates: weakref.WeakKeyDictionary[Any, Candidate] = weakref.WeakKeyDictionary()


class RetrainWidget(Dock):
    """Train a model from the boxes a person has judged, compare it with the old one, and keep it or not."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._jobs = JobRunner(self)
        self._all_boxes = AllBoxes(self._viewer, self)
        self._all_boxes.changed.connect(self._recount_soon)
        self.unopened = UnopenedPlanes(self._viewer, self)
        self.unopened.changed.connect(self._recount_soon)
        self._base = ""
        self._elapsed = 0.0
        self._warnings: list[str] = []
        self.base = ModelPicker("Start", "base model", "The model that training starts from; it stays as it is.")
        self.curve = TrainingCurve(self._viewer.theme)
        self.comparison = ComparisonBox(self._viewer)
        self._build()
        self._recount = QTimer(self)
        self._recount.setSingleShot(True)
        self._recount.setInterval(_RECOUNT_MS)
        self._recount.timeout.connect(self._show_material)
        self._arrived = QTimer(self)
        self._arrived.setSingleShot(True)
        self._arrived.timeout.connect(lambda: self.ensureWidgetVisible(self.comparison))
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self.data.changed.connect(self._show_material)
        self.data.busy_changed.connect(self._data_busy)
        self.held_back.changed.connect(self._show_material)
        self.base.changed.connect(self._show_material)
        self.comparison.keep.connect(self._keep)
        self.comparison.discard.connect(self._discard)
        model_news().kept.connect(self._refresh_models)
        model_news().start_from.connect(self.base.choose)
        self.open()

    def _build(self) -> None:
        self.material: QLabel = hint()
        self.material.setToolTip(
            "A model learns from boxes that you have accepted, changed or drawn, and from no other."
        )
        self.data = DataBox(self)
        self.held_back = HeldBackBox()
        self.unit = combo("Train for so many seconds, or for so many rounds through all planes.", _UNITS)
        self.amount = QSpinBox()
        self.amount.setToolTip("How long to train: a minute is a good start; more planes deserve more time.")
        self.unit.setCurrentText(remembered("training unit", "seconds"))
        self._unit_changed()
        self.unit.currentTextChanged.connect(self._unit_changed)
        self.amount.valueChanged.connect(self._remember)
        self.train_button = button("Train", "Train a new model; the old one stays.", self.train, TRAIN_KEY, self)
        self.cancel_button = CancelButton("Stop; you can still keep what has been learned so far.", self.cancel)
        self.recipe = RecipeSection()
        self.progress = ProgressRow()
        self.status: QLabel = hint()
        for part in (self.material, self.data, self.held_back, self.base):
            self.column.addWidget(part)
        self.column.addLayout(row(titled("Time"), row(self.amount, self.unit), stretch=1))
        # Above what may be long when it is opened: what starts a training, and what it says, stay in view.
        self.column.addLayout(row(self.train_button, self.cancel_button))
        for part in (self.progress, self.status, self.recipe, self.curve, self.comparison):
            self.column.addWidget(part)
        self.column.addStretch(1)

    # The viewer

    def connect_viewer(self) -> None:
        self._all_boxes.start()
        self.unopened.start()
        self._viewer.events.theme.connect(self._theme_changed)
        self._show_material()
        candidate = _candidates.get(self._viewer)
        if candidate is not None:
            self._present(candidate)

    def disconnect_viewer(self) -> None:
        self._jobs.abandon()
        self.data.abandon()
        self._end_run()
        self.comparison.findings.clear()
        self._all_boxes.stop()
        self.unopened.stop()
        self._viewer.events.theme.disconnect(self._theme_changed)

    def _theme_changed(self) -> None:
        self.curve.set_theme(self._viewer.theme)

    def _recount_soon(self) -> None:
        # Going through all boxes after each edit is only worth it where somebody sees the result.
        if self.isVisibleTo(self.window()) and not self._recount.isActive():
            self._recount.start()

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Show, QEvent.Type.ShowToParent):
            self._recount_soon()
        return super().event(event)

    # What it learns from

    def _chosen(self) -> tuple[list[Judged], bool]:
        """Return the planes to learn from, and whether they are finished, wholly or in part."""
        judged = [*judged_planes(self._viewer.layers), *self.unopened.planes()]
        reviewed = [plane for plane in judged if plane.reviewed]
        return (reviewed, True) if reviewed else (judged, False)

    def _show_material(self) -> None:
        project = self.unopened.project
        self.data.learnt_anyway = None if project is None else project.path
        try:
            planes, finished = self._chosen()
            added = self.data.added
            everything = material(planes, added)
            counts = count_classes(everything)
            home = home_of(everything)
            card = self.base.card
            self.data.show_material(counts, tuple(card.classes) if card else (), home)
            if self.data.class_map:
                everything = material(planes, added, self.data.class_map)
                counts = count_classes(everything)
        except UserError as error:
            say(self.material, escape(str(error)))
            return
        reading = self.data.busy or self.unopened.busy
        self.train_button.setEnabled(bool(everything.names) and not self._jobs.busy and not reading)
        self._show_held_back(everything, home)
        if not everything.names:
            say(
                self.material,
                " ".join(
                    [
                        "Nothing to learn from yet: in Review, correct the boxes of a plane or an area and mark it as finished.",
                        *map(escape, self.unopened.problems()),
                    ]
                ),
            )
            return
        rejected = sum(plane.rejected for plane in planes)
        per_class = ", ".join(f"{escape(name)} {number}" for name, number in counts.items() if number)
        sources = [_sources(planes, finished)] if planes else []
        closed = len(set(map(id, planes)) & set(map(id, self.unopened.planes())))
        if closed:
            sources[0] += f" ({closed} of images of the project that are not open)"
        others = sum(len(each.pairs.names) for each in added)
        sources += [f"<b>{others}</b> plane{'s' * (others > 1)} of other data"] if others else []
        text = f"Learns from {' and '.join(sources)}, <b>{counts.total()}</b> boxes" + (
            f" ({per_class})" if per_class else ""
        )
        text += f", {rejected} rejected" if rejected else ""
        text += " without ignored areas" if any(plane.known.ignored for plane in planes) else ""
        if planes and not finished:
            text += (
                ". No plane is finished, so what was not judged there counts as background: finish planes in Review."
            )
        text += "".join(f"<br>{escape(problem)}" for problem in self.unopened.problems())
        say(self.material, text)

    def _show_held_back(self, everything: Pairs, home: str) -> None:
        """Say what this training will be judged on."""
        if not count_classes(everything).total():
            self.held_back.hide()
            return
        self.held_back.offer(kinds_told(everything.names, everything.places), home)
        split, _ = split_of(everything, self.held_back.hold_back)
        guessed = split if self.held_back.hold_back == "auto" else split_of(everything, "auto")[0]
        self.held_back.show_choice(guessed.kind, split.text)

    # Training

    @property
    def busy(self) -> bool:
        """Whether a model is being trained."""
        return self._jobs.busy

    def train(self) -> None:
        """Train a new model from the planes that a person has judged."""
        if self._jobs.busy:
            return
        if self._viewer in _candidates:
            warn("Keep or discard the model that was trained last, then train again.", self)
            return
        try:
            if self.unopened.busy:
                raise UserError("The project is still being read; train again in a moment.")
            planes, _ = self._chosen()
            everything = material(planes, self.data.added, self.data.class_map)
            if not count_classes(everything).total():
                raise UserError("There are no boxes to learn from; accept, correct or draw some in Review.")
            if not self.base.name:
                raise UserError(
                    "There is no model to start from; import one with 'napari-localize models import FILE'."
                )
            amount = {self.unit.currentText(): self.amount.value()}
            settings = TrainSettings(
                base=self.base.name,
                device=str(preference("engine", "device", "auto")),
                recipe=self.recipe.choices,
                hold_back=self.held_back.hold_back,
                **amount,
            )
        except UserError as error:
            warn(str(error), self)
            return
        self._base, self._elapsed, self._warnings = self.base.name, 0.0, []
        self.told.put_away()
        self.train_button.setEnabled(False)
        self.cancel_button.setEnabled(True)
        self.comparison.put_away()
        self.curve.clear()
        self.progress.begin()
        say(self.status, "Starting ...")
        idle = idle_seconds()

        def begin(on_event: Any) -> Any:
            engine = shared_engine()
            engine.idle_seconds = idle
            return engine.train(
                everything.planes,
                everything.annotations,
                settings,
                names=everything.names,
                known=everything.known,
                places=everything.places,
                on_event=on_event,
            )

        self._jobs.start(begin)

    def cancel(self) -> None:
        """Stop training; what has been learned so far can be kept. Without a training, stop reading other data."""
        self.data.cancel()
        if self._jobs.busy:
            self.cancel_button.setEnabled(False)
            self.progress.stopping()
            say(self.status, "Cancelling ...")
            self._jobs.cancel()

    def _on_news(self, news: dict[str, Any]) -> None:
        kind = news.get("event")
        if news.get("recipe"):
            self.recipe.tell(str(news["text"]), news["recipe"])
        elif kind in ("queued", "starting", "ready", "message"):
            say(self.status, escape(str(news["text"])))
            self._warnings += [str(news["text"])] if news.get("warning") else []
        elif kind == "stopping":
            say(self.status, "Stopping; what has been learned so far is compared with the old model ...")
        elif kind == "progress" and self.cancel_button.isEnabled():
            self.progress.update_to(news["done"], news["total"])
        elif kind == "curve":
            self._elapsed = float(news["seconds"])
            self.curve.add(self._elapsed, news["train_loss"], news["validation_loss"], news["ap50"])

    def _on_finished(self, result: dict[str, Any]) -> None:
        stopped = bool(result["cancelled"])
        self._end_run()
        self.recipe.tell(str(result["recipe"]))
        # What was said in passing can be read now.
        say(self.status, " ".join(escape(text) for text in self._warnings))
        title = "<b>Trained.</b> Keep the new model?"
        if stopped:
            title = f"<b>Stopped after {duration(self._elapsed)}.</b> Keep the best weights so far?"
        candidate = Candidate(Path(result["path"]), title, result["comparison"], self._base, _suggested(self._base))
        _candidates[self._viewer] = candidate
        self._present(candidate)
        # It may lie below what is unfolded.
        self._arrived.start()

    def _on_failed(self, text: str) -> None:
        self._end_run()
        say(self.status, escape(text))
        fail(text, self)

    def _on_cancelled(self) -> None:
        self._end_run()
        say(self.status, "Cancelled; there is nothing to keep.")

    def _end_run(self) -> None:
        self.cancel_button.setEnabled(False)
        self.progress.hide()
        self._show_material()

    def _data_busy(self, busy: bool) -> None:
        if not self._jobs.busy:
            self.cancel_button.setEnabled(busy)
            self._show_material()

    # The new model

    def _present(self, candidate: Candidate) -> None:
        self.comparison.present(candidate.title, candidate.comparison, candidate.base, candidate.name)

    def _keep(self, name: str) -> None:
        from napari_localize.models.registry import keep_model

        candidate = _candidates.get(self._viewer)
        if candidate is None:
            return
        if not name:
            warn("The new model needs a name; type one beside 'Keep as'.", self)
            return
        try:
            keeps = bool(preference("models", "keep_checks", True))
            entry = keep_model(candidate.path, name, with_checks=keeps)
        except UserError as error:
            warn(str(error), self)
            return
        del _candidates[self._viewer]
        self.comparison.put_away()
        say(self.status, f"Kept as <b>{escape(entry.reference)}</b>; it is chosen in Localize now.")
        model_news().kept.emit(entry.reference)

    def _discard(self) -> None:
        from napari_localize.models.registry import discard_model

        candidate = _candidates.pop(self._viewer, None)
        if candidate is not None:
            discard_model(candidate.path)
        self.comparison.put_away()
        say(self.status, "Discarded; the old model is unchanged.")

    def _refresh_models(self) -> None:
        self.base.refresh()

    # The form

    def _unit_changed(self) -> None:
        unit = self.unit.currentText()
        low, high, usual = _UNITS[unit]
        # The other unit's number is only made to fit: nobody has chosen it for this one.
        with QSignalBlocker(self.amount):
            self.amount.setRange(low, high)
            self.amount.setValue(int(remembered_number(f"training {unit}", usual)))
        remember("training unit", unit)

    def _remember(self, amount: int) -> None:
        remember(f"training {self.unit.currentText()}", amount)


def _sources(planes: list[Judged], finished: bool) -> str:
    """Say how many planes, and parts of others, it learns from."""
    if not finished:
        return f"<b>{len(planes)}</b> plane{'s' * (len(planes) > 1)} with judged boxes"
    whole = sum(plane.finished for plane in planes)
    areas = sum(len(plane.known.reviewed or ()) for plane in planes)
    parts = [f"<b>{whole}</b> finished plane{'s' * (whole > 1)}"] if whole else []
    parts += [f"<b>{areas}</b> finished area{'s' * (areas > 1)}"] if areas else []
    return " and ".join(parts)


def _suggested(base: str) -> str:
    """Suggest a name: a bundled model's must not be taken, the user's own gets its next version."""
    name, mark, _ = base.partition("@")
    return name if mark else f"my {name}"
