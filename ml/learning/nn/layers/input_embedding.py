"""Input layer of sequence models: embeds tokens, or projects audio frames.

B batch, T time, F bins of a frame, D width, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import Tensor, nn
from torch.nn import functional

from ml.learning.nn.layers.masking import zero_masked

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Kernel of the convolution over frames: 50 ms of audio at 100 frames per second, about as long as a consonant.
KERNEL_FRAMES: Final = 5


class InputEmbedding(nn.Module):
    """Embedding of tokens, or projection of frames.

    It turns tokens, int64 [B, T], or frames, float32 [B, T, F], into float [B, T, D]. The shape of the encoder decides
    between them: it has a `vocabulary` or `bins`. With `causal`, the convolution over frames sees earlier frames only.
    """

    def __init__(self, shape: Mapping[str, int], width: int, *, causal: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(shape["vocabulary"], width) if "vocabulary" in shape else None
        self.frames = nn.Conv1d(shape["bins"], width, KERNEL_FRAMES) if self.table is None else None
        self.left_padding = KERNEL_FRAMES - 1 if causal else KERNEL_FRAMES // 2
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=width**-0.5)

    def forward(self, signal: Tensor, mask_BT: Tensor) -> Tensor:
        """Embed the signal. The values at padding are arbitrary."""
        if self.table is not None:
            embedded: Tensor = self.table(signal)
            return embedded
        assert self.frames is not None
        padded_BFT = functional.pad(
            zero_masked(signal, mask_BT).transpose(1, 2), (self.left_padding, KERNEL_FRAMES - 1 - self.left_padding)
        )
        projected_BDT: Tensor = self.frames(padded_BFT)
        return projected_BDT.transpose(1, 2)
