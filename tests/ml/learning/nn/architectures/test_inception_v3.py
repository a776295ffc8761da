import pytest
import torch
from torch import nn

from ml.learning.nn.architectures.inception_v3 import SMALLEST_UNPADDED, InceptionV3
from ml.signals import Feature


def _built(preset: str, *, channels: int = 3, height: int = 299, width: int = 299) -> InceptionV3:
    shape = {"channels": channels, "height": height, "width": width}
    return InceptionV3(InceptionV3.configure({"preset": preset}), shape=shape).eval()


def test_the_papers_preset_has_the_parameters_that_are_known() -> None:
    with torch.device("meta"):
        backbone = _built("paper")
    # torchvision tells 27,161,264, with a linear layer for 1000 classes each on 2048 and on 768 features.
    found = sum(each.numel() for each in backbone.parameters())
    assert found + 2048 * 1000 + 1000 + 768 * 1000 + 1000 == 27_161_264
    backbone.strip_training_only()
    found = sum(each.numel() for each in backbone.parameters())
    assert found + 2048 * 1000 + 1000 == 23_834_568


def test_maps_have_the_sizes_of_table_1() -> None:
    with torch.device("meta"):
        maps = _built("paper")(torch.rand(2, 3, 299, 299))[Feature.MAPS]
    assert [tuple(each.shape[1:]) for each in maps] == [(288, 35, 35), (768, 17, 17), (2048, 8, 8)]


@pytest.mark.parametrize("preset", InceptionV3.presets)
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (5, 40), (8, 8), (29, 31), (SMALLEST_UNPADDED - 1, 90), (SMALLEST_UNPADDED, 90)]
)
def test_an_image_of_any_size_survives_every_grid(preset: str, height: int, width: int) -> None:
    with torch.device("meta"):
        backbone = _built(preset, channels=1, height=height, width=width)
        features = backbone(torch.rand(2, 1, height, width))
    assert features[Feature.POOLED][0].shape == (2, backbone.widths.pooled)


def test_nothing_is_padded_that_the_paper_does_not_pad() -> None:
    with torch.device("meta"):
        unpadded = _built("paper", height=SMALLEST_UNPADDED, width=SMALLEST_UNPADDED)
    strided = [each for each in unpadded.modules() if isinstance(each, nn.MaxPool2d) or _strides(each)]
    assert len(strided) == 9  # one convolution and two pools in the stem, three each between grids
    assert all(each.padding in (0, (0, 0)) for each in strided)


def _strides(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)
