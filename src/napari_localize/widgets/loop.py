"""One dock with the three steps of the loop, for those who look for one thing only."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QTabWidget

from napari_localize.widgets._dock import Dock
from napari_localize.widgets._models import model_news
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.retrain import RetrainWidget
from napari_localize.widgets.review import ReviewWidget


class LoopWidget(QTabWidget):
    """Localize, Review and Retrain as tabs."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.localize = LocalizeWidget(napari_viewer)
        self.review = ReviewWidget(napari_viewer)
        self.retrain = RetrainWidget(napari_viewer)
        for number, (widget, title, tooltip) in enumerate(
            (
                (self.localize, "Localize", "Find objects with a model."),
                (self.review, "Review", "Correct the boxes."),
                (self.retrain, "Retrain", "Teach the model what you have corrected."),
            )
        ):
            self.addTab(widget, f"{number + 1} {title}")
            self.setTabToolTip(number, f"{tooltip} Key: Ctrl+Tab for the next step.")
        # napari's style leaves less than a line of text.
        self.tabBar().setMinimumHeight(self.fontMetrics().height() + 10)
        model_news().kept.connect(self._back_to_start)
        model_news().use.connect(self._back_to_start)
        model_news().start_from.connect(self._to_retrain)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ParentChange:
            for index in range(self.count()):
                widget = self.widget(index)
                if isinstance(widget, Dock):
                    widget.open() if self.parent() is not None else widget.close_down()
        return bool(super().event(event))

    def _back_to_start(self) -> None:
        self.setCurrentWidget(self.localize)

    def _to_retrain(self) -> None:
        self.setCurrentWidget(self.retrain)
