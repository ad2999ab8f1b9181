"""PNG, JPEG and the other everyday image files, as arrays that are decoded when first needed."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_localize.formats.tiff import Index

_AS_THEY_ARE = {"1": "?", "L": "u1", "RGB": "u1", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I": "i4", "F": "f4"}
_GREY = ("LA", "La")
"""Transparency is dropped; inks, palettes and all else become RGB."""


class Picture:
    """An image file that Pillow reads: (H, W), (H, W, C), or with a frame axis in front for animations.

    Attributes
    ----------
    axes : str
        ``YX``, ``YXS``, ``TYX`` or ``TYXS``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as image:
            mode = _target(image.mode)
            # The further frames of MPO are previews and second views of a stereo camera.
            frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            width, height = image.size
        self.dtype: np.dtype[Any] = np.dtype(_AS_THEY_ARE[mode])
        self.shape: tuple[int, ...] = (height, width, 3) if mode == "RGB" else (height, width)
        self.axes = "YXS" if mode == "RGB" else "YX"
        self._animated = frames > 1
        if self._animated:
            self.shape, self.axes = (frames, *self.shape), "T" + self.axes
        self._lock = threading.Lock()
        self._frame: tuple[int, NDArray[Any]] | None = None

    def __getitem__(self, index: Index) -> NDArray[Any]:
        if not self._animated:
            return np.asarray(self._decoded(0)[index])
        frames = np.arange(self.shape[0])[index[0]]
        parts = [self._decoded(int(frame))[index[1:]] for frame in np.ravel(frames)]
        return np.stack(parts).reshape(*np.shape(frames), *parts[0].shape)

    def _decoded(self, number: int) -> NDArray[Any]:
        with self._lock:
            if self._frame is None or self._frame[0] != number:
                with _opened(self._path) as image:
                    image.seek(number)
                    mode = _target(image.mode)
                    converted = image if mode == image.mode else image.convert(mode)
                    self._frame = (number, np.array(converted).astype(self.dtype, copy=False))
            return self._frame[1]


def _target(mode: str) -> str:
    return mode if mode in _AS_THEY_ARE else "L" if mode in _GREY else "RGB"


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Slides and mosaics are larger than what Pillow takes for an attack; far larger ones it refuses.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)
