"""The functions for scripts and notebooks. They compute where they are called, without the engine."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from napari_localize.core.errors import UserError
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.evaluation.counts import count
from napari_localize.evaluation.metrics import evaluate
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.formats.sources import planes_of
from napari_localize.models.registry import find_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_localize.core.detections import Detections
    from napari_localize.evaluation.metrics import Boxes
    from napari_localize.evaluation.report import EvaluationReport
    from napari_localize.measurements.tables import Measurements
    from napari_localize.models.localizer import Model

    OnEvent = Callable[[dict[str, Any]], None]

__all__ = [
    "count",
    "evaluate",
    "load_model",
    "measure",
    "predict",
    "read_annotations",
    "report",
    "teach",
    "train",
    "write_annotations",
]


def load_model(name_or_path: str | os.PathLike[str], device: str = "auto") -> Model:
    """Load a model, ready to run.

    Parameters
    ----------
    name_or_path : str or path
        A bundled name, a name in the user's model store (``"mine"``, ``"mine@3"``) or a ``.safetensors`` file.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    Model
        With ``.card``, ``.predict(image)`` and ``.save(path)``.

    Raises
    ------
    UserError
        When there is no such model or device, or the file is damaged.
    """
    from napari_localize.models import localizer

    return localizer.load_model(name_or_path, device=device)


def predict(
    image: Any,
    model: str | os.PathLike[str] | Model = "generalist",
    threshold: float | None = None,
    object_diameter: float | None = None,
    pixel_size: float | None = None,
    channel: int | None = None,
    device: str = "auto",
    *,
    axes: str | None = None,
    batch_size: int | None = None,
    on_event: OnEvent | None = None,
) -> Detections | dict[tuple[int, ...], Detections]:
    """Find the objects in an image or a stack.

    Parameters
    ----------
    image : array-like or path
        (H, W) or (H, W, C) real numbers of any kind, or the path of an image file. With `axes`, a stack.
        Arrays that are read piece by piece (dask, zarr, memory maps) stay where they are.
    model : str, path or Model
        As in `load_model`. It stays loaded for the next call.
    threshold : float, optional
        Lowest score of a returned box; by default the one in the model card.
    object_diameter : float, optional
        Typical sqrt(width x height) of the objects, in pixels; by default it is found from the image,
        one for all planes of a stack.
    pixel_size : float, optional
        Micrometres per pixel, which gives the object diameter when the model card knows its own.
    channel : int, optional
        The only channel to look at, counted from 0; by default all.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``. With ``auto`` a `Model` runs where it is.
    axes : str, optional
        One letter for each axis of `image`, such as ``"TYX"`` or ``"ZCYX"``: Y, X, C for channels, and any others.
        A file's own axes are used by default.
    batch_size : int, optional
        Tiles at a time; by default chosen by device.
    on_event : callable, optional
        Gets messages and progress as dictionaries, see `napari_localize.models.predict.predict_plane`.
        Without it, what had no effect or was left out is said as a warning.

    Returns
    -------
    Detections, or dict of tuple to Detections
        The latter for stacks, by the indices along the axes other than Y, X and C in the order of `axes`:
        ``{(0,): ..., (1,): ...}`` for ``"TYX"``. Boxes are x0, y0, x1, y1 in pixels.

    Raises
    ------
    UserError
        When the image, the model or a setting cannot be used; the message says what to do.
    """
    settings = PredictSettings(
        threshold=threshold,
        object_diameter=object_diameter,
        pixel_size=pixel_size,
        channel=channel,
        device=device,
        batch_size=batch_size,
    )
    # All of them first: an image that cannot be used is found before the model is loaded.
    notes: list[str] = []
    planes = list(planes_of(image, axes, notes))
    _tell(notes, on_event)

    from napari_localize.models import localizer
    from napari_localize.models.device import pick_device
    from napari_localize.models.predict import predict_plane, settings_for_stack

    if isinstance(model, localizer.Model):
        loaded = localizer.load_model(model, device=device)
    else:
        path = find_model(model)
        loaded = _load_once(path, path.stat().st_mtime_ns)
        loaded.move_to(*pick_device(device))
    settings = settings_for_stack(loaded, [plane for _, plane in planes], settings)
    warned: list[str] = []
    found = {
        tuple(position.values()): predict_plane(loaded, plane, settings, on_event=on_event or _keep_warnings(warned))
        for position, plane in planes
    }
    _tell(warned, on_event)
    return found.get((), found)


@lru_cache(maxsize=2)
def _load_once(path: Path, changed: int) -> Model:
    """Keep the last models, so that a loop over images with a model's name loads it once."""
    return load_model(path, device="cpu")


