"""What holds for every dock."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QShortcut, QWidget

from napari_localize.plugin.areas import tints_of
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.window import windows_of
from napari_localize.widgets.count import CountWidget
from napari_localize.widgets.evaluate import EvaluateWidget
from napari_localize.widgets.gallery import GalleryWidget
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.models import ModelsWidget
from napari_localize.widgets.retrain import RetrainWidget
from napari_localize.widgets.review import ReviewWidget

KEYED = [LocalizeWidget, ReviewWidget, RetrainWidget, ModelsWidget, CountWidget, EvaluateWidget]
"""Docks with keys that Qt knows."""

DOCKS = [*KEYED, GalleryWidget]


def test_no_dock_imports_torch():
    code = """
import sys
import napari
from napari_localize.widgets.loop import LoopWidget
viewer = napari.Viewer(show=False)
viewer.window.add_dock_widget(LoopWidget(viewer))
assert not {"torch", "torchvision", "timm", "matplotlib.pyplot"} & set(sys.modules)
viewer.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", DOCKS)
def test_every_control_has_a_tooltip(dock, kind):
    widget = dock(kind)
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit)
    controls = [child for child in widget.findChildren(QWidget) if isinstance(child, kinds)]
    own = [control for control in controls if not control.objectName().startswith("qt_") and not _inside(control)]
    assert own
    assert [control for control in own if not control.toolTip()] == []


def _inside(control):
    """Whether a control is a part of another one, or a scroll bar."""
    parent = control.parent()
    return isinstance(parent, QAbstractSpinBox | QComboBox | QLineEdit) or "ScrollBar" in type(control).__name__


def test_keys_are_shown_and_collide_neither_with_each_other_nor_with_napari(dock):
    from napari.utils.shortcuts import default_shortcuts

    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    every: list[str] = []
    for kind in KEYED:
        shortcuts = dock(kind).findChildren(QShortcut)
        keys = [shortcut.key().toString() for shortcut in shortcuts]
        assert keys
        assert max(Counter(keys).values()) == 1
        assert not taken & set(keys)
        in_the_window = Qt.ShortcutContext.WindowShortcut
        every += [key for key, one in zip(keys, shortcuts, strict=True) if one.context() == in_the_window]
    # Stepping through findings is the same in the docks that list some.
    assert {key for key, number in Counter(every).items() if number > 1} <= {
        "Alt+Shift+N",
        "Alt+Shift+B",
        "Alt+Shift+X",
    }


@pytest.mark.parametrize("kind", DOCKS)
def test_a_dock_fits_into_320_pixels_and_scrolls(dock, kind):
    widget = dock(kind)
    assert widget.widget().minimumSizeHint().width() <= 320


@pytest.mark.parametrize("kind", DOCKS)
def test_a_dock_that_is_closed_listens_to_nothing(dock, viewer, kind, squares):
    # Boxes are kept on disk, follow the view and have their areas as long as the viewer is there.
    windows_of(viewer), keeper_of(viewer), tints_of(viewer)
    before = _listeners(viewer)
    widget = dock(kind)
    assert _listeners(viewer) > before
    viewer.window.remove_dock_widget(widget)
    assert _listeners(viewer) == before
    viewer.add_image(squares)


def _listeners(viewer):
    groups = [viewer.layers.events, viewer.layers.selection.events, viewer.dims.events, viewer.events]
    return sum(len(emitter.callbacks) for group in groups for emitter in group.emitters.values())
