"""Input layers of sequence models, for tokens, audio frames and patches of an image.

B batch, T time, F bins of a frame, D width, V vocabulary; of images, C channels, H height, W width, P patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.learning.nn.layers.masking import zero_masked

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Kernel of the convolution over frames: 50 ms of audio at 100 frames per second, about as long as a consonant.
KERNEL_FRAMES: Final = 5
#: Patches along the longer side of a small image: attention costs the square of their number.
PATCHES_PER_SIDE: Final = 4
#: Largest patch that is chosen by default, in pixels: that of the published networks.
MAX_USUAL_PATCH: Final = 16
#: Standard deviation of new positions and class tokens (section B.1 of BERT, and the code of ViT).
POSITION_DEVIATION: Final = 0.02


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


class PatchEmbedding(nn.Module):
    """Linear projection of the patches of an image, with learned positions.

    It turns images, float32 [B, C, H, W], into float [B, P, D], row by row (Dosovitskiy et al. 2020, equation 1). An
    image whose sides are not multiples of the patch is padded with zeros at the right and the bottom. With
    `class_token`, a learned vector with a position of its own stands before the patches: [B, 1 + P, D].
    """

    def __init__(
        self, shape: Mapping[str, int], width: int, *, patch: int | None = None, class_token: bool = False
    ) -> None:
        super().__init__()
        sides = shape["height"], shape["width"]
        self.patch = patch or usual_patch(*sides)
        self.padding = tuple(-side % self.patch for side in sides)
        self.projection = nn.Conv2d(shape["channels"], width, self.patch, stride=self.patch)
        self.class_token = nn.Parameter(torch.randn(width) * POSITION_DEVIATION) if class_token else None
        rows, columns = (-(-side // self.patch) for side in sides)
        self.positions = nn.Parameter(torch.randn(rows * columns + class_token, width) * POSITION_DEVIATION)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Embed the patches."""
        bottom, right = self.padding
        if bottom or right:
            image_BCHW = functional.pad(image_BCHW, (0, right, 0, bottom))
        patches_BPD = self.projection(image_BCHW).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            patches_BPD = torch.cat([self.class_token.expand(patches_BPD.shape[0], 1, -1), patches_BPD], dim=1)
        embedded: Tensor = patches_BPD + self.positions
        return embedded


def usual_patch(height: int, width: int) -> int:
    """Return a quarter of the longer side of an image, at most 16 pixels."""
    return min(MAX_USUAL_PATCH, -(-max(height, width) // PATCHES_PER_SIDE))
