from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO

from napari_localize import read_annotations


def test_coco_of_a_folder_is_one_data_set_with_names_relative_to_it(localize, images, tmp_path, capsys):
    outcome = localize(images, "--output", tmp_path / "boxes.json")
    assert outcome.status == 0
    data = COCO(str(tmp_path / "boxes.json"))
    capsys.readouterr()
    frames = {(image["file_name"], image.get("plane", {}).get("t")) for image in data.dataset["images"]}
    assert frames == {("one.png", None), ("sub/one.png", None), *(("movie.tif", t) for t in range(3))}
    assert [category["name"] for category in data.dataset["categories"]] == ["cell", "dot"]
    sizes = {image["id"]: (image["width"], image["height"]) for image in data.dataset["images"]}
    assert data.dataset["annotations"]
    for row in data.dataset["annotations"]:
        x, y, w, h = row["bbox"]
        width, height = sizes[row["image_id"]]
        assert 0 <= x < x + w <= width + 1e-3
        assert 0 <= y < y + h <= height + 1e-3
        assert 0.1 <= row["score"] <= 1
        assert row["origin"] == "untrained@1"
    assert "movie.tif" in outcome.out
    assert "in 3 planes" in outcome.out


def test_a_folder_as_output_gets_one_file_for_each_image(localize, images, tmp_path):
    Image.open(images / "one.png").save(images / "one.bmp")
    outcome = localize(images, "--output", tmp_path / "boxes", "--format", "csv", "--json")
    assert outcome.status == 0
    written = {path.relative_to(tmp_path / "boxes").as_posix() for path in (tmp_path / "boxes").rglob("*.*")}
    # Two images of one name keep apart.
    assert written == {"one.png.csv", "one.bmp.csv", "movie.csv", "sub/one.csv"}
    assert set(read_annotations(tmp_path / "boxes/sub/one.csv")) == {"sub/one.png"}
    assert outcome.json["format"] == "csv"


def test_patterns_and_files_and_the_same_image_twice(localize, images, tmp_path):
    outcome = localize(images / "**" / "*.png", images / "one.png", "--output", tmp_path / "boxes.json", "--json")
    assert outcome.status == 0
    assert [image["file"] for image in outcome.json["images"]] == ["one.png", "sub/one.png"]


