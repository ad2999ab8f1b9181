"""What a dock does while its boxes are gone through by the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_localize.widgets._class_actions import ClassActions

if TYPE_CHECKING:
    from napari_localize.plugin.boxes import BoxLayer
    from napari_localize.widgets._judge import StateBar
    from napari_localize.widgets._queue import QueueBar


class QueueActions(ClassActions):
    """The part of a dock that goes on to the next box when one is judged."""

    queue: QueueBar
    states: StateBar
    _boxes: BoxLayer | None
    _queued: int | None
    _guess: Any
    _selected: Any

    def next_guess(self) -> None:
        """Go to the next box of the queue, or to the guess with the next lowest score."""
        if self.queue.on:
            self.queue.next()
        else:
            self._guess(1)

    def previous_guess(self) -> None:
        """Go back to the box, or the guess, before."""
        if self.queue.on:
            self.queue.back()
        else:
            self._guess(-1)

    def _go_on(self, ids: list[int]) -> None:
        """Show the next box, when the one that was shown is judged."""
        if self.queue.current is not None:
            if ids == [self.queue.current]:
                self.queue.judged()
        elif ids == [self._queued]:
            self.next_guess()

    def _give_class(self, name: str) -> None:
        boxes = self._boxes
        if boxes is None:
            return
        ids = self._selected(boxes)
        super()._give_class(name)
        if ids and ids == [self.queue.current]:
            # Of a guess that has the class already it says that it is right.
            boxes.accept([key for key in ids if (box := boxes.get(key)) is not None and box.state == "proposed"])
            self.queue.judged()

    def _states_unhidden(self) -> None:
        if self._boxes is not None:
            self.states.set_shown(self._boxes.shown_states)
