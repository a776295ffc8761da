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


def test_a_large_image_is_halved_by_the_first_convolution_and_a_small_one_is_not() -> None:
    for side, halving, strides in ((24, 5, (2, 4, 8)), (23, 3, (1, 2, 4))):
        backbone = CNN(CNN.configure({"preset": "fast"}), shape={"channels": 1, "height": 30, "width": side}).eval()
        features = backbone(torch.rand(2, 1, 30, side))
        assert backbone.state_dict()["stages.0.0.weight"].shape == (16, 1, halving, halving)
        assert backbone.widths.strides == strides
        sides = [-(-side // stride) for stride in strides]
        assert [feature_map.shape[3] for feature_map in features[Feature.MAPS]] == sides


def test_a_halved_image_fits_a_dense_layer() -> None:
    options = {"halving_side": 8, "pooling": "flatten", "hidden": 5}
    backbone = CNN(CNN.configure(options), shape={"channels": 1, "height": 9, "width": 13})
    assert backbone(torch.rand(2, 1, 9, 13))[Feature.POOLED][0].shape == (2, 5)


def test_a_config_of_an_earlier_build_is_not_halved() -> None:
    resolved = {"stages": [[16, 16], [32, 32], [64]], "normalize": True, "pooling": "maximum", "hidden": 0}
    assert CNN.configure(resolved) == CNN.configure({"preset": "small"})


def test_a_single_pixel_passes_every_stage() -> None:
    features = CNN(CNN.configure({}), shape=MNIST).eval()(torch.rand(2, 1, 1, 1))
    assert features[Feature.POOLED][0].shape == (2, 64)
