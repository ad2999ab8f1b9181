"""Small pictures of images and planes, made on a thread when they are first looked at."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from itertools import islice
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_localize.project import ProjectImage
from napari_localize.widgets._project_model import Entry, image_of

SIDE = 44
_MOST, _WAITING = 4000, 60
_POLL_MS = 40
_LARGE = 4096

Key = tuple[int, tuple[int, ...] | None]


class Thumbnails(QObject):
    """Gives pictures that are there at once, and has others made; the last ones asked for come first."""

    ready = Signal(int)
    """The number of an image of which there is something new to be seen."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._made: OrderedDict[Key, QPixmap | None] = OrderedDict()
        self.problems: dict[int, str] = {}
        """What is wrong with the files of images, by number."""
        self._jobs: _Jobs | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._collect)

    def get(self, entry: Entry) -> QPixmap | None:
        """Return the picture of an entry; None where there is none, or not yet."""
        key = (image_of(entry).id, getattr(entry, "index", None))
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        if self._jobs is None:
            self._jobs = _Jobs()
        self._jobs.ask(key, entry)
        if not self._timer.isActive():
            self._timer.start()
        return None

    def look_again(self) -> None:
        """Look again at files that something was wrong with."""
        for key in [key for key in self._made if key[0] in self.problems]:
            del self._made[key]
        self.problems.clear()

    def forget(self) -> None:
        """Forget all pictures and stop making more."""
        self._timer.stop()
        self._made.clear()
        self.problems.clear()
        if self._jobs is not None:
            self._jobs.stop()
            self._jobs = None

    def _collect(self) -> None:
        jobs = self._jobs
        if jobs is None:
            return
        while jobs.done:
            key, pixels, problem = jobs.done.popleft()
            self._made[key] = None if pixels is None else _pixmap(pixels)
            if problem is not None:
                self.problems[key[0]] = problem
            while len(self._made) > _MOST:
                self._made.popitem(last=False)
            self.ready.emit(key[0])
        if jobs.idle:
            self._timer.stop()


class _Jobs:
    """The thread that reads the images."""

    def __init__(self) -> None:
        self.done: deque[tuple[Key, Any, str | None]] = deque()
        self._wanted: OrderedDict[Key, Entry] = OrderedDict()
        self._busy: Key | None = None
        self._stop = False
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="napari-localize thumbnails", daemon=True).start()

    @property
    def idle(self) -> bool:
        with self._wake:
            return not self._wanted and self._busy is None and not self.done

    def ask(self, key: Key, entry: Entry) -> None:
        with self._wake:
            if key == self._busy:
                return
            self._wanted[key] = entry
            self._wanted.move_to_end(key)
            if len(self._wanted) > _WAITING:
                # Those have been scrolled past.
                self._wanted.popitem(last=False)
            self._wake.notify()

    def stop(self) -> None:
        with self._wake:
            self._stop = True
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = None
                self._wake.wait_for(lambda: self._wanted or self._stop)
                if self._stop:
                    return
                self._busy, entry = self._wanted.popitem()
            pixels = problem = None
            try:
                problem = image_of(entry).problem()
                pixels = thumbnail(entry)
            except Exception:  # noqa: BLE001 - a picture that cannot be made is none; opening the image says why
                pixels = None
            self.done.append((self._busy, pixels, problem))


def thumbnail(entry: Entry) -> np.ndarray[Any, Any] | None:
    """Return an (H, W) or (H, W, 3) picture of bytes, at most `SIDE` high and wide; None for what has no file."""
    from napari_localize.formats.images import open_image

    image = image_of(entry)
    if image.path is None:
        return None
    planes = image.planes()
    number = len(planes) // 2 if isinstance(entry, ProjectImage) else planes.index(entry.index)
    file = open_image(image.path)
    _, source = next(islice(file.planes(), number, None))
    height, width, channels = source.shape
    # Of a slide the middle.
    y0, x0 = max(0, (height - _LARGE) // 2), max(0, (width - _LARGE) // 2)
    part = source.read(y0, min(height, y0 + _LARGE), x0, min(width, x0 + _LARGE))
    step = max(1, -(-max(part.shape[:2]) // SIDE))
    rows, columns = part.shape[0] // step * step, part.shape[1] // step * step
    if rows and columns:
        # The mean keeps what is small and bright, and does not flicker like every so many pixels.
        part = part[:rows, :columns].reshape(rows // step, step, columns // step, step, channels).mean((1, 3))
    low, high = np.percentile(part, (0.5, 99.8), axis=(0, 1))
    part = np.clip((part - low) / np.where(high > low, high - low, 1), 0, 1)
    colours = part if channels == 3 and "S" in file.axes else part.max(axis=2)
    return np.ascontiguousarray(colours * 255, np.uint8)


def _pixmap(pixels: np.ndarray[Any, Any]) -> QPixmap:
    height, width = pixels.shape[:2]
    kind = QImage.Format.Format_RGB888 if pixels.ndim == 3 else QImage.Format.Format_Grayscale8
    # The scaled copy does not need the bytes of the array any more.
    image = QImage(pixels.tobytes(), width, height, pixels.strides[0], kind)
    return QPixmap.fromImage(
        image.scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation).copy()
    )
