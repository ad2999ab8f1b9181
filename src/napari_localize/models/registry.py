"""The models that there are: bundled ones and those in the user's model store."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path
from pydantic import ValidationError

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.models.card import BUNDLED, ModelCard, copy_with_card, first_problem, read_card

SUFFIX = ".safetensors"
BUNDLED_ORDER = ("generalist", "nuclei", "blood")
STORE_VARIABLE = "NAPARI_LOCALIZE_MODELS"
"""Environment variable that moves the user's model store."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be used by name."""

    name: str
    version: int
    path: Path
    bundled: bool
    card: ModelCard

    @property
    def reference(self) -> str:
        """The model's name and version: ``name@version``."""
        return f"{self.name}@{self.version}"


def store_folder() -> Path:
    """Folder of the user's models; it need not exist yet."""
    moved = os.environ.get(STORE_VARIABLE)
    return Path(moved) if moved else user_data_path("napari-localize", appauthor=False) / "models"


def list_models() -> list[ModelEntry]:
    """All models with a readable card: bundled first, then the user's by name, oldest version first."""
    return _entries(BUNDLED, bundled=True) + _entries(store_folder(), bundled=False)


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Find a model's file.

    Parameters
    ----------
    name_or_path : str or path
        A bundled name, a name in the user's store (``mine``: its newest version, or ``mine@3``) or a file.

    Raises
    ------
    UserError
        When there is no such model; the message names those that there are.
    """
    text = os.fspath(name_or_path)
    if text.endswith(SUFFIX) or os.sep in text or "/" in text:
        if not os.path.isfile(text):
            raise UserError(f"there is no model file {text}; give a name from napari-localize models list or a file.")
        return Path(text)
    if Path(text).suffix in (".pt", ".pth", ".ckpt", ".pkl"):
        raise UserError(f"{text} may be a pickled checkpoint, which can run code; only .safetensors are opened.")
    files = _files(BUNDLED) + _files(store_folder())
    # A damaged file is found as well, so that whoever reads it says what is wrong.
    found = [file for file in files if file.is_called(text)]
    if not found:
        names = ", ".join(dict.fromkeys(entry.name for entry in list_models())) or "none"
        raise UserError(f"there is no model {text!r}; there are: {names}.")
    return found[-1].path


def import_model(path: str | os.PathLike[str], name: str | None = None) -> ModelEntry:
    """Copy a model file into the user's store, as the next version of its name.

    Raises
    ------
    UserError
        When the file is not a model, or the name is a bundled model's.
    """
    card = read_card(path)
    return _store(Path(path), name or card.name, card)


def keep_model(path: str | os.PathLike[str], name: str) -> ModelEntry:
    """Move a newly trained model into the user's store, as the next version of `name`."""
    entry = _store(Path(path), name, read_card(path))
    with suppress(OSError):
        Path(path).unlink()
    return entry


def export_model(name: str, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Copy a model to a file outside the store."""
    source = find_model(name)
    with atomic_path(path, overwrite=overwrite) as temporary:
        if source.parent == BUNDLED:
            # Its card is more than what its file holds.
            copy_with_card(source, temporary, read_card(source))
        else:
            shutil.copyfile(source, temporary)


def remove_model(name: str) -> list[Path]:
    """Delete a model of the user's store: one version (``mine@3``), or all of a name. Return the files' paths.

    Raises
    ------
    UserError
        When there is no such model, or it is a bundled one, or the store cannot be written.
    """
    chosen = [file.path for file in _files(store_folder()) if file.is_called(name)]
    if not chosen and any(file.is_called(name) for file in _files(BUNDLED)):
        raise UserError(f"{name!r} is a bundled model; it cannot be removed.")
    if not chosen:
        raise UserError(f"there is no model {name!r} in {store_folder()}.")
    for path in chosen:
        try:
            path.unlink()
        except OSError as error:
            raise UserError(f"cannot remove {path}: {error.strerror}; remove it by hand.") from error
    return chosen


@dataclass(frozen=True)
class _File:
    """A file whose name is that of a model; bundled ones have their version in the card only."""

    name: str
    version: int | None
    path: Path

    def is_called(self, text: str) -> bool:
        """Whether a name, or a name and a version, means this file."""
        name, _, version = text.partition("@")
        if name != self.name or not version:
            return name == self.name
        return version == str(self.version if self.version is not None else read_card(self.path).version)


def _files(folder: Path) -> list[_File]:
    """Files in a folder by name, oldest version first."""
    files = []
    for path in folder.glob(f"*{SUFFIX}") if folder.is_dir() else ():
        if match := re.fullmatch(r"([^@]+)(?:@([0-9]+))?", path.stem):
            files.append(_File(match[1], int(match[2]) if match[2] else None, path))
    return sorted(files, key=lambda file: (file.name, file.version or 0))


def _entries(folder: Path, *, bundled: bool) -> list[ModelEntry]:
    entries = []
    for file in _files(folder):
        # A damaged file must not hide the others; using it by name says what is wrong.
        with suppress(UserError):
            card = read_card(file.path)
            entries.append(ModelEntry(file.name, file.version or card.version, file.path, bundled, card))
    rank = {name: index for index, name in enumerate(BUNDLED_ORDER)}
    return sorted(entries, key=lambda entry: rank.get(entry.name, len(rank)))


def _store(source: Path, name: str, card: ModelCard) -> ModelEntry:
    try:
        ModelCard.model_validate({**card.model_dump(), "name": name})
    except ValidationError as error:
        raise UserError(f"{name!r} cannot be a model's name: {first_problem(error)}.") from error
    if any(file.name == name for file in _files(BUNDLED)):
        raise UserError(f"{name!r} is the name of a bundled model; choose another one.")
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the model store {folder}: {error.strerror}.") from error
    version = max((file.version or 0 for file in _files(folder) if file.name == name), default=0) + 1
    target = folder / f"{name}@{version}{SUFFIX}"
    renamed = card.model_copy(update={"name": name, "version": version})
    with atomic_path(target) as temporary:
        copy_with_card(source, temporary, renamed)
    return ModelEntry(name, version, target, bundled=False, card=renamed)
