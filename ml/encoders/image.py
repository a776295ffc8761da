"""Image encoder: images of any size and mode as arrays of one shape.

N rows, B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ml.config import Config
from ml.encoders.base import Column, Encoder
from ml.preprocessing.image_resizing import normalize, resize
from ml.preprocessing.image_sizes import choose_size, describe_reduction
from ml.signals import Signal

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary

#: Images, evenly spaced, that are inspected by `learn`; decoding all of them would take as long as an epoch.
INSPECTED_IMAGES: Final = 1000


class ImageConfig(Config):
    """Size, channels and normalization of the encoded images."""

    height: int = Field(ge=1, le=2048)
    width: int = Field(ge=1, le=2048)
    channels: Literal[1, 3]
    keep_ratio: bool = Field(
        False, description="Whether images are scaled to fit and centered on gray, rather than stretched."
    )
    mean: tuple[float, ...] | None = Field(
        None, description="Mean of each channel of pixels in 0..1, subtracted as the base model was trained with it."
    )
    deviation: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="Standard deviation of each channel, by which the difference is divided."
    )

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        if any(values is not None and len(values) != self.channels for values in (self.mean, self.deviation)):
            raise ValueError(f"mean and deviation must have {self.channels} numbers, one for each channel")
        return self


class ImageEncoder(Encoder[np.ndarray]):
    """Encodes images, resized with antialiasing and converted between gray and RGB.

    The raw value is uint8 [H, W, C], C of 1 or 3.
    """

    name = "image"
    signal = Signal.IMAGE
    config_type = ImageConfig

    @classmethod
    def learn(cls, values: Sequence[np.ndarray], options: Mapping[str, Any]) -> Self:
        """Keep a common size or choose a square; RGB if an image has color."""
        array = getattr(values, "array", None)
        shapes = {array.shape[1:]} if array is not None else {value.shape for value in _first_values(values)}
        height, width = choose_size({(height, width) for height, width, _ in shapes})
        learned = {"height": height, "width": width, "channels": max(channels for _, _, channels in shapes)}
        return cls(ImageConfig.model_validate({**learned, **options}))

    def encode(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 [N, C, H, W]."""
        config = self.config
        shape = height, width, channels = config.height, config.width, config.channels
        array = getattr(values, "array", None)
        if array is not None and array.shape[1:] == shape:
            return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
        encoded = np.empty((len(values), channels, height, width), dtype=np.uint8)
        # A view, so that an image of this shape is copied once.
        encoded_NHWC = encoded.transpose(0, 2, 3, 1)
        for row, value in enumerate(values):
            encoded_NHWC[row] = (
                value
                if value.shape == shape
                else resize(value, width=width, height=height, channels=channels, keep_ratio=config.keep_ratio)
            )
        return encoded

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: float32 [B, C, H, W] in 0..1, or normalized with `mean` and `deviation`."""
        return {"signal": normalize(np.asarray(column), mean=self.config.mean, deviation=self.config.deviation)}

    def shape(self) -> dict[str, int]:
        """Return channels, height and width."""
        config = self.config
        return {"channels": config.channels, "height": config.height, "width": config.width}

    def reduction(self, summary: DatasetSummary) -> str | None:
        """Return the sizes of larger images and of the encoded ones."""
        return describe_reduction(summary, width=self.config.width, height=self.config.height)

    @classmethod
    def data_loss(cls, config: ImageConfig, summary: DatasetSummary) -> str | None:
        """Report color images if the encoder has one channel."""
        if config.channels == 1 and summary.facts_of("image").get("channels") == 3:
            return "reads gray images, and these are in color"
        return None


def _first_values(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [values[index] for index in range(0, len(values), -(-len(values) // INSPECTED_IMAGES) or 1)]
