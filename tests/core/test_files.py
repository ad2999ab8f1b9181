"""Files are whole or not there, and nothing is left beside them."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write(target, text, then=lambda: None, **options):
    with atomic_path(target, **options) as temporary:
        temporary.write_text(text)
        then()


def test_a_new_file_has_ordinary_permissions(tmp_path):
    target, plain = tmp_path / "new.txt", tmp_path / "plain.txt"
    plain.write_text("plain")
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == [target, plain]
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_what_exists_is_kept_unless_overwriting_is_asked_for(tmp_path):
    target = tmp_path / "old.txt"
    target.write_text("old")
    with pytest.raises(UserError, match="exists already"), atomic_path(target):
        pass
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "file.txt"
    with pytest.raises(UserError, match="created meanwhile"):
        write(target, "mine", then=lambda: target.write_text("theirs"))
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_nowhere_counts_as_existing(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    with pytest.raises(UserError, match="exists already"), atomic_path(link):
        pass
    assert link.is_symlink()


@pytest.mark.parametrize("error", [RuntimeError("no luck"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "old.txt"
    target.write_text("old")

    def fail():
        raise error

    with pytest.raises(type(error)):
        write(target, "half", then=fail, overwrite=True)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("call", ["open", "replace"])
def test_a_full_disk_is_said_in_a_sentence(tmp_path, monkeypatch, call):
    target = tmp_path / "old.txt"
    target.write_text("old")
    monkeypatch.setattr(os, call, full_disk)
    with pytest.raises(UserError, match=r"cannot write .*No space left"), atomic_path(target, overwrite=True):
        pass
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_disk_that_fills_up_while_writing(tmp_path):
    target = tmp_path / "new.txt"
    with pytest.raises(UserError, match=r"cannot write .*new.txt: No space left"):
        write(target, "half", then=full_disk)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_take_the_file(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"missing does not exist"), atomic_path(tmp_path / "missing" / "file"):
        pass
    with pytest.raises(UserError, match=r"is a folder"), atomic_path(tmp_path, overwrite=True):
        pass

    def refuse(*args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match=r"Permission denied; choose another folder"), atomic_path(tmp_path / "file"):
        pass


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="choose another folder"), atomic_path(tmp_path / "file"):
            pass
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 120, ".hidden", "a b#c.txt"])
def test_any_name_that_the_file_system_takes(tmp_path, name):
    write(tmp_path / name, "x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        write(tmp_path / ("n" * 300), "x")
    assert list(tmp_path.iterdir()) == []
