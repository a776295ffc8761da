import torch

from ml.learning.nn.architectures.cnn import CNN
from ml.signals import Feature

MNIST = {"channels": 1, "height": 28, "width": 28}


def _parameters(preset: str, shape: dict[str, int] = MNIST) -> int:
    return sum(each.numel() for each in CNN(CNN.configure({"preset": preset}), shape=shape).parameters())


def test_the_presets_have_the_parameters_that_arithmetic_gives() -> None:
    # A 3x3 convolution from a to b channels has 9ab weights, its normalisation 2b.
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64)]
    assert _parameters("small") == sum(9 * a * b + 2 * b for a, b in pairs)
    assert _parameters("small") + 64 * 10 + 10 == 35_674  # with a head of ten classes
    # Without normalisation a convolution has a bias; the pooled image of 14 x 14 is flattened into a dense layer.
    assert _parameters("document") == 9 * 32 + 32 + 14 * 14 * 32 * 128 + 128


def test_maps_come_finest_first_and_halve_rounding_up() -> None:
    maps = CNN(CNN.configure({}), shape=MNIST)(torch.rand(2, 1, 13, 9))[Feature.MAPS]
    assert [tuple(each.shape[1:]) for each in maps] == [(16, 13, 9), (32, 7, 5), (64, 4, 3)]


def test_a_single_pixel_survives_every_stage() -> None:
    features = CNN(CNN.configure({}), shape=MNIST).eval()(torch.rand(2, 1, 1, 1))
    assert features[Feature.POOLED][0].shape == (2, 64)
