"""The encoder of a variational autoencoder: an image becomes a distribution over a latent code.

B batch, Z latent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.memory_format import channels_last, pixel_by_pixel
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_VARIANCE_LIMIT = 10.0
"""exp(10) is wider than any code needs; beyond it one bad step would make the loss infinite."""


class VAEConfig(Config):
    """`channels` lists the widths of convolutions that halve the image each."""

    channels: tuple[Count, ...] = Field((32, 64), min_length=1)
    hidden: Count = 256
    latent: Count = 8


class VAE(Backbone):
    """Strided convolutions, a dense layer, mean and log-variance of a Gaussian. A condition reaches the posterior."""

    name = "vae"
    summary = "Variational autoencoder: a latent code to generate images from"
    source = "Kingma & Welling 2013, arXiv:1312.6114; with a condition: Sohn et al. 2015"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.LATENT})
    config_type = VAEConfig
    recipe = Schedule(
        epochs=10, batch_size=128, optimizer="adam", learning_rate=0.002, decay="cosine", warmup_fraction=0.02
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"channels": (32, 64), "hidden": 256, "latent": 8},
        "medium": {"channels": (64, 128, 256), "hidden": 512, "latent": 32},
    }

    def __init__(self, config: VAEConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        layers: list[nn.Module] = []
        first = config.channels[0]
        self.condition_early = nn.Linear(conditions, first, bias=False) if conditions else None
        self.condition = nn.Linear(conditions, config.hidden, bias=False) if conditions else None
        channels, height, width = shape["channels"], shape["height"], shape["width"]
        for wider in config.channels:
            layers += [nn.Conv2d(channels, wider, kernel_size=3, stride=2, padding=1), nn.SiLU()]
            channels, height, width = wider, (height + 1) // 2, (width + 1) // 2
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * height * width, config.hidden)
        self.mean = nn.Linear(config.hidden, config.latent)
        self.log_variance = nn.Linear(config.hidden, config.latent)
        self.widths = Widths(shape=shape, pooled=config.hidden, latent=config.latent)
        channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """The hidden layer, and the posterior read off it."""
        image_BCHW = self.convolutions[0](pixel_by_pixel(signal))
        # Where the posterior does not know the class the code must carry it, and the decoder learns to ignore the one
        # it is given. Told early, every layer can set the two apart.
        if self.condition_early is not None and condition is not None:
            image_BCHW = image_BCHW + self.condition_early(condition)[:, :, None, None]
        hidden = self.hidden(self.convolutions[1:](image_BCHW).flatten(1))
        if self.condition is not None and condition is not None:
            hidden = hidden + self.condition(condition)
        hidden = nn.functional.silu(hidden)
        log_variance_BZ = self.log_variance(hidden).clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)
        return {Feature.POOLED: (hidden,), Feature.LATENT: (self.mean(hidden), log_variance_BZ)}

    @classmethod
    def tiny(cls) -> VAEConfig:
        """One convolution."""
        return VAEConfig(channels=(4,), hidden=8, latent=4)
