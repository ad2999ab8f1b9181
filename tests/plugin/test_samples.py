from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_localize.plugin import samples

SAMPLES = {
    # function: shape, class, number of true boxes
    samples.nuclei: ((512, 512), "nucleus", 125),
    samples.tissue: ((232, 232, 3), "nucleus", 87),
    samples.bacteria: ((8, 296, 288), "bacterium", 98),
}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_image_and_hidden_truth(sample):
    shape, class_name, count = SAMPLES[sample]
    (pixels, image, kind), (boxes, truth, truth_kind) = sample()
    assert (kind, truth_kind) == ("image", "shapes")
    assert pixels.shape == shape
    assert image["name"] == sample.__name__
    assert len(boxes) == count
    assert truth["features"]["class"] == [class_name] * count
    assert truth["visible"] is False


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_napari_layers_lie_on_each_other(sample):
    from napari.layers import Image, Shapes

    (pixels, image, _), (boxes, truth, _) = sample()
    image_layer, truth_layer = Image(pixels, **image), Shapes(boxes, **truth)
    assert truth_layer.ndim == image_layer.ndim
    assert truth_layer.axis_labels == image_layer.axis_labels
    height, width = (int(n) for n in image_layer.extent.data[1, -2:] + 1)
    # Half a pixel: napari's coordinates are those of pixel centres.
    assert (boxes[..., -2:] >= -0.5).all()
    assert (boxes[..., -2:] <= np.array([height, width]) - 0.5).all()


def test_true_boxes_are_where_the_image_is_bright():
    (pixels, _, _), (boxes, _, _) = samples.nuclei()
    inside = np.zeros(pixels.shape, bool)
    for low, high in zip(boxes.min(axis=1) + 0.5, boxes.max(axis=1) + 0.5, strict=True):
        inside[int(low[0]) : int(high[0]), int(low[1]) : int(high[1])] = True
    assert np.median(pixels[inside]) > 2 * np.median(pixels[~inside])


def test_bacteria_multiply():
    (_, _, _), (boxes, _, _) = samples.bacteria()
    per_time = np.bincount(boxes[:, 0, 0].astype(int))
    assert per_time.tolist() == [8, 8, 8, 9, 16, 16, 16, 17]


def test_manifest_offers_every_sample():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(samples.__file__).parents[1] / "napari.yaml")
    commands = {command.id: command.python_name for command in manifest.contributions.commands}
    offered = {commands[sample.command] for sample in manifest.contributions.sample_data}
    assert offered == {f"{sample.__module__}:{sample.__name__}" for sample in SAMPLES}
