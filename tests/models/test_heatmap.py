"""What the network learns from says where the boxes are, and reading its answer gives them back."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_localize.models.heatmap.decode import decode
from napari_localize.models.heatmap.loss import Targets, cell_boxes, draw_targets, heatmap_loss
from napari_localize.models.heatmap.network import STRIDE, HeatmapNetwork, NetworkConfig

SIDE = 128
CELLS = SIDE // STRIDE


def draw(boxes, labels=None, known=None, classes=2, cells=CELLS):
    """Draw the targets of one image."""
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.zeros(len(boxes), dtype=torch.int64) if labels is None else torch.as_tensor(labels)
    known = torch.ones(1, 1, cells, cells) if known is None else known
    return draw_targets([boxes], [labels], known, classes, (cells, cells))


def perfect_answer(targets: Targets):
    """Give what a network that has learnt the targets by heart would answer."""
    logits = torch.logit(targets.heat.clamp(1e-4, 1 - 1e-4))
    cells = cell_boxes(torch.zeros(1, 4, *targets.heat.shape[-2:]))
    distances = torch.cat([cells[..., :2] - targets.boxes[..., :2], targets.boxes[..., 2:] - cells[..., 2:]], dim=-1)
    return logits, distances.permute(0, 3, 1, 2).clamp(min=0.1), torch.full_like(logits[:, :1], 8.0)


@st.composite
def scattered_boxes(draw_from):
    """Boxes of any shape that keep some distance from each other."""
    rng = np.random.default_rng(draw_from(st.integers(0, 2**31)))
    chosen = rng.permutation(9)[: draw_from(st.integers(0, 9))]
    size = rng.uniform(6, 38, (len(chosen), 2))
    corner = np.column_stack([chosen % 3, chosen // 3]) * 42 + rng.uniform(0, 1, (len(chosen), 2)) * (40 - size)
    return np.hstack([corner, corner + size]).astype(np.float32), rng.integers(0, 2, len(chosen))


@settings(max_examples=50, deadline=None)
@given(scattered_boxes())
def test_reading_gives_back_what_was_drawn(scene):
    boxes, labels = scene
    targets = draw(boxes, labels)
    ((found, found_labels, scores),) = decode(perfect_answer(targets), 0.5)
    assert len(found) == len(boxes)
    order, expected = np.lexsort(found.numpy().T.round()), np.lexsort(boxes.T.round())
    np.testing.assert_allclose(found.numpy()[order], boxes[expected], atol=1.5)
    assert found_labels.numpy()[order].tolist() == labels[expected].tolist()
    assert (scores > 0.9).all()


@settings(max_examples=50, deadline=None)
@given(scattered_boxes())
def test_targets(scene):
    boxes, labels = scene
    targets = draw(boxes, labels)
    assert targets.heat.shape == (1, 2, CELLS, CELLS)
    assert ((targets.heat >= 0) & (targets.heat <= 1)).all()
    assert (targets.heat == 1).sum() == len(boxes)
    for (x0, y0, x1, y1), label in zip(boxes.tolist(), labels.tolist(), strict=True):
        column, row = int((x0 + x1) / 2 / STRIDE), int((y0 + y1) / 2 / STRIDE)
        assert targets.heat[0, label, row, column] == 1
        mine = (targets.boxes[0] == torch.tensor([x0, y0, x1, y1])).all(dim=-1) & (targets.weight[0] > 0)
        assert mine[row, column]
        assert targets.weight[0][mine].sum() == pytest.approx(1, abs=1e-4)
    assert targets.weight.sum() == pytest.approx(len(boxes), abs=1e-3)


def test_objects_at_and_beyond_the_border():
    boxes = [[0, 0, 3, 3], [SIDE - 2, SIDE - 2, SIDE, SIDE], [60, SIDE - 4, 70, SIDE + 4], [0.1, 60, 0.3, 60.2]]
    targets = draw(boxes)
    assert (targets.heat == 1).sum() == 4
    assert targets.heat[0, 0, 0, 0] == targets.heat[0, 0, -1, -1] == targets.heat[0, 0, -1, 65 // STRIDE] == 1
    assert torch.isfinite(targets.weight).all()


def test_of_boxes_in_each_other_every_cell_answers_for_the_nearer_centre():
    targets = draw([[0, 0, 120, 120], [10, 10, 30, 30]])
    assert targets.boxes[0, 20 // STRIDE, 20 // STRIDE].tolist() == [10, 10, 30, 30]
    assert targets.boxes[0, 60 // STRIDE, 60 // STRIDE].tolist() == [0, 0, 120, 120]


def random_answer(seed=0, classes=2):
    torch.manual_seed(seed)
    logits = torch.randn(1, classes, CELLS, CELLS, requires_grad=True)
    return logits, torch.rand(1, 4, CELLS, CELLS).mul(20).requires_grad_(), torch.randn(1, 1, CELLS, CELLS)


def test_where_nothing_is_known_nothing_is_learnt():
    known = torch.ones(1, 1, CELLS, CELLS)
    known[..., : CELLS // 2] = 0
    boxes = [[4, 4, 24, 24], [90, 90, 110, 110]]
    answer = random_answer()
    loss = heatmap_loss(answer, draw(boxes, known=known)).detach()
    other = tuple(part.detach().clone() for part in answer)
    for part in other:
        part[..., : CELLS // 2] = 3.0
    torch.testing.assert_close(heatmap_loss(other, draw(boxes, known=known)), loss)
    # Nor does it matter how many objects lie there.
    torch.testing.assert_close(heatmap_loss(answer, draw(boxes[1:], known=known)).detach(), loss)


def test_an_answer_where_it_is_emphasised_that_there_is_nothing_costs_more():
    targets = draw([[4, 4, 24, 24]])
    answer = random_answer()
    usual = heatmap_loss(answer, targets).detach()
    targets.emphasis[..., CELLS // 2 :] = 3.0
    assert heatmap_loss(answer, targets) > usual
    targets.known[..., CELLS // 2 :] = 0.0
    assert heatmap_loss(answer, targets) < usual


@pytest.mark.parametrize("boxes", [[], [[10, 10, 40, 40]], [[0, 0, 1, 1]]])
def test_the_loss_is_finite_and_can_be_learnt_from(boxes):
    answer = random_answer()
    loss = heatmap_loss(answer, draw(boxes))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(part.grad).all() for part in answer[:2])


def test_the_better_the_answer_the_smaller_the_loss():
    targets = draw([[10, 10, 40, 50], [70, 20, 90, 44], [30, 80, 110, 120]], [0, 1, 0])
    logits, distances, quality = perfect_answer(targets)
    best = heatmap_loss((logits, distances, quality), targets)
    assert best < heatmap_loss((logits * 0.5, distances, quality), targets)
    assert best < heatmap_loss((logits, distances * 1.2, quality), targets)
    assert best < heatmap_loss((logits, distances, -quality), targets)
    assert best < heatmap_loss((logits.roll(3, -1), distances, quality), targets)


def test_a_network_learns_one_image_by_heart():
    torch.manual_seed(0)
    config = NetworkConfig(classes=1, widths=(8, 16, 16, 16, 16), depths=(0, 1, 0, 0), decoder=16, head=16)
    network = HeatmapNetwork(config)
    image, boxes = torch.zeros(2, 3, 64, 64), torch.tensor([[8.0, 12, 32, 36], [40, 36, 60, 56]])
    for x0, y0, x1, y1 in boxes.int().tolist():
        image[0, :, y0:y1, x0:x1] = 1
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    targets = draw_targets(
        [boxes, nothing[0]], [torch.zeros(2).long(), nothing[1]], torch.ones(2, 1, 16, 16), 1, (16, 16)
    )
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(20):
        loss = heatmap_loss(network(image), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])


def test_thousands_of_objects_are_read_at_once_and_none_is_cut_off():
    cells, pitch = 512, 24
    start = torch.arange(2, cells * STRIDE - pitch, pitch).float()
    corner = torch.cartesian_prod(start, start)
    boxes = torch.cat([corner, corner + 16], dim=1)
    logits = torch.full((1, 1, cells, cells), -9.0)
    center = ((boxes[:, :2] + boxes[:, 2:]) / 2 / STRIDE).long()
    logits[0, 0, center[:, 1], center[:, 0]] = 5.0
    began = time.monotonic()
    ((found, _, _),) = decode((logits, torch.full((1, 4, cells, cells), 8.0), torch.zeros(1, 1, cells, cells)), 0.1)
    assert len(found) == len(boxes) > 7000
    assert time.monotonic() - began < 30


def test_folding_the_normalisation_changes_nothing():
    torch.manual_seed(0)
    network = HeatmapNetwork(NetworkConfig(classes=2, widths=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1), decoder=8, head=8))
    image = torch.rand(2, 3, 96, 64)
    network.train()(image)  # statistics other than the initial ones
    network.eval()
    with torch.no_grad():
        for folded, plain in zip(network.fused()(image), network(image), strict=True):
            torch.testing.assert_close(folded, plain, atol=1e-4, rtol=1e-3)
    assert network.stem[1].running_mean.abs().sum() > 0


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160)])
def test_shapes(height, width):
    network = HeatmapNetwork(NetworkConfig(classes=3)).eval()
    with torch.no_grad():
        heat, distances, quality = network(torch.zeros(1, 3, height, width))
    cells = (height // STRIDE, width // STRIDE)
    assert heat.shape == (1, 3, *cells)
    assert distances.shape == (1, 4, *cells)
    assert quality.shape == (1, 1, *cells)
    assert (distances > 0).all()
    assert functional.sigmoid(heat).max() < 0.1
    assert sum(value.numel() for value in network.parameters()) < 4e6
