"""Image decoder head: generates an image from a latent code and an optional class.

B batch, C channels, H height, W width, Z latent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.memory_format import to_channels_last, use_channels_last
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths


class ImageDecoderConfig(Config):
    """Sizes of the image decoder. The number of classes comes from the data."""

    classes: int = Field(0, ge=0, description="0 for images without classes.")
    channels: tuple[Count, ...] = Field(
        (64, 32), min_length=1, description="Coarsest first; the image doubles in size after each."
    )
    hidden: Count = 256


class ImageDecoder(Head):
    """Dense layers, then transposed convolutions that double the image; each pixel is a Bernoulli variable."""

    name = "image_decoder"
    summary = "Generates an image from a latent code and a class"
    needs = frozenset({Feature.LATENT})
    config_type = ImageDecoderConfig
    outputs = ("image",)
    scores = ("reconstruction", "divergence")
    condition = "label"
    label_dimensions: ClassVar[Mapping[str, int]] = {"from_class.weight": 1}

    def __init__(self, config: ImageDecoderConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, backbone),) = widths.items()  # exactly one image
        shape = backbone.shape
        self.size = (shape["height"], shape["width"])
        self.conditions = config.classes
        halvings = len(config.channels)
        self.coarse_shape = (config.channels[0], *(max(1, -(-length // 2**halvings)) for length in self.size))
        self.from_code = nn.Linear(backbone.latent, config.hidden)
        self.from_class = nn.Linear(config.classes, config.hidden, bias=False) if config.classes else None
        self.to_coarse = nn.Linear(config.hidden, self.coarse_shape[0] * self.coarse_shape[1] * self.coarse_shape[2])
        layers: list[nn.Module] = []
        for width, next_width in zip(config.channels, (*config.channels[1:], config.channels[-1]), strict=True):
            layers += [nn.ConvTranspose2d(width, next_width, kernel_size=4, stride=2, padding=1), nn.SiLU()]
        self.finer = nn.Sequential(*layers, nn.Conv2d(config.channels[-1], shape["channels"], 3, padding=1))
        use_channels_last(self)

    @classmethod
    def count_conditions(cls, config: ImageDecoderConfig) -> int:
        """Return the number of classes.

        The posterior must depend on the class as well, or the code carries it and the decoder ignores the class.
        """
        return config.classes

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Decode one sample of the posterior of each image.

        `pixels` are logits [B, C, H, W]; `mean` and `log_variance`, [B, Z], are those of the posterior.
        """
        mean, log_variance = (tensor.float() for tensor in features[self.slot][Feature.LATENT])
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return {"pixels": self._decode(code, batch), "mean": mean, "log_variance": log_variance}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the negative evidence lower bound in nats per image.

        Kingma & Welling 2013, equation 10.
        """
        reconstruction, divergence = self._bound(outputs, batch)
        return reconstruction + divergence

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the two terms of the bound."""
        reconstruction, divergence = self._bound(outputs, batch)
        return {"reconstruction": reconstruction, "divergence": divergence}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Decode `noise` [B, Z] and `label` int64 [B] to `image` [B, C, H, W], 0..1."""
        return {"image": self._decode(batch["noise"], batch).sigmoid()}

    def _decode(self, code: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        hidden = self.from_code(code)
        if self.from_class is not None:
            hidden = hidden + self.from_class(functional.one_hot(batch["label"], self.conditions).to(hidden.dtype))
        coarse = functional.silu(self.to_coarse(functional.silu(hidden))).view(-1, *self.coarse_shape)
        fine: Tensor = self.finer(to_channels_last(coarse))
        return fine[..., : self.size[0], : self.size[1]]

    def _bound(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        mean, log_variance = outputs["mean"], outputs["log_variance"]
        reconstruction = functional.binary_cross_entropy_with_logits(
            outputs["pixels"].float(), batch[self.slot], reduction="none"
        )
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
        return reconstruction.flatten(1).sum(dim=1).mean(), divergence.sum(dim=1).mean()
