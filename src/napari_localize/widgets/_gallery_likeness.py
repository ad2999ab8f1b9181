"""What the gallery does to put boxes into an order by how they look: it asks the engine, and can be cancelled."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.arrange import SURE_FIRST, strangeness, unlikeness
from napari_localize.core.boxes import BoxRows
from napari_localize.core.errors import UserError
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.teaching import MODEL
from napari_localize.widgets._gallery_filter import ALIKE, STRANGE
from napari_localize.widgets._memory import preference
from napari_localize.widgets._parts import number, say

if TYPE_CHECKING:
    from qtpy.QtWidgets import QLabel

    from napari_localize.plugin.boxes import BoxLayer
    from napari_localize.plugin.describing import Described, Question
    from napari_localize.widgets._gallery_filter import GalleryFilter
    from napari_localize.widgets._gallery_view import GalleryView
    from napari_localize.widgets._jobs import JobRunner
    from napari_localize.widgets._parts import CancelButton, ProgressRow


class GalleryLikeness:
    """The part of the gallery for whose orders the engine looks at the boxes."""

    cancel_button: CancelButton
    filter: GalleryFilter
    progress: ProgressRow
    status: QLabel
    view: GalleryView
    _boxes: BoxLayer | None
    _described: Described
    _examples: list[int]
    _jobs: JobRunner
    _order: str
    _question: Question | None
    _stopped: bool = False
    _viewer: Any
    _here: Any
    _put: Any
    _selected_ids: Any
    refresh: Any

    def _connect_likeness(self) -> None:
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_described)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self._jobs.busy_changed.connect(self._show_busy)

    @property
    def busy(self) -> bool:
        """Whether the engine looks at the boxes."""
        return self._jobs.busy

    def _ask(self, boxes: BoxLayer, order: str) -> None:
        """Have the engine look at the boxes of which it is not known yet how they look."""
        self._jobs.abandon()
        self._examples = self._selected_ids()
        if order == ALIKE and not self._examples:
            say(self.status, "Select one or more boxes; then those that look like them come first.")
            self._fall_back()
            return
        rows = self.filter.wanted(self._here(boxes)).rows(boxes.table)
        examples = (boxes.get(key) for key in self._examples)
        planes = rows.used_planes() | {box.plane for box in examples if box is not None}
        try:
            question = self._described.question(boxes, self._viewer.layers, planes)
        except UserError as error:
            say(self.status, escape(str(error)))
            self._fall_back()
            return
        if not question.planes:
            self._put_by_look(boxes)
            return
        self._question, self._stopped = question, False
        device = str(preference("engine", "device", "auto"))
        count = sum(map(len, question.boxes))
        say(self.status, f"Looking at {number(count, 'box', 'boxes')} ...")
        self._jobs.start(
            lambda on_event: shared_engine().describe(
                question.planes, question.keys, question.boxes, MODEL, device=device, on_event=on_event
            )
        )

    def _put_by_look(self, boxes: BoxLayer) -> None:
        examples, alike = self._examples, self.filter.order.currentText() == ALIKE

        def ordering(rows: BoxRows) -> NDArray[np.int64]:
            # An example that the filter leaves out is one nevertheless.
            ids = np.concatenate([rows.ids, np.setdiff1d(examples, rows.ids).astype(np.int64)])
            known, features = self._described.features(ids)
            distance = np.full(len(ids), np.inf)
            there = np.flatnonzero(np.isin(ids[known], examples)).tolist()
            if alike and there:
                distance[known] = unlikeness(features, there)
            elif not alike:
                distance[known] = -strangeness(features)
            return np.lexsort((ids[: len(rows)], distance[: len(rows)]))

        self._put(boxes, ordering)
        self.view.scrollToTop()
        what = f"like {number(len(examples), 'selected box', 'selected boxes')}" if alike else "unlike most"
        say(self.status, f"Those {what} come first.")

    def sort_by_likeness(self) -> None:
        """Put those first that look like the selected ones."""
        self.filter.set_order(ALIKE)
        self.refresh()

    def cancel(self) -> None:
        """Stop looking; the order stays as it is."""
        if self.busy:
            self._stopped = True
            self.cancel_button.setEnabled(False)
            self.progress.stopping()
            self._jobs.cancel()

    def _show_busy(self, busy: bool) -> None:
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
        if busy:
            self.progress.begin()
        else:
            self.progress.hide()

    def _on_news(self, news: dict[str, Any]) -> None:
        if news.get("event") == "progress":
            self.progress.update_to(news["done"], news["total"])
        elif news.get("event") in ("queued", "starting"):
            say(self.status, escape(str(news["text"])))

    def _on_described(self, answer: Any) -> None:
        boxes, question = self._boxes, self._question
        if self._stopped:
            # The answer was on its way already.
            self._on_cancelled()
        elif boxes is not None and boxes.alive and question is not None:
            self._described.learn(question, answer)
            self._put_by_look(boxes)

    def _on_failed(self, text: str) -> None:
        self._fall_back()
        say(self.status, escape(text))

    def _fall_back(self) -> None:
        """Put the boxes into the order before, or, if that needs a look, into one that needs none."""
        self.filter.set_order(SURE_FIRST if self._order in (ALIKE, STRANGE) else self._order)
        self.refresh()

    def _on_cancelled(self) -> None:
        self.filter.set_order(self._order)
        say(self.status, "Cancelled; the order is as it was.")
