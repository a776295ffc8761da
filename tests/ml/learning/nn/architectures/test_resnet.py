import pytest
import torch
from torch import nn

from ml.learning.nn.architectures.resnet import ResNet
from ml.signals import Feature

PHOTOGRAPH = {"channels": 3, "height": 224, "width": 224}


def _build(preset: str, shape: dict[str, int] = PHOTOGRAPH) -> ResNet:
    return ResNet(ResNet.configure({"preset": preset}), shape=shape).eval()


@pytest.mark.parametrize(("preset", "expected"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_the_presets_have_the_published_number_of_parameters(preset: str, expected: int) -> None:
    with torch.device("meta"):
        backbone = _build(preset)
    # The numbers of torchvision's networks, which have a linear layer for 1000 classes.
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count + (backbone.widths.pooled + 1) * 1000 == expected


@pytest.mark.parametrize(
    ("preset", "widths"), [("resnet18", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))]
)
def test_maps_have_the_sizes_of_table_1(preset: str, widths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        maps = _build(preset)(torch.rand(2, 3, 224, 224))[Feature.MAPS]
    expected = [(width, size, size) for width, size in zip(widths, (56, 28, 14, 7), strict=True)]
    assert [tuple(feature_map.shape[1:]) for feature_map in maps] == expected


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution() -> None:
    with torch.device("meta"):
        branches = [block.branch for stage in _build("resnet50").stages for block in stage]
    convolutions = [layer for branch in branches for layer in branch.modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.kernel_size for layer in convolutions if layer.stride == (2, 2)} == {(3, 3)}


def test_a_block_whose_branch_is_zero_returns_its_input() -> None:
    block = ResNet(ResNet.tiny(), shape={"channels": 1, "height": 8, "width": 8}).eval().stages[0][1]
    for parameter in block.branch.parameters():
        nn.init.zeros_(parameter)
    image = torch.rand(2, 16, 5, 3)
    assert torch.equal(block(image), image)


@pytest.mark.parametrize("preset", ResNet.presets)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (8, 8), (29, 31)])
def test_an_image_of_any_size_passes_every_stage(preset: str, height: int, width: int) -> None:
    with torch.device("meta"):
        backbone = _build(preset, {"channels": 1, "height": height, "width": width})
        features = backbone(torch.rand(2, 1, height, width))
    assert features[Feature.POOLED][0].shape == (2, backbone.widths.pooled)
