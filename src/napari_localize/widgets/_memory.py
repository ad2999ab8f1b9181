"""What the docks remember from one session to the next."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSettings

PLUGIN = "napari-localize"


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


def preference(section: str, name: str, default: Any) -> Any:
    """Return one of the plugin's preferences; the default where this napari has none (before 0.9)."""
    try:
        from napari.settings import get_plugin_settings

        return getattr(getattr(get_plugin_settings(PLUGIN), section), name)
    except (ImportError, KeyError, AttributeError):
        return default


def _store() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, PLUGIN, "docks")
