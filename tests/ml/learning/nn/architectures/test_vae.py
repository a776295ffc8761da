import torch
from torch.nn.functional import one_hot

from ml.learning.nn.architectures.vae import LOG_VARIANCE_LIMIT, VAE
from ml.signals import Feature

SHAPE = {"channels": 1, "height": 8, "width": 8}


def test_the_condition_reaches_the_posterior() -> None:
    """Otherwise the code must carry the class, and the decoder learns to ignore the one it is told."""
    torch.manual_seed(0)
    backbone = VAE(VAE.tiny(), shape=SHAPE, conditions=3)
    images = torch.rand(2, 1, 8, 8)
    of_class = [backbone(images, None, one_hot(torch.tensor([each, each]), 3).float()) for each in (0, 1)]
    mean, other_mean = (found[Feature.LATENT][0] for found in of_class)
    assert not torch.allclose(mean, other_mean)


def test_an_absurd_image_gives_a_bounded_variance() -> None:
    backbone = VAE(VAE.tiny(), shape=SHAPE)
    _, log_variance = backbone(torch.full((1, 1, 8, 8), 1e9))[Feature.LATENT]
    assert log_variance.abs().max() <= LOG_VARIANCE_LIMIT
