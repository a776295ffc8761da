"""From a latent code, and a class where there is one, to an image.

B batch, Z latent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.memory_format import channels_last, pixel_by_pixel
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


class ImageDecoderConfig(Config):
    """`classes` comes from the data; 0 where images have none."""

    classes: int = Field(0, ge=0)
    channels: tuple[Count, ...] = Field((64, 32), min_length=1)
    """Coarsest first; the image doubles after each."""
    hidden: Count = 256


class ImageDecoder(Head):
    """Dense layers, then convolutions on an image that doubles. Each pixel is a Bernoulli variable."""

    name = "image_decoder"
    summary = "Draws an image from a latent code and a class"
    needs = frozenset({Feature.LATENT})
    config_type = ImageDecoderConfig
    outputs = ("image",)
    scores = ("reconstruction", "divergence")
    condition = "label"

    def __init__(self, config: ImageDecoderConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, read),) = widths.items()  # one image is read, one is drawn
        shape = read.shape
        self.size = (shape["height"], shape["width"])
        self.conditions = config.classes
        halvings = len(config.channels)
        self.coarse = (config.channels[0], *(max(1, -(-length // 2**halvings)) for length in self.size))
        self.from_code = nn.Linear(read.latent, config.hidden)
        self.from_class = nn.Linear(config.classes, config.hidden, bias=False) if config.classes else None
        self.to_coarse = nn.Linear(config.hidden, self.coarse[0] * self.coarse[1] * self.coarse[2])
        layers: list[nn.Module] = []
        for width, narrower in zip(config.channels, (*config.channels[1:], config.channels[-1]), strict=True):
            layers += [nn.ConvTranspose2d(width, narrower, kernel_size=4, stride=2, padding=1), nn.SiLU()]
        self.finer = nn.Sequential(*layers, nn.Conv2d(config.channels[-1], shape["channels"], 3, padding=1))
        channels_last(self)

    @classmethod
    def conditions_of(cls, config: ImageDecoderConfig) -> int:
        """The posterior must know the class too, or the code carries it and the class goes unheard."""
        return config.classes

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Draw what was read from one sample of its posterior: `pixels` are logits [B, C, H, W]."""
        mean, log_variance = (each.float() for each in features[self.slot][Feature.LATENT])
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return {"pixels": self._draw(code, batch), "mean": mean, "log_variance": log_variance}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative evidence lower bound, in nats an image (Kingma & Welling 2013, equation 10)."""
        rebuilt, divergence = self._bound(outputs, batch)
        return rebuilt + divergence

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """The two halves of the bound."""
        rebuilt, divergence = self._bound(outputs, batch)
        return {"reconstruction": rebuilt, "divergence": divergence}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Draw from `noise` float32 [B, Z] and `label` int64 [B]: `image` [B, C, H, W] in 0..1."""
        return {"image": self._draw(batch["noise"], batch).sigmoid()}

    def _draw(self, code: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        hidden = self.from_code(code)
        if self.from_class is not None:
            hidden = hidden + self.from_class(functional.one_hot(batch["label"], self.conditions).to(hidden.dtype))
        coarse = functional.silu(self.to_coarse(functional.silu(hidden))).view(-1, *self.coarse)
        fine: Tensor = self.finer(pixel_by_pixel(coarse))
        return fine[..., : self.size[0], : self.size[1]]

    def _bound(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        mean, log_variance = outputs["mean"], outputs["log_variance"]
        rebuilt = functional.binary_cross_entropy_with_logits(
            outputs["pixels"].float(), batch[self.slot], reduction="none"
        )
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
        return rebuilt.flatten(1).sum(dim=1).mean(), divergence.sum(dim=1).mean()
