from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_localize.core.errors import UserError
from napari_localize.formats.images import open_image

RNG = np.random.default_rng(0)


def numbers(*shape, dtype=np.uint16):
    return RNG.integers(0, 1 << (8 * min(np.dtype(dtype).itemsize, 2)), shape).astype(dtype)


def only_plane(path, axes=None):
    ((position, plane),) = open_image(path, axes).planes()
    assert position == {}
    return plane


def whole(plane):
    height, width, _ = plane.shape
    return plane.read(0, height, 0, width)


# How the same pixels may lie in a TIFF: in one piece, in strips, tiles, with a predictor, byte-swapped.
LAYOUTS = {
    "plain": {},
    "strips": {"compression": "zlib", "rowsperstrip": 7},
    "predictor": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (32, 16), "compression": "zlib"},
    "tiles-plain": {"tile": (32, 16)},
    "big-endian": {"byteorder": ">"},
    "big-endian-strips": {"byteorder": ">", "compression": "zlib"},
    "bigtiff": {"bigtiff": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["grey", "rgb", "planar", "stack"])
def test_every_rectangle_of_a_tiff_is_what_tifffile_reads(tmp_path, layout, kind):
    path = tmp_path / "x.tif"
    shape = {"grey": (50, 70), "rgb": (50, 70, 3), "planar": (3, 50, 70), "stack": (5, 50, 70)}[kind]
    more = {"rgb": {"photometric": "rgb"}, "planar": {"photometric": "rgb", "planarconfig": "separate"}}.get(kind, {})
    data = numbers(*shape)
    tifffile.imwrite(path, data, **LAYOUTS[layout], **more)
    planes = list(open_image(path).planes())
    expected = data if kind == "stack" else [np.moveaxis(data, 0, 2) if kind == "planar" else data]
    assert [position for position, _ in planes] == ([{"t": t} for t in range(5)] if kind == "stack" else [{}])
    for (_, plane), image in zip(planes, expected, strict=True):
        image = image.reshape(50, 70, -1)
        assert plane.shape == image.shape
        np.testing.assert_array_equal(whole(plane), image)
        np.testing.assert_array_equal(plane.read(31, 45, 15, 49), image[31:45, 15:49])
        np.testing.assert_array_equal(plane.read(49, 50, 69, 70), image[49:, 69:])
        assert plane.read(0, 1, 0, 1).dtype.isnative


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("writer", ["imagej", "ome"])
def test_axes_of_imagej_and_ome_files_become_positions_and_channels(tmp_path, writer, compression):
    path = tmp_path / ("x.ome.tif" if writer == "ome" else "x.tif")
    data = numbers(3, 2, 5, 16, 20)
    if writer == "ome":
        tifffile.imwrite(path, data, ome=True, metadata={"axes": "TZCYX"}, compression=compression)
    else:
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TZCYX"}, compression=compression)
    planes = {tuple(position.items()): plane for position, plane in open_image(path).planes()}
    assert len(planes) == 6
    plane = planes[("t", 2), ("z", 1)]
    assert plane.shape == (16, 20, 5)
    np.testing.assert_array_equal(plane.read(1, 9, 2, 7), np.moveaxis(data[2, 1], 0, 2)[1:9, 2:7])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_axes_can_be_given(tmp_path, compression):
    path = tmp_path / "x.tif"
    data = numbers(5, 20, 30)
    tifffile.imwrite(path, data, compression=compression)
    np.testing.assert_array_equal(whole(only_plane(path, "cyx")), np.moveaxis(data, 0, 2))
    planes = list(open_image(path, "YXZ").planes())
    assert [position for position, _ in planes][:2] == [{"z": 0}, {"z": 1}]
    np.testing.assert_array_equal(whole(planes[7][1])[..., 0], data[..., 7])
    for axes, sentence in {"YX": "has 3", "TZYX": "has 3", "TTY": "its own letter", "TZC": "its own letter"}.items():
        with pytest.raises(UserError, match=sentence):
            open_image(path, axes)


def test_a_colour_movie_may_be_called_tyx(tmp_path):
    data = numbers(3, 20, 30, 3, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="rgb")
    planes = list(open_image(tmp_path / "x.tif", "TYX").planes())
    np.testing.assert_array_equal(whole(planes[2][1]), data[2])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_last_that_were_saved_as_many_narrow_pages_are_channels(tmp_path, compression):
    data = numbers(64, 48, 7)
    tifffile.imwrite(tmp_path / "x.tif", data, compression=compression)
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "x.tif")), data)


def test_the_full_resolution_of_a_pyramid_is_read(tmp_path):
    data = numbers(64, 64)
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as tiff:
        tiff.write(data, subifds=1, tile=(16, 16))
        tiff.write(data[::2, ::2], subfiletype=1, tile=(16, 16))
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "x.ome.tif"))[..., 0], data)


