"""Encoder of a variational autoencoder: maps an image to a distribution over latent codes.

B batch, C channels, H height, W width, Z latent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.memory_format import to_channels_last, use_channels_last
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: exp(10) is wider than any code needs; beyond it one bad step would make the loss infinite.
MAX_LOG_VARIANCE: Final = 10.0


class VAEConfig(Config):
    """Sizes of the convolutions, the dense layer and the latent code."""

    channels: tuple[Count, ...] = Field(
        (32, 64), min_length=1, description="Channels of the convolutions, each of which halves the image."
    )
    hidden: Count = 256
    latent: Count = 8


class VAE(Backbone):
    """Strided convolutions, a dense layer, and the mean and log-variance of a Gaussian posterior."""

    name = "vae"
    summary = "Variational autoencoder: a latent code to generate images from"
    source = "Kingma & Welling 2013, arXiv:1312.6114; with a condition: Sohn et al. 2015"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.LATENT})
    config_type = VAEConfig
    recipe = Schedule(
        epochs=10, batch_size=128, optimizer="adam", learning_rate=0.002, decay="cosine", warmup_fraction=0.02
    )
    condition_dimensions: ClassVar[Mapping[str, int]] = {"condition_early.weight": 1, "condition.weight": 1}
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
        for next_channels in config.channels:
            layers += [nn.Conv2d(channels, next_channels, kernel_size=3, stride=2, padding=1), nn.SiLU()]
            channels, height, width = next_channels, (height + 1) // 2, (width + 1) // 2
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * height * width, config.hidden)
        self.mean = nn.Linear(config.hidden, config.latent)
        self.log_variance = nn.Linear(config.hidden, config.latent)
        self.widths = Widths(shape=shape, pooled=config.hidden, latent=config.latent)
        use_channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the hidden layer, and mean and log-variance of the posterior."""
        image_BCHW = self.convolutions[0](to_channels_last(signal))
        # If the posterior did not depend on the class, the code would carry it, and the decoder would learn to ignore
        # its own class input. With the class as an early input every layer can separate class and code.
        if self.condition_early is not None and condition is not None:
            image_BCHW = image_BCHW + self.condition_early(condition)[:, :, None, None]
        hidden = self.hidden(self.convolutions[1:](image_BCHW).flatten(1))
        if self.condition is not None and condition is not None:
            hidden = hidden + self.condition(condition)
        hidden = nn.functional.silu(hidden)
        log_variance_BZ = self.log_variance(hidden).clamp(-MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)
        return {Feature.POOLED: (hidden,), Feature.LATENT: (self.mean(hidden), log_variance_BZ)}

    @classmethod
    def tiny(cls) -> VAEConfig:
        """Return one convolution."""
        return VAEConfig(channels=(4,), hidden=8, latent=4)