def test_zarr_stores_are_images(localize, tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.open(str(tmp_path / "plate.zarr"), mode="w", shape=(2, 64, 64), dtype="u2", chunks=(1, 32, 32))
    array[:] = np.random.default_rng(0).integers(0, 4000, (2, 64, 64))
    outcome = localize(tmp_path / "plate.zarr", "--axes", "ZYX", "--output", tmp_path / "boxes.json", "--json")
    assert outcome.status == 0
    assert [plane["position"] for plane in outcome.json["images"][0]["planes"]] == [{"z": 0}, {"z": 1}]


def test_axes_say_what_a_stack_is(localize, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((2, 5, 40, 48), np.uint8), photometric="minisblack")
    outcome = localize(tmp_path / "stack.tif", "--axes", "TCYX", "--output", tmp_path / "boxes.json", "--json")
    assert outcome.status == 0
    assert set(read_annotations(tmp_path / "boxes.json")) == {"stack.tif#t=0", "stack.tif#t=1"}
    wrong = localize(tmp_path / "stack.tif", "--axes", "TYX", "--output", tmp_path / "other.json")
    assert wrong.status == 2
    assert "axes" in wrong.errors[0]


def test_the_summary_adds_up(localize, images, tmp_path):
    outcome = localize(images, "--output", tmp_path / "boxes.json", "--json")
    summary = outcome.json
    written = json.loads((tmp_path / "boxes.json").read_text())["annotations"]
    planes = [plane for image in summary["images"] for plane in image["planes"]]
    assert summary["boxes"] == len(written) == sum(plane["boxes"] for plane in planes) > 0
    assert sum(summary["counts"].values()) == len(written)
    assert summary["model"] == "untrained@1"
    assert summary["failed"] == []
    assert {plane["object_diameter"] for plane in planes} == {24.0}


def test_settings_reach_the_model(localize, images, tmp_path):
    everything = localize(images / "one.png", "--output", tmp_path / "a.json", "--json").json
    best = max(row["score"] for row in json.loads((tmp_path / "a.json").read_text())["annotations"])
    few = localize(images / "one.png", "--output", tmp_path / "b.json", "--json", "--threshold", best).json
    assert 0 < few["boxes"] < everything["boxes"]
    wrong = localize(images / "one.png", "--output", tmp_path / "c.json", "--channel", 3)
    assert wrong.status == 2
    assert "channel 3" in wrong.errors[0]
    assert not (tmp_path / "c.json").exists()


def test_a_file_that_cannot_be_read_stops_nothing_else(localize, images, tmp_path):
    whole = (images / "movie.tif").read_bytes()
    (images / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").touch()
    (images / "text.jpg").write_text("this is not a picture")
    tifffile.imwrite(images / "complex.tif", np.ones((32, 32), np.complex64))
    outcome = localize(images, "missing.tif", "--output", tmp_path / "boxes.json", "--json")
    assert outcome.status == 2
    assert {image["file"] for image in outcome.json["images"]} == {"one.png", "sub/one.png", "movie.tif"}
    bad = {"cut.tif", "empty.png", "text.jpg", "complex.tif", "missing.tif"}
    assert {entry["file"] for entry in outcome.json["failed"]} == bad
    assert {line.partition(":")[0] for line in outcome.errors} == bad
    assert "Traceback" not in outcome.err
    assert "one.png" in read_annotations(tmp_path / "boxes.json")


def test_inputs_without_images_stop_nothing_else(localize, images, tmp_path):
    (tmp_path / "empty").mkdir()
    bad = [str(tmp_path / "empty"), str(tmp_path / "*.jpg"), "x" * 5000]
    outcome = localize(*bad, images / "one.png", "--output", tmp_path / "boxes.json", "--json")
    assert outcome.status == 2
    assert [entry["file"] for entry in outcome.json["failed"]] == bad
    assert [entry["error"].split(";")[0] for entry in outcome.json["failed"]] == [
        *["holds no images", "holds no images", "does not exist"]
    ]
    assert list(read_annotations(tmp_path / "boxes.json")) == ["one.png"]
    alone = localize(*bad, "--output", tmp_path / "none.json")
    assert alone.status == 2
    assert "none of the 3 inputs" in alone.errors[0]


def test_nothing_is_written_when_nothing_could_be_read(localize, tmp_path):
    (tmp_path / "empty.png").touch()
    outcome = localize(tmp_path / "empty.png", "--output", tmp_path / "boxes.json")
    assert outcome.status == 2
    assert outcome.errors == ["empty.png: is empty; copy it again."]
    assert outcome.out == ""
    assert not (tmp_path / "boxes.json").exists()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 1), np.uint8),
        ((5, 700), np.uint16),
        ((40, 40), np.int32),
        ((40, 40), np.float64),
        ((40, 40), np.bool_),
        ((40, 40, 2), np.uint8),
        ((40, 40, 7), np.float32),
    ],
)
def test_odd_images_are_images(localize, tmp_path, shape, dtype):
    pixels = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    tifffile.imwrite(tmp_path / "odd.tif", pixels, photometric="minisblack", metadata={"axes": "YXC"[: pixels.ndim]})
    outcome = localize(tmp_path / "odd.tif", "--axes", "YXC"[: pixels.ndim], "--output", tmp_path / "boxes.json")
    assert (outcome.status, outcome.errors) == (0, [])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_images_without_anything_to_see_are_images(localize, tmp_path, value):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((48, 48), value, np.float32))
    outcome = localize(tmp_path / "flat.tif", "--output", tmp_path / "boxes.json", "--json")
    assert (outcome.status, outcome.errors) == (0, [])


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "LA", "RGBA", "I;16"])
def test_pictures_in_any_colours(localize, tmp_path, mode):
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8))
    name = "picture.tif" if mode == "CMYK" else "picture.png"
    picture = Image.fromarray(np.asarray(grey, np.uint16)) if mode == "I;16" else grey.convert("RGB").convert(mode)
    picture.save(tmp_path / name)
    outcome = localize(tmp_path / name, "--output", tmp_path / "boxes.json")
    assert (outcome.status, outcome.errors) == (0, [])


