"""Images of a project in a viewer: pixels, boxes and the right plane; one is exchanged for the next."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import METADATA, box_layer_kwargs, is_box_layer, new_box_layer
from napari_localize.plugin.lazy import pixels_of
from napari_localize.plugin.pairs import pair
from napari_localize.plugin.window import show_plane, windows_of
from napari_localize.project import Project, ProjectImage, ProjectPlane, open_project
from napari_localize.project.database import FILE

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points, Shapes

_opened: weakref.WeakKeyDictionary[Any, list[weakref.ref[Layer]]] = weakref.WeakKeyDictionary()


def open_in(viewer: Any, entry: ProjectImage | ProjectPlane, *, replace: bool = False) -> Shapes:
    """Show an image of a project with its boxes, which are kept in the project as they change.

    Parameters
    ----------
    viewer : napari.Viewer
    entry : ProjectImage or ProjectPlane
        Of a plane, the sliders are moved to it. What is open already is not opened again.
    replace : bool
        Whether to close what the last call has opened. Its boxes are on disk.

    Returns
    -------
    Shapes
        The layer of boxes, which is selected.

    Raises
    ------
    UserError
        When the file is missing, has changed or cannot be read, or the boxes cannot be read.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands a proxy to the widgets of plugins
    image = entry.image if isinstance(entry, ProjectPlane) else entry
    windows_of(viewer)
    boxes = layer_of(viewer, image)
    if boxes is None:
        pixels, made, boxes = _layers_for(viewer, image, entry)
        # napari looks for garbage after each layer that it removes, or once after many.
        with _at_once(viewer):
            if replace:
                _close_last(viewer)
            if pixels is not None and pixels not in viewer.layers:
                viewer.add_layer(pixels)
            viewer.add_layer(boxes)
        _opened[viewer] = [weakref.ref(layer) for layer in (boxes, *made)]
        viewer.reset_view()
    if isinstance(entry, ProjectPlane):
        show_plane(viewer, boxes, entry.index)
    viewer.layers.selection.active = boxes
    return boxes


def in_project(viewer: Any, name: str) -> ProjectImage | None:
    """Return the image of the open project that a plane of this name belongs to; None where there is none."""
    project = keeper_of(viewer).project
    if project is None:
        return None
    for called in dict.fromkeys((name, split_plane_name(name)[0])):
        with suppress(UserError):
            return project.image(called)
    return None


def layer_of(viewer: Any, image: ProjectImage) -> Shapes | None:
    """Return the layer in which the boxes of an image are open in a viewer."""
    return next((layer for layer, found in open_images(viewer, image.project) if found.id == image.id), None)


def open_images(viewer: Any, project: Project) -> list[tuple[Shapes, ProjectImage]]:
    """Return the layers of boxes of a project that are open in a viewer, with their images."""
    keeper = keeper_of(viewer)
    pairs = [(layer, keeper.image_of(layer)) for layer in viewer.layers if is_box_layer(layer)]
    return [(layer, image) for layer, image in pairs if image is not None and image.project is project]


def switch_to(viewer: Any, project: Project) -> None:
    """Make a project the one that is worked on in a viewer; layers of the one before are closed.

    Raises
    ------
    UserError
        When the edits of the one before cannot be stored; it stays then.
    """
    keeper = keeper_of(viewer)
    before = keeper.project
    if before is not None and before is not project:
        for layer, _ in open_images(viewer, before):
            box_layer(layer).reconcile()
        before.settle()
        for _, image in open_images(viewer, before):
            close_image(viewer, image)
    keeper.open(project)


def close_image(viewer: Any, image: ProjectImage) -> None:
    """Take the layers of an image out of a viewer; its boxes are on disk."""
    boxes = layer_of(viewer, image)
    if boxes is None:
        return
    ours = [layer for ref in _opened.get(viewer, []) if (layer := ref()) is not None]
    with _at_once(viewer):
        for layer in ours if boxes in ours else [boxes]:
            _remove(viewer, layer)


def reload(viewer: Any, project: Project) -> None:
    """Show the boxes as they are in the project, after it was changed behind the back of the layers.

    Raises
    ------
    UserError
        When they cannot be read.
    """
    keeper = keeper_of(viewer)
    opened = open_images(viewer, project)
    for layer, _ in opened:
        # What was done last has yet to be found out.
        box_layer(layer).reconcile()
    known = {image.id: image for image in project.images()}
    for layer, image in opened:
        if image.id in known:
            keeper.show(known[image.id], layer)


def get_project_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Any]] | None:
    """Return the reader for the database of a project, which opens the project in the viewer."""
    paths = [path] if isinstance(path, str) else path
    return _read_project if len(paths) == 1 and Path(paths[0]).name == FILE else None


