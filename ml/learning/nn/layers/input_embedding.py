"""The first layer of whatever reads sequences: tokens looked up in a table, or frames brought to a width.

B batch, T time, F bins of a frame, D width, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import Tensor, nn
from torch.nn import functional

from ml.learning.nn.layers.masking import zero_masked

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAMES_SEEN: Final = 5
"""A frame is read with its neighbours: 50 ms of sound at 100 frames a second, about as long as a consonant."""


class InputEmbedding(nn.Module):
    """int64 [B, T] or float32 [B, T, F] to float [B, T, D]; which of both, the encoder's shape says.

    `causal` frames are read with those before them alone.
    """

    def __init__(self, shape: Mapping[str, int], width: int, *, causal: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(shape["vocabulary"], width) if "vocabulary" in shape else None
        self.frames = nn.Conv1d(shape["bins"], width, FRAMES_SEEN) if self.table is None else None
        self.before = FRAMES_SEEN - 1 if causal else FRAMES_SEEN // 2
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, signal: Tensor, mask_BT: Tensor) -> Tensor:
        """Padding reads as it may; it is behind the mask."""
        if self.table is not None:
            read: Tensor = self.table(signal)
            return read
        assert self.frames is not None
        padded_BFT = functional.pad(
            zero_masked(signal, mask_BT).transpose(1, 2), (self.before, FRAMES_SEEN - 1 - self.before)
        )
        heard: Tensor = self.frames(padded_BFT)
        return heard.transpose(1, 2)
