"""The file dialogs of the project dock, which remember the folder that was used last."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_localize.formats.registry import FORMATS
from napari_localize.formats.sources import SUFFIXES
from napari_localize.project.folder import SUFFIX
from napari_localize.widgets._memory import remember, remembered

_FOLDER = "project_folder"


def last_folder() -> Path:
    """Return the folder that was used last, where it is still there."""
    folder = Path(remembered(_FOLDER, str(Path.home())))
    return folder if folder.is_dir() else Path.home()


def _remember(path: Path) -> Path:
    remember(_FOLDER, str(path.parent))
    return path


def ask_new_project(parent: QWidget, title: str) -> Path | None:
    """Ask for the name of a project that is to be made."""
    start = str(last_folder() / f"annotations{SUFFIX}")
    # A project is a folder, which Qt would not ask about; one that exists is refused with a sentence.
    name, _ = QFileDialog.getSaveFileName(
        parent, title, start, f"Project (*{SUFFIX})", options=QFileDialog.Option.DontConfirmOverwrite
    )
    return _remember(Path(name)) if name else None


def ask_project(parent: QWidget) -> Path | None:
    """Ask for the folder of a project."""
    name = QFileDialog.getExistingDirectory(parent, f"Open project: choose a folder NAME{SUFFIX}", str(last_folder()))
    return _remember(Path(name)) if name else None


def ask_folder(parent: QWidget, title: str) -> Path | None:
    """Ask for a folder of images."""
    name = QFileDialog.getExistingDirectory(parent, title, str(last_folder()))
    return _remember(Path(name)) if name else None


def ask_images(parent: QWidget) -> list[Path]:
    """Ask for image files."""
    kinds = " ".join(f"*{suffix}" for suffix in SUFFIXES)
    names, _ = QFileDialog.getOpenFileNames(parent, "Add images", str(last_folder()), f"Images ({kinds});;All (*)")
    return [_remember(Path(name)) for name in names]


def ask_image(parent: QWidget, name: str) -> Path | None:
    """Ask for the file that an image is in now."""
    found, _ = QFileDialog.getOpenFileName(parent, f"Where is {name} now?", str(last_folder()))
    return _remember(Path(found)) if found else None


def ask_annotations(parent: QWidget, title: str = "Import annotations") -> Path | None:
    """Ask for an annotation file of any format."""
    kinds = " ".join(sorted({f"*{suffix}" for each in FORMATS.values() for suffix in each.extensions}))
    kinds = f"Annotations ({kinds} *.yaml *.txt);;All (*)"
    name, _ = QFileDialog.getOpenFileName(parent, title, str(last_folder()), kinds)
    return _remember(Path(name)) if name else None


def ask_export(parent: QWidget) -> tuple[Path, str] | None:
    """Ask where annotations go, and return it with the name of the format.

    The extension tells the format; where it tells none, what was chosen in the dialogue does.
    """
    kinds = {}
    for each in FORMATS.values():
        if each.write is not None:
            shown = " ".join(f"*{suffix}" for suffix in each.extensions) or "*"
            kinds[f"{each.title} ({shown})"] = each
    start = str(last_folder() / "boxes.json")
    name, chosen = QFileDialog.getSaveFileName(parent, "Export annotations", start, ";;".join(kinds))
    if not name:
        return None
    path = _remember(Path(name))
    wanted = kinds.get(chosen) or next(iter(kinds.values()))
    suffix = path.suffix.lower()
    if wanted.extensions and suffix not in wanted.extensions:
        wanted = next((each for each in kinds.values() if suffix in each.extensions), wanted)
        if suffix not in wanted.extensions and not wanted.sniff_folder:
            path = path.with_name(path.name + wanted.extensions[0])
    return path, wanted.name
