"""From any numbers in any number of channels to the three channels in 0 to 1 that the networks see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import UserError
from napari_localize.core.planes import PlaneSource

PERCENTILES = (0.5, 99.8)
"""Darkest and brightest value that is told apart, in per cent of the pixels."""

SAMPLE_PIXELS = 1_000_000
"""About as many pixels are looked at to find the percentiles of a plane."""

SAMPLE_SIDE = 256

RULE = "percentiles 0.5 to 99.8 of the plane; one channel: repeated; three: as they are, scaled together; "
RULE += "others: each scaled by itself, then averaged in three groups"


@dataclass(frozen=True)
class IntensityMap:
    """How the pixels of one plane become what a network sees.

    Attributes
    ----------
    low, high : (C,) float64
        Values that become 0 and 1.
    channel : int or None
        The only channel that is used.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    channel: int | None = None

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Map (h, w, C) pixels to (h, w, 3) float32 in 0 to 1; NaN becomes 0, infinity the nearer of the two."""
        if self.channel is not None:
            pixels = pixels[..., self.channel : self.channel + 1]
        span = np.where(self.high > self.low, self.high - self.low, np.inf)
        # Wide numbers may differ by less than single precision tells apart.
        precision = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64
        values: NDArray[Any] = pixels.astype(precision)
        with np.errstate(invalid="ignore", over="ignore"):
            values -= self.low.astype(precision)
            values /= span.astype(precision)
        np.clip(np.nan_to_num(values, copy=False, nan=0.0, posinf=1.0, neginf=0.0), 0, 1, out=values)
        values = values.astype(np.float32, copy=False)
        count = values.shape[-1]
        if count == 3:
            return values
        if count == 1:
            return np.repeat(values, 3, axis=-1)
        groups = np.array_split(np.arange(count), 3) if count > 3 else [np.array([0]), np.array([1]), np.array([0, 1])]
        return np.stack([values[..., group].mean(axis=-1) for group in groups], axis=-1, dtype=np.float32)


def find_intensity_map(plane: PlaneSource, channel: int | None = None) -> IntensityMap:
    """Find the percentiles of a plane from a regular sample of its pixels.

    Raises
    ------
    UserError
        When the channel does not exist.
    """
    channels = plane.shape[2]
    if channel is not None and channel >= channels:
        raise UserError(f"channel {channel} was asked for, but the image has {channels}, counted from 0.")
    sample = sample_pixels(plane)
    if channel is not None:
        sample = sample[:, channel : channel + 1]
    if sample.shape[1] == 3:
        # The three together, so that colours keep their balance.
        sample = sample.reshape(-1, 1)
    low, high = [], []
    for values in sample.T:
        finite = values[np.isfinite(values)].astype(np.float64)
        bottom, top = np.percentile(finite, PERCENTILES) if len(finite) else (0.0, 0.0)
        if top <= bottom and len(finite):
            # Fewer objects than the percentiles leave out: a few bright spots on a flat background.
            bottom, top = finite.min(), finite.max()
        low.append(bottom)
        high.append(top)
    return IntensityMap(np.array(low), np.array(high), channel)


def sample_pixels(plane: PlaneSource) -> NDArray[Any]:
    """Return (N, C) pixels spread over the plane, reading only parts of a large one."""
    height, width, channels = plane.shape
    if height * width <= 4 * SAMPLE_PIXELS:
        step = max(1, int(np.sqrt(height * width / SAMPLE_PIXELS)))
        return plane.read(0, height, 0, width)[::step, ::step].reshape(-1, channels)
    side_y, side_x = min(SAMPLE_SIDE, height), min(SAMPLE_SIDE, width)
    count = max(1, SAMPLE_PIXELS // (side_y * side_x))
    # Of a long plane, too, both ends of its short side: an edge alone may be black, or hold nothing.
    least_rows, least_columns = 1 + (height > side_y), 1 + (width > side_x)
    most_rows = max(min(height // side_y, count // least_columns), least_rows)
    rows = int(np.clip(round(np.sqrt(count * height / width)), least_rows, most_rows))
    columns = max(least_columns, min(count // rows, width // side_x))
    parts = []
    for y in np.linspace(0, height - side_y, rows).astype(int).tolist():
        for x in np.linspace(0, width - side_x, columns).astype(int).tolist():
            parts.append(plane.read(y, y + side_y, x, x + side_x).reshape(-1, channels))
    return np.concatenate(parts)
