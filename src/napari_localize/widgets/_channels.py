"""Which channels of an image a model looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_localize.plugin.layers import axis_names
from napari_localize.widgets._parts import combo, row, titled

if TYPE_CHECKING:
    from napari.layers import Image

_COLOURS = ("red", "green", "blue")


class ChannelPicker(QWidget):
    """The axis that holds the channels, and the one channel to look at or all of them."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._image: Image | None = None
        self.axis_choice = combo("The axis of the image that holds its channels; the model sees them together.")
        self.channel_choice = combo("All channels, mixed as the model was trained to, or only one of them.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(titled("Axis", self.axis_choice.toolTip()), self.axis_choice, stretch=1))
        column.addLayout(row(titled("Channel", self.channel_choice.toolTip()), self.channel_choice, stretch=1))
        self.axis_choice.currentIndexChanged.connect(self._list_channels)
        self.axis_choice.currentIndexChanged.connect(self.changed)
        self.set_image(None)

    @property
    def axis(self) -> int | None:
        """The channel axis; None in a colour image, whose channels come last, and without channels."""
        axis = self.axis_choice.currentData()
        return None if axis is None else int(axis)

    @property
    def channel(self) -> int | None:
        """The only channel to look at, or None for all."""
        channel = self.channel_choice.currentData()
        return None if channel is None else int(channel)

    @property
    def count(self) -> int:
        """How many channels there are."""
        return max(self.channel_choice.count() - 1, 1)

    def set_image(self, image: Image | None) -> None:
        """List the axes of an image and guess which one holds the channels."""
        if image is self._image and image is not None:
            return
        self._image = image
        with QSignalBlocker(self.axis_choice):
            self.axis_choice.clear()
            self.axis_choice.addItem("colours" if image is not None and image.rgb else "no channels", None)
            shape = _leading_shape(image)
            if image is not None and not image.rgb:
                for axis, (name, size) in enumerate(zip(axis_names(image, len(shape)), shape, strict=True)):
                    self.axis_choice.addItem(f"{name}: {size} channels", axis)
                self.axis_choice.setCurrentIndex(_guess(image, len(shape)) + 1)
        self.axis_choice.setEnabled(self.axis_choice.count() > 1)
        self._list_channels()

    def _list_channels(self) -> None:
        self.channel_choice.clear()
        self.channel_choice.addItem("all", None)
        names: list[str] = []
        if self._image is not None and self._image.rgb:
            names = list(_COLOURS)
        elif self.axis is not None:
            names = [str(number) for number in range(_leading_shape(self._image)[self.axis])]
        for number, name in enumerate(names):
            self.channel_choice.addItem(name, number)
        self.channel_choice.setEnabled(len(names) > 1)


def _leading_shape(image: Image | None) -> tuple[int, ...]:
    if image is None:
        return ()
    data = image.data[0] if image.multiscale else image.data
    return tuple(int(n) for n in data.shape[: -3 if image.rgb else -2])


def _guess(image: Image, leading: int) -> int:
    labels = [str(label).lower() for label in getattr(image, "axis_labels", ())][:leading]
    return next((axis for axis, label in enumerate(labels) if label in ("c", "ch", "channel", "channels")), -1)
