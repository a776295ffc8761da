import pytest
import torch
from torch import nn

from ml.learning.nn.architectures.inception_v3 import MIN_UNPADDED_PIXELS, InceptionV3
from ml.signals import Feature


def _build(preset: str, *, channels: int = 3, height: int = 299, width: int = 299) -> InceptionV3:
    shape = {"channels": channels, "height": height, "width": width}
    return InceptionV3(InceptionV3.configure({"preset": preset}), shape=shape).eval()


def _count_parameters(backbone: InceptionV3) -> int:
    return sum(parameter.numel() for parameter in backbone.parameters())


def test_the_preset_of_the_paper_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        backbone = _build("paper")
    # torchvision has 27,161,264, with a linear layer for 1000 classes each on 2048 and on 768 features.
    assert _count_parameters(backbone) + 2048 * 1000 + 1000 + 768 * 1000 + 1000 == 27_161_264
    backbone.strip_training_only()
    assert _count_parameters(backbone) + 2048 * 1000 + 1000 == 23_834_568


def test_maps_have_the_sizes_of_table_1() -> None:
    with torch.device("meta"):
        maps = _build("paper")(torch.rand(2, 3, 299, 299))[Feature.MAPS]
    assert [tuple(feature_map.shape[1:]) for feature_map in maps] == [(288, 35, 35), (768, 17, 17), (2048, 8, 8)]


@pytest.mark.parametrize("preset", InceptionV3.presets)
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (5, 40), (8, 8), (29, 31), (MIN_UNPADDED_PIXELS - 1, 90), (MIN_UNPADDED_PIXELS, 90)]
)
def test_an_image_of_any_size_passes_every_grid(preset: str, height: int, width: int) -> None:
    with torch.device("meta"):
        backbone = _build(preset, channels=1, height=height, width=width)
        features = backbone(torch.rand(2, 1, height, width))
    assert features[Feature.POOLED][0].shape == (2, backbone.widths.pooled)


def test_a_large_image_is_not_padded_where_the_paper_does_not_pad() -> None:
    with torch.device("meta"):
        unpadded = _build("paper", height=MIN_UNPADDED_PIXELS, width=MIN_UNPADDED_PIXELS)
    strided = [layer for layer in unpadded.modules() if isinstance(layer, nn.MaxPool2d) or _has_stride(layer)]
    assert len(strided) == 9  # one convolution and two pools in the stem, three each between grids
    assert all(layer.padding in (0, (0, 0)) for layer in strided)


def _has_stride(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)
