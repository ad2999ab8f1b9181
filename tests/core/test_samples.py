from __future__ import annotations

import hashlib
import re
import shutil

import pytest

from napari_localize.core import samples
from napari_localize.core.errors import UserError
from napari_localize.formats import read_annotations


def test_sources_tell_origin_licence_and_sum_of_every_file():
    folder = samples.sample_folder()
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")
    sums = dict(reversed(pair) for pair in re.findall(r"^([0-9a-f]{64})  (\S+)$", sources, re.MULTILINE))
    files = {path.name: path for path in folder.iterdir() if path.name != "SOURCES.md"}
    assert sums == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    for name in {plane.partition("#")[0] for plane in read_annotations(folder / samples.ANNOTATIONS)}:
        section = sources.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert all(f"**{word}**" in section for word in ("Origin", "Licence", "Boxes"))
    assert sum(path.stat().st_size for path in files.values()) < 3_000_000


@pytest.mark.parametrize("where", ["package", "checkout"])
def test_folder_is_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch, where):
    package = tmp_path / "src" / "napari_localize"
    expected = (package if where == "package" else tmp_path) / "sample_data"
    shutil.copytree(samples.sample_folder(), expected)
    monkeypatch.setattr(samples, "__file__", str(package / "core" / "samples.py"))
    assert samples.sample_folder() == expected.resolve()


def test_missing_folder_is_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "__file__", str(tmp_path / "a" / "b" / "c" / "d" / "samples.py"))
    with pytest.raises(UserError, match=r"sample images are missing .* install napari-localize again"):
        samples.sample_folder()