def train(
    images: Any,
    annotations: Any,
    base: str | os.PathLike[str] | Model | None = "generalist",
    seconds: float | None = None,
    epochs: int | None = None,
    device: str = "auto",
    seed: int = 0,
    on_event: OnEvent | None = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    hold_back: str = "auto",
    groups: Mapping[str, str] | Sequence[str] | None = None,
    class_map: Mapping[str, str | None] | None = None,
) -> Model:
    """Train a model from annotated images.

    Parameters
    ----------
    images : folder, sequence of folders, mapping of names to images, sequence of images, or None
        Images are (H, W) or (H, W, C) arrays or paths of image files. None for projects, which know their images, and
        for annotation files beside their images.
    annotations : path, Annotations, mapping of names to Detections, sequence of Detections, or several of these
        Matched with the images by name, or by order where it is a sequence of Detections. All objects of these images
        must have their boxes; where planes or areas are marked as reviewed, only those are used, without what is
        marked as ignored. Images that are not named in `annotations` are not used; an image with an empty
        `Detections` is an image without objects. From a sequence of files, project folders, open projects and
        mappings everything is learnt together; an image that several of them have is learnt once.
    base : str, path, Model or None
        The model to start from, as in `load_model`; None starts from random weights.
    seconds, epochs : float, int, optional
        How long to train; give one of them, or neither for 60 seconds.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    seed : int
        Same data, seed, device and epochs give the same model. With `seconds` the number of steps, which the card
        tells under ``training["steps"]``, depends on how busy the computer is.
    on_event : callable, optional
        Gets messages, progress and the curve as dictionaries, see `napari_localize.training.train.train_model`.
        Without it, what was left out is said as a warning.
    recipe : mapping, optional
        Parts of the recipe that are not to be chosen automatically, such as ``{"head_first": 0.3}``; see
        `napari_localize.core.recipe.RecipeChoices`.
    hold_back : str
        Of what whole ones are held back to judge the model on: ``auto`` (guessed from names and folders), ``animal``,
        ``experiment``, ``well``, ``folder``, ``field``, ``movie``, ``image``, or ``blocks`` of neighbouring planes.
        With too few of them the model is cross-validated.
    groups : sequence of str or mapping of str to str, optional
        Instead of that, the group of each plane: in the order of the planes, or by the name of planes, images or
        folders.
    class_map : mapping of str to str or None, optional
        New name by old name of classes; None for a class that is not to be learnt, whose boxes are ignored.

    Returns
    -------
    Model
        With ``.card``, ``.predict(image)`` and ``.save(path)``. ``.card.training`` tells what was held back.

    Raises
    ------
    UserError
        When images and annotations do not fit together, there is nothing to learn from, or a part of the recipe cannot
        be.
    """
    from napari_localize.core.groups import groups_by_name
    from napari_localize.training.gathering import gather

    if isinstance(base, os.PathLike):
        base = os.fspath(base)
    # In this process a loaded model serves as well as its name.
    settings = TrainSettings(
        base=cast("str | None", base),
        seconds=seconds,
        epochs=epochs,
        device=device,
        seed=seed,
        recipe=recipe or {},
        hold_back=hold_back,
    )
    pairs = gather(images, annotations, class_map)
    of_planes = groups_by_name(pairs.names, groups)
    _tell(pairs.notes, on_event)

    from napari_localize.training.train import train_model

    warned: list[str] = []
    listener = on_event or _keep_warnings(warned)
    result = train_model(
        pairs.planes,
        pairs.annotations,
        settings,
        names=pairs.names,
        known=pairs.known,
        places=pairs.places,
        groups=of_planes,
        on_event=listener,
    )
    _tell(warned, on_event)
    return result.model


