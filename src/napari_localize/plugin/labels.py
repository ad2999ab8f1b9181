"""From layers of labels, as segmentation gives them, to layers of boxes."""

from typing import Any

from napari.layers import Image, Labels
from napari.viewer import Viewer

from napari_localize.core.errors import UserError
from napari_localize.core.labels import boxes_of_labels
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import image_planes, new_box_layer
from napari_localize.plugin.pairs import pair


# napari looks at the types of the arguments to find out what to call this with.
def labels_to_boxes(viewer: Viewer) -> None:
    """Add a layer of boxes for each selected layer of labels: a proposal around every object, to be reviewed.

    The boxes belong to the only image of the same shape, where there is one.

    Raises
    ------
    UserError
        When no layer of labels is selected.
    """
    chosen = [layer for layer in viewer.layers if layer in viewer.layers.selection and isinstance(layer, Labels)]
    if not chosen:
        raise UserError("no layer of labels is selected; select one in the layer list.")
    for labels in chosen:
        found = {}
        for plane in image_planes(labels):
            height, width, _ = plane.source.shape
            found[plane.index] = boxes_of_labels(plane.source.read(0, height, 0, width)[..., 0])
        images = [layer for layer in viewer.layers if isinstance(layer, Image) and _shape(layer) == _shape(labels)]
        image = images[0] if len(images) == 1 else None
        layer = new_box_layer(labels if image is None else image, name=f"{labels.name} boxes")
        if image is not None:
            pair(layer, image)
        box_layer(layer).set_proposals(found, labels.name)
        viewer.add_layer(layer)


def _shape(layer: Any) -> tuple[int, ...]:
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(data.shape[:-1] if getattr(layer, "rgb", False) else data.shape)
