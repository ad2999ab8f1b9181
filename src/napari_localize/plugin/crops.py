"""Small pictures of boxes as the image layers show them, made in a thread when they are first looked at."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from napari_localize.core.planes import PlaneSource
from napari_localize.plugin.layers import image_planes, transform_of
from napari_localize.plugin.pairs import channel_axis_of, image_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_localize.plugin.boxes import BoxLayer

CONTEXT = 1.6
"""A crop is so many times as wide as its box, or as the typical box where its own is smaller.

So small objects look small, as they are, and large ones fit.
"""

CROP_BYTES, _TILE_BYTES = 96 << 20, 64 << 20
_TILE = 512  # pixels
_STRIP = 1 << 22  # pixels that are read at once
_LEAST_SIDE = 8.0
_CHUNK = 12
_IDLE_S = 2.0

K = TypeVar("K", bound=Hashable)

Square = tuple[float, float, float]
"""x0, y0 and side, in pixel edges."""


class ByteCache(Generic[K]):
    """Arrays by key; those not used for longest are forgotten when all together get too large. Safe between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._arrays: OrderedDict[K, NDArray[Any]] = OrderedDict()
        self.bytes = 0
        """Size of all that is kept."""

    def get(self, key: K) -> NDArray[Any] | None:
        """Return an array, if it is kept."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: K, array: NDArray[Any]) -> None:
        """Keep an array."""
        with self._lock:
            old = self._arrays.pop(key, None)
            self.bytes += array.nbytes - (0 if old is None else old.nbytes)
            self._arrays[key] = array
            while self.bytes > self._most and len(self._arrays) > 1:
                self.bytes -= self._arrays.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._arrays.clear()
            self.bytes = 0


class TiledPlane:
    """A plane that is slow to read: what was read stays at hand tile by tile, for the crops beside it.

    Parameters
    ----------
    source : PlaneSource
    key : hashable
        That no other plane in the cache has.
    tiles : ByteCache
        Shared with other planes.
    """

    def __init__(self, source: PlaneSource, key: Hashable, tiles: ByteCache[Hashable]) -> None:
        self._source, self._key, self._tiles = source, key, tiles
        self.shape = source.shape

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Return the (y1 - y0, x1 - x0, C) pixels of a rectangle inside the plane."""
        rows = []
        for top in range(y0 // _TILE * _TILE, y1, _TILE):
            low, high = max(y0 - top, 0), y1 - top
            parts = []
            for left in range(x0 // _TILE * _TILE, x1, _TILE):
                parts.append(self._tile(top, left)[low:high, max(x0 - left, 0) : x1 - left])
            rows.append(np.concatenate(parts, axis=1))
        return np.concatenate(rows)

    def _tile(self, top: int, left: int) -> NDArray[Any]:
        key = (self._key, top, left)
        tile = self._tiles.get(key)
        if tile is None:
            height, width, _ = self.shape
            tile = self._source.read(top, min(top + _TILE, height), left, min(left + _TILE, width))
            self._tiles.put(key, tile)
        return tile


@dataclass(frozen=True, eq=False)
class Channel:
    """How one image layer shows its planes.

    Attributes
    ----------
    sources : mapping of plane index to PlaneSource
    number : int
        Which channel of the sources is shown; RGB shows three.
    limits : (float, float)
        What becomes black, and what becomes white.
    gamma : float
    table : (256, 3) uint8, or None
        Colour by brightness; None for RGB.
    opacity : float
    blending : str
        As napari calls it.
    """

    sources: Mapping[tuple[int, ...], PlaneSource]
    number: int = 0
    limits: tuple[float, float] = (0.0, 255.0)
    gamma: float = 1.0
    table: NDArray[np.uint8] | None = None
    opacity: float = 1.0
    blending: str = "translucent"

    def colours(self, part: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the (H, W, 3) colours, 0 to 1, of (H, W, C) pixels."""
        low, high = self.limits
        values = part[..., :3] if self.table is None else part[..., self.number]
        bright = np.nan_to_num(np.clip((values - low) / max(high - low, 1e-12), 0, 1)) ** self.gamma
        if self.table is None:
            return np.broadcast_to(bright, (*bright.shape[:2], 3)).astype(np.float32)
        return (self.table[np.round(bright * 255).astype(np.uint8)] / 255).astype(np.float32)


def images_shown(boxes: BoxLayer, layers: Iterable[Layer]) -> list[Image]:
    """Return the image of a layer of boxes, and other images on the same pixels: the visible ones from the bottom up."""
    layers = list(layers)
    own = image_of(boxes.layer, layers)
    if own is None:
        return []
    place, shape = transform_of(own), _shape(own)
    alike = [
        layer
        for layer in layers
        if type(layer).__name__ == "Image"
        and layer.visible
        and layer.ndim == own.ndim
        and _shape(layer) == shape
        # A channel may have other units or labels and still lie on the same pixels.
        and all(np.array_equal(transform_of(layer)[name], place[name]) for name in ("scale", "translate", "rotate"))
    ]
    return alike or [own]


def channels_shown(boxes: BoxLayer, layers: Iterable[Layer], step: Sequence[int] = ()) -> list[Channel]:
    """Return how the image of some boxes is shown now, to be drawn one over the other; empty without an image.

    Parameters
    ----------
    boxes : BoxLayer
    layers : iterable of Layer
        Of the viewer.
    step : sequence of int
        Where the sliders stand: of an axis of channels that channel is taken.
    """
    tiles: ByteCache[Hashable] = ByteCache(_TILE_BYTES)
    channels = []
    for number, image in enumerate(images_shown(boxes, layers)):
        axis = channel_axis_of(boxes, image)
        data = image.data[0] if image.multiscale else image.data
        planes = {plane.index: plane.source for plane in image_planes(image, axis)}
        if not isinstance(data, np.ndarray):
            planes = {index: TiledPlane(source, (number, index), tiles) for index, source in planes.items()}
        at = 0 if axis is None else _step_of(image, axis, step)
        limits, table = tuple(float(limit) for limit in image.contrast_limits), None
        if image.rgb:
            kind = np.dtype(data.dtype)
            limits = (0.0, 1.0 if kind.kind in "fb" else float(np.iinfo(kind).max))
        else:
            colours = image.colormap.map(np.linspace(0, 1, 256, dtype=np.float32))
            table = np.round(np.clip(colours[:, :3], 0, 1) * 255).astype(np.uint8)
        channels.append(
            Channel(planes, at, limits, float(image.gamma), table, float(image.opacity), str(image.blending))
        )
    return channels


def _shape(image: Image) -> tuple[int, ...]:
    data = image.data[0] if image.multiscale else image.data
    return tuple(int(n) for n in (data.shape[:-1] if image.rgb else data.shape))


def _step_of(image: Image, axis: int, step: Sequence[int]) -> int:
    own = list(step)[-image.ndim :]
    most = _shape(image)[axis] - 1
    return min(max(int(own[axis]), 0), most) if len(own) == image.ndim else 0


def squares(boxes: NDArray[np.floating], typical: float) -> NDArray[np.float64]:
    """Return what the crops of boxes show.

    Parameters
    ----------
    boxes : (N, 4) array
    typical : float
        The longer side of a usual box, see `typical_side`.

    Returns
    -------
    (N, 3) float64
        x0, y0 and side; they may reach beyond the plane.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    sides = np.maximum(CONTEXT * np.maximum(longer, typical), _LEAST_SIDE)
    corners = (boxes[:, :2] + boxes[:, 2:]) / 2 - sides[:, np.newaxis] / 2
    return np.column_stack([corners, sides])


def typical_side(boxes: NDArray[np.floating]) -> float:
    """Return the median of the longer sides of (N, 4) boxes, 0 without any."""
    return float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1))) if len(boxes) else 0.0