def teach(
    image: Any,
    examples: Detections,
    rejected: Detections | None = None,
    model: str | os.PathLike[str] | Model = "generalist",
    device: str = "auto",
) -> Detections:
    """Find everything in an image that is like a few examples; nothing is trained.

    Parameters
    ----------
    image : array-like or path
        (H, W) or (H, W, C), or an image file with one plane. Of an image that is very large for its objects only the
        part around the example in their midst is looked at.
    examples : Detections
        Boxes around one object or more, in pixels; of several classes, each place gets the one that it is most like.
    rejected : Detections, optional
        Boxes around what is not meant.
    model : str, path or Model
        Whose features tell what is alike; its classes do not matter.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    Detections
        What is alike, the examples included, best first, with a probability as score and the origin ``examples``.

    Raises
    ------
    UserError
        When there is no example, or the image or the model cannot be used.
    """
    planes = list(planes_of(image))
    if len(planes) != 1:
        raise UserError(f"the image has {len(planes)} planes; give one of them.")
    if not len(examples):
        raise UserError("there is no example; give a box around one object.")

    from napari_localize.models.exemplars import Lesson, diameter_of, find_alike, look, next_to

    place = next_to(examples.centers.mean(axis=0).tolist(), examples)
    seen = look(load_model(model, device), planes[0][1], diameter_of([examples]), place)  # type: ignore[arg-type]
    return find_alike(seen, [Lesson(seen, examples, examples[:0] if rejected is None else rejected)])


def measure(
    image: Any,
    detections: Detections | Mapping[tuple[int, ...], Detections],
    *,
    pixel_size: float | None = None,
    axes: str | None = None,
    channel_names: Sequence[str] | None = None,
    reviewed: Any = None,
    ignored: Any = None,
) -> Measurements:
    """Measure the objects in an image or a stack, and count them by area.

    Boxes that are rejected are left out. Of a box that is partly outside of the image, the part inside is measured.
    A pixel belongs to a box when its centre does: pixel i when ``x0 <= i + 0.5 < x1``, and alike in y. Pixels that
    are NaN or infinite are ignored.

    The background of a box is the median of the pixels in a ring around it that are in no other box. The ring is
    what is added to the pixels of the box by a quarter of ``sqrt(width * height)`` on each side, rounded up, at least
    3 and at most 25 pixels. Where it has no free pixel, the background is NaN.

    Parameters
    ----------
    image : array-like or path
        (H, W) or (H, W, C), or with `axes` a stack, or an image file, as in `predict`. It is read in rectangles of at
        most 512 x 4096 pixels, and only where boxes are.
    detections : Detections, or mapping of tuple to Detections
        The latter for stacks, by index as `predict` returns them; planes that it lacks are left out.
    pixel_size : float, optional
        Micrometres per pixel; by default what an image file says. Where neither is known, what is in micrometres or
        square millimetres is NaN.
    axes : str, optional
        One letter for each axis of `image`, as in `predict`.
    channel_names : sequence of str, optional
        For the names of the columns; ``ch0``, ``ch1`` ... by default.
    reviewed : (N, 4) array-like, or mapping of tuple to such, optional
        The rectangles ``x0, y0, x1, y1``, in pixels, in which objects are counted; by default the whole plane. For a
        stack by index: None for a whole plane; a plane that is missing has no such area.
    ignored : (N, 4) array-like, or mapping of tuple to such, optional
        Rectangles that are taken out of that area.

    Returns
    -------
    Measurements
        With the tables ``.objects`` and ``.planes`` and ``.save("objects.csv", "planes.csv")``. The guide explains
        each column. An object is counted where its centre lies in the area; the others are measured nevertheless.

    Raises
    ------
    UserError
        When the image cannot be used, or it and the detections do not fit together.

    Notes
    -----
    The local background in a ring is that of aperture photometry (Stetson 1987, PASP 99:191); its median is hardly
    moved by neighbours that have no box. The corrected intensity is the corrected total cell fluorescence of McCloy
    et al. 2014 (Cell Cycle 13:1400): integrated intensity - background x number of pixels.
    """
    from napari_localize.measurements import measure_planes

    notes: list[str] = []
    if isinstance(image, str | os.PathLike):
        from napari_localize.formats.images import open_image

        file = open_image(image, axes)
        planes = list(file.planes())
        notes += file.notes
        if pixel_size is None:
            pixel_size = file.pixel_size
            notes += [file.pixel_size_note] if file.pixel_size_note else []
    else:
        planes = list(planes_of(image, axes))
    _tell(notes, None)
    return measure_planes(
        planes,
        detections,
        pixel_size=pixel_size,
        channel_names=channel_names,
        reviewed=reviewed,
        ignored=ignored,
    )


