import math

import pytest
import torch

from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.boxes import Boxes, BoxesConfig, _overlap
from ml.signals import Feature

SHAPE = {"channels": 1, "height": 32, "width": 64}


def _head(*, strides: tuple[int, ...] = (2, 4, 8), **config: object) -> Boxes:
    torch.manual_seed(0)
    widths = Widths(shape=SHAPE, maps=(3,) * len(strides), strides=strides)
    return Boxes(BoxesConfig.model_validate({"classes": 2, "width": 8, **config}), widths={"image": widths})


def _perfect(head: Boxes, boxes: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Certain of each middle and of nothing else, and everywhere the box of the first object."""
    logits = torch.full((1, 2, 8, 16), -20.0)
    bells = head._bells(boxes, (8, 16)).view(len(labels[0]), 8, 16)
    for bell, label in zip(bells, labels[0], strict=True):
        logits[0, label][bell == 1] = 20
    return {"middles": logits, "boxes": boxes[0, 0][None, :, None, None].expand(1, 4, 8, 16)}


def test_the_grid_is_the_finest_map_that_is_not_finer_than_asked() -> None:
    maps = {4: (8, 16), 3: (8, 16), 8: (4, 8), 1: (16, 32), 64: (4, 8)}
    features = {"image": {Feature.MAPS: tuple(torch.rand(2, 3, 32 // each, 64 // each) for each in (2, 4, 8))}}
    for stride, expected in maps.items():
        assert _head(stride=stride)(features, {})["boxes"].shape == (2, 4, *expected)


def test_coarse_maps_are_added_until_the_whole_can_be_seen() -> None:
    assert len(_head(coarsest=32).halvings) == 2
    assert len(_head(coarsest=8).halvings) == 0
    # A map of less than two places would say nothing that the one before does not.
    assert len(_head(coarsest=1024).halvings) == 3


def test_a_picture_of_any_size_keeps_its_middle_in_the_middle_of_the_grid() -> None:
    across, down = _head()._places((8, 16), torch.zeros(1))
    assert (across[0].item(), across[-1].item()) == (2, 62)
    assert (down[0].item(), down[-1].item()) == (2, 30)
    unpadded, _ = _head()._places((7, 15), torch.zeros(1))
    assert (unpadded[0].item(), unpadded[-1].item()) == (4, 60)


def test_the_loss_of_a_perfect_answer_is_nothing_and_grows_with_either_mistake() -> None:
    head = _head()
    boxes, labels = torch.tensor([[[0.25, 0.25, 0.5, 0.75]]]), torch.tensor([[1]])
    batch = {"true_boxes": boxes, "true_labels": labels}
    perfect = _perfect(head, boxes, labels)
    assert head.loss(perfect, batch).item() == pytest.approx(0, abs=1e-5)
    assert head.measure(perfect, batch)["overlap"].item() == pytest.approx(1, abs=1e-5)
    swapped = {**perfect, "middles": perfect["middles"].flip(1)}
    assert head.loss(swapped, batch).item() > 10
    half = {**perfect, "boxes": torch.tensor([0.25, 0.25, 0.375, 0.75])[None, :, None, None].expand(1, 4, 8, 16)}
    assert head.loss(half, batch).item() == pytest.approx(2.0 * 0.5, abs=1e-5)


def test_rows_that_are_filled_up_teach_nothing() -> None:
    head = _head()
    boxes, labels = torch.tensor([[[0.25, 0.25, 0.5, 0.75]]]), torch.tensor([[1]])
    outputs = {"middles": torch.randn(1, 2, 8, 16), "boxes": torch.rand(1, 4, 8, 16)}
    more = {"true_boxes": torch.cat([boxes, torch.zeros(1, 2, 4)], dim=1), "true_labels": torch.tensor([[1, -1, -1]])}
    one = head.loss(outputs, {"true_boxes": boxes, "true_labels": labels})
    torch.testing.assert_close(head.loss(outputs, more), one)
    background = head.loss(outputs, {"true_boxes": torch.zeros(1, 1, 4), "true_labels": torch.tensor([[-1]])})
    assert math.isfinite(background.item())


def test_every_object_counts_once_however_large() -> None:
    head = _head(box_weight=1.0)
    boxes = torch.tensor([[[0.0, 0.0, 0.125, 0.25], [0.25, 0.0, 1.0, 1.0]]])
    batch = {"true_boxes": boxes, "true_labels": torch.tensor([[0, 1]])}
    small = _perfect(head, boxes, batch["true_labels"])
    large = {**small, "boxes": boxes[0, 1][None, :, None, None].expand(1, 4, 8, 16)}
    # Each has one of two boxes right and of the other nothing, or next to nothing.
    for outputs in (small, large):
        assert 0.25 < 1 - head.measure(outputs, batch)["overlap"].item() <= 1


def test_overlap_is_generalised_intersection_over_union() -> None:
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]]).T[None]
    other = torch.tensor([[1.0, 1.0, 3.0, 3.0], [2.0, 0.0, 3.0, 1.0]]).T[None]
    # 1 of 7, in a frame of 9 that is 2 larger; and apart by one of three.
    torch.testing.assert_close(_overlap(one, other), torch.tensor([[1 / 7 - 2 / 9, -1 / 3]]))
