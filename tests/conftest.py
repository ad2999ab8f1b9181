from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _leave_the_user_alone(tmp_path_factory):
    """Neither the models nor the choices of whoever runs the tests are read or changed.

    One store for all tests, as the engine that they share would not notice another one.
    """
    from qtpy.QtCore import QSettings

    from napari_localize.models.registry import STORE_VARIABLE

    home = tmp_path_factory.mktemp("user")
    before = os.environ.get(STORE_VARIABLE)
    os.environ[STORE_VARIABLE] = str(home / "models")
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(home))
    yield
    if before is None:
        del os.environ[STORE_VARIABLE]
    else:
        os.environ[STORE_VARIABLE] = before
