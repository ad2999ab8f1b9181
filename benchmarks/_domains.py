"""Kinds of images to be taught: folders of annotated images, visual groups of the nuclei, movies with label masks.

Each has images that an annotator works through and others that are held out, and the recipe of a base model (see
`napari_localize.training.bundled`) that has seen nothing of the kind: one without any nuclei is new to all their groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from skimage.io import imread

from napari_localize.core.detections import Detections
from napari_localize.core.labels import boxes_of_labels
from napari_localize.core.points import centered
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.formats import read_annotations
from napari_localize.training.bundled import Sample, load_samples

WITHOUT_BLOOD, WITHOUT_NUCLEI = "without-blood", "without-nuclei"
FOLDERS = {"blood": WITHOUT_BLOOD, "rbc_types": WITHOUT_BLOOD, "nuclei": WITHOUT_NUCLEI}
GROUPS = ("fluorescence small", "fluorescence large", "purple on white", "purple on purple", "bright field")
SHIPPED = {"bacteria": "bacterium", "tissue": "nucleus"}
"""Sample images of the project that no bundled model has seen, and the class of their boxes."""

LARGE = 24.0
"""Median object diameter, in pixels, from which fluorescent nuclei are large."""

BRIGHT, WHITE = 127, 166
"""Brightness of the background (median) above which a grey image is of transmitted light, and green in the background
above which a stain leaves the glass white: tissue that is purple everywhere has 67 to 162, glass 171 and more."""

HELD_OUT = 24
EXTRA_PLANES = 20


@dataclass(frozen=True)
class Domain:
    """One kind of images.

    Attributes
    ----------
    name : str
        As it is written in tables.
    base : str
        Recipe of the model that has seen nothing of the kind.
    stream : list of Sample
        Images to be annotated.
    held_out : list of Sample
        Images to measure on.
    point_size : float or None
        Nominal size, in pixels, where only the objects' centres are known.
    """

    name: str
    base: str
    stream: list[Sample]
    held_out: list[Sample]
    point_size: float | None = None

    def measured(self, boxes: Detections) -> Detections:
        """Return boxes as they are matched at an IoU of a half.

        Points become squares of one and a half nominal sizes: these overlap by a half when the centres are no further
        apart than half a nominal size, along an axis.
        """
        if self.point_size is None:
            return boxes
        return replace(boxes, boxes=centered(boxes.centers, 1.5 * self.point_size))


def load_domains(names: Sequence[str], data: Path, extra: Path | None, held_out: int = HELD_OUT) -> list[Domain]:
    """Read domains by name; a folder is read once for all of its groups."""
    known = [*FOLDERS, *GROUPS, *SHIPPED, *extra_names(extra)]
    for name in names:
        if name not in known:
            raise SystemExit(f"there is no domain {name!r}; known are {', '.join(known)}.")
    nuclei = load_samples(data / "nuclei") if {"nuclei", *GROUPS} & set(names) else []
    domains = []
    for name in names:
        if name in FOLDERS:
            samples = nuclei if name == "nuclei" else load_samples(data / name)
            domains.append(folder_domain(name, samples, held_out))
        elif name in GROUPS:
            domains.append(parted(name, [one for one in nuclei if group_of(one.image, one.boxes) == name], held_out))
        else:
            samples = load_shipped(name) if name in SHIPPED else load_extra(extra, name)
            domains.append(parted(name, samples, held_out))
    return domains


def folder_domain(name: str, samples: Sequence[Sample], held_out: int) -> Domain:
    """Annotate training images of a folder, hold out test images spread evenly over them."""
    stream = [one for one in samples if one.part == "train" and len(one.boxes)]
    test = [one for one in samples if one.part == "test"]
    size = None if samples[0].sized else float(samples[0].boxes.diameters[0])
    return Domain(name, FOLDERS[name], stream, spread(test, held_out), size)


def parted(name: str, samples: Sequence[Sample], held_out: int) -> Domain:
    """Hold out a third of the images, drawn by chance; they come from the same experiments, as a user's own would."""
    if len(samples) < 2:
        raise SystemExit(f"{name} has {len(samples)} images; at least two are needed, to annotate and to measure.")
    order = np.random.default_rng(0).permutation(len(samples))
    number = min(held_out, max(1, len(samples) // 3))
    stream = [samples[index] for index in order[number:] if len(samples[index].boxes)]
    return Domain(name, WITHOUT_NUCLEI, stream, [samples[index] for index in order[:number]])


def group_of(image: np.ndarray, boxes: Detections) -> str:
    """Say which visual group of the nuclei an image belongs to.

    Fluorescence is grey on a dark background, small or large by its nuclei; bright field is grey on a bright one. Stained
    tissue has colours: the background of the one is the white of the glass, in the other all is purple.
    """
    background = np.median(image.reshape(-1, image.shape[-1] if image.ndim == 3 else 1), axis=0)
    if image.ndim == 3 and np.ptp(background[:3]) > 0:
        return "purple on white" if background[1] > WHITE else "purple on purple"
    if background[0] > BRIGHT:
        return "bright field"
    return "fluorescence large" if len(boxes) and np.median(boxes.diameters) >= LARGE else "fluorescence small"


def spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """Take at most so many, evenly."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))
    return [samples[index] for index in chosen]


def load_shipped(name: str) -> list[Sample]:
    """Read a sample image of the project, plane by plane."""
    annotations = read_annotations(sample_folder() / ANNOTATIONS)
    samples = []
    for key, boxes in annotations.items():
        file_name, _, position = key.partition("#")
        if Path(file_name).stem != name:
            continue
        image = imread(sample_folder() / file_name)
        if position:
            image = image[int(position.partition("=")[2])]
        samples.append(Sample(key, image, boxes.with_classes((SHIPPED[name],)), "test", 0))
    return samples


def extra_names(folder: Path | None) -> list[str]:
    """Return the names of the pairs in a folder: NAME_img.tif beside NAME_mask.tif."""
    files = sorted(folder.glob("*_img.tif")) if folder is not None else []
    return [file.name.removesuffix("_img.tif") for file in files]


def load_extra(folder: Path, name: str) -> list[Sample]:
    """Read a stack or movie and the boxes around the labels of its mask: a few planes with objects, evenly spread."""
    images, masks = (tifffile.imread(folder / f"{name}_{kind}.tif") for kind in ("img", "mask"))
    images, masks = (stack.reshape(-1, *stack.shape[-2:]) for stack in (images, masks))
    busy = [index for index, mask in enumerate(masks) if mask.any()]
    samples = []
    for index in spread(busy, EXTRA_PLANES):
        samples.append(Sample(f"{name} {index}", images[index], boxes_of_labels(masks[index]), "test", 0))
    return samples