def _read_project(path: str | list[str]) -> list[Any]:
    """Open a project with its first image that is not finished, in the viewer in front."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        raise UserError("a project opens in a napari window only; use open_project from Python.")
    folder = Path(path if isinstance(path, str) else path[0]).parent
    project = keeper_of(viewer).project
    # Opened a second time, it could only be looked at.
    if project is None or os.path.realpath(project.path) != os.path.realpath(folder):
        project = open_project(folder)
        try:
            switch_to(viewer, project)
        except UserError:
            project.close()
            raise
    images = project.images()
    todo = [image for image in images if image.status != "finished"] or images
    if hasattr(viewer, "window"):
        viewer.window.add_plugin_dock_widget("napari-localize", "Project")
    if todo:
        open_in(viewer, todo[0], replace=True)
    return [(None,)]  # napari's sign for a reader that has layers to show none of


def _layers_for(
    viewer: Any, image: ProjectImage, entry: ProjectImage | ProjectPlane
) -> tuple[Image | None, list[Layer], Shapes]:
    """Return the image layer, those layers that are made for it, and the layer of boxes."""
    problem = image.problem()
    if problem is not None:
        raise UserError(problem)
    if image.path is None:
        pixels = _fitting(viewer, image)
        made, channel_axis = [], None
        if pixels is not None and pixels.ndim - 2 > len(_planes(image)):
            channel_axis = 0
    else:
        pixels, channel_axis = _image_layer(image, entry.index if isinstance(entry, ProjectPlane) else ())
        made = [pixels]
    if pixels is None:
        boxes = _boxes_alone(image)
    else:
        size = image.point_size
        what = "boxes" if size is None else "points"
        boxes = new_box_layer(pixels, channel_axis=channel_axis, name=f"{image.name} {what}", point_size=size)
        pair(boxes, pixels)
    keeper_of(viewer).show(image, boxes)
    return pixels, made, boxes


def _image_layer(image: ProjectImage, plane: Sequence[int]) -> tuple[Image, int | None]:
    from napari.layers import Image

    from napari_localize.formats.images import open_image

    assert image.path is not None
    found = pixels_of(open_image(image.path), _planes(image) if image.axes else None)
    options: dict[str, Any] = {}
    if not found.rgb and not isinstance(found.data, np.ndarray):
        # napari would look at many planes for them.
        front = (slice(None),) if found.channel_axis == 0 else ()
        outer = len(found.axes) - 2 - len(front)
        shown = found.data[(*front, *(plane or (0,) * outer))]
        low, high = float(shown.min()), float(shown.max())
        options["contrast_limits"] = (low, high if high > low else low + 1)
    with _source(image.path):
        layer = Image(found.data, name=image.name, rgb=found.rgb, axis_labels=tuple(found.axes), **options)
    return layer, found.channel_axis


def _source(path: Path) -> Any:
    """Have layers know their file, as those do that napari opens."""
    try:
        from napari.layers._source import layer_source
    except ImportError:
        return nullcontext()
    return layer_source(path=str(path))


def _planes(image: ProjectImage) -> list[int]:
    return [n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "YXCS"]


def _fitting(viewer: Any, image: ProjectImage) -> Image | None:
    """Return the layer of an image that was never in a file, where it is open."""
    from napari.layers import Image

    wanted = [n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "CS"]
    for layer in viewer.layers:
        if isinstance(layer, Image) and layer.name == image.name:
            shape = [int(n) for n in (layer.data[0] if layer.multiscale else layer.data).shape]
            shape = shape[:-1] if layer.rgb else shape
            if shape == wanted or shape[1:] == wanted:
                return layer
    return None


def _boxes_alone(image: ProjectImage) -> Shapes | Points:
    """Return a layer for the boxes or points of an image whose pixels are nowhere."""
    from napari.layers import Points, Shapes

    size = image.point_size
    planes = _planes(image)
    sizes = dict(zip(image.axes, image.shape, strict=True))
    info = {
        "name": image.name,
        "file": None,
        "size": [sizes.get("Y", 1), sizes.get("X", 1)],
        "planes": planes,
        "axes": [axis.lower() for axis in image.axes if axis not in "YXCS"],
    }
    return (Shapes if size is None else Points)(
        ndim=len(planes) + 2,
        name=f"{image.name} {'boxes' if size is None else 'points'}",
        metadata={METADATA: {"classes": ["object"], "image": info, "point_size": size}},
        **box_layer_kwargs("object", size),
    )


def _at_once(viewer: Any) -> Any:
    """Have the window follow only when all layers are exchanged; napari before 0.9 cannot."""
    return viewer.layers.batched_update() if hasattr(viewer.layers, "batched_update") else nullcontext()


def _close_last(viewer: Any) -> None:
    for ref in _opened.pop(viewer, []):
        layer = ref()
        if layer is not None:
            _remove(viewer, layer)


def _remove(viewer: Any, layer: Layer) -> None:
    if layer not in viewer.layers:
        return
    if is_box_layer(layer):
        box_layer(layer).reconcile()
    viewer.layers.remove(layer)
