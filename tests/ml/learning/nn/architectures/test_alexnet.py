import pytest
import torch

from ml.learning.nn.architectures.alexnet import AlexNet
from ml.signals import Feature

PHOTOGRAPH = {"channels": 3, "height": 224, "width": 224}


def _build(preset: str, shape: dict[str, int]) -> AlexNet:
    return AlexNet(AlexNet.configure({"preset": preset}), shape=shape).eval()


def test_one_tower_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        backbone = _build("one_tower", PHOTOGRAPH)
    # The number of torchvision's alexnet, which has a linear layer for 1000 classes.
    assert sum(parameter.numel() for parameter in backbone.parameters()) + 4096 * 1000 + 1000 == 61_100_840


def test_maps_have_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        maps = _build("one_tower", PHOTOGRAPH)(torch.rand(2, 3, 224, 224))[Feature.MAPS]
    assert [tuple(feature_map.shape[1:]) for feature_map in maps] == [(64, 55, 55), (192, 27, 27), (256, 13, 13)]


@pytest.mark.parametrize("preset", AlexNet.presets)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (8, 8), (29, 31)])
def test_an_image_of_any_size_passes_every_stage(preset: str, height: int, width: int) -> None:
    with torch.device("meta"):
        backbone = _build(preset, {"channels": 1, "height": height, "width": width})
        features = backbone(torch.rand(2, 1, height, width))
    assert features[Feature.POOLED][0].shape == (2, backbone.widths.pooled)


def test_dropout_is_active_only_in_training() -> None:
    shape = {"channels": 1, "height": 28, "width": 28}
    backbone, image = _build("small", shape), torch.rand(2, 1, 28, 28)
    assert torch.equal(backbone(image)[Feature.POOLED][0], backbone(image)[Feature.POOLED][0])
    backbone.train()
    assert not torch.equal(backbone(image)[Feature.POOLED][0], backbone(image)[Feature.POOLED][0])
