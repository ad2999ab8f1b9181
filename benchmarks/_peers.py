"""What learns from the same images in the same time: this project, its network from nothing, and torchvision's detectors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import torch
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.evaluation.metrics import best_threshold
from napari_localize.models.device import pick_device
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.bundled import Sample
from napari_localize.training.train import train_model

if TYPE_CHECKING:
    from _annotator import Learner
    from _domains import Domain

SIDES = {"min_size": 512, "max_size": 1024}
MOST = 500
"""Detections of an image; torchvision's own limit of 100 is below what images of nuclei hold."""

JUDGED = 5
"""Annotated images on which a detector without a threshold of its own gets one."""


def _fcos_mobilenet(classes: int) -> torch.nn.Module:
    backbone = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True, trainable_layers=6)
    anchors = AnchorGenerator(((16,), (32,), (64,)), ((1.0,),) * 3)
    return detection.FCOS(backbone, classes, anchor_generator=anchors, detections_per_img=MOST, **SIDES)


def _faster(build: Callable[..., torch.nn.Module]) -> Callable[[int], torch.nn.Module]:
    return lambda classes: build(
        weights=None, weights_backbone=None, num_classes=classes, box_detections_per_img=MOST, **SIDES
    )


PEERS: dict[str, Callable[[int], torch.nn.Module]] = {
    "FCOS R50": lambda classes: detection.fcos_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=classes, detections_per_img=MOST, **SIDES
    ),
    "FCOS MobileNet": _fcos_mobilenet,
    "Faster R-CNN R50": _faster(detection.fasterrcnn_resnet50_fpn),
    "Faster R-CNN MobileNet": _faster(detection.fasterrcnn_mobilenet_v3_large_fpn),
}
METHODS = ("ours", "scratch", *PEERS)


@contextmanager
def clock(kind: str) -> Iterator[None]:
    """Let a training count the time of the wall, or the processor time that it gets, as if it were alone on two cores.

    With the second one a busy machine does not take anything from one method and give it to another.
    """
    if kind == "wall":
        yield
        return
    cores = min(2, os.cpu_count() or 1)
    with patch("time.monotonic", lambda: time.process_time() / cores):
        yield


@dataclass(frozen=True)
class OurLearner:
    """A model of this project."""

    model: Model

    @property
    def threshold(self) -> float:
        return self.model.card.threshold

    def __call__(self, image: np.ndarray) -> Detections:
        return predict_plane(self.model, ArrayPlane(image), PredictSettings(threshold=FLOOR))


@dataclass(frozen=True)
class Ours:
    """This project: retrained from a base, or from nothing."""

    base: str | None
    seconds: float
    clock: str
    device: str = "auto"

    def start(self, domain: Domain) -> Learner | None:
        return OurLearner(load_model(self.base, self.device)) if self.base else None

    def learn(self, samples: Sequence[Sample], seed: int) -> Learner:
        settings = TrainSettings(base=self.base, seconds=self.seconds, seed=seed, device=self.device)
        planes, boxes = [ArrayPlane(sample.image) for sample in samples], [sample.boxes for sample in samples]
        with clock(self.clock):
            return OurLearner(train_model(planes, boxes, settings).model)


@dataclass
class PeerLearner:
    """A detector of torchvision."""

    model: torch.nn.Module
    names: tuple[str, ...]
    device: torch.device
    threshold: float = 0.5

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Detections:
        (answer,) = self.model([as_tensor(image).to(self.device)])
        boxes, labels, scores = (answer[key].cpu().numpy() for key in ("boxes", "labels", "scores"))
        kept = ((boxes[:, 2:] > boxes[:, :2]).all(axis=1)) & (scores >= FLOOR)
        return Detections(boxes[kept], labels[kept] - 1, scores[kept], class_names=self.names)


@dataclass(frozen=True)
class Peer:
    """A detector of torchvision, trained as its reference scripts do: SGD, flips, a warm-up and a fall to zero."""

    kind: str
    seconds: float
    clock: str
    device: str = "auto"

    def start(self, domain: Domain) -> Learner | None:
        return None

    def learn(self, samples: Sequence[Sample], seed: int) -> Learner:
        names, device = samples[0].boxes.class_names, pick_device(self.device)[0]
        torch.manual_seed(seed)
        model = PEERS[self.kind](len(names) + 1).train().to(device)
        optimizer = torch.optim.SGD(model.parameters(), 0.005, momentum=0.9, weight_decay=5e-4)
        rng = np.random.default_rng(seed)
        with clock(self.clock):
            began, fraction = time.monotonic(), 0.0
            while fraction < 1:
                optimizer.param_groups[0]["lr"] = 0.005 * min(1.0, fraction * 10) * (1 - fraction)
                drawn = [_flipped(samples[index], rng) for index in rng.integers(0, len(samples), 2)]
                images, targets = zip(*drawn, strict=True)
                targets = [{key: value.to(device) for key, value in target.items()} for target in targets]
                loss = sum(model([image.to(device) for image in images], targets).values())
                optimizer.zero_grad()
                if torch.isfinite(loss):
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                    optimizer.step()
                fraction = (time.monotonic() - began) / self.seconds
        learner = PeerLearner(model.eval(), names, device)
        seen = samples[-JUDGED:]
        learner.threshold = best_threshold([learner(sample.image) for sample in seen], [one.boxes for one in seen])
        return learner


def make_method(name: str, base: str, seconds: float, clock: str, device: str) -> Ours | Peer:
    if name in PEERS:
        return Peer(name, seconds, clock, device)
    return Ours(base if name == "ours" else None, seconds, clock, device)


def _flipped(sample: Sample, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    image, boxes = as_tensor(sample.image), torch.from_numpy(sample.boxes.boxes.copy())
    if rng.random() < 0.5:
        image = image.flip(-1)
        boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [2, 0]]
    return image, {"boxes": boxes, "labels": torch.from_numpy(sample.boxes.labels) + 1}


def as_tensor(image: np.ndarray) -> torch.Tensor:
    """Bring an image to three channels of 0 to 1; what has more than 8 bits is stretched between its percentiles."""
    pixels = np.asarray(image, np.float32)
    if image.dtype == np.uint8:
        pixels = pixels / 255
    else:
        low, high = np.percentile(pixels, [0.1, 99.9])
        pixels = ((pixels - low) / max(high - low, 1e-6)).clip(0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))
    return tensor.expand(3, -1, -1) if tensor.ndim == 2 else tensor[..., :3].permute(2, 0, 1)