def test_further_images_in_a_file_are_noted(tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as tiff:
        tiff.write(numbers(20, 30), metadata=None)
        tiff.write(numbers(40, 50), metadata=None)
    file = open_image(tmp_path / "x.tif")
    assert file.notes == [f"{tmp_path / 'x.tif'} holds 2 images; the first one is used."]
    assert file.plane_shape == (20, 30, 1)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f2", "f4", "f8", "i1", "u4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_numbers_are_kept_as_they_are(tmp_path, dtype, compression):
    data = numbers(20, 30).astype(dtype)
    if data.dtype.kind == "f":
        data[0, :3] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "x.tif", data, compression=compression)
    read = whole(only_plane(tmp_path / "x.tif"))
    assert read.dtype == data.dtype
    np.testing.assert_array_equal(read[..., 0], data)


@pytest.mark.parametrize("shape", [(1, 1), (100_000, 10), (3, 1), (1, 3)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_odd_shapes(tmp_path, shape, compression):
    data = numbers(*shape)
    tifffile.imwrite(tmp_path / "x.tif", data, compression=compression)
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "x.tif"))[..., 0], data)


def test_black_and_white(tmp_path):
    data = numbers(21, 30) > 30_000
    tifffile.imwrite(tmp_path / "x.tif", data)
    Image.fromarray(data).save(tmp_path / "x.png")
    for name in ("x.tif", "x.png"):
        np.testing.assert_array_equal(whole(only_plane(tmp_path / name))[..., 0].astype(bool), data)


def test_complex_numbers_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((9, 9), np.complex64))
    with pytest.raises(UserError, match="complex64 numbers; convert it"):
        open_image(tmp_path / "x.tif")


def test_inks_palettes_and_transparency_become_plain_channels(tmp_path):
    rgb = numbers(20, 30, 3, dtype=np.uint8)
    picture = Image.fromarray(rgb)
    picture.save(tmp_path / "rgb.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.quantize(16).save(tmp_path / "palette.png")
    picture.convert("CMYK").save(tmp_path / "inks.jpg", quality=100, subsampling=0)
    picture.convert("CMYK").save(tmp_path / "inks.tif")
    picture.convert("LA").save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "alpha.tif", np.dstack([rgb, rgb[..., :1]]), photometric="rgb")
    table = numbers(3, 256)
    tifffile.imwrite(tmp_path / "palette.tif", rgb[..., 0], photometric="palette", colormap=table)

    for name in ("rgb.png", "alpha.png", "inks.tif", "alpha.tif"):
        np.testing.assert_array_equal(whole(only_plane(tmp_path / name)), rgb)
    reduced = np.asarray(picture.quantize(16).convert("RGB"))
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "palette.png")), reduced)
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "palette.tif")), (table.T >> 8)[rgb[..., 0]])
    assert np.abs(whole(only_plane(tmp_path / "inks.jpg")).astype(int) - rgb).mean() < 20
    assert only_plane(tmp_path / "grey.png").shape == (20, 30, 1)


def test_seven_channels_and_an_imagej_colour_table_stay_as_they_are(tmp_path):
    data = numbers(20, 30, 7)
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "x.tif")), data)
    grey = numbers(20, 30, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "lut.tif", grey, imagej=True, photometric="palette", colormap=numbers(3, 256))
    assert only_plane(tmp_path / "lut.tif").shape == (20, 30, 1)


