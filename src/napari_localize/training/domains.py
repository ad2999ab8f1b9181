"""Old abilities: what the models that a new one goes back to could do, and whether it still can."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_localize.core.annotations import split_plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import ArrayPlane, PlaneSource
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.core.settings import PredictSettings
from napari_localize.core.splitting import Split
from napari_localize.core.tiling import Rectangle
from napari_localize.evaluation.forgetting import judge_domain
from napari_localize.evaluation.gate import compare, tally
from napari_localize.formats import read_annotations
from napari_localize.formats.images import open_image
from napari_localize.models.card import ModelCard
from napari_localize.models.checks import (
    LARGEST_OBJECT,
    MOST_WINDOWS,
    WINDOW,
    CheckSet,
    CheckWindow,
    bounded,
    cut_window,
    load_checks,
)
from napari_localize.models.history import find_ancestors
from napari_localize.models.localizer import Model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.models.registry import checks_path, list_models
from napari_localize.training.compare import above, counting, found_as_any, measure
from napari_localize.training.duplicates import fingerprint
from napari_localize.training.planes import busiest_windows

SAMPLES = {"generalist": ("nuclei.tif", "tissue.png", "bacteria.tif"), "nuclei": ("nuclei.tif", "tissue.png")}
"""The sample images that show what a bundled model can do."""

SECONDS = 10.0
"""Looking at earlier domains takes no longer than this; those that are not reached are named."""

SECONDS_AFTER_CANCEL = 3.0

_NOT_REACHED = "not checked for want of time"


@dataclass(frozen=True)
class Domain:
    """Annotated windows on which an earlier model could do something.

    Attributes
    ----------
    name : str
        What it is called, such as ``mine@1`` or ``nuclei (sample)``.
    of : str
        Reference of the model.
    checks : CheckSet
        The windows.
    any_class : bool
        Whether their classes do not matter.
    """

    name: str
    of: str
    checks: CheckSet
    any_class: bool = False


def make_checks(
    planes: Sequence[PlaneSource],
    boxes: Sequence[Detections],
    known: Sequence[KnownArea],
    names: Sequence[str],
    fingerprints: Sequence[str],
    split: Split,
) -> CheckSet:
    """Cut a few windows out of the planes that a model was compared on, to be kept beside it."""
    each = math.ceil(MOST_WINDOWS / len(split.validation))
    windows = []
    for index in split.validation[:MOST_WINDOWS]:
        counted = boxes[index][known[index].holds(boxes[index].boxes)]
        typical = float(np.median(counted.diameters)) if len(counted) else 0.0
        reduced = max(1, int(typical // LARGEST_OBJECT))
        height, width, _ = planes[index].shape
        side = WINDOW * reduced
        for window in busiest_windows(counted, height, width, side, each, known[index]):
            if min(window.y1 - window.y0, window.x1 - window.x0) < reduced:
                continue
            windows.append(
                cut_window(
                    planes[index],
                    boxes[index],
                    known[index],
                    window,
                    reduced=reduced,
                    name=names[index],
                    sha256=fingerprints[index],
                )
            )
    return CheckSet(bounded(windows), split.held_back)


def earlier_domains(card: ModelCard, base: Model, learnt: Collection[str]) -> list[Domain]:
    """Return the earlier domains of a model, those of its nearest ancestors first.

    Parameters
    ----------
    card : ModelCard
        Of the new model.
    base : Model
        That it started from.
    learnt : collection of str
        Fingerprints of the planes that it has learnt from or is compared on anyway: those are no earlier ones.
    """
    seen = set(learnt)
    domains = []
    for name, of, checks, any_class in _sets(card, base):
        windows = [window for window in checks.windows if window.sha256 not in seen and len(window.counted)]
        seen |= {window.sha256 for window in windows if window.sha256}
        if windows:
            domains.append(Domain(name, of, replace(checks, windows=windows), any_class))
    return domains


def _sets(card: ModelCard, base: Model) -> Iterator[tuple[str, str, CheckSet, bool]]:
    """Yield name, model, check set, and whether classes do not matter."""
    ancestors = find_ancestors(card, list_models())
    places = [(base.card.reference, base.path)] if base.path not in [entry.path for entry in ancestors] else []
    bundled = {entry.path: entry.name for entry in ancestors if entry.bundled}
    for reference, path in [*places, *((entry.reference, entry.path) for entry in ancestors)]:
        if path is None:
            continue
        for file_name in SAMPLES.get(bundled.get(path, ""), ()):
            # Samples that are missing or files that are damaged are no reason to lose a training.
            with suppress(UserError):
                yield f"{Path(file_name).stem} (sample)", reference, sample_checks(file_name), True
        if checks_path(path).is_file():
            with suppress(UserError):
                yield reference, reference, load_checks(checks_path(path)), False


@lru_cache(maxsize=8)
def sample_checks(file_name: str) -> CheckSet:
    """Return a sample image with its true boxes; of a movie the first and the last plane."""
    folder = sample_folder()
    annotations = read_annotations(folder / ANNOTATIONS)
    planes = [(name, boxes) for name, boxes in annotations.items() if split_plane_name(name)[0] == file_name]
    sources = [plane for _, plane in open_image(folder / file_name).planes()]
    windows = []
    for index in sorted({0, len(planes) - 1}):
        name, boxes = planes[index]
        height, width, _ = sources[index].shape
        whole = Rectangle(0, min(height, WINDOW), 0, min(width, WINDOW))
        sha256 = fingerprint(sources[index])
        windows.append(cut_window(sources[index], boxes, KnownArea(), whole, name=name, sha256=sha256))
    return CheckSet(windows)


def check_domains(
    model: Model, base: Model, domains: Sequence[Domain], should_stop: Callable[[], bool], seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """Let the new model and its base look at earlier domains.

    The size of the objects is given, so that finding them is compared and nothing else.

    Returns
    -------
    list of dict
        For each domain ``name``, ``of`` (the model that it belongs to), ``word`` and ``forgets`` (see
        `evaluation.forgetting.judge_domain`); and ``planes``, ``boxes``, ``held_back`` (whether that model had not
        learnt from it), ``classes_ignored``, ``old``, ``new`` (measures) and ``gate``, or ``reason``: why it was not
        looked at.
    """
    end = time.monotonic() + seconds

    def late() -> bool:
        return should_stop() or time.monotonic() > end

    found = []
    for domain in domains:
        named = {"name": domain.name, "of": domain.of}
        try:
            found.append({**named, **_check(model, base, domain, late)})
        except Cancelled:
            found.append({**named, "word": "", "forgets": False, "reason": _NOT_REACHED})
    return found


def _check(model: Model, base: Model, domain: Domain, should_stop: Callable[[], bool]) -> dict[str, Any]:
    windows = domain.checks.windows
    true = [window.counted for window in windows]
    used = {name for boxes in true for name, number in boxes.counts().items() if number}
    any_class = domain.any_class or not used <= set(model.card.classes) or not used <= set(base.card.classes)
    sides = [_run(each, windows, any_class, should_stop) for each in (base, model)]
    if any_class:
        true = [Detections(boxes.boxes) for boxes in true]
    classes = tuple(dict.fromkeys(name for boxes in (*true, *sides[0], *sides[1]) for name in boxes.class_names))
    before, after, true = ([boxes.with_classes(classes) for boxes in side] for side in (*sides, true))
    old, new = ([each.card.threshold] * len(windows) for each in (base, model))
    gate = compare(
        *(
            _by_plane(windows, tally(above(side, limits), true, classes))
            for side, limits in ((before, old), (after, new))
        ),
        classes,
    )
    boxes = sum(map(len, true))
    word, forgets = judge_domain(gate, boxes)
    return {
        "word": word,
        "forgets": forgets,
        "planes": gate.planes,
        "boxes": boxes,
        "held_back": domain.checks.held_back,
        "classes_ignored": any_class,
        "old": measure(before, true, old),
        "new": measure(after, true, new),
        "gate": gate.as_dict(),
    }


def _run(
    model: Model, windows: Sequence[CheckWindow], any_class: bool, should_stop: Callable[[], bool]
) -> list[Detections]:
    found = []
    for window in windows:
        if should_stop():
            raise Cancelled
        diameter = float(np.median(window.counted.diameters))
        settings = PredictSettings(threshold=FLOOR, object_diameter=diameter)
        boxes = predict_plane(model, ArrayPlane(window.pixels), settings, should_stop=should_stop)
        if any_class:
            boxes = found_as_any(boxes)
        found.append(counting(boxes, window.known))
    return found


def _by_plane(windows: Sequence[CheckWindow], counts: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """Add up the counts of the windows of each plane."""
    names = list(dict.fromkeys(window.plane for window in windows))
    summed = np.zeros((len(names), *counts.shape[1:]), np.int64)
    np.add.at(summed, [names.index(window.plane) for window in windows], counts)
    return summed
