from __future__ import annotations

import shutil
import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def _leave_the_user_alone(tmp_path_factory):
    """Neither the models nor the boxes nor the choices of whoever runs the tests are read or changed.

    One store for all tests, as the engine that they share would not notice another one.
    """
    from qtpy.QtCore import QSettings

    from napari_localize.models.registry import STORE_VARIABLE
    from napari_localize.project.folder import DATA_VARIABLE

    home = tmp_path_factory.mktemp("user")
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(home))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, str(home / "models"))
        patch.setenv(DATA_VARIABLE, str(home / "data"))
        yield


@pytest.fixture(autouse=True)
def _let_go_of_projects():
    """What a viewer of a test has kept on disk is closed with it, and not offered to the next one."""
    yield
    keeping = sys.modules.get("napari_localize.plugin.keeping")
    if keeping is not None:
        keeping.close_keepers()
        from napari_localize.project.folder import autosave_folder

        shutil.rmtree(autosave_folder(), ignore_errors=True)
