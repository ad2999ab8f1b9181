"""Models by name: those that come with the program, and versions in the user's store."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from napari_localize.core.errors import UserError
from napari_localize.models.card import read_card
from napari_localize.models.localizer import load_model
from napari_localize.models.registry import (
    BUNDLED,
    STORE_VARIABLE,
    export_model,
    find_model,
    import_model,
    keep_model,
    list_models,
    remove_model,
    scan_models,
    store_folder,
)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    monkeypatch.setenv(STORE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def candidate(small_model, tmp_path):
    def make(name="candidate"):
        path = tmp_path / f"{name}.safetensors"
        small_model.save(path, overwrite=True)
        return path

    return make


def references():
    return [entry.reference for entry in list_models() if not entry.bundled]


def test_bundled_models_come_first_and_say_who_they_are():
    entries = list_models()
    assert [entry.name for entry in entries][:2] == ["generalist", "nuclei"]
    for entry in entries:
        assert entry.bundled
        assert entry.card.reference == entry.reference
        assert find_model(entry.name) == find_model(entry.reference) == entry.path
        assert entry.path.parent == BUNDLED


def test_versions(candidate, store):
    kept = [keep_model(candidate(), "mine") for _ in range(10)]
    assert not candidate("x").with_name("candidate.safetensors").exists()
    assert [entry.reference for entry in kept] == references() == [f"mine@{n}" for n in range(1, 11)]
    assert find_model("mine") == kept[-1].path
    assert find_model("mine@2") == kept[1].path
    assert load_model("mine@2", device="cpu").card.reference == "mine@2"
    assert [path.name for path in remove_model("mine@2")] == ["mine@2.safetensors"]
    with pytest.raises(UserError, match=r"no model 'mine@2'; there are: generalist, .*mine"):
        find_model("mine@2")
    assert len(remove_model("mine")) == 9
    assert references() == []
    assert [path.name for path in store.iterdir()] == ["versions.json"]


def test_import_and_export(candidate, tmp_path):
    source = candidate()
    assert import_model(source).reference == "small@1"
    assert import_model(source, "other one").reference == "other one@1"
    assert source.exists()
    target = tmp_path / "out.safetensors"
    export_model("other one", target)
    assert read_card(target).reference == "other one@1"
    for name, value in load_file(target).items():
        torch.testing.assert_close(value, load_file(source)[name])
    with pytest.raises(UserError, match="exists already"):
        export_model("small", target)
    export_model("small", target, overwrite=True)
    assert read_card(target).reference == "small@1"


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", "a@3", ".hidden", "", "a:b", "n\n", " n", "n" * 200])
def test_names_that_are_no_file_names(candidate, store, name):
    with pytest.raises(UserError, match="cannot be a model's name"):
        keep_model(candidate(), name)
    assert candidate().exists()
    assert not store.exists()


def test_names_of_bundled_models_are_taken(candidate):
    with pytest.raises(UserError, match="name of a bundled model"):
        keep_model(candidate(), "nuclei")
    with pytest.raises(UserError, match="cannot be removed"):
        remove_model("nuclei")
    assert find_model("nuclei").exists()


def test_a_damaged_model_hides_no_other_and_can_be_removed(candidate, store):
    keep_model(candidate(), "good")
    (store / "bad@1.safetensors").write_bytes(b"PK nothing")
    (store / "notes.txt").write_text("hello")
    (store / "a@b@c.safetensors").write_bytes(b"")
    assert references() == ["good@1"]
    with pytest.raises(UserError, match="can run code"):
        load_model("bad")
    remove_model("bad")
    assert not (store / "bad@1.safetensors").exists()


def test_a_file_put_there_by_hand(candidate, store):
    store.mkdir()
    candidate().rename(store / "byhand.safetensors")
    assert references() == ["byhand@1"]
    assert find_model("byhand@1") == store / "byhand.safetensors"
    assert keep_model(candidate(), "byhand").reference == "byhand@2"
    assert references() == ["byhand@1", "byhand@2"]
    assert remove_model("byhand@1") == [store / "byhand.safetensors"]
    assert references() == ["byhand@2"]


def test_a_number_in_a_card_put_there_by_hand_is_taken(make_model, candidate, store):
    store.mkdir()
    make_model(version=5).save(store / "byhand.safetensors")
    candidate().rename(store / "byhand@3.safetensors")
    assert references() == ["byhand@3", "byhand@5"]
    assert find_model("byhand") == store / "byhand.safetensors"
    remove_model("byhand@5")
    assert keep_model(candidate(), "byhand").reference == "byhand@6"


def test_a_damaged_file_without_a_version_is_no_other_model(candidate, store):
    kept = [keep_model(candidate(), "mine") for _ in range(3)]
    (store / "mine.safetensors").write_bytes(b"PK nothing")
    assert find_model("mine@2") == kept[1].path
    assert find_model("mine") == kept[2].path
    (damaged,) = scan_models()[1]
    assert remove_model(damaged.path) == [store / "mine.safetensors"]
    assert references() == ["mine@1", "mine@2", "mine@3"]


def test_of_two_files_with_one_reference_the_one_that_is_named_is_removed(candidate, store):
    keep_model(candidate(), "mine")
    candidate().rename(store / "mine.safetensors")
    with pytest.raises(UserError, match=r"2 files are called 'mine@1'.*mine\.safetensors"):
        remove_model("mine@1")
    assert references() == ["mine@1", "mine@1"]
    remove_model(store / "mine.safetensors")
    assert [entry.path.name for entry in list_models() if not entry.bundled] == ["mine@1.safetensors"]


def test_only_files_of_the_store_are_removed(candidate, store):
    keep_model(candidate(), "mine")
    for path in (candidate(), find_model("nuclei"), store / "none.safetensors", store / "versions.json"):
        with pytest.raises(UserError, match="no model file in"):
            remove_model(path)
    assert candidate().exists()
    assert find_model("nuclei").exists()
    assert (store / "versions.json").exists()


def test_files_by_path(candidate, tmp_path, monkeypatch):
    path = candidate()
    assert find_model(path) == find_model(str(path)) == path
    monkeypatch.chdir(tmp_path)
    assert find_model("candidate.safetensors") == Path("candidate.safetensors")
    with pytest.raises(UserError, match=r"no model file missing\.safetensors"):
        find_model("missing.safetensors")
    with pytest.raises(UserError, match="pickled"):
        find_model("model.pt")
    with pytest.raises(UserError, match=r"no model 'unknown'; there are: generalist"):
        find_model("unknown")
    with pytest.raises(UserError, match=r"no model 'unknown' in"):
        remove_model("unknown")


def test_a_store_that_cannot_be_written(candidate, store, monkeypatch):
    keep_model(candidate(), "mine")

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = candidate()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(UserError, match=r"cannot write into .*choose another folder"):
            keep_model(path, "mine")
        with pytest.raises(UserError, match=r"cannot remove .*Permission denied"):
            remove_model("mine")
    assert path.exists()
    assert references() == ["mine@1"]
    monkeypatch.setenv(STORE_VARIABLE, str(path / "below a file"))
    with pytest.raises(UserError, match="cannot make the model store"):
        keep_model(path, "mine")


def test_a_full_disk_keeps_the_candidate(candidate, store, monkeypatch):
    path = candidate()

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        keep_model(path, "mine")
    assert path.exists()
    assert list(store.iterdir()) == []


def test_the_store_is_the_users_own_by_default(monkeypatch):
    monkeypatch.delenv(STORE_VARIABLE)
    assert store_folder().is_absolute()
    assert "napari-localize" in str(store_folder())
