import pytest
import torch
from torch import nn

from ml.learning.nn.architectures.resnet import ResNet
from ml.signals import Feature

PHOTOGRAPH = {"channels": 3, "height": 224, "width": 224}


def _built(preset: str, shape: dict[str, int] = PHOTOGRAPH) -> ResNet:
    return ResNet(ResNet.configure({"preset": preset}), shape=shape).eval()


@pytest.mark.parametrize(("preset", "known"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_the_presets_have_the_parameters_that_are_known(preset: str, known: int) -> None:
    with torch.device("meta"):
        backbone = _built(preset)
    # What torchvision tells of its networks, which have a linear layer for 1000 classes.
    assert sum(each.numel() for each in backbone.parameters()) + (backbone.widths.pooled + 1) * 1000 == known


@pytest.mark.parametrize(
    ("preset", "widths"), [("resnet18", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))]
)
def test_maps_have_the_sizes_of_table_1(preset: str, widths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        maps = _built(preset)(torch.rand(2, 3, 224, 224))[Feature.MAPS]
    expected = [(width, size, size) for width, size in zip(widths, (56, 28, 14, 7), strict=True)]
    assert [tuple(each.shape[1:]) for each in maps] == expected


def test_a_bottleneck_strides_in_its_3x3() -> None:
    with torch.device("meta"):
        branches = [block.branch for stage in _built("resnet50").stages for block in stage]
    convolutions = [each for branch in branches for each in branch.modules() if isinstance(each, nn.Conv2d)]
    assert {each.kernel_size for each in convolutions if each.stride == (2, 2)} == {(3, 3)}


def test_a_block_whose_branch_is_silent_passes_its_image_on() -> None:
    block = ResNet(ResNet.tiny(), shape={"channels": 1, "height": 8, "width": 8}).eval().stages[0][1]
    for each in block.branch.parameters():
        nn.init.zeros_(each)
    image = torch.rand(2, 16, 5, 3)
    assert torch.equal(block(image), image)


@pytest.mark.parametrize("preset", ResNet.presets)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (8, 8), (29, 31)])
def test_an_image_of_any_size_survives_every_stage(preset: str, height: int, width: int) -> None:
    with torch.device("meta"):
        backbone = _built(preset, {"channels": 1, "height": height, "width": width})
        features = backbone(torch.rand(2, 1, height, width))
    assert features[Feature.POOLED][0].shape == (2, backbone.widths.pooled)
