import pytest
import torch

from ml.learning.nn.architectures.alexnet import AlexNet
from ml.signals import Feature

PHOTOGRAPH = {"channels": 3, "height": 224, "width": 224}


def _built(preset: str, shape: dict[str, int]) -> AlexNet:
    return AlexNet(AlexNet.configure({"preset": preset}), shape=shape).eval()


def test_one_tower_has_the_parameters_that_are_known() -> None:
    with torch.device("meta"):
        backbone = _built("one_tower", PHOTOGRAPH)
    # What torchvision tells of its alexnet, which has a linear layer for 1000 classes.
    assert sum(each.numel() for each in backbone.parameters()) + 4096 * 1000 + 1000 == 61_100_840


def test_maps_have_the_sizes_that_the_paper_draws() -> None:
    with torch.device("meta"):
        maps = _built("one_tower", PHOTOGRAPH)(torch.rand(2, 3, 224, 224))[Feature.MAPS]
    assert [tuple(each.shape[1:]) for each in maps] == [(64, 55, 55), (192, 27, 27), (256, 13, 13)]


@pytest.mark.parametrize("preset", AlexNet.presets)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (8, 8), (29, 31)])
def test_an_image_of_any_size_survives_every_stage(preset: str, height: int, width: int) -> None:
    with torch.device("meta"):
        backbone = _built(preset, {"channels": 1, "height": height, "width": width})
        features = backbone(torch.rand(2, 1, height, width))
    assert features[Feature.POOLED][0].shape == (2, backbone.widths.pooled)


def test_dropout_ends_with_training() -> None:
    shape = {"channels": 1, "height": 28, "width": 28}
    backbone, image = _built("small", shape), torch.rand(2, 1, 28, 28)
    assert torch.equal(backbone(image)[Feature.POOLED][0], backbone(image)[Feature.POOLED][0])
    backbone.train()
    assert not torch.equal(backbone(image)[Feature.POOLED][0], backbone(image)[Feature.POOLED][0])