def report(
    predictions: Boxes,
    annotations: Boxes,
    path: str | os.PathLike[str] | None = None,
    *,
    iou: float = 0.5,
    threshold: float | None = None,
    distance: float | None = None,
    pixel_size: float | None = None,
    ignore_classes: bool = False,
    images: Any = None,
    model: str | os.PathLike[str] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> EvaluationReport:
    """Compare predictions with annotations in full: numbers with intervals, curves, and what is wrong where.

    Parameters
    ----------
    predictions, annotations : Detections, sequence or mapping of Detections, or path of a file
        As in `evaluate`.
    path : path, optional
        Write the report there, as one HTML file that needs no other.
    iou : float
        Lowest intersection over union of a hit.
    threshold : float, optional
        Lowest score of a prediction that counts for precision, recall, F1 and the counts; by default all count.
        Average precision takes all in any case.
    distance : float, optional
        Compare the centres and not the boxes: the largest distance of a hit, in pixels. Annotations that are points are
        compared so by default, within half their nominal size.
    pixel_size : float, optional
        Micrometres per pixel, to say sizes and distances in micrometres, too.
    ignore_classes : bool
        Take all objects for ones of the same class, such as for a model that knows only ``object``.
    images : folder, or mapping of names to arrays or paths, optional
        Pixels for the pictures of the worst planes.
    model : str or path, optional
        The model that made the predictions, as in `load_model`; by default the one that they name. The receipt has its
        hash.
    title : str, optional
        Heading of the report.
    overwrite : bool
        Whether a file that exists may be replaced.

    Returns
    -------
    EvaluationReport
        With ``.table`` (as `evaluate` gives it), ``.intervals``, ``.findings``, ``.receipt``, ``.methods`` and
        ``.save(path)``.

    Raises
    ------
    UserError
        When the planes do not fit together, a setting is out of range, or the file cannot be written.

    Notes
    -----
    Average precision is that of COCO (Lin et al. 2014), without its cap on detections and its area ranges. Intervals
    are those of a bootstrap over planes (Efron and Tibshirani 1993), with percentiles widened for few planes
    (Hesterberg 2015).
    """
    from napari_localize.evaluation.making import make_report
    from napari_localize.evaluation.metrics import by_plane
    from napari_localize.evaluation.receipt import models_of
    from napari_localize.models.identity import identify, identify_only

    if path is not None and os.path.lexists(path) and not overwrite:
        raise UserError(f"{os.fspath(path)} exists already; choose another name or allow overwriting.")
    if model is not None:
        find_model(model)
    found, true = by_plane(predictions, "predictions", annotations), by_plane(annotations, "annotations")
    given = {"predictions": predictions, "annotations": annotations}
    made = make_report(
        found,
        true,
        sources={name: boxes for name, boxes in given.items() if isinstance(boxes, str | os.PathLike)},
        iou=iou,
        threshold=threshold,
        distance=distance,
        pixel_size=pixel_size,
        ignore_classes=ignore_classes,
        images=images,
        model=identify_only(models_of(found)) if model is None else identify(model),
        title=title,
    )
    if path is not None:
        made.save(path, overwrite=overwrite)
    return made


def _keep_warnings(texts: list[str]) -> OnEvent:
    """Return a listener that keeps what a script should be warned of; a warning names the line that called us."""

    def listen(event: dict[str, Any]) -> None:
        if event.get("warning"):
            texts.append(event["text"])

    return listen


def _tell(texts: list[str], on_event: OnEvent | None) -> None:
    import warnings

    for text in dict.fromkeys(texts):
        if on_event is None:
            warnings.warn(text, UserWarning, stacklevel=3)
        else:
            on_event({"event": "message", "text": text, "warning": True})