def test_16_bit_png_and_an_animation(tmp_path):
    data = numbers(20, 30)
    Image.fromarray(data).save(tmp_path / "x.png")
    np.testing.assert_array_equal(whole(only_plane(tmp_path / "x.png"))[..., 0], data)
    frames = [Image.fromarray(np.full((20, 30), value, np.uint8)) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    planes = list(open_image(tmp_path / "x.gif").planes())
    assert [position for position, _ in planes] == [{"t": 0}, {"t": 1}, {"t": 2}]
    assert [int(whole(plane).mean()) for _, plane in planes] == [0, 100, 200]


@pytest.mark.skipif(importlib.util.find_spec("imagecodecs") is not None, reason="tifffile reads them by itself")
def test_a_compression_that_tifffile_lacks_is_read_by_pillow_where_nothing_is_lost(tmp_path):
    grey, colours = numbers(20, 30), numbers(20, 30, 3, dtype=np.uint8)
    for name, data in {"grey.tif": grey, "colours.tif": colours}.items():
        Image.fromarray(data).save(tmp_path / name, compression="tiff_lzw")
        np.testing.assert_array_equal(whole(only_plane(tmp_path / name)), data.reshape(20, 30, -1))
    # Declared as LZW and with a kind of number that Pillow would cut down.
    tifffile.imwrite(tmp_path / "deep.tif", numbers(20, 30, 3), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(tmp_path / "deep.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(5)
    with pytest.raises(UserError, match="pip install imagecodecs"):
        open_image(tmp_path / "deep.tif")


def _contents():
    """Give the beginnings of good files of several kinds, and other files."""
    import io

    def tiff(**kwargs):
        file = io.BytesIO()
        tifffile.imwrite(file, numbers(40, 40), **kwargs)
        return file.getvalue()

    def picture(format):
        file = io.BytesIO()
        Image.fromarray(numbers(40, 40, 3, dtype=np.uint8)).save(file, format)
        return file.getvalue()

    good = {"a.tif": tiff(), "z.tif": tiff(compression="zlib"), "a.png": picture("PNG"), "a.jpg": picture("JPEG")}
    for name, content in good.items():
        for part in (5, 9, 40, len(content) // 2, len(content) - 60):
            yield f"{part}-{name}", content[:part]
    yield "text.png", b"this is no image"
    yield "page.tif", b"<html></html>"
    yield "empty.tif", b""


CONTENTS = dict(_contents())


@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_file_gives_one_sentence(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    with pytest.raises(UserError, match=name) as raised:
        [whole(plane) for _, plane in open_image(path).planes()]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_movie_that_is_cut_off_does_not_lose_frames_silently(tmp_path, kind, part):
    tifffile.imwrite(tmp_path / "whole.tif", numbers(3, 40, 40), metadata={"axes": "TYX"}, **{kind: True})
    content = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(UserError, match=r"cut\.tif is cut off"):
        open_image(tmp_path / "cut.tif")


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        open_image(tmp_path / "no.tif")
    with pytest.raises(UserError, match="is a folder"):
        open_image(tmp_path)


def test_a_file_is_free_again_after_reading(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, numbers(20, 30), compression="zlib")
    plane = only_plane(path)
    whole(plane)
    if os.path.isdir("/proc/self/fd"):
        opened = [
            os.readlink(f"/proc/self/fd/{n}")
            for n in os.listdir("/proc/self/fd")
            if n.isdigit() and os.path.exists(f"/proc/self/fd/{n}")
        ]
        assert str(path) not in opened
    os.replace(path, tmp_path / "y.tif")


def test_only_the_touched_tiles_are_decoded(tmp_path):
    path = tmp_path / "x.tif"
    data = numbers(640, 640)
    tifffile.imwrite(path, data, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset, length = (tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1])
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = b"\xff" * length
    path.write_bytes(content)
    plane = only_plane(path)
    np.testing.assert_array_equal(plane.read(0, 576, 0, 640)[..., 0], data[:576])
    with pytest.raises(UserError, match="cannot be read"):
        whole(plane)


class TestZarr:
    zarr = pytest.importorskip("zarr")

    def test_ome_zarr_gives_its_axes_and_full_resolution(self, tmp_path):
        data = numbers(2, 3, 40, 50)
        group = self.zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=2)
        group.create_array("0", data=data, chunks=(1, 1, 16, 16))
        group.create_array("1", data=data[..., ::2, ::2])
        axes = [{"name": name} for name in "tcyx"]
        group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]
        planes = list(open_image(tmp_path / "x.zarr").planes())
        assert [position for position, _ in planes] == [{"t": 0}, {"t": 1}]
        np.testing.assert_array_equal(planes[1][1].read(3, 33, 4, 44), np.moveaxis(data[1], 0, 2)[3:33, 4:44])

    def test_a_plain_array(self, tmp_path):
        data = numbers(20, 40, 50)
        self.zarr.save_array(str(tmp_path / "x.zarr"), data)
        with pytest.raises(UserError, match="name them"):
            open_image(tmp_path / "x.zarr")
        planes = list(open_image(tmp_path / "x.zarr", "ZYX").planes())
        np.testing.assert_array_equal(whole(planes[19][1])[..., 0], data[19])

    def test_a_group_of_several_arrays_and_a_broken_store_are_told(self, tmp_path):
        group = self.zarr.open_group(tmp_path / "x.zarr", mode="w")
        for name in "ab":
            group.create_array(name, data=numbers(4, 5))
        with pytest.raises(UserError, match="2 arrays"):
            open_image(tmp_path / "x.zarr")
        assert only_plane(tmp_path / "x.zarr" / "a").shape == (4, 5, 1)
        (tmp_path / "y.zarr").mkdir()
        with pytest.raises(UserError, match=r"y\.zarr"):
            open_image(tmp_path / "y.zarr")
