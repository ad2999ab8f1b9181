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
from napari_localize.models.card import (
    BUNDLED,
    LONGEST_DESCRIPTION,
    ModelCard,
    copy_with_card,
    first_problem,
    read_card,
)
from napari_localize.models.digest import weights_digest
from napari_localize.models.ledger import last_versions, note_versions

SUFFIX = ".safetensors"
CHECKS_SUFFIX = ".checks.npz"
MOST_CHECK_BYTES = 20 << 20
"""A file with a check set is at most this large."""
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


def checks_path(path: str | os.PathLike[str]) -> Path:
    """Return where the check set of a model file lies: beside it."""
    return Path(path).with_suffix(CHECKS_SUFFIX)


def store_folder() -> Path:
    """Folder of the user's models; it need not exist yet."""
    moved = os.environ.get(STORE_VARIABLE)
    return Path(moved) if moved else user_data_path("napari-localize", appauthor=False) / "models"


@dataclass(frozen=True)
class DamagedModel:
    """A file that has a model's name and cannot be used as one; `reason` says why, and what to do."""

    reference: str
    path: Path
    reason: str


def list_models() -> list[ModelEntry]:
    """All models with a readable card: bundled first, then the user's by name, oldest version first."""
    return scan_models()[0]


def scan_models() -> tuple[list[ModelEntry], list[DamagedModel]]:
    """Return all models in the order of `list_models`, and the files that cannot be read."""
    entries, damaged = [], []
    for folder, bundled in ((BUNDLED, True), (store_folder(), False)):
        found = []
        for file in _files(folder):
            try:
                card = _card(file.path)
            except UserError as error:
                damaged.append(DamagedModel(file.path.stem, file.path, str(error)))
            else:
                version = card.version if file.version is None else file.version
                found.append(ModelEntry(file.name, version, file.path, bundled, card))
        rank = {name: index for index, name in enumerate(BUNDLED_ORDER)}
        entries += sorted(found, key=lambda entry: rank.get(entry.name, len(rank)))
    return entries, damaged


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
    if _is_path(text):
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
    entry = _store(Path(path), name or card.name, card)
    checks = checks_path(path)
    if checks.is_file() and checks.stat().st_size <= MOST_CHECK_BYTES:
        with suppress(UserError), atomic_path(checks_path(entry.path), overwrite=True) as temporary:
            shutil.copyfile(checks, temporary)
    return entry


def keep_model(path: str | os.PathLike[str], name: str, *, with_checks: bool = True) -> ModelEntry:
    """Move a newly trained model into the user's store, as the next version of `name`.

    Parameters
    ----------
    path : path
        The file of the model.
    name : str
        What to call it.
    with_checks : bool
        Whether its check set, parts of images that lie in a file beside it, is kept, too.
    """
    entry = _store(Path(path), name, read_card(path))
    # The model is in the store now, also where there is no room for more.
    with suppress(OSError, UserError):
        if with_checks:
            _copy_checks(Path(path), entry.path)
    discard_model(path)
    return entry


def discard_model(path: str | os.PathLike[str]) -> None:
    """Delete a model file outside the store, with its check set; what cannot be deleted stays."""
    for file in (Path(path), checks_path(path)):
        with suppress(OSError):
            file.unlink(missing_ok=True)


def export_model(
    name: str, path: str | os.PathLike[str], *, overwrite: bool = False, with_checks: bool = False
) -> None:
    """Copy a model to a file outside the store.

    Parameters
    ----------
    name : str
        As in `find_model`.
    path : path
        The file to write.
    overwrite : bool
        Whether it may exist.
    with_checks : bool
        Whether the model's check set, parts of images, goes along, as a file beside it.
    """
    source = find_model(name)
    with atomic_path(path, overwrite=overwrite) as temporary:
        if source.parent == BUNDLED:
            # Its card is more than what its file holds.
            copy_with_card(source, temporary, read_card(source))
        else:
            shutil.copyfile(source, temporary)
    if with_checks:
        _copy_checks(source, Path(path), overwrite=overwrite)


def rename_model(reference: str | os.PathLike[str], name: str) -> ModelEntry:
    """Give one version of the user's models another name; it becomes the next version of that.

    Models that were trained from it still find it, by its weights.

    Parameters
    ----------
    reference : str or path
        ``mine@3``, or a file in the user's store.
    name : str
        Its new name.

    Raises
    ------
    UserError
        When there is no such model of the user's, or the name cannot be one.
    """
    path = _own(reference)[-1]
    card = read_card(path)
    if card.name == name:
        raise UserError(f"{reference} has the name {name!r} already; choose another one.")
    entry = _store(path, name, card)
    try:
        _copy_checks(path, entry.path)
    except (OSError, UserError) as error:
        entry.path.unlink(missing_ok=True)
        raise UserError(f"{path.stem} keeps its name: its check planes cannot be copied ({error}).") from error
    _remove(path)
    return entry


