"""Annotation projects: images, boxes and every edit in one folder that survives what may happen."""

from __future__ import annotations

from napari_localize.project.autosave import Recoverable, autosave_project, recoverable
from napari_localize.project.image import LoadedImage, ProjectImage
from napari_localize.project.listing import ProjectPlane
from napari_localize.project.project import Project, open_project

__all__ = [
    "LoadedImage",
    "Project",
    "ProjectImage",
    "ProjectPlane",
    "Recoverable",
    "autosave_project",
    "open_project",
    "recoverable",
]
