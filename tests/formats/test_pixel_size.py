from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_localize.formats.images import open_image

PIXELS = np.zeros((40, 50), np.uint8)


def size_of(path):
    return open_image(path).pixel_size


def ome(**values):
    return {"metadata": {"axes": "YX", **{f"PhysicalSize{key}": value for key, value in values.items()}}}


def imagej(unit, resolution=(4, 4)):
    return {"imagej": True, "resolution": resolution, "metadata": {"unit": unit}}


def plain(resolution, unit):
    return {"resolution": (resolution, resolution), "resolutionunit": unit}


@pytest.mark.parametrize(
    ("name", "how", "expected"),
    [
        ("x.ome.tif", ome(X=0.2, Y=0.2), 0.2),
        ("x.ome.tif", ome(X=0.2, XUnit="µm", Y=200, YUnit="nm"), 0.2),
        ("x.ome.tif", ome(X=0.002, XUnit="mm", Y=0.002, YUnit="mm"), 2),
        ("x.ome.tif", ome(X=1, XUnit="pixel", Y=1, YUnit="pixel"), None),
        ("x.ome.tif", ome(X=1, XUnit="Mm", Y=1, YUnit="Mm"), None),
        ("x.ome.tif", ome(X=0, Y=0), None),
        ("x.ome.tif", ome(X=-1, Y=-1), None),
        ("x.ome.tif", ome(X="nan", Y="nan"), None),
        ("x.ome.tif", ome(X="wide", Y="high"), None),
        ("x.ome.tif", ome(X=0.2), None),
        ("x.ome.tif", ome(), None),
        ("x.tif", imagej("um"), 0.25),
        ("x.tif", imagej("micron"), 0.25),
        ("x.tif", imagej("\\u00B5m"), 0.25),
        ("x.tif", imagej("nm", (0.01, 0.01)), 0.1),
        ("x.tif", imagej("pixel"), None),
        ("x.tif", imagej("inch", (300, 300)), None),
        ("x.tif", imagej("cm", (28.35, 28.35)), None),
        ("x.tif", imagej("cm", (20_000, 20_000)), 0.5),
        ("x.tif", imagej("um", (0, 0)), None),
        ("x.tif", plain(40_000, "CENTIMETER"), 0.25),
        ("x.tif", plain(118.11, "CENTIMETER"), None),  # 300 dots an inch
        ("x.tif", plain(10**9, "CENTIMETER"), None),
        ("x.tif", plain(0, "CENTIMETER"), None),
        ("x.tif", plain(25_400, "INCH"), None),
        ("x.tif", plain(40_000, "NONE"), None),
        ("x.tif", {}, None),
    ],
)
def test_of_tiff_files(tmp_path, name, how, expected):
    tifffile.imwrite(tmp_path / name, PIXELS, **how)
    found = size_of(tmp_path / name)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-4))


def test_of_a_slide(tmp_path):
    text = "Aperio Image Library v1.0\r\n50x40 [0,0 50x40] (32x32) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
    tifffile.imwrite(tmp_path / "x.svs", PIXELS, description=text, metadata=None, tile=(32, 32))
    assert size_of(tmp_path / "x.svs") == pytest.approx(0.499)


@pytest.mark.parametrize("ratio", [0.5, 0.98])
def test_pixels_that_are_not_square_have_no_size_and_are_told_of(tmp_path, ratio):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS, **imagej("um", (4, 4 * ratio)))
    image = open_image(tmp_path / "x.tif")
    assert image.pixel_size is None
    assert "x.tif are 0.25 µm wide" in image.pixel_size_note
    assert image.pixel_size_note.endswith(".")


def test_pixels_that_are_nearly_square_have_the_mean_size(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS, imagej=True, resolution=(4, 4.02), metadata={"unit": "um"})
    image = open_image(tmp_path / "x.tif")
    assert image.pixel_size == pytest.approx((1 / 4 + 1 / 4.02) / 2)
    assert image.pixel_size_note == ""


def test_the_resolution_of_a_picture_is_for_printers(tmp_path):
    for name in ("x.png", "x.jpg"):
        Image.fromarray(PIXELS).save(tmp_path / name, dpi=(25_400, 25_400))
        assert size_of(tmp_path / name) is None


def write_zarr(path, axes, *scales):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array("0", shape=(3, 40, 50), chunks=(1, 40, 50), dtype="u1")
    array[:] = 0
    steps = [[{"type": "scale", "scale": scale}] if scale else None for scale in scales]
    dataset = {"path": "0", **({"coordinateTransformations": steps[0]} if steps and steps[0] else {})}
    image = {"version": "0.4", "axes": axes, "datasets": [dataset]}
    if len(steps) > 1:
        image["coordinateTransformations"] = steps[1]
    (path / ".zattrs").write_text(json.dumps({"multiscales": [image]}))
    return open_image(path)


def axes_in(unit, x="micrometer"):
    return [{"name": "t"}, {"name": "y", "unit": unit}, {"name": "x", "unit": x}]


def test_of_an_ome_zarr_image(tmp_path):
    assert write_zarr(tmp_path / "a.zarr", axes_in("micrometer"), [1, 0.5, 0.5]).pixel_size == 0.5
    assert write_zarr(tmp_path / "b.zarr", axes_in("nanometer"), [1, 500, 0.5]).pixel_size == 0.5
    assert write_zarr(tmp_path / "c.zarr", axes_in("micrometer"), [1, 0.5, 0.5], [1, 2, 2]).pixel_size == 1
    assert (
        "2 µm wide and 1 µm high" in write_zarr(tmp_path / "d.zarr", axes_in("micrometer"), [1, 1, 2]).pixel_size_note
    )


@pytest.mark.parametrize(
    ("axes", "scales"),
    [
        ([{"name": "t"}, {"name": "y"}, {"name": "x"}], [[1, 0.5, 0.5]]),
        (["t", "y", "x"], [[1, 0.5, 0.5]]),
        (axes_in("furlong"), [[1, 0.5, 0.5]]),
        (axes_in("micrometer"), []),
        (axes_in("micrometer"), [[0.5]]),
        (axes_in("micrometer"), [[1, "half", 0.5]]),
        (axes_in("micrometer"), [[1, 0, 0]]),
    ],
)
def test_of_a_store_that_does_not_say_or_says_nonsense(tmp_path, axes, scales):
    image = write_zarr(tmp_path / "x.zarr", axes, *scales)
    assert image.pixel_size is None
    assert image.pixel_size_note == ""


def test_nothing_is_looked_up_before_somebody_asks(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", PIXELS, **imagej("um"))
    image = open_image(tmp_path / "x.tif")
    (tmp_path / "x.tif").unlink()
    assert image.pixel_size is None
