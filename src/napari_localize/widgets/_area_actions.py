"""What a dock does with areas: has them drawn, and takes them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_localize.core.steps import Area
from napari_localize.plugin.areas import AreaPen, area_at
from napari_localize.widgets._areas import described
from napari_localize.widgets._parts import say

if TYPE_CHECKING:
    from qtpy.QtWidgets import QLabel

    from napari_localize.plugin.boxes import BoxLayer


class AreaActions:
    """The part of a dock that works on what is finished or to be ignored of the plane in view."""

    status: QLabel
    _boxes: BoxLayer | None
    _pen: AreaPen
    _viewer: Any

    def finish_area(self) -> None:
        """Have a rectangle drawn in which everything is right."""
        self._draw_area("reviewed")

    def ignore_area(self) -> None:
        """Have a rectangle drawn that is of no concern."""
        self._draw_area("ignored")

    def _draw_area(self, kind: Any) -> None:
        boxes = self._boxes
        if boxes is None:
            return
        if self._pen.kind == kind:
            self._pen.stop()
        elif kind == "reviewed" and self._here(boxes) in boxes.finished:
            say(self.status, "This plane is finished as a whole; take it back into work first.")
        else:
            self._pen.start(boxes, kind)
            what = "is finished" if kind == "reviewed" else "is to be ignored"
            say(self.status, f"Drag a rectangle over what {what}. Leave with Esc.")
        self._refresh()

    def take_back_area(self) -> None:
        """Take back the area under the mouse pointer."""
        boxes = self._boxes
        if boxes is None:
            return
        y, x = boxes.layer.world_to_data(self._viewer.cursor.position)[-2:]
        area = area_at(boxes, self._here(boxes), float(x) + 0.5, float(y) + 0.5)
        if area is None:
            say(self.status, "There is no area under the mouse pointer.")
        else:
            self._take_back(area)

    def _take_back(self, area: Area) -> None:
        if self._boxes is not None:
            self._boxes.remove_area(area)
            say(self.status, f"Taken back: {described(area)}. Its boxes stay as they are.")
