"""The models that there are: bundled ones and those in the user's model store."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path
from pydantic import ValidationError

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.models.card import ModelCard, copy_with_card, read_card

BUNDLED = Path(__file__).with_name("weights")
SUFFIX = ".safetensors"
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
        if not Path(text).is_file():
            raise UserError(f"there is no model file {text}; give a name from napari-localize models list or a file.")
        return Path(text)
    if Path(text).suffix in (".pt", ".pth", ".ckpt", ".pkl"):
        raise UserError(f"{text} may be a pickled checkpoint, which can run code; only .safetensors are opened.")
    name, _, version = text.partition("@")
    entries = [entry for entry in list_models() if entry.name == name]
    if version:
        entries = [entry for entry in entries if str(entry.version) == version]
    if not entries:
        names = ", ".join(dict.fromkeys(entry.name for entry in list_models())) or "none"
        raise UserError(f"there is no model {text!r}; there are: {names}.")
    return entries[-1].path


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
    Path(path).unlink(missing_ok=True)
    return entry


def export_model(name: str, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Copy a model to a file outside the store."""
    source = find_model(name)
    with atomic_path(path, overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)


def remove_model(name: str) -> list[ModelEntry]:
    """Delete a model of the user's store: one version (``mine@3``), or all of a name.

    Raises
    ------
    UserError
        When there is no such model, or it is a bundled one.
    """
    plain, _, version = name.partition("@")
    if any(entry.name == plain for entry in _entries(BUNDLED, bundled=True)):
        raise UserError(f"{plain!r} is a bundled model; it cannot be removed.")
    chosen = [
        entry
        for entry in _entries(store_folder(), bundled=False)
        if entry.name == plain and (not version or str(entry.version) == version)
    ]
    if not chosen:
        raise UserError(f"there is no model {name!r} in {store_folder()}.")
    for entry in chosen:
        entry.path.unlink()
    return chosen


def _entries(folder: Path, *, bundled: bool) -> list[ModelEntry]:
    entries = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        match = re.fullmatch(r"(?P<name>[^@]+)(@(?P<version>\d+))?", path.stem)
        if match is None:
            continue
        try:
            card = read_card(path)
        except UserError:
            # A damaged file must not hide the others; using it by name says what is wrong.
            continue
        version = int(match["version"] or card.version)
        entries.append(ModelEntry(match["name"], version, path, bundled, card))
    order = ("generalist", "nuclei", "blood")
    rank = {name: index for index, name in enumerate(order)}
    return sorted(entries, key=lambda entry: (rank.get(entry.name, len(order)), entry.name, entry.version))


def _store(source: Path, name: str, card: ModelCard) -> ModelEntry:
    try:
        ModelCard.model_validate({**card.model_dump(), "name": name})
    except ValidationError as error:
        raise UserError(f"{name!r} cannot be a model's name: {error.errors()[0]['msg']}.") from error
    if any(entry.name == name for entry in _entries(BUNDLED, bundled=True)):
        raise UserError(f"{name!r} is the name of a bundled model; choose another one.")
    folder = store_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the model store {folder}: {error.strerror}.") from error
    taken = [int(path.stem.partition("@")[2]) for path in folder.glob(f"*@*{SUFFIX}") if _is_version_of(path, name)]
    version = max(taken, default=0) + 1
    target = folder / f"{name}@{version}{SUFFIX}"
    renamed = card.model_copy(update={"name": name, "version": version})
    with atomic_path(target) as temporary:
        copy_with_card(source, temporary, renamed)
    return ModelEntry(name, version, target, bundled=False, card=renamed)


def _is_version_of(path: Path, name: str) -> bool:
    found, _, version = path.stem.partition("@")
    return found == name and version.isdigit()
