"""Which part of an image a model looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QGridLayout, QLabel, QRadioButton, QVBoxLayout, QWidget

from napari_localize.core.errors import UserError
from napari_localize.plugin.layers import Plane, box_index, image_planes, view_index
from napari_localize.plugin.regions import Region, shape_region, view_region
from napari_localize.widgets._parts import hint, row, say, titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_localize.project import Project

REGION_LAYER = "Region"
AGAIN = "again where it has run"


class ScopePicker(QWidget):
    """One plane, all planes, the current view, a drawn rectangle, or all images of the project."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._planes = 1
        self._group = QButtonGroup(self)
        self.plane = self._choice("This plane", "Look at the whole of the plane that is in view.")
        self.all = self._choice("All planes", "Look at every plane of the stack, movie or volume.")
        self.view = self._choice("Current view", "Look only at what the canvas shows now; zoom in for a quick try.")
        self.rectangle = self._choice(
            "Rectangle",
            "Look only inside a rectangle: the selected one of any Shapes layer, or one drawn in the layer 'Region'.",
        )
        self.project = self._choice("Whole project", "")
        self.again = QCheckBox(AGAIN)
        self.again.setToolTip(
            "Also look at images on which this model has run with the same settings; else a run goes on where it was stopped."
        )
        self.again.hide()
        self.plane.setChecked(True)
        self.set_project(None)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        for place, choice in enumerate((self.plane, self.all, self.view, self.rectangle, self.project)):
            grid.addWidget(choice, place // 2, place % 2)
        grid.addWidget(self.again, 3, 0, 1, 2)
        self.hint: QLabel = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(titled("Where"), grid, stretch=1))
        column.addWidget(self.hint)
        self.rectangle.clicked.connect(self._offer_rectangle)
        self._group.buttonToggled.connect(self._toggled)

    def set_planes(self, number: int) -> None:
        """Say how many planes the image has."""
        self._planes = number
        self.all.setText(f"All {number} planes" if number > 1 else "All planes")
        self.all.setEnabled(number > 1)
        if number < 2 and self.all.isChecked():
            self.plane.setChecked(True)

    def set_project(self, project: Project | None) -> None:
        """Say which project is open."""
        usable = project is not None and project.read_only_reason is None
        self.project.setEnabled(usable)
        if not usable and self.project.isChecked():
            self.plane.setChecked(True)
        what = "of the project" if project is None else f"of {project.path.name}"
        why = "" if usable else " Open one in the Project dock first."
        if project is not None and not usable:
            why = f" Not now: {project.read_only_reason}"
        self.project.setToolTip(
            f"Look at all planes of all images {what}, open or not; each is stored when it is done.{why}"
        )

    def resolve(self, image: Image, channel_axis: int | None) -> tuple[list[Plane], list[Region | None]]:
        """Return the planes to look at, and of each the part.

        Raises
        ------
        UserError
            When the image cannot be used, the view shows nothing of it, or there is no rectangle.
        """
        planes = image_planes(image, channel_axis)
        if self.all.isChecked():
            return planes, [None] * len(planes)
        region: Region | None = None
        if self.view.isChecked():
            region = view_region(self._viewer, image)
        elif self.rectangle.isChecked():
            region = self._drawn(image)
        return [plane_in_view(self._viewer, image, planes, channel_axis)], [region]

    def _drawn(self, image: Image) -> Region:
        found = self._rectangle()
        if found is None:
            self._offer_rectangle()
            raise UserError("There is no rectangle yet; draw one on the image, then run again.")
        return shape_region(*found, image)

    def _rectangle(self) -> tuple[Shapes, int] | None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Shapes) and len(active.selected_data) == 1:
            return active, next(iter(active.selected_data))
        for layer in self._viewer.layers:
            if layer.name == REGION_LAYER and isinstance(layer, Shapes) and layer.nshapes:
                return layer, layer.nshapes - 1
        return None

    def _offer_rectangle(self) -> None:
        if self._rectangle() is not None:
            return
        layer = next(
            (each for each in self._viewer.layers if each.name == REGION_LAYER and isinstance(each, Shapes)), None
        )
        if layer is None:
            layer = self._viewer.add_shapes(
                ndim=2, name=REGION_LAYER, edge_color="#F0E442", face_color="transparent", edge_width=2
            )
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        say(self.hint, "Draw a rectangle on the image, then press Run.")

    def _toggled(self) -> None:
        if not self.rectangle.isChecked():
            say(self.hint, "")
        self.again.setVisible(self.project.isChecked())
        self.changed.emit()

    def _choice(self, text: str, tooltip: str) -> QRadioButton:
        choice = QRadioButton(text)
        choice.setToolTip(tooltip)
        self._group.addButton(choice)
        return choice


def plane_in_view(viewer: Any, image: Image, planes: Sequence[Plane], channel_axis: int | None) -> Plane:
    """Return the plane of an image that the viewer shows."""
    index = box_index(view_index(image, viewer.dims.point), channel_axis)
    for plane in planes:
        if plane.index == index:
            return plane
    raise UserError(f"the viewer shows no plane of {image.name!r}; move its sliders back onto the image.")


def count_planes(image: Image | None, channel_axis: int | None) -> int:
    """Return how many planes an image has, without its channels; 1 for none."""
    if image is None:
        return 1
    data = image.data[0] if image.multiscale else image.data
    leading = data.shape[: -3 if image.rgb else -2]
    number = 1
    for axis, size in enumerate(leading):
        number *= 1 if axis == channel_axis else int(size)
    return number
