import torch
from torch.nn.functional import one_hot

from ml.learning.nn.architectures.vae import MAX_LOG_VARIANCE, VAE
from ml.signals import Feature

SHAPE = {"channels": 1, "height": 8, "width": 8}


def test_the_posterior_depends_on_the_condition() -> None:
    # Otherwise the code would carry the class, and the decoder would learn to ignore its own class input.
    torch.manual_seed(0)
    backbone = VAE(VAE.tiny(), shape=SHAPE, conditions=3)
    images = torch.rand(2, 1, 8, 8)
    outputs = [backbone(images, None, one_hot(torch.tensor([label, label]), 3).float()) for label in (0, 1)]
    first_mean, second_mean = (features[Feature.LATENT][0] for features in outputs)
    assert not torch.allclose(first_mean, second_mean)


def test_an_extreme_image_has_a_bounded_variance() -> None:
    backbone = VAE(VAE.tiny(), shape=SHAPE)
    _, log_variance = backbone(torch.full((1, 1, 8, 8), 1e9))[Feature.LATENT]
    assert log_variance.abs().max() <= MAX_LOG_VARIANCE
