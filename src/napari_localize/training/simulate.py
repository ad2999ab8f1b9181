"""Simulated microscopy with known boxes: spots, rods, rings, clumps and filaments in uneven light.

Shapes of all sizes, bright on dark and dark on bright, blurred and noisy, so that a model learns what makes
something an object rather than what cells look like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

KINDS = ("spots", "rods", "rings", "clumps", "filaments", "textured")
DIAMETERS = (4.0, 120.0)

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Simulated:
    """A simulated image: (H, W, 3) uint8, (N, 4) boxes x0, y0, x1, y1 in pixels, and its kind."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    kind: str


def simulate(seed: int) -> Simulated:
    """Draw one image; the same seed gives the same image."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    diameter = float(np.exp(rng.uniform(*np.log(DIAMETERS))))
    side = int(np.clip(diameter * rng.uniform(6, 14), 192, 640))
    wanted = int(np.clip(rng.uniform(0.05, 0.45) * side**2 / diameter**2, 3, 250))
    canvas = np.zeros((side, side), np.float32)
    taken = np.zeros((side, side), bool)
    boxes = []
    for _ in range(wanted):
        size = diameter * np.exp(rng.normal(0, 0.2))
        shape = _shape(kind, size, rng)
        placed = _place(canvas, taken, shape, rng, touching=kind == "clumps")
        if placed is not None:
            boxes.append(placed)
    image = _photograph(canvas, diameter, rng)
    return Simulated(image, np.array(boxes, np.float32).reshape(-1, 4), kind)


def _shape(kind: str, size: float, rng: np.random.Generator) -> Image:
    """Draw one object on a square of its own, 0 to 1."""
    length = max(3, int(np.ceil(size * 2.2)))
    y, x = (np.mgrid[:length, :length] - (length - 1) / 2).astype(np.float32)
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    radius = size / 2
    if kind == "spots":
        return np.asarray(np.exp(-(u**2 + v**2) / (2 * (radius / 2) ** 2)))
    if kind == "rods":
        width = radius * rng.uniform(0.25, 0.5)
        along = np.maximum(np.abs(u) - (radius - width), 0)
        return _edge(width - np.hypot(along, v))
    if kind == "filaments":
        bend = rng.uniform(-0.6, 0.6) * (u / radius) ** 2 * radius
        return _edge(max(1.0, radius * 0.12) - np.abs(v - bend)) * _edge(radius - np.abs(u))
    wobble = 1 + 0.12 * np.sin(rng.integers(2, 5) * np.arctan2(v, u) + rng.uniform(0, 6))
    distance = np.hypot(u / rng.uniform(0.75, 1.0), v) / wobble
    body = _edge(radius - distance)
    if kind == "rings":
        return body - rng.uniform(0.5, 1.0) * _edge(radius * rng.uniform(0.5, 0.8) - distance)
    if kind == "textured":
        grain = gaussian_filter(rng.standard_normal(body.shape).astype(np.float32), max(0.7, size / 12))
        return np.asarray(body * np.clip(0.7 + 0.25 * grain / (grain.std() + 1e-6), 0.1, 1.3))
    return body


def _edge(inside: Image) -> Image:
    return np.asarray(np.clip(inside + 0.5, 0, 1))


def _place(
    canvas: Image, taken: NDArray[np.bool_], shape: Image, rng: np.random.Generator, *, touching: bool
) -> tuple[float, float, float, float] | None:
    """Add a shape where it fits; return its box, or None where it does not."""
    rows, columns = np.nonzero(shape > 0.3)
    if not len(rows):
        return None
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    shape = shape[top:bottom, left:right]
    height, width = shape.shape
    room_y, room_x = canvas.shape[0] - height, canvas.shape[1] - width
    if min(room_y, room_x) < 1:
        return None
    for _ in range(8):
        y, x = int(rng.integers(room_y)), int(rng.integers(room_x))
        part = taken[y : y + height, x : x + width]
        covered = (part & (shape > 0.3)).sum() / (shape > 0.3).sum()
        if covered <= (0.15 if touching else 0.0):
            part |= shape > 0.3
            view = canvas[y : y + height, x : x + width]
            np.maximum(view, shape * rng.uniform(0.5, 1.0), out=view)
            return x, y, x + width, y + height
    return None


def _photograph(canvas: Image, diameter: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add a background, uneven light, colour, blur and noise."""
    image = gaussian_filter(canvas, rng.uniform(0.4, max(0.5, min(2.0, diameter / 12))))
    light = zoom(rng.uniform(0, 1, (4, 4)), canvas.shape[0] / 4, order=3)[: canvas.shape[0], : canvas.shape[1]]
    image = image * (0.7 + 0.5 * light) + rng.uniform(0, 0.5) * light
    dirt = gaussian_filter(rng.standard_normal(canvas.shape), rng.uniform(2, 8))
    image += rng.uniform(0, 0.08) * dirt / dirt.std()
    colours = np.stack([image * rng.uniform(0.6, 1.0) + rng.uniform(0, 0.15) for _ in range(3)], axis=-1)
    if rng.random() < 0.6:
        colours = np.repeat(image[..., None], 3, axis=-1)
    if rng.random() < 0.5:
        colours = colours.max() - colours
    noisy = colours + rng.normal(0, rng.uniform(0.005, 0.06) * np.ptp(colours), colours.shape)
    low, high = noisy.min(), noisy.max()
    return np.asarray((noisy - low) / max(high - low, 1e-6) * 255).round().astype(np.uint8)
