"""Zarr stores as lazy arrays; zarr is only imported when one is opened, and need not be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.formats.pixel_size import UNKNOWN, PixelSize, zarr_pixel_size


def open_zarr(path: Path) -> tuple[Any, str | None, PixelSize]:
    """Open an array, or the highest resolution of an OME-Zarr image.

    Returns
    -------
    data : zarr array
    axes : str or None
        A capital letter for each axis where the store names them.
    size : PixelSize
        What an OME-Zarr image says of it.

    Raises
    ------
    UserError
        When zarr is not installed, or the store holds no single image.
    """
    try:
        import zarr
    except ImportError as error:
        raise UserError(f"to read {path}, zarr is needed; install it with: pip install zarr") from error
    node: Any = zarr.open(str(path), mode="r")
    names: Any = None
    size = UNKNOWN
    if isinstance(node, zarr.Group):
        attributes: Any = node.attrs.asdict()
        image = (attributes.get("ome", attributes).get("multiscales") or [None])[0]
        if image is not None:
            size = zarr_pixel_size(image, path)
            names = [a["name"] if isinstance(a, dict) else a for a in image.get("axes", ())]
            node = node[image["datasets"][0]["path"]]
        else:
            arrays = [array for _, array in node.arrays()]
            if len(arrays) != 1:
                raise UserError(f"{path} is a group of {len(arrays)} arrays and no OME-Zarr image; give one of them.")
            node = arrays[0]
    names = names or getattr(node.metadata, "dimension_names", None) or ()
    letters = [name for name in names if isinstance(name, str) and len(name) == 1]
    return node, "".join(letters).upper() if len(letters) == node.ndim else None, size
