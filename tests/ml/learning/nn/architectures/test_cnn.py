import torch

from ml.learning.nn.architectures.cnn import CNN
from ml.signals import Feature

MNIST = {"channels": 1, "height": 28, "width": 28}


def _count_parameters(preset: str, shape: dict[str, int] = MNIST) -> int:
    backbone = CNN(CNN.configure({"preset": preset}), shape=shape)
    return sum(parameter.numel() for parameter in backbone.parameters())


def test_the_presets_have_the_calculated_number_of_parameters() -> None:
    # A 3x3 convolution from a to b channels has 9ab weights, its normalization 2b.
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64)]
    assert _count_parameters("small") == sum(9 * a * b + 2 * b for a, b in pairs)
    assert _count_parameters("small") + 64 * 10 + 10 == 35_674  # with a head of ten classes
    # Without normalization a convolution has a bias; the pooled image of 14 x 14 is flattened into a dense layer.
    assert _count_parameters("document") == 9 * 32 + 32 + 14 * 14 * 32 * 128 + 128


def test_maps_are_ordered_from_fine_to_coarse_and_halve_rounding_up() -> None:
    maps = CNN(CNN.configure({}), shape=MNIST)(torch.rand(2, 1, 13, 9))[Feature.MAPS]
    assert [tuple(feature_map.shape[1:]) for feature_map in maps] == [(16, 13, 9), (32, 7, 5), (64, 4, 3)]


def test_a_single_pixel_passes_every_stage() -> None:
    features = CNN(CNN.configure({}), shape=MNIST).eval()(torch.rand(2, 1, 1, 1))
    assert features[Feature.POOLED][0].shape == (2, 64)
