from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from napari_localize.core.errors import UserError
from napari_localize.core.labels import boxes_of_labels
from napari_localize.formats import read_annotations

LABELS = np.zeros((30, 40), np.uint16)
LABELS[2:7, 3:13] = 5
LABELS[20:30, 30:40] = 2


def test_every_number_gives_a_box_and_is_its_id():
    found = boxes_of_labels(LABELS)
    assert found.boxes.tolist() == [[30, 20, 40, 30], [3, 2, 13, 7]]
    assert found.ids.tolist() == [2, 5]
    assert np.isnan(found.scores).all()
    assert len(boxes_of_labels(np.zeros((0, 5), int))) == 0
    assert len(boxes_of_labels(-LABELS.astype(int))) == 0


@given(arrays.arrays(np.int64, arrays.array_shapes(min_dims=2, max_dims=2), elements=st.integers(-2, 1 << 62)))
@settings(deadline=None)
def test_it_agrees_with_a_simple_search(labels):
    found = boxes_of_labels(labels)
    numbers = sorted(set(labels[labels > 0].tolist()))
    assert len(found) == len(numbers)
    for box, number in zip(found.boxes.tolist(), numbers, strict=True):
        rows, columns = np.nonzero(labels == number)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("odd", [np.zeros((3, 3)), np.zeros((3, 3), bool), np.zeros((2, 3, 3), int), [1, 2]])
def test_other_arrays_are_refused(odd):
    with pytest.raises(UserError, match="whole numbers"):
        boxes_of_labels(odd)


def test_label_images_are_read_when_they_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([LABELS, LABELS * 0]), metadata={"axes": "TYX"}, imagej=True)
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "b.png")
    data = read_annotations(tmp_path / "a.tif", format="labels")
    assert {name: len(part) for name, part in data.items()} == {"a.tif#t=0": 2, "a.tif#t=1": 0}
    assert data.sizes["a.tif#t=0"] == (30, 40)
    assert list(read_annotations(tmp_path, format="labels")) == ["a.tif#t=0", "a.tif#t=1", "b.png"]
    with pytest.raises(UserError, match="name the format 'labels'"):
        read_annotations(tmp_path / "a.tif")


def test_other_images_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.float32))
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    for name, sentence in (("a.tif", "no label image"), ("a.png", "3 channels")):
        with pytest.raises(UserError, match=sentence):
            read_annotations(tmp_path / name, format="labels")
