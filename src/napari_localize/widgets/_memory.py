"""What the docks remember from one session to the next."""

from __future__ import annotations

import json
from typing import Any

from qtpy.QtCore import QSettings

PLUGIN = "napari-localize"

_MOST_HOMES = 50


def remembered(key: str, default: str) -> str:
    """Return what was chosen last, or the default."""
    return str(_store().value(key, default))


def remembered_number(key: str, default: float) -> float:
    """Return the number that was chosen last, or the default."""
    try:
        return float(_store().value(key, default))
    except (TypeError, ValueError):
        return default


def remember(key: str, value: str | float) -> None:
    """Keep a choice for the next session."""
    _store().setValue(key, value)


def remembered_for(key: str, home: str) -> Any:
    """Return what was chosen for the data in a folder, or None."""
    return _by_home(key).get(home)


def remember_for(key: str, home: str, value: Any) -> None:
    """Keep a choice for the data in a folder; those that were made longest ago are forgotten.

    Without a folder nothing tells the data from others, and nothing is kept.
    """
    if not home:
        return
    chosen = _by_home(key)
    chosen.pop(home, None)
    chosen[home] = value
    remember(key, json.dumps(dict(list(chosen.items())[-_MOST_HOMES:])))


def _by_home(key: str) -> dict[str, Any]:
    try:
        found = json.loads(remembered(key, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def preference(section: str, name: str, default: Any) -> Any:
    """Return one of the plugin's preferences; the default where this napari has none (before 0.9)."""
    try:
        from napari.settings import get_plugin_settings

        return getattr(getattr(get_plugin_settings(PLUGIN), section), name)
    except (ImportError, KeyError, AttributeError):
        return default


def idle_seconds() -> float:
    """Return after how long without work the engine is stopped; to be asked by the thread of the window."""
    return 60.0 * float(preference("engine", "idle_minutes", 10))


def _store() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, PLUGIN, "docks")