def test_nothing_is_overwritten_unless_asked_for(localize, images, tmp_path):
    target = tmp_path / "boxes.json"
    target.write_text("mine")
    outcome = localize(images, "--output", target)
    assert outcome.status == 2
    assert "exists already" in outcome.errors[0]
    assert target.read_text() == "mine"
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/one.json").write_text("mine")
    outcome = localize(images, "--output", tmp_path / "folder")
    assert outcome.status == 2
    assert "one.json" in outcome.errors[0]
    assert [path.name for path in (tmp_path / "folder").rglob("*.json")] == ["one.json"]
    assert localize(images, "--output", target, "--overwrite").status == 0
    assert len(read_annotations(target)) == 5


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("missing/boxes.json", "does not exist; create it first"),
        ("boxes.txt", "tells no format"),
        ("images/one.png/boxes", "is a file, not a folder"),
        ("images/one.png/boxes.json", "does not exist"),
    ],
)
def test_an_output_that_cannot_be_is_refused_at_once(localize, images, tmp_path, output, words):
    outcome = localize(images, "--output", tmp_path / output)
    assert outcome.status == 2
    assert words in outcome.errors[0]
    # Before the model was loaded, let alone run.
    assert "Computing" not in outcome.err


def test_unknown_formats_are_named(localize, images, tmp_path):
    outcome = localize(images, "--output", tmp_path / "boxes", "--format", "xls")
    assert outcome.status == 2
    assert "coco" in outcome.errors[0]
    assert not (tmp_path / "boxes").exists()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From now on no byte more goes to files whose name has this part."""

    def fill(part: str) -> None:
        real = os.replace

        def refuse(source: Any, target: Any) -> None:
            if part in str(target):
                raise OSError(errno.ENOSPC, "No space left on device")
            real(source, target)

        monkeypatch.setattr(os, "replace", refuse)

    return fill


def test_a_disk_that_fills_up_costs_a_sentence(localize, images, tmp_path, full_disk):
    full_disk("boxes.json")
    outcome = localize(images / "one.png", "--output", tmp_path / "boxes.json")
    assert outcome.status == 2
    assert "No space left" in outcome.errors[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_results_that_cannot_be_printed_are_an_error(shell, untrained):
    with open("/dev/full", "w") as full:
        import subprocess
        import sys

        done = subprocess.run(
            [sys.executable, "-m", "napari_localize.cli", "models", "info", str(untrained)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused_at_once(localize, images, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    outcome = localize(images, "--output", locked / "boxes.json")
    assert outcome.status == 2
    assert "cannot write into" in outcome.errors[0]


def _pickled(path: Path, whole: bytes) -> None:
    import torch

    torch.save({"weights": [1.0]}, path)


def _truncated(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[: len(whole) // 2])


def _foreign(path: Path, whole: bytes) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weights": torch.zeros(3)}, path)


def _text(path: Path, whole: bytes) -> None:
    path.write_text("weights")


@pytest.mark.parametrize("spoil", [_pickled, _truncated, _foreign, _text, lambda path, whole: path.touch()])
def test_model_files_that_are_none(call, untrained, images, tmp_path, spoil):
    path = tmp_path / "bad.safetensors"
    spoil(path, untrained.read_bytes())
    outcome = call("predict", images, "--model", path, "--output", tmp_path / "boxes.json")
    assert outcome.status == 2
    assert len(outcome.errors) == 1
    assert "bad.safetensors" in outcome.errors[0]
    assert "Computing" not in outcome.err


def test_models_that_there_are_not(call, images, tmp_path):
    for name in ("nowhere", "nowhere.safetensors", "yolo.pt"):
        outcome = call("predict", images, "--model", name, "--output", tmp_path / "boxes.json")
        assert outcome.status == 2
        assert name in outcome.errors[0]
