"""Running a model over a plane of any size: scale, tiles, seams, and what to do when memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torchvision.ops import batched_nms

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError, is_out_of_memory
from napari_localize.core.planes import PlaneSource
from napari_localize.core.settings import PredictSettings
from napari_localize.core.tiling import SEAM_MARGIN, Rectangle, cut_by_seam, join_parts, plan_tiles
from napari_localize.models.ahead import read_ahead
from napari_localize.models.heatmap.decode import NMS_IOU
from napari_localize.models.heatmap.network import MULTIPLE
from napari_localize.models.intensity import IntensityMap, find_intensity_map
from napari_localize.models.localizer import Answer, Model
from napari_localize.models.scale import ScaleEstimate, estimate_diameter, usual_instead

FLOOR = 0.05
"""Boxes with a lower score are never returned."""

TILE = 1024
OVERLAP = 160
"""Side of a tile, and what neighbours share, in pixels of the network."""

SMALLEST_TILE = 256
"""Tiles are halved down to this when memory runs out."""

LARGEST_READ = 6144
"""No tile is larger than this in pixels of the plane, however much the image is reduced."""

ZOOM_RANGE = (1 / 32, 8.0)

BATCH_SIZE = {"cpu": 1, "cuda": 8, "mps": 4}

PLANES_FOR_DIAMETER = 3
"""Planes of a stack on which its object diameter is found."""

OnEvent = Callable[[dict[str, Any]], None]
Found = TypeVar("Found")


def predict_plane(
    model: Model,
    plane: PlaneSource,
    settings: PredictSettings,
    *,
    region: Sequence[int] | None = None,
    on_event: OnEvent | None = None,
    should_stop: Callable[[], bool] | None = None,
    full: bool = False,
) -> Detections:
    """Localize the objects of one plane.

    Parameters
    ----------
    model : Model
        What to run.
    plane : PlaneSource
        Where to look.
    settings : PredictSettings
        How. The device is the model's.
    region : (y0, y1, x0, x1), optional
        Look only here; pixels.
    on_event : callable, optional
        Gets dictionaries with ``event``: ``message`` (text; ``warning`` true where a setting has no effect),
        ``diameter`` (object_diameter, text), ``progress`` (done, total: tiles), ``boxes`` (detections of finished
        tiles, provisional).
    should_stop : callable, optional
        Asked between tiles.
    full : bool
        Return everything above `FLOOR` whatever the threshold, for a choice afterwards.

    Returns
    -------
    Detections
        In pixels of the plane, best first.

    Raises
    ------
    UserError
        When the settings do not fit the plane.
    Cancelled
        When `should_stop` said so.
    """
    tell = on_event or (lambda event: None)
    run = _Run(model, plane, _check_region(plane, region), settings, tell, should_stop or (lambda: False))
    run.zoom = run.find_zoom()
    threshold = model.card.threshold if settings.threshold is None else settings.threshold
    return run.all_tiles(FLOOR if full else max(threshold, FLOOR))


def settings_for_stack(
    model: Model,
    planes: Sequence[PlaneSource],
    settings: PredictSettings,
    *,
    on_event: OnEvent | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> PredictSettings:
    """Settle one object diameter for all planes of a stack, so that neighbours are not looked at differently.

    It is the median of what is found on a few planes spread over the stack. Settings that leave nothing to
    be found, and those for a single plane, are returned as they are.
    """
    sized = settings.pixel_size is not None and model.card.pixel_size is not None
    if len(planes) < 2 or settings.object_diameter is not None or sized:
        return settings
    stop = should_stop or (lambda: False)
    found = []
    for index in np.unique(np.linspace(0, len(planes) - 1, PLANES_FOR_DIAMETER).round().astype(int)).tolist():
        plane = planes[index]
        run = _Run(model, plane, _check_region(plane, None), settings, on_event or (lambda event: None), stop)
        found.append(run.estimate().diameter)
    known = [diameter for diameter in found if diameter is not None]
    return replace(settings, object_diameter=float(np.median(known))) if known else settings


@dataclass
class _Run:
    """One prediction under way."""

    model: Model
    plane: PlaneSource
    region: Rectangle
    settings: PredictSettings
    tell: OnEvent
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        self.intensity: IntensityMap = find_intensity_map(self.plane, self.settings.channel)
        self.zoom = 1.0
        self.tile = TILE
        self.batch_size = self.settings.batch_size or BATCH_SIZE[self.model.device.type]

    def find_zoom(self) -> float:
        """Find by how much to enlarge the plane; say what was found."""
        wanted, known = self.model.card.object_diameter, self.model.card.pixel_size
        diameter, text = self.settings.object_diameter, ""
        # Said as well where a stack has been given one diameter instead.
        if self.settings.pixel_size is not None and known is None:
            self.tell(
                {
                    "event": "message",
                    "text": f"Model {self.model.card.reference} does not know how large its objects are in um, "
                    "so the pixel size is not used.",
                    "warning": True,
                }
            )
        if diameter is not None:
            text = f"Object diameter: {diameter:.0f} px."
        elif self.settings.pixel_size is not None and known is not None:
            diameter = wanted * known / self.settings.pixel_size
            text = f"Object diameter: {diameter:.0f} px, from the pixel size."
        if diameter is None:
            estimate = self.estimate()
            diameter, text = estimate.diameter, estimate.text
        self.tell({"event": "diameter", "object_diameter": diameter, "text": text})
        zoom = 1.0 if diameter is None else wanted / diameter
        return float(np.clip(zoom, *ZOOM_RANGE))

    def estimate(self) -> ScaleEstimate:
        """Find how large the objects are."""
        window, card = _Window(self.plane, self.region), self.model.card
        wanted, alike = card.object_diameter, len(card.classes) == 1
        found = self._within_memory(lambda: estimate_diameter(window, self._look, wanted, measure=alike))
        return usual_instead(found, card.usual_diameters)

    def all_tiles(self, floor: float) -> Detections:
        """Run over all tiles and put what was found together."""
        return self._within_memory(lambda: self._all_tiles(floor))

    def _within_memory(self, work: Callable[[], Found]) -> Found:
        """Do something; when the memory is not enough, again with less."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Here, as what the error holds on to is free now.
            self._need_less()

    def _need_less(self) -> None:
        kind = self.model.device.type
        if kind != "cpu":
            getattr(torch, kind).empty_cache()
        full = "The memory is full" if kind == "cpu" else "The GPU's memory is full"
        if self.batch_size > 1:
            self.batch_size //= 2
            text = f"{full}; going on with {self.batch_size} tile{'s' if self.batch_size > 1 else ''} at a time."
        elif self.tile > SMALLEST_TILE:
            self.tile //= 2
            text = f"{full}; going on with tiles of {self.tile} px."
        elif kind != "cpu":
            self.model.move_to(torch.device("cpu"))
            self.tile = TILE
            text = f"{full} even for small tiles; going on with the CPU, which is slower."
        else:
            raise UserError("the memory is full even for small tiles; close other programs and run again.")
        self.tell({"event": "message", "text": text})

    def _all_tiles(self, floor: float) -> Detections:
        region, zoom = self.region, self.zoom
        height, width = region.y1 - region.y0, region.x1 - region.x0
        side = min(math.ceil(self.tile / zoom), LARGEST_READ)
        overlap = min(math.ceil(OVERLAP / zoom), side // 2)
        tiles = plan_tiles(height, width, side, overlap)
        batches = [tiles[start : start + self.batch_size] for start in range(0, len(tiles), self.batch_size)]
        margin = max(SEAM_MARGIN / zoom, 1.0)
        answers: list[Answer] = []
        cuts: list[NDArray[np.bool_]] = []
        with closing(read_ahead(batches, self._read)) as ready:
            for batch, pixels in ready:
                if self.should_stop():
                    raise Cancelled
                for tile, answer in zip(batch, self._detect(batch, pixels, floor), strict=True):
                    answers.append(answer)
                    cuts.append(cut_by_seam(answer[0], tile, height, width, margin))
                self.tell({"event": "progress", "done": len(answers), "total": len(tiles)})
                if len(answers) < len(tiles):
                    whole = ~np.concatenate(cuts[-len(batch) :])
                    boxes, labels, scores = _joined(answers[-len(batch) :])
                    found = self._on_plane((boxes[whole], labels[whole], scores[whole]))
                    self.tell({"event": "boxes", "detections": found})
        return self._on_plane(_merge(tiles, answers, cuts))

    def _on_plane(self, answer: Answer) -> Detections:
        boxes, labels, scores = answer
        card = self.model.card
        order = np.argsort(-scores, kind="stable")
        return Detections(
            boxes[order] + np.array([self.region.x0, self.region.y0] * 2, np.float32),
            labels[order],
            scores[order],
            class_names=tuple(card.classes),
            origins=np.full(len(boxes), card.reference),
        )

    def _look(self, rectangle: Rectangle, zoom: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.should_stop():
            raise Cancelled
        ((boxes, _, scores),) = self._detect([rectangle], self._pixels(rectangle, zoom)[None], FLOOR)
        return boxes, scores

    def _detect(self, rectangles: Sequence[Rectangle], pixels: torch.Tensor, floor: float) -> list[Answer]:
        """Give boxes in pixels of the region for rectangles of it, all of one size."""
        height, width = pixels.shape[-2:]
        padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        answers = self.model.detect(functional.pad(pixels, padding, mode="replicate"), floor)
        moved = []
        for rectangle, (boxes, labels, scores) in zip(rectangles, answers, strict=True):
            scale_x = (rectangle.x1 - rectangle.x0) / width
            scale_y = (rectangle.y1 - rectangle.y0) / height
            boxes = boxes * np.array([scale_x, scale_y] * 2, np.float32)
            boxes += np.array([rectangle.x0, rectangle.y0] * 2, np.float32)
            moved.append(_inside(boxes, labels, scores, rectangle))
        return moved

    def _read(self, rectangles: Sequence[Rectangle]) -> torch.Tensor:
        return torch.stack([self._pixels(rectangle, self.zoom) for rectangle in rectangles])

    def _pixels(self, rectangle: Rectangle, zoom: float) -> torch.Tensor:
        y0, y1, x0, x1 = rectangle
        top, left = self.region.y0, self.region.x0
        seen = self.intensity(self.plane.read(top + y0, top + y1, left + x0, left + x1))
        pixels = torch.from_numpy(np.ascontiguousarray(seen)).permute(2, 0, 1)
        size = [max(1, round((y1 - y0) * zoom)), max(1, round((x1 - x0) * zoom))]
        if size == list(pixels.shape[1:]):
            return pixels
        return functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


@dataclass(frozen=True)
class _Window:
    """Part of a plane, as a plane of its own."""

    plane: PlaneSource
    region: Rectangle

    @property
    def shape(self) -> tuple[int, int, int]:
        region = self.region
        return region.y1 - region.y0, region.x1 - region.x0, self.plane.shape[2]

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        top, left = self.region.y0, self.region.x0
        return self.plane.read(top + y0, top + y1, left + x0, left + x1)


def _inside(
    boxes: NDArray[np.float32], labels: NDArray[np.int64], scores: NDArray[np.float32], tile: Rectangle
) -> Answer:
    """Cut boxes at the sides of a tile; drop what is left of those whose middle lies outside, and slivers."""
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    low = np.array([tile.x0, tile.y0], np.float32)
    high = np.array([tile.x1, tile.y1], np.float32)
    clipped = np.concatenate([np.maximum(boxes[:, :2], low), np.minimum(boxes[:, 2:], high)], axis=1)
    keep = ((center > low) & (center < high)).all(axis=1) & (clipped[:, 2:] - clipped[:, :2] > 0.5).all(axis=1)
    return clipped[keep], labels[keep], scores[keep]


def _joined(answers: Sequence[Answer]) -> Answer:
    boxes, labels, scores = (np.concatenate(part) for part in zip(*answers, strict=True))
    return boxes, labels, scores


def _merge(tiles: Sequence[Rectangle], answers: Sequence[Answer], cuts: Sequence[NDArray[np.bool_]]) -> Answer:
    """Make one answer of those of all tiles."""
    boxes, labels, scores = _joined(answers)
    if len(tiles) == 1:
        return boxes, labels, scores
    cut = np.concatenate(cuts)
    found_in = np.repeat(np.arange(len(tiles)), [len(part) for part in cuts])
    whole = np.flatnonzero(~cut)
    # Doubles from the overlaps; the parts wait until the whole boxes are settled.
    keep = batched_nms(
        torch.from_numpy(boxes[whole]), torch.from_numpy(scores[whole]), torch.from_numpy(labels[whole]), NMS_IOU
    )
    chosen = np.concatenate([whole[keep.numpy()], np.flatnonzero(cut)])
    return join_parts(boxes[chosen], labels[chosen], scores[chosen], cut[chosen], found_in[chosen], tiles)


def _check_region(plane: PlaneSource, region: Sequence[int] | None) -> Rectangle:
    height, width, _ = plane.shape
    if region is None:
        return Rectangle(0, height, 0, width)
    y0, y1, x0, x1 = (int(side) for side in region)
    clipped = Rectangle(max(0, y0), min(height, y1), max(0, x0), min(width, x1))
    if clipped.y0 >= clipped.y1 or clipped.x0 >= clipped.x1:
        raise UserError("the chosen region lies outside the image; draw it on the image.")
    return clipped