def describe_model(reference: str | os.PathLike[str], text: str) -> ModelCard:
    """Write another description into the card of one of the user's models, and return the card.

    Parameters
    ----------
    reference : str or path
        ``mine@3``, or a file in the user's store.
    text : str
        What it is for.

    Raises
    ------
    UserError
        When there is no such model of the user's, or the text is too long.
    """
    path = _own(reference)[-1]
    if len(text) > LONGEST_DESCRIPTION:
        raise UserError(f"the description has {len(text)} letters; write at most {LONGEST_DESCRIPTION}.")
    card = read_card(path).model_copy(update={"description": text})
    with atomic_path(path, overwrite=True) as temporary:
        copy_with_card(path, temporary, card)
    return card


def _own(reference: str | os.PathLike[str]) -> list[Path]:
    """Return the files of the user's models that a name, a name and a version, or a path means, oldest version first."""
    text, folder = os.fspath(reference), store_folder()
    if _is_path(text):
        path = Path(text)
        if not (path.is_file() and path.suffix == SUFFIX and path.parent.resolve() == folder.resolve()):
            raise UserError(f"{text} is no model file in {folder}.")
        return [path]
    found = [file.path for file in _files(folder) if file.is_called(text)]
    if found:
        return found
    if any(file.is_called(text) for file in _files(BUNDLED)):
        raise UserError(f"{text!r} is a bundled model; it cannot be removed or changed.")
    raise UserError(f"there is no model {text!r} in {folder}.")


def remove_model(name: str | os.PathLike[str]) -> list[Path]:
    """Delete models of the user's store, and return the files' paths.

    Parameters
    ----------
    name : str or path
        One version (``mine@3``), all of a name, or a file in the store, which may be damaged.

    Raises
    ------
    UserError
        When there is no such model, or it is a bundled one, or the store cannot be written.
    """
    chosen = _own(name)
    if len(chosen) > 1 and "@" in os.fspath(name):
        files = ", ".join(map(str, chosen))
        raise UserError(f"{len(chosen)} files are called {name!r}: {files}; give the path of the one to remove.")
    for path in chosen:
        _remove(path)
    return chosen


def _remove(path: Path) -> None:
    """Delete a model with its check set; its version stays taken."""
    file = _file(path)
    if file is not None and file.number:
        note_versions(path.parent, {file.name: file.number})
    try:
        path.unlink()
        checks_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot remove {path}: {error.strerror}; remove it by hand.") from error


def _copy_checks(source: Path, target: Path, *, overwrite: bool = True) -> None:
    """Copy the check set of a model, if it has one, beside another one."""
    if checks_path(source).is_file():
        with atomic_path(checks_path(target), overwrite=overwrite) as temporary:
            shutil.copyfile(checks_path(source), temporary)


@dataclass(frozen=True)
class _File:
    """A file whose name is that of a model; bundled ones, and some put there by hand, have their version in the card."""

    name: str
    version: int | None
    path: Path

    @property
    def number(self) -> int | None:
        """The version; None where neither name nor card tell it."""
        if self.version is not None:
            return self.version
        try:
            return _card(self.path).version
        except UserError:
            return None

    def is_called(self, text: str) -> bool:
        """Whether a name, or a name and a version, means this file."""
        name, _, version = text.partition("@")
        return name == self.name and (not version or version == str(self.number))


def _is_path(text: str) -> bool:
    """Whether a text means a file, and not a model's name."""
    return text.endswith(SUFFIX) or os.sep in text or "/" in text


def _file(path: Path) -> _File | None:
    """Return what the name of a file says; None where it is not that of a model."""
    match = re.fullmatch(r"([^@]+)(?:@([0-9]{1,9}))?", path.stem)
    return _File(match[1], int(match[2]) if match[2] else None, path) if match else None


def _files(folder: Path) -> list[_File]:
    """Files in a folder by name, oldest version first; of damaged ones without a version, before all others."""
    paths = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
    return sorted(filter(None, map(_file, paths)), key=lambda file: (file.name, file.number or 0))


_cards: dict[Path, tuple[tuple[int, int], ModelCard | UserError]] = {}


def _card(path: Path) -> ModelCard:
    """Read a card, or return what was read of the same file before."""
    try:
        found = path.stat()
    except OSError as error:
        raise UserError(f"cannot read the model {path}: {error.strerror}.") from error
    stamp = (found.st_mtime_ns, found.st_size)
    known = _cards.get(path)
    if known is None or known[0] != stamp:
        try:
            known = (stamp, read_card(path))
        except UserError as error:
            known = (stamp, error)
        _cards[path] = known
    if isinstance(known[1], UserError):
        raise UserError(str(known[1]))
    return known[1]


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
    version = max((file.number or 0 for file in _files(folder) if file.name == name), default=0)
    version = max(version, last_versions(folder).get(name, 0)) + 1
    target = folder / f"{name}@{version}{SUFFIX}"
    renamed = card.model_copy(update={"name": name, "version": version, "weights_sha256": weights_digest(source)})
    with atomic_path(target) as temporary:
        copy_with_card(source, temporary, renamed)
    # The file itself says so, too, until it is removed, and then the ledger must be written.
    with suppress(UserError):
        note_versions(folder, {name: version})
    return ModelEntry(name, version, target, bundled=False, card=renamed)
