"""What the gallery does to boxes: judges them and gives them classes. Each is one step."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.widgets._parts import number, say

if TYPE_CHECKING:
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QLabel

    from napari_localize.plugin.boxes import BoxLayer
    from napari_localize.widgets._gallery_filter import GalleryFilter
    from napari_localize.widgets._gallery_model import GalleryModel
    from napari_localize.widgets._gallery_view import GalleryView


class GalleryActions:
    """The part of the gallery that judges boxes."""

    filter: GalleryFilter
    model: GalleryModel
    status: QLabel
    view: GalleryView
    _acting: bool
    _boxes: BoxLayer | None
    _push_soon: QTimer
    _hide_judged: Any
    _select_ids: Any
    _selected_ids: Any
    _show_state: Any

    # Judging: each is one step

    def accept(self) -> None:
        """Accept the selected boxes and go to the next."""
        if self._boxes is not None:
            self._judge("Accepted", self._boxes.accept)

    def reject(self) -> None:
        """Reject the selected boxes and go to the next."""
        if self._boxes is not None:
            self._judge("Rejected", self._boxes.reject)

    def _judge(self, word: str, action: Any) -> None:
        rows = self.view.selected_rows()
        if not rows:
            say(self.status, "Select boxes first: click one, drag around several, or use the arrow keys.")
            return
        ids = [self.model.key(at) for at in rows]
        unjudged = ~self.model.judged()
        unjudged[rows] = False
        after = np.flatnonzero(unjudged)
        # The next below; at the end those that were passed over.
        later = after[after > rows[-1]]
        following = later[0] if len(later) else after[0] if len(after) else None
        key = None if following is None else self.model.key(int(following))
        self._act(action, ids)
        self.model.saw(ids)
        if key is not None:
            self._select_ids([key], key)
        if self.filter.hide_judged.isChecked():
            self._hide_judged()
        self._push_soon.start()
        say(self.status, f"{word} {number(len(ids), 'box', 'boxes')}.")
        self._show_state()

    def accept_all(self) -> None:
        """Accept all guesses in the gallery."""
        self._judge_guesses("accept", self.model.guesses())

    def reject_all(self) -> None:
        """Reject all guesses in the gallery."""
        self._judge_guesses("reject", self.model.guesses())

    def accept_to_here(self) -> None:
        """Accept all guesses down to the current one."""
        guesses, at = self.model.guesses(), self.view.current_row
        guesses[at + 1 :] = False
        self._judge_guesses("accept", guesses)

    def _judge_guesses(self, verb: str, which: NDArray[np.bool_]) -> None:
        boxes, ids = self._boxes, self.model.ids[which].tolist()
        if boxes is None or not ids:
            say(self.status, "There are no guesses here to judge.")
            return
        self._act(boxes.accept if verb == "accept" else boxes.reject, ids)
        say(self.status, f"{verb.capitalize()}ed {number(len(ids), 'guess', 'guesses')}; one Undo takes it back.")

    def _act(self, action: Any, ids: list[int]) -> None:
        self._acting = True
        try:
            action(ids)
        finally:
            self._acting = False
        self._show_state()

    def _give_class(self, name: str) -> None:
        boxes, ids = self._boxes, self._selected_ids()
        if boxes is None or not ids:
            say(self.status, "Select boxes first: click one, drag around several, or use the arrow keys.")
            return
        self._act(lambda chosen: boxes.set_class(chosen, name), ids)
        say(self.status, f"{number(len(ids), 'box is', 'boxes are')} {escape(name)} now.")

    def _class_picked(self, action: Any) -> None:
        self._give_class(str(action.data()))

    def _class_key(self, digit: int) -> None:
        names = [] if self._boxes is None else list(self._boxes.classes)
        if digit <= len(names):
            self._give_class(names[digit - 1])

    def undo(self) -> None:
        """Take the last step back."""
        if self._boxes is not None:
            self._boxes.undo()

    def redo(self) -> None:
        """Take the step again that was taken back."""
        if self._boxes is not None:
            self._boxes.redo()
