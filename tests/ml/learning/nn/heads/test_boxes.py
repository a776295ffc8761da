import math

import pytest
import torch

from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.boxes import Boxes, BoxesConfig, _generalized_iou
from ml.signals import Feature

SHAPE = {"channels": 1, "height": 32, "width": 64}


def _head(*, strides: tuple[int, ...] = (2, 4, 8), **config: object) -> Boxes:
    torch.manual_seed(0)
    widths = Widths(shape=SHAPE, maps=(3,) * len(strides), strides=strides)
    return Boxes(BoxesConfig.model_validate({"classes": 2, "width": 8, **config}), widths={"image": widths})


def _perfect_outputs(head: Boxes, boxes: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return outputs certain of all centers, with the box of the first object everywhere."""
    logits = torch.full((1, 2, 8, 16), -20.0)
    gaussians = head._gaussians(boxes, (8, 16)).view(len(labels[0]), 8, 16)
    for gaussian, label in zip(gaussians, labels[0], strict=True):
        logits[0, label][gaussian == 1] = 20
    return {"middles": logits, "boxes": boxes[0, 0][None, :, None, None].expand(1, 4, 8, 16)}


def test_the_grid_is_the_finest_map_of_at_least_the_requested_stride() -> None:
    grids = {4: (8, 16), 3: (8, 16), 8: (4, 8), 1: (16, 32), 64: (4, 8)}
    features = {"image": {Feature.MAPS: tuple(torch.rand(2, 3, 32 // stride, 64 // stride) for stride in (2, 4, 8))}}
    for stride, expected in grids.items():
        assert _head(stride=stride)(features, {})["boxes"].shape == (2, 4, *expected)


def test_coarse_maps_are_added_up_to_the_coarsest_stride() -> None:
    assert len(_head(coarsest=32).halvings) == 2
    assert len(_head(coarsest=8).halvings) == 0
    # A map of less than two cells would have no more context than the one before.
    assert len(_head(coarsest=1024).halvings) == 3


def test_image_and_grid_of_any_size_share_their_center() -> None:
    columns, rows = _head()._cell_centers((8, 16), torch.zeros(1))
    assert (columns[0].item(), columns[-1].item()) == (2, 62)
    assert (rows[0].item(), rows[-1].item()) == (2, 30)
    unpadded, _ = _head()._cell_centers((7, 15), torch.zeros(1))
    assert (unpadded[0].item(), unpadded[-1].item()) == (4, 60)


def test_the_loss_of_perfect_outputs_is_zero_and_grows_with_either_error() -> None:
    head = _head()
    boxes, labels = torch.tensor([[[0.25, 0.25, 0.5, 0.75]]]), torch.tensor([[1]])
    batch = {"true_boxes": boxes, "true_labels": labels}
    perfect = _perfect_outputs(head, boxes, labels)
    assert head.loss(perfect, batch).item() == pytest.approx(0, abs=1e-5)
    assert head.measure(perfect, batch)["box_overlap"].item() == pytest.approx(1, abs=1e-5)
    swapped = {**perfect, "middles": perfect["middles"].flip(1)}
    assert head.loss(swapped, batch).item() > 10
    half = {**perfect, "boxes": torch.tensor([0.25, 0.25, 0.375, 0.75])[None, :, None, None].expand(1, 4, 8, 16)}
    assert head.loss(half, batch).item() == pytest.approx(2.0 * 0.5, abs=1e-5)


def test_padding_of_objects_does_not_change_the_loss() -> None:
    head = _head()
    boxes, labels = torch.tensor([[[0.25, 0.25, 0.5, 0.75]]]), torch.tensor([[1]])
    outputs = {"middles": torch.randn(1, 2, 8, 16), "boxes": torch.rand(1, 4, 8, 16)}
    padded_boxes, padded_labels = torch.cat([boxes, torch.zeros(1, 2, 4)], dim=1), torch.tensor([[1, -1, -1]])
    expected = head.loss(outputs, {"true_boxes": boxes, "true_labels": labels})
    loss = head.loss(outputs, {"true_boxes": padded_boxes, "true_labels": padded_labels})
    torch.testing.assert_close(loss, expected)
    background = head.loss(outputs, {"true_boxes": torch.zeros(1, 1, 4), "true_labels": torch.tensor([[-1]])})
    assert math.isfinite(background.item())


def test_a_crowd_is_not_judged_for_its_class_and_is_no_object() -> None:
    head = _head()
    boxes, labels = torch.tensor([[[0.25, 0.25, 0.5, 0.75], [0.5, 0.0, 1.0, 1.0]]]), torch.tensor([[1, 0]])
    batch = {"true_boxes": boxes, "true_labels": labels, "true_crowds": torch.tensor([[False, True]])}
    perfect = _perfect_outputs(head, boxes[:, :1], labels[:, :1])
    assert head.loss(perfect, batch).item() == pytest.approx(0, abs=1e-5)
    for label, column, is_judged in ((0, 12, False), (1, 12, True), (0, 2, True)):
        middles = perfect["middles"].clone()
        middles[0, label, 1, column] = 20
        assert (head.loss({**perfect, "middles": middles}, batch).item() > 10) is is_judged
    # A real object in a crowd is learned all the same.
    batch["true_boxes"] = torch.tensor([[[0.6, 0.25, 0.85, 0.75], [0.5, 0.0, 1.0, 1.0]]])
    batch["true_labels"] = torch.tensor([[0, 0]])
    assert head.loss(perfect, batch).item() > 10


def test_objects_of_all_sizes_have_the_same_weight() -> None:
    head = _head(box_weight=1.0)
    boxes = torch.tensor([[[0.0, 0.0, 0.125, 0.25], [0.25, 0.0, 1.0, 1.0]]])
    batch = {"true_boxes": boxes, "true_labels": torch.tensor([[0, 1]])}
    small = _perfect_outputs(head, boxes, batch["true_labels"])
    large = {**small, "boxes": boxes[0, 1][None, :, None, None].expand(1, 4, 8, 16)}
    # In each, one of two boxes is exact and the other has little or no overlap.
    for outputs in (small, large):
        assert 0.25 < 1 - head.measure(outputs, batch)["box_overlap"].item() <= 1


def test_generalized_iou_subtracts_the_empty_part_of_the_enclosing_box() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]]).T[None]
    true = torch.tensor([[1.0, 1.0, 3.0, 3.0], [2.0, 0.0, 3.0, 1.0]]).T[None]
    # 1 of 7, in an enclosing box of 9 that is 2 larger than the union; and disjoint, in one of 3 that is 1 larger.
    torch.testing.assert_close(_generalized_iou(boxes, true), torch.tensor([[1 / 7 - 2 / 9, -1 / 3]]))
