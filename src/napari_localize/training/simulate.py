"""Simulated microscopy with known boxes: spots, rods, rings, clumps, crowds, cells and tissues in uneven light.

Shapes of all sizes, bright on dark and dark on bright, in plain light, with the halos of phase contrast and the relief
of differential interference contrast, among dirt, blurred and noisy, so that a model learns what makes something an
object rather than what cells look like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, gaussian_filter, zoom
from scipy.spatial import cKDTree

KINDS = (
    "spots",
    "rods",
    "rings",
    "clumps",
    "filaments",
    "textured",
    "cells",
    "chains",
    "tissue",
    "crowds",
    "colonies",
    "smears",
)
DIAMETERS = (4.0, 120.0)
_SPARED = 0.5
"""Part of the images that have no dirt."""

Image = NDArray[np.float32]
_OPTICS = {
    "spots": (1.0, 0.0, 0.0),
    "cells": (0.35, 0.45, 0.2),
    "chains": (0.5, 0.4, 0.1),
    "colonies": (0.4, 0.5, 0.1),
    "smears": (0.9, 0.1, 0.0),
}
"""How often a kind is seen in plain light, in phase contrast and in relief."""

_OVERLAP = {"clumps": 0.15, "cells": 0.15, "chains": 0.15, "crowds": 0.1, "colonies": 0.05, "smears": 0.25}
"""Largest part of an object that others may cover, by kind; the rest do not touch."""

_GREGARIOUS = {"crowds": 0.7, "colonies": 0.9, "smears": 0.6}
"""How often an object is put right beside another one, by kind."""


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
    filled = rng.uniform(0.1, 0.9) if kind in _GREGARIOUS else rng.uniform(0.05, 0.45)
    wanted = int(np.clip(filled * side**2 / diameter**2, 3, 250))
    if kind == "tissue":
        canvas, boxes = _tissue(side, diameter, rng)
    else:
        canvas, taken = np.zeros((side, side), np.float32), np.zeros((side, side), bool)
        boxes = []
        profile, spread = _profile(rng), rng.uniform(0.05, 0.3)
        meet = str(rng.choice(["brightest", "sum", "upper"])) if kind in _GREGARIOUS else "brightest"
        for _ in range(wanted):
            size = diameter * np.exp(rng.normal(0, spread if kind in _GREGARIOUS else 0.2))
            shape = _disc(size, profile, rng) if kind in ("crowds", "smears") else _shape(kind, size, rng)
            beside = boxes if rng.random() < _GREGARIOUS.get(kind, 0.0) else []
            placed = _place(canvas, taken, shape, beside, _OVERLAP.get(kind, 0.0), meet, rng)
            if placed is not None:
                boxes.append(placed)
    optics = rng.choice(["plain", "phase", "relief"], p=_OPTICS.get(kind, (0.8, 0.1, 0.1)))
    image = _photograph(_through(str(optics), canvas, diameter, rng), diameter, rng)
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
    if kind in ("rods", "chains", "colonies"):
        width = radius * rng.uniform(0.25, 0.5)
        along = np.maximum(np.abs(u) - (radius - width), 0)
        return _edge(width - np.hypot(along, v))
    if kind == "filaments":
        bend = rng.uniform(-0.6, 0.6) * (u / radius) ** 2 * radius
        return _edge(max(1.0, radius * 0.12) - np.abs(v - bend)) * _edge(radius - np.abs(u))
    if kind == "cells":
        return _cell(u, v, radius, rng)
    wobble = 1 + 0.12 * np.sin(rng.integers(2, 5) * np.arctan2(v, u) + rng.uniform(0, 6))
    distance = np.hypot(u / rng.uniform(0.75, 1.0), v) / wobble
    body = _edge(radius - distance)
    if kind == "rings":
        return body - rng.uniform(0.5, 1.0) * _edge(radius * rng.uniform(0.5, 0.8) - distance)
    if kind == "textured":
        grain = gaussian_filter(rng.standard_normal(body.shape).astype(np.float32), max(0.7, size / 12))
        return np.asarray(body * np.clip(0.7 + 0.25 * grain / (grain.std() + 1e-6), 0.1, 1.3))
    return body


def _profile(rng: np.random.Generator) -> Callable[[Image], Image]:
    """Choose how dense round bodies are from the centre (0) to the rim (1): flat, domed, hollow or with a bright rim."""
    kind = rng.choice(["flat", "dome", "hollow", "rim"])
    depth, width = rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.6)
    if kind == "flat":
        return np.ones_like
    if kind == "dome":
        return lambda out: (1 - depth + depth * np.sqrt(np.clip(1 - out**2, 0, 1))).astype(np.float32)
    if kind == "hollow":
        return lambda out: (1 - depth * np.exp(-((out / width) ** 2))).astype(np.float32)
    return lambda out: (1 - depth + depth * np.exp(-(((out - 0.9) / 0.12) ** 2))).astype(np.float32)


def _disc(size: float, profile: Callable[[Image], Image], rng: np.random.Generator) -> Image:
    """Draw a round body with a smooth outline, on a square of its own, 0 to 1."""
    length = max(3, int(np.ceil(size * 1.5)))
    y, x = (np.mgrid[:length, :length] - (length - 1) / 2).astype(np.float32)
    angle = np.arctan2(y, x)
    outline = 1 + rng.normal(0, 0.06) * np.cos(2 * angle + rng.uniform(0, 6))
    outline += rng.normal(0, 0.025) * np.cos(3 * angle + rng.uniform(0, 6))
    radius = size / 2
    away = np.hypot(x, y) / np.clip(outline, 0.7, 1.3)
    return np.asarray(_edge(radius - away) * profile(np.asarray(away / radius, np.float32)), np.float32)


def _cell(u: Image, v: Image, radius: float, rng: np.random.Generator) -> Image:
    """Draw a crawling cell: long, with an uneven outline, grains and perhaps a nucleus."""
    angle = np.arctan2(v, u)
    outline = np.ones_like(u)
    for wave in range(2, 7):
        outline += rng.normal(0, 0.18 / np.sqrt(wave)) * np.cos(wave * angle + rng.uniform(0, 6))
    distance = np.hypot(u, v / rng.uniform(0.35, 1.0)) / np.clip(outline, 0.4, 1.6)
    body = _edge(0.75 * (radius - distance))
    thick = np.clip(1 - (distance / radius) ** 2, 0, 1) ** 0.5
    grain = gaussian_filter(rng.standard_normal(body.shape).astype(np.float32), max(0.6, radius / 9))
    inside = rng.uniform(0.2, 0.7) + rng.uniform(0, 0.6) * thick + rng.uniform(0, 0.2) * grain / (grain.std() + 1e-6)
    if rng.random() < 0.6:
        aside_u, aside_v = rng.normal(0, 0.12 * radius, 2)
        size = radius * rng.uniform(0.25, 0.45)
        inside += rng.uniform(-0.4, 0.6) * _edge(size - np.hypot(u - aside_u, v - aside_v))
    return np.asarray(body * np.clip(inside, 0.05, 1.4), np.float32)


def _tissue(
    side: int, diameter: float, rng: np.random.Generator
) -> tuple[Image, list[tuple[float, float, float, float]]]:
    """Draw cells that fill a part of the image, side by side, with bright or dark borders."""
    pitch = max(diameter, 6.0)
    steps = np.arange(-pitch, side + pitch, pitch)
    seeds = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    seeds += rng.uniform(-0.35, 0.35, seeds.shape) * pitch
    pixels = np.stack(np.mgrid[:side, :side], -1).reshape(-1, 2)
    bent = pixels + np.stack(
        [gaussian_filter(rng.standard_normal((side, side)), pitch / 3).ravel() for _ in "yx"], -1
    ) * (pitch**2 * 0.12)
    (near, next_near), owner = (values.T for values in cKDTree(seeds).query(bent, k=2))
    border = ((next_near - near) / 2).reshape(side, side)
    owner = owner[0].reshape(side, side)
    there = rng.random(len(seeds)) < rng.uniform(0.4, 1.0)
    level = np.where(there, rng.uniform(0.3, 1.0, len(seeds)), 0)
    inside = _edge(border - rng.uniform(0.03, 0.08) * pitch)
    canvas = inside * level[owner]
    if rng.random() < 0.5:
        # Stained membranes: the outlines of the cells are bright, not what they hold.
        canvas = (1 - inside) * there[owner] + rng.uniform(0, 0.3) * canvas
    boxes = []
    for index, place in enumerate(find_objects(owner + 1, len(seeds))):
        if place is None or not there[index]:
            continue
        rows, columns = place
        if min(rows.start, columns.start) > 0 and max(rows.stop, columns.stop) < side:
            boxes.append((float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)))
    return np.asarray(canvas, np.float32), boxes


def _through(optics: str, canvas: Image, diameter: float, rng: np.random.Generator) -> Image:
    """See what absorbs or shines in plain light, through phase contrast (halos) or as a relief."""
    if optics == "plain":
        return canvas
    if optics == "phase":
        halo = gaussian_filter(canvas, max(0.8, diameter * rng.uniform(0.06, 0.25)))
        seen = canvas - rng.uniform(0.7, 1.2) * halo
    else:
        smooth = gaussian_filter(canvas, max(0.6, diameter * rng.uniform(0.02, 0.06)))
        down, right = np.gradient(smooth)
        angle = rng.uniform(0, 2 * np.pi)
        seen = np.cos(angle) * down + np.sin(angle) * right
    return np.asarray(seen / (np.abs(seen).max() + 1e-6), np.float32)


def _dirt(shape: tuple[int, ...], diameter: float, rng: np.random.Generator) -> Image:
    """Draw what is no object: specks much smaller than the objects, and long fibres."""
    dirt = np.zeros(shape, np.float32)
    if rng.random() < _SPARED:
        return dirt
    count = int(rng.integers(3, 60))
    dirt[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = rng.uniform(-1, 1, count)
    dirt = gaussian_filter(dirt, max(0.5, diameter * rng.uniform(0.02, 0.06)))
    dirt /= np.abs(dirt).max() + 1e-6
    if rng.random() < 0.3:
        y, x = np.mgrid[: shape[0], : shape[1]]
        angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5) / shape[0]
        away = (x - rng.uniform(0, shape[1])) * np.cos(angle) + (y - rng.uniform(0, shape[0])) * np.sin(angle)
        along = y * np.cos(angle) - x * np.sin(angle)
        dirt += np.exp(-(((away + bend * along**2) / max(1.0, diameter * 0.05)) ** 2)).astype(np.float32)
    return np.asarray(rng.uniform(0.1, 0.5) * dirt)


def _edge(inside: Image) -> Image:
    return np.asarray(np.clip(inside + 0.5, 0, 1))


def _place(
    canvas: Image,
    taken: NDArray[np.bool_],
    shape: Image,
    beside: Sequence[tuple[float, float, float, float]],
    overlap: float,
    meet: str,
    rng: np.random.Generator,
) -> tuple[float, float, float, float] | None:
    """Add a shape where it fits, right beside one of some boxes if there are any; return its box, or None.

    Where objects overlap the `brightest` is seen, or their `sum` as of what absorbs light, or the `upper` one.
    """
    rows, columns = np.nonzero(shape > 0.3)
    if not len(rows):
        return None
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    shape = shape[top:bottom, left:right]
    height, width = shape.shape
    room_y, room_x = canvas.shape[0] - height, canvas.shape[1] - width
    if min(room_y, room_x) < 1:
        return None
    solid = binary_fill_holes(shape > 0.3)
    for _ in range(12):
        y, x = int(rng.integers(room_y)), int(rng.integers(room_x))
        if beside:
            x0, y0, x1, y1 = beside[rng.integers(len(beside))]
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.05)
            x = int((x0 + x1 - width) / 2 + np.cos(angle) * reach * (x1 - x0 + width) / 2)
            y = int((y0 + y1 - height) / 2 + np.sin(angle) * reach * (y1 - y0 + height) / 2)
            if not (0 <= x < room_x and 0 <= y < room_y):
                continue
        part = taken[y : y + height, x : x + width]
        if (part & solid).sum() <= overlap * solid.sum():
            part |= solid
            view, seen = canvas[y : y + height, x : x + width], shape * rng.uniform(0.5, 1.0)
            if meet == "sum":
                view += seen
            elif meet == "upper":
                np.copyto(view, seen, where=solid)
            else:
                np.maximum(view, seen, out=view)
            return x, y, x + width, y + height
    return None


def _photograph(canvas: Image, diameter: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add a background, uneven light, colour, blur and noise."""
    image = gaussian_filter(canvas, rng.uniform(0.4, max(0.5, min(2.0, diameter / 12))))
    light = zoom(rng.uniform(0, 1, (4, 4)), canvas.shape[0] / 4, order=3)[: canvas.shape[0], : canvas.shape[1]]
    image = image * (0.7 + 0.5 * light) + rng.uniform(0, 0.5) * light
    grain = gaussian_filter(rng.standard_normal(canvas.shape), rng.uniform(1, 8))
    image += rng.uniform(0, 0.08) * grain / grain.std() + _dirt(canvas.shape, diameter, rng)
    colours = np.stack([image * rng.uniform(0.6, 1.0) + rng.uniform(0, 0.15) for _ in range(3)], axis=-1)
    if rng.random() < 0.6:
        colours = np.repeat(image[..., None], 3, axis=-1)
    if rng.random() < 0.5:
        colours = colours.max() - colours
    noisy = colours + rng.normal(0, rng.uniform(0.005, 0.06) * np.ptp(colours), colours.shape)
    low, high = noisy.min(), noisy.max()
    return np.asarray((noisy - low) / max(high - low, 1e-6) * 255).round().astype(np.uint8)
