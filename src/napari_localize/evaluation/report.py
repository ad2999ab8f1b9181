"""What an evaluation came to, as plain data: numbers, curves, tables and findings at one threshold of the score."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_localize.core.findings import Finding
from napari_localize.evaluation.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from napari_localize.core.planes import PlaneSource

BACKGROUND = "background"

TUNED = "The threshold was chosen on these very images, which flatters F1."
"""Said in `EvaluationReport.notes` where the threshold is the best one."""
"""The last row and column of a confusion matrix."""


@dataclass(frozen=True)
class Row:
    """Numbers of one class or of all.

    Attributes
    ----------
    name : str
    images, annotations, predictions : int
        Planes that hold such objects (of all: planes), true objects, objects found at the threshold.
    precision, recall, f1, count_error : float
        At the threshold and the limit of a hit; the error is the mean over planes of ``|found - true| / max(true, 1)``.
    average_precision : tuple of float
        At each of `EvaluationReport.limits`; of all the mean over the annotated classes.
    best_threshold, best_f1 : float
        Where F1 is highest.
    """

    name: str
    images: int
    annotations: int
    predictions: int
    precision: float
    recall: float
    f1: float
    count_error: float
    average_precision: tuple[float, ...]
    best_threshold: float
    best_f1: float


@dataclass(frozen=True)
class PlaneRow:
    """Numbers of one plane: objects there and found, and errors by kind."""

    name: str
    true: int
    found: int
    false_positives: int
    missed: int
    poor_overlaps: int
    wrong_classes: int

    @property
    def errors(self) -> int:
        """How much is wrong."""
        return self.false_positives + self.missed + self.poor_overlaps + self.wrong_classes


@dataclass(frozen=True)
class SizeRow:
    """Numbers of the true objects whose sqrt(width x height), in pixels, lies in a range."""

    low: float
    high: float
    annotations: int
    recall: float
    average_precision: float


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 of all classes together at thresholds of the score."""

    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """How good some predictions are.

    Attributes
    ----------
    points : bool
        Whether objects are compared by the distance of their centres, and not by the overlap of their boxes.
    limit : float
        IoU, or distance in pixels, of a hit.
    limits : tuple of float
        IoUs, or distances, at which average precision was taken.
    threshold : float or None
        Lowest score that counts; None for all predictions.
    classes : tuple of Row
    all : Row
        All classes together.
    intervals : dict of str to Estimate
        By a bootstrap over planes: ``AP50`` (points: ``AP``), ``F1``, ``precision``, ``recall``, ``count_error``.
    recalls : tuple of float
        Of the curves of precision and recall.
    precisions : dict of str to tuple of float
        By class, at IoU 0.5 or the distance of a hit; the highest precision at that recall or beyond.
    curve : Curve
    confusion : tuple of tuple of int
        True class (rows), predicted class (columns), in the order of `classes`; the last is background.
    planes : tuple of PlaneRow
        Worst first.
    sizes : tuple of SizeRow
        Quarters of the true boxes by size; empty for points.
    findings : tuple of Finding
        False positives, missed objects, poor overlaps and wrong classes; of the worst plane first.
    notes : tuple of str
        What should be known before the numbers are believed.
    receipt : dict
        Model, data, settings and versions: what is needed to come to the same numbers again.
    title, command, methods : str
        Heading, the equivalent command line, and a paragraph for a methods section.
    images : mapping of str to PlaneSource
        Pixels of planes by name, for the pictures of the page.
    pixel_size : float or None
        Micrometres per pixel.
    ignore_classes : bool
        Whether all objects were taken for ones of the same class.
    """

    points: bool
    limit: float
    limits: tuple[float, ...]
    threshold: float | None
    classes: tuple[Row, ...]
    all: Row
    intervals: dict[str, Estimate]
    recalls: tuple[float, ...]
    precisions: dict[str, tuple[float, ...]]
    curve: Curve
    confusion: tuple[tuple[int, ...], ...]
    planes: tuple[PlaneRow, ...]
    sizes: tuple[SizeRow, ...]
    findings: tuple[Finding, ...]
    hits: dict[str, tuple[tuple[float, float, float, float], ...]] = field(repr=False)
    notes: tuple[str, ...] = ()
    pixel_size: float | None = None
    ignore_classes: bool = False
    title: str = "Evaluation"
    receipt: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    methods: str = ""
    images: Mapping[str, PlaneSource] = field(default_factory=dict, repr=False)

    @property
    def ap50(self) -> float:
        """Average precision at IoU 0.5, or at the distance of a hit."""
        return self.all.average_precision[self.limits.index(self.limit) if self.points else 0]

    @property
    def ap(self) -> float:
        """COCO's average precision, the mean over IoU 0.50 to 0.95; NaN for points."""
        return math.nan if self.points else _mean(self.all.average_precision)

    @property
    def table(self) -> pd.DataFrame:
        """The numbers as `evaluate` gives them; of points, ``AP50`` is the one at the distance of a hit."""
        import pandas as pd

        rows = [self._record(row) for row in (*self.classes, self.all)]
        names = [*(row.name for row in self.classes), "all"]
        table = pd.DataFrame(rows, index=pd.Index(names, name="class", dtype=object))
        table.attrs["count_error_per_image"] = {
            row.name: abs(row.found - row.true) / max(row.true, 1)
            for row in sorted(self.planes, key=lambda one: one.name)
        }
        table.attrs["notes"] = list(self.notes)
        return table

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; without the pixels."""
        plain = asdict(self._without_images())
        return {name: value for name, value in plain.items() if name not in ("images", "hits")}

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the report as one HTML file that needs no other.

        Parameters
        ----------
        path : path
        overwrite : bool
            Whether a file that exists may be replaced.

        Raises
        ------
        UserError
            When the file exists already or cannot be written.
        """
        from napari_localize.core.files import atomic_path
        from napari_localize.evaluation.html import page

        with atomic_path(path, overwrite=overwrite) as temporary:
            # A name of a file that is no text becomes one with question marks.
            temporary.write_bytes(page(self).encode(errors="replace"))

    def save_receipt(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the receipt as JSON; the errors are those of `save`."""
        from napari_localize.core.files import atomic_path
        from napari_localize.evaluation.receipt import as_json

        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_text(as_json(self.receipt), encoding="utf-8")

    def _without_images(self) -> EvaluationReport:
        from dataclasses import replace

        return replace(self, images={}, hits={})

    def _record(self, row: Row) -> dict[str, float]:
        at = self.limits.index(self.limit) if self.points else 0
        return {
            "images": row.images,
            "annotations": row.annotations,
            "predictions": row.predictions,
            "AP50": row.average_precision[at],
            "AP": math.nan if self.points else _mean(row.average_precision),
            "precision": row.precision,
            "recall": row.recall,
            "F1": row.f1,
            "count_error": row.count_error,
        }


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values) if values else math.nan