def crop(channels: Sequence[Channel], plane: tuple[int, ...], square: Square, side: int) -> NDArray[np.uint8]:
    """Draw what a square of a plane looks like.

    Parameters
    ----------
    channels : sequence of Channel
        From the bottom up.
    plane : tuple of int
    square : (x0, y0, side)
    side : int
        Of the picture, in its pixels.

    Returns
    -------
    (side, side, 4) uint8
        Red, green, blue and opacity; nothing is to be seen beside the plane.
    """
    out = np.zeros((side, side, 3), np.float32)
    inside = np.zeros((side, side), bool)
    for channel in channels:
        source = channel.sources.get(plane)
        if source is None:
            continue
        part, covered = _resampled(source, square, side)
        first, inside = not inside.any(), inside | covered
        colours = channel.colours(part)
        if channel.blending == "minimum" and not first:
            out = np.minimum(out, colours)
        elif channel.blending == "additive" or first:
            out += colours * channel.opacity
        elif channel.blending == "opaque":
            out = colours
        else:
            out += (colours - out) * channel.opacity
    picture = np.empty((side, side, 4), np.uint8)
    picture[..., :3] = np.round(np.clip(out, 0, 1) * 255)
    picture[..., 3] = 255 * inside
    return picture


def _resampled(source: PlaneSource, square: Square, side: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the (side, side, C) values of a square, means where it shrinks, and which of them lie on the plane."""
    height, width, channels = source.shape
    x0, y0, length = square
    scale = length / side
    step = max(1, int(scale))
    at = (np.arange(side) + 0.5) * scale
    columns, rows = x0 + at, y0 + at
    covered = ((rows >= 0) & (rows < height))[:, np.newaxis] & ((columns >= 0) & (columns < width))
    if not covered.any():
        return np.zeros((side, side, channels), np.float32), covered
    left, right = max(int(x0) - step, 0), min(int(x0 + length) + step + 1, width)
    top, bottom = max(int(y0) - step, 0), min(int(y0 + length) + step + 1, height)
    part = _means(source, (top, bottom, left, right), step)
    return _between(_between(part, (rows - top) / step - 0.5, 0), (columns - left) / step - 0.5, 1), covered


def _means(source: PlaneSource, rectangle: tuple[int, int, int, int], step: int) -> NDArray[np.float32]:
    """Read a rectangle strip by strip, with one value for each step x step pixels."""
    top, bottom, left, right = rectangle
    if step == 1:
        return source.read(top, bottom, left, right).astype(np.float32)
    high = max(_STRIP // (right - left) // step, 1) * step
    strips = []
    for y in range(top, bottom, high):
        strip = source.read(y, min(y + high, bottom), left, right).astype(np.float32)
        for axis in (0, 1):
            starts = np.arange(0, strip.shape[axis], step)
            numbers = np.diff(np.append(starts, strip.shape[axis])).astype(np.float32)
            strip = np.add.reduceat(strip, starts, axis=axis) / numbers.reshape((-1, 1, 1) if axis == 0 else (-1, 1))
        strips.append(strip)
    return np.concatenate(strips)


def _between(values: NDArray[np.float32], at: NDArray[np.float64], axis: int) -> NDArray[np.float32]:
    """Interpolate linearly along an axis; beyond the ends the last value goes on."""
    at = np.clip(at, 0, values.shape[axis] - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = (at - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
    lower = np.take(values, low, axis)
    result: NDArray[np.float32] = lower + (np.take(values, high, axis) - lower) * weight
    return result


@dataclass(frozen=True)
class Spot:
    """What a crop is of; another place, size or look is another crop."""

    key: int
    plane: tuple[int, ...]
    square: Square
    side: int


class Crops:
    """Gives pictures that are there, and makes those asked for in a thread, a few at a time.

    Parameters
    ----------
    most : int
        Bytes of pictures that are kept.
    """

    def __init__(self, most: int = CROP_BYTES) -> None:
        self._kept: ByteCache[Spot] = ByteCache(most)
        self._channels: Sequence[Channel] = ()
        self._wanted: list[Spot] = []
        self._busy = False
        self._look = 0
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self.made = 0
        """Rises with each few pictures that are ready."""
        self.problem = ""
        """What is wrong with the pixels, if they could not be read."""

    @property
    def idle(self) -> bool:
        """Whether all that was asked for is there."""
        with self._wake:
            return not self._wanted and not self._busy

    @property
    def bytes(self) -> int:
        """Size of the pictures that are kept."""
        return self._kept.bytes

    def show(self, channels: Sequence[Channel]) -> None:
        """Let crops look otherwise from now on."""
        with self._wake:
            self._channels = channels
            self._wanted = []
            self._look += 1
            self._kept.clear()
            self.problem = ""

    def get(self, spot: Spot) -> NDArray[np.uint8] | None:
        """Return a picture, if it is there."""
        return self._kept.get(spot)

    def ask(self, spots: Iterable[Spot]) -> None:
        """Have some pictures made, and none of those that were asked for before."""
        with self._wake:
            self._wanted = [spot for spot in spots if self._kept.get(spot) is None]
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="napari-localize crops", daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """Stop the thread and forget all."""
        with self._wake:
            self._wanted = []
            self._thread = None
            self._channels = ()
            self._wake.notify()
        self._kept.clear()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._wake:
                self._busy = False
                self._wake.wait_for(lambda: self._wanted or self._thread is not me, _IDLE_S)
                if self._thread is not me:
                    return
                if not self._wanted:
                    # A window that is closed tells nobody; so no thread keeps what was in it.
                    self._thread = None
                    return
                spots, self._wanted = self._wanted[:_CHUNK], self._wanted[_CHUNK:]
                channels, look = self._channels, self._look
                self._busy = True
            for spot in spots:
                try:
                    picture = crop(channels, spot.plane, spot.square, spot.side)
                except Exception as error:  # noqa: BLE001 - whatever a reader of pixels raises, the others go on
                    picture = np.zeros((spot.side, spot.side, 4), np.uint8)
                    self.problem = f"{type(error).__name__}: {error}"
                with self._wake:
                    if look != self._look or self._thread is not me:
                        break
                    self._kept.put(spot, picture)
            self.made += 1
