"""A timer, and a way to the main thread, for code that also runs where there is no window."""

from __future__ import annotations

import sys
import threading
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


def on_main_thread(action: Callable[[], None]) -> None:
    """Call a function that touches layers: at once on the main thread, or there when its event loop comes round.

    Without a Qt application there is no such loop, nor a window that another thread could disturb.
    """
    if threading.current_thread() is threading.main_thread() or "qtpy" not in sys.modules:
        action()
        return
    from qtpy.QtCore import QCoreApplication
    from superqt.utils import ensure_main_thread

    if QCoreApplication.instance() is None:
        action()
    else:
        ensure_main_thread(action)()
