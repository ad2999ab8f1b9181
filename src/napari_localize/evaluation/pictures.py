"""Small pictures of planes with what is right and wrong outlined, for the page of a report."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.core.findings import KIND_COLORS, Finding
from napari_localize.core.planes import ArrayPlane, PlaneSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = tuple[float, float, float, float]

SIDE = 480
"""Longer side of a picture in pixels."""

WINDOW = 2048
"""Of larger planes so much is shown, around what is wrong."""

_PERCENTILES = (0.5, 99.8)
_QUALITY = 80


def planes_from(images: Any, names: Iterable[str]) -> dict[str, PlaneSource]:
    """Find the pixels of planes; those that are not there are left out.

    Parameters
    ----------
    images : folder, or mapping of names to arrays, paths or PlaneSource
        Planes of stacks are named as in `core.annotations.plane_name`.
    names : iterable of str
        Of the planes.

    Raises
    ------
    UserError
        When the folder is none.
    """
    if isinstance(images, Mapping):
        return {name: _source(images[name]) for name in names if name in images}
    from napari_localize.formats.images import find_images, open_image

    if not os.path.isdir(images):
        raise UserError(f"{images} is not a folder; give the folder of the images.")
    # Only files that lie in the folder are looked up: a name in an annotation file leads nowhere else.
    files = dict(find_images([images], {}))
    found: dict[str, PlaneSource] = {}
    for name in names:
        file, position = split_plane_name(name)
        path = files.get(name) or files.get(file)
        if path is None:
            continue
        try:
            planes = list(open_image(path).planes())
        except UserError:
            # A picture that cannot be read is no reason to go without the numbers.
            continue
        wanted = {} if name in files else position
        chosen = [source for place, source in planes if place == wanted]
        if chosen or len(planes) == 1:
            found[name] = (chosen or [planes[0][1]])[0]
    return found


def picture(source: PlaneSource, findings: Iterable[Finding], right: Iterable[Box]) -> str:
    """Return a plane, or the part of a large one where most is wrong, with its boxes, as a data URL of a JPEG.

    Parameters
    ----------
    source : PlaneSource
    findings : iterable of Finding
        In the colours of their kinds; what is there beside a box that is wrong is white.
    right : iterable of (x0, y0, x1, y1)
        What is found and there.
    """
    from PIL import Image, ImageDraw

    findings = list(findings)
    x0, y0, x1, y1 = _window(source.shape[:2], findings)
    step = max(1, -(-max(x1 - x0, y1 - y0) // SIDE) // 2)
    pixels = _grey_or_colour(np.asarray(source.read(y0, y1, x0, x1))[::step, ::step])
    scale = min(SIDE / max(x1 - x0, y1 - y0), 4.0)
    size = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    image = Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)

    def outline(box: Box, color: str, width: int) -> None:
        corners = [(box[0] - x0) * scale, (box[1] - y0) * scale, (box[2] - x0) * scale, (box[3] - y0) * scale]
        if corners[2] - corners[0] >= 1 and corners[3] - corners[1] >= 1:
            draw.rectangle(corners, outline=color, width=width)

    for box in right:
        outline(box, KIND_COLORS["right"], 1)
    for finding in findings:
        if finding.other is not None:
            outline(finding.other, "#FFFFFF", 1)
        outline(finding.box, finding.color, 2)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _source(image: Any) -> PlaneSource:
    if hasattr(image, "read") and hasattr(image, "shape"):
        return image  # type: ignore[no-any-return]
    if isinstance(image, str | os.PathLike):
        from napari_localize.formats.images import open_image

        return next(iter(open_image(image).planes()))[1]
    return ArrayPlane(image)


def _window(shape: tuple[int, ...], findings: list[Finding]) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of what is shown."""
    height, width = shape[:2]
    corners = np.array([finding.box for finding in findings]).reshape(-1, 2, 2)
    middle = np.median(corners.mean(axis=1), axis=0) if len(corners) else np.array([width / 2, height / 2])
    x0, y0 = (
        int(np.clip(at - WINDOW / 2, 0, max(size - WINDOW, 0)))
        for at, size in zip(middle.tolist(), (width, height), strict=True)
    )
    return x0, y0, min(x0 + WINDOW, width), min(y0 + WINDOW, height)


def _grey_or_colour(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (H, W) or (H, W, 3) bytes; colours stay as they are, other channels are stretched and laid over another."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    stretched = np.zeros(pixels.shape, np.float32)
    for channel in range(pixels.shape[2]):
        values = np.nan_to_num(pixels[..., channel].astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = np.percentile(values, _PERCENTILES)
        stretched[..., channel] = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    shown = stretched if pixels.shape[2] == 3 else stretched.max(axis=2)
    return np.round(255 * shown).astype(np.uint8)
