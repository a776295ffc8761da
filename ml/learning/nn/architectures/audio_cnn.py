"""Convolutional network over spectrograms: stages of 3x3 convolutions over time and frequency.

B batch, T time, F bands, C channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.convolution import conv_block
from ml.learning.nn.layers.masking import masked_max, masked_mean, to_mask
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping


BLOCKS_PER_STAGE: Final = 2


class AudioCNNConfig(Config):
    """Sizes of the stages."""

    stages: tuple[Count, ...] = Field(
        (16, 32, 64), min_length=1, description="Channels of each stage; each later one halves time and bands."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout on the pooled features.")


class AudioCNN(Backbone):
    """Two convolutions with batch normalization and ReLU in each stage, max pooling in between.

    Pooled are the mean and the maximum over time of each channel in each remaining band: what sounds counts, and in
    which band, but not when.
    """

    name = "audio_cnn"
    summary = "Convolutional network over the spectrogram; small, fast, accurate on short sounds and single words"
    source = "Sainath & Parada 2015, Convolutional neural networks for small-footprint keyword spotting"
    accepts = frozenset({Signal.FRAMES})
    provides = frozenset({Feature.POOLED})
    config_type = AudioCNNConfig
    recipe = Schedule(
        epochs=20,
        batch_size=32,
        optimizer="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        decay="one_cycle",
        gradient_clip_norm=1.0,
    )
    prunable = ("stages",)
    usual_shape: ClassVar[Mapping[str, int]] = {"bins": 40}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"stages": (16, 32, 64)},
        "medium": {"stages": (32, 64, 128, 256)},
    }

    def __init__(self, config: AudioCNNConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.blocks = nn.ModuleList()
        channels, bands = 1, shape["bins"]
        for stage, width in enumerate(config.stages):
            for _ in range(BLOCKS_PER_STAGE):
                self.blocks.append(conv_block(channels, width))
                channels = width
            bands = (bands + 1) // 2 if stage else bands
        self.dropout = nn.Dropout(config.dropout)
        self.widths = Widths(shape=shape, pooled=2 * channels * bands)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return mean and maximum over time of the last stage, [B, 2 C F]."""
        mask_BT = to_mask(signal, mask)
        maps_BCTF = _zero_masked(signal.unsqueeze(1), mask_BT)
        for number, block in enumerate(self.blocks):
            if number and number % BLOCKS_PER_STAGE == 0:
                # Rounded up, so that a clip of any length has a frame left; padding is 0, below any real value.
                maps_BCTF = functional.max_pool2d(maps_BCTF, 2, ceil_mode=True)
                mask_BT = functional.max_pool1d(mask_BT.float().unsqueeze(1), 2, ceil_mode=True).squeeze(1) > 0
            maps_BCTF = _zero_masked(block(maps_BCTF), mask_BT)
        sequence_BTD = maps_BCTF.transpose(1, 2).flatten(2)
        pooled_BD = torch.cat([masked_mean(sequence_BTD, mask_BT), masked_max(sequence_BTD, mask_BT)], dim=1)
        return {Feature.POOLED: (self.dropout(pooled_BD),)}

    @classmethod
    def tiny(cls) -> AudioCNNConfig:
        """Return two stages."""
        return AudioCNNConfig(stages=(2, 4), dropout=0.1)


def _zero_masked(maps_BCTF: Tensor, mask_BT: Tensor) -> Tensor:
    return maps_BCTF * mask_BT[:, None, :, None].to(maps_BCTF.dtype)
