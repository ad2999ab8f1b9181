"""From label images, as segmentation gives them, to boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError

_LARGEST_ID = 1 << 62


def boxes_of_labels(labels: Any) -> Detections:
    """Return the box around each object of a label image.

    Parameters
    ----------
    labels : (H, W) array of whole numbers
        Each object has a number of its own; what is 0 or less is background.

    Returns
    -------
    Detections
        In the order of the numbers, which are the ids.

    Raises
    ------
    UserError
        When it is not such an array.
    """
    image = np.asarray(labels)
    if image.ndim != 2 or image.dtype.kind not in "iu":
        raise UserError(f"labels must be (H, W) whole numbers, but are {image.shape} {image.dtype}.")
    rows, columns = np.nonzero(image > 0)
    numbers, which = np.unique(image[rows, columns], return_inverse=True)
    boxes = np.zeros((len(numbers), 4), np.float32)
    boxes[:, :2] = np.inf
    np.minimum.at(boxes[:, 0], which, columns.astype(np.float32))
    np.minimum.at(boxes[:, 1], which, rows.astype(np.float32))
    np.maximum.at(boxes[:, 2], which, columns.astype(np.float32) + 1)
    np.maximum.at(boxes[:, 3], which, rows.astype(np.float32) + 1)
    if len(numbers) and int(numbers[-1]) >= _LARGEST_ID:
        return Detections(boxes)
    return Detections(boxes, ids=numbers.astype(np.int64))
