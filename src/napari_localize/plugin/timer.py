"""A timer for code that also runs where there is no window."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any


def single_shot(action: Callable[[], None]) -> Any:
    """Return a timer that runs a bound method once after each start, or None without a Qt application.

    The timer does not keep the object of the method alive.
    """
    if "qtpy" not in sys.modules:
        return None
    from qtpy.QtCore import QCoreApplication, QTimer

    if QCoreApplication.instance() is None:
        return None
    method = weakref.WeakMethod(action)

    def run() -> None:
        bound = method()
        if bound is not None:
            bound()

    timer = QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(run)
    return timer
