from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.project.conftest import box, boxes_of, do

from napari_localize.core.errors import UserError
from napari_localize.project import autosave_project, open_project, recoverable


def test_what_is_empty_vanishes():
    project = autosave_project()
    path = project.path
    project.add_array("i", (5, 5), "YX")
    assert path.is_dir()
    project.close()
    assert not path.exists()
    assert recoverable() == []


def test_what_has_content_can_be_recovered_and_discarded():
    with autosave_project() as project:
        project.add_array("cells", (50, 50), "YX").journal().record(do({}, {1: box(), 2: box(5)}))
        # One that is open is nobody else's.
        assert recoverable() == []
    (found,) = recoverable()
    assert (found.images, found.boxes, found.problem) == (["cells"], 2, None)
    with open_project(found.path) as project:
        assert boxes_of(project.image("cells").load()) == {1: box(), 2: box(5)}
    found.discard()
    assert recoverable() == []


def test_the_work_of_a_killed_process_can_be_recovered(tmp_path):
    script = """
        import os, signal
        from napari_localize.project import autosave_project
        from tests.project.conftest import box, do
        project = autosave_project()
        journal = project.add_array("cells", (50, 50), "YX").journal()
        journal.record(do({}, {1: box()}))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parents[2], check=False)
    (found,) = recoverable()
    assert (found.images, found.boxes) == (["cells"], 1)


def test_a_damaged_one_is_not_forgotten():
    with autosave_project() as project:
        project.add_array("i", (5, 5), "YX").journal().record(do({}, {1: box()}))
    (project.path / "project.sqlite").write_bytes(b"no database at all")
    (found,) = recoverable()
    assert "not the database of a project, or is damaged" in found.problem
    assert project.path.exists()


def test_saved_under_a_name_it_goes_on_there(tmp_path):
    picture = tmp_path / "images" / "one.tif"
    picture.parent.mkdir()
    picture.write_bytes(b"x")
    project = autosave_project()
    old = project.path
    image = project.add_array("cells", (50, 50), "YX")
    key = project.insert_image("one", "../../../images/one.tif", None, None, "YX", (5, 5))
    assert project.image(key).path == picture
    journal = image.journal(background=True)
    journal.record(do({}, {1: box()}, "draw"))
    project.save_as(tmp_path / "mine")
    assert project.path == tmp_path / "mine.localize"
    assert not old.exists()
    assert project.image(key).stored == "../images/one.tif"
    journal.record(do({1: box()}, {1: box(9)}, "move"))
    assert boxes_of(image.load()) == {1: box(9)}
    project.close()
    assert recoverable() == []
    with open_project(tmp_path / "mine") as project:
        assert boxes_of(project.image("cells").load()) == {1: box(9)}
        assert project.image("cells").load().history.undo_text == "move"
        # A named one is copied, and stays.
        project.save_as(tmp_path / "other")
        assert (tmp_path / "mine.localize").is_dir()
        with open_project(tmp_path / "mine") as first:
            assert first.read_only_reason is None
        with pytest.raises(UserError, match="exists already"):
            project.save_as(tmp_path / "mine")
        assert project.path == tmp_path / "other.localize"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "images", "mine.localize", "other.localize"]


def test_what_cannot_be_saved_stays_where_it_is(tmp_path):
    with autosave_project() as project:
        old = project.path
        project.add_array("i", (5, 5), "YX").journal().record(do({}, {1: box()}))
        with pytest.raises(UserError, match="choose another folder"):
            project.save_as(tmp_path / "no such folder" / "mine")
        assert project.path == old
        assert boxes_of(project.image("i").load()) == {1: box()}
