"""Low-rank adaptation (LoRA): the change of a weight is the product of two narrow matrices.

Weights have R rows and C columns; the rank is K.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ml.config import Config, Count
from ml.learning.nn.layers.frozen import Frozen
from ml.learning.training.tuning.base import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.network import Network


class LoRAConfig(Config):
    """Options of LoRA.

    The change is scaled by `alpha` / `rank`, so that the learning rate need not depend on the rank.
    """

    rank: Count = 8
    alpha: float = Field(16.0, gt=0)


class LoRA(Tuning):
    """Adapts each matrix and kernel of the backbones, and trains the head fully.

    Attention is not the only layer to be adapted. Unlike in the paper, the sum is computed before it is multiplied with
    anything. So any module with a `weight` can be adapted (linear, convolution, GPT-2's transposed linear), and merging
    changes no output by any bit. The price is the gradient of the whole weight, which is discarded.
    """

    name = "lora"
    summary = "Freeze the backbone, learn narrow differences to its weights: a hundredth of the parameters"
    source = "Hu et al. 2021, LoRA: Low-rank adaptation of large language models, arXiv:2106.09685"
    needs_base = True
    config_type = LoRAConfig
    min_learning_rate = 1e-3

    def __init__(self, config: LoRAConfig) -> None:
        super().__init__(config)
        self._frozen: Frozen | None = None

    @classmethod
    def missing_requirement(cls, backbone: Backbone) -> str | None:
        """Require a layer with one weight matrix; RNN cells have several."""
        return None if any(_adaptable_weights(backbone)) else "it has no layer whose weight is one matrix"

    def apply(self, network: Network) -> None:
        """Freeze the backbones and add differences that are zero at first."""
        self._frozen = Frozen(network.backbones)
        for module, weight in list(_adaptable_weights(network.backbones)):
            difference = Difference(weight, rank=self.config.rank, alpha=self.config.alpha)
            parametrize.register_parametrization(module, "weight", difference)

    def merge(self, network: Network) -> None:
        """Replace the weights by the sums."""
        for module in network.backbones.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)


class Difference(nn.Module):
    """Change of one weight: `up` [R, K] times `down` [K, C], reshaped."""

    def __init__(self, weight: Tensor, *, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the sum of the weight and its change."""
        difference = (self.up @ self.down).view(weight.shape) * self.scale
        # In the memory layout of the weight: another layout means another order of sums in each product with it.
        is_channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
        return weight + (difference.contiguous(memory_format=torch.channels_last) if is_channels_last else difference)


def _adaptable_weights(root: nn.Module) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    for module in root.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() >= 2 and not isinstance(module, nn.Embedding):
            yield module, weight
