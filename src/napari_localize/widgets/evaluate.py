"""The dock that says how good boxes or a model are, and shows each mistake."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel, QMessageBox

from napari_localize.core.errors import UserError
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.evaluating import EvaluatingJob, Outcome, SavingJob
from napari_localize.widgets._dock import Dock, fail, warn
from napari_localize.widgets._evaluate_result import ResultBox
from napari_localize.widgets._evaluate_sides import SidesPicker
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import idle_seconds, remember, remembered
from napari_localize.widgets._parts import CancelButton, ProgressRow, button, hint, say, shown_key
from napari_localize.widgets._unopened import UnopenedPlanes
from napari_localize.widgets._watch import AllBoxes

EVALUATE_KEY, SAVE_KEY, COPY_KEY = "Ctrl+Alt+E", "Ctrl+Alt+R", "Ctrl+Alt+M"
_RECHECK_MS = 400
_EMPTY = (
    "Choose what is judged, such as a model, and what it is compared with: planes that were finished in Review, the true boxes "
    f"of a layer, or an annotation file. Then press Evaluate, or {shown_key(EVALUATE_KEY)}."
)


class EvaluateWidget(Dock):
    """Compare boxes or a model with the truth, look at every mistake, and write the report."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._jobs = JobRunner(self)
        self._all_boxes = AllBoxes(self._viewer, self)
        self._all_boxes.changed.connect(self._recheck_soon)
        self._outcome: Outcome | None = None
        self.unopened = UnopenedPlanes(self._viewer, self)
        self.sides = SidesPicker(self._viewer, self.unopened)
        self.result = ResultBox(self._viewer)
        self._build()
        self._recheck = QTimer(self)
        self._recheck.setSingleShot(True)
        self._recheck.setInterval(_RECHECK_MS)
        self._recheck.timeout.connect(self._check_age)
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self.sides.changed.connect(self._recheck_soon)
        self.open()

    def _build(self) -> None:
        self.evaluate_button = button(
            "Evaluate", "Compare them; a model is run first.", self.evaluate, EVALUATE_KEY, self
        )
        self.cancel_button = CancelButton("Stop; the numbers of before stay.", self.cancel)
        self.progress = ProgressRow()
        self.status: QLabel = hint()
        self.status.linkActivated.connect(self._ignore_classes)
        self.old: QLabel = hint()
        self.old.setToolTip("Click to evaluate again.")
        self.old.linkActivated.connect(self._again)
        self.save_button = button(
            "Save report ...", "Write one HTML page with everything, to read or to print.", self.save, SAVE_KEY, self
        )
        self.copy_button = button(
            "Copy methods",
            "Copy a paragraph for a methods section, with numbers and citations.",
            self.copy,
            COPY_KEY,
            self,
        )
        self.column.addWidget(self.sides)
        # Below each other: side by side there is no room for their keys in a narrow dock.
        for part in (self.evaluate_button, self.cancel_button, self.progress, self.status, self.old, self.result):
            self.column.addWidget(part)
        for part in (self.save_button, self.copy_button):
            self.column.addWidget(part)
        self.column.addStretch(1)
        self.setMinimumWidth(300)
        say(self.status, _EMPTY)
        self._refresh()

    # The viewer

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self._all_boxes.start()
        self.unopened.start()
        self._viewer.events.theme.connect(self._theme_changed)
        self.sides.connect_viewer()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and stop."""
        self._jobs.abandon()
        self._end()
        self.result.findings.clear()
        self.sides.disconnect_viewer()
        self._all_boxes.stop()
        self.unopened.stop()
        self._viewer.events.theme.disconnect(self._theme_changed)

    def _theme_changed(self) -> None:
        self.result.set_theme(self._viewer.theme)

    # Are the numbers still those of the boxes?

    def _recheck_soon(self) -> None:
        if self._outcome is not None and self.isVisibleTo(self.window()) and not self._recheck.isActive():
            self._recheck.start()

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Show, QEvent.Type.ShowToParent):
            self._recheck_soon()
        return super().event(event)

    def _check_age(self) -> None:
        outcome = self._outcome
        if outcome is None or self.busy:
            return
        before, text = outcome.task, ""
        try:
            now = self.sides.task()
        except UserError:
            text = "What is chosen now cannot be compared: these numbers are of before."
        else:
            chosen = [
                (task.model, task.iou, task.distance, task.ignore_classes, _words(task)) for task in (before, now)
            ]
            if chosen[0] != chosen[1]:
                text = "These numbers are of what was chosen before."
            elif now.stamp != outcome.stamp:
                text = "The boxes have changed since: these numbers are older."
        link = f" <a href='again'>Evaluate again</a>   {shown_key(EVALUATE_KEY)}"
        say(self.old, text + link if text else "")

    def _again(self, link: str) -> None:
        self.evaluate()

    def _ignore_classes(self, link: str) -> None:
        self.sides.ignore_classes.setChecked(True)
        self.evaluate()

    # Evaluating

    @property
    def outcome(self) -> Outcome | None:
        """What was found out last."""
        return self._outcome

    @property
    def busy(self) -> bool:
        """Whether something is computed or written."""
        return self._jobs.busy

    def evaluate(self) -> None:
        """Compare what is chosen."""
        if self.busy:
            return
        try:
            task = self.sides.task()
        except UserError as error:
            warn(str(error), self)
            return
        self.told.put_away()
        # A layer that was chosen is one of boxes from now on.
        self._all_boxes.follow()
        idle = idle_seconds()

        def engine() -> Any:
            shared = shared_engine()
            shared.idle_seconds = idle
            return shared

        say(self.status, "Comparing ..." if task.found is not None else "Starting ...")
        self._start(lambda on_event: EvaluatingJob(task, engine, on_event))
        self.cancel_button.setEnabled(True)

    def cancel(self) -> None:
        """Stop; the numbers of before stay."""
        if self.busy:
            self.cancel_button.setEnabled(False)
            self.progress.stopping()
            say(self.status, "Cancelling ...")
            self._jobs.cancel()

    def _start(self, begin: Any) -> None:
        self.progress.begin()
        self._jobs.start(begin)
        self._refresh()

    def _end(self) -> None:
        self.progress.hide()
        self.cancel_button.setEnabled(False)
        self._refresh()

    def _refresh(self) -> None:
        ready = self._outcome is not None and not self.busy
        self.evaluate_button.setEnabled(not self.busy)
        for widget in (self.save_button, self.copy_button):
            widget.setVisible(self._outcome is not None)
            widget.setEnabled(ready)

    def _on_news(self, news: dict[str, Any]) -> None:
        kind = news.get("event")
        if kind in ("queued", "starting", "message"):
            say(self.status, escape(str(news["text"])))
        elif kind == "progress" and self.cancel_button.isEnabled():
            self.progress.update_to(news["done"], news["total"])
            say(self.status, escape(str(news["text"])))

    def _on_finished(self, result: Any) -> None:
        if isinstance(result, Outcome):
            self._outcome = result
            say(self.old, "")
            self.result.present(result)
            truth = result.task.truth
            planes = len(result.evaluation.names)
            said = (
                f"<b>{escape(result.words)}</b> against {escape(truth.words)}: {planes:,} plane{'s' * (planes != 1)}."
            )
            if result.evaluation.classes_apart:
                said += " No class is common to both. <a href='classes' style='color: #56B4E9'>Ignore classes and evaluate again</a>"
            say(self.status, said)
        else:
            say(self.status, f"Written to {escape(str(result))}.")
        self._end()
        self._recheck_soon()

    def _on_failed(self, text: str) -> None:
        say(self.status, escape(text))
        fail(text, self)
        self._end()

    def _on_cancelled(self) -> None:
        say(self.status, "Cancelled." if self._outcome is None else "Cancelled; these are the numbers of before.")
        self._end()

    # What is taken away

    def save(self) -> None:
        """Ask where to, and write the report there."""
        outcome = self._outcome
        if outcome is None or self.busy:
            return
        start = Path(remembered("folder of reports", str(Path.home()))) / "evaluation.html"
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Report",
            str(start),
            "Web pages (*.html)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return
        path = name if Path(name).suffix.lower() in (".html", ".htm") else f"{name}.html"
        taken = os.path.lexists(path)
        if taken:
            answer = QMessageBox.question(self, "Replace report", f"{path} exists already. Replace?")
            if answer != QMessageBox.StandardButton.Yes:
                return
        remember("folder of reports", str(Path(path).parent))
        threshold = self.result.threshold
        say(self.status, "Writing the report ...")
        self._start(lambda on_event: SavingJob(outcome, threshold, path, taken))

    def copy(self) -> None:
        """Copy the paragraph for a methods section."""
        if self._outcome is not None:
            QApplication.clipboard().setText(self._outcome.report(self.result.threshold).methods)
            say(self.status, "The paragraph for a methods section is in the clipboard.")


def _words(task: Any) -> tuple[str, str]:
    return task.truth.words, "" if task.found is None else task.found.words
