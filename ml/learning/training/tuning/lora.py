"""Low-rank adaptation: what a weight has to learn anew is a product of two narrow matrices.

R rows and C columns of a weight, K rank.
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
    """The difference is scaled by `alpha` / `rank`, so that the learning rate need not follow the rank."""

    rank: Count = 8
    alpha: float = Field(16.0, gt=0)


class LoRA(Tuning):
    """Every weight that is a matrix or a kernel, not in attention alone; the head learns as usual.

    The sum is formed before it is multiplied with anything, unlike in the paper: so any module that has a `weight` can
    be adapted (linear, convolution, GPT-2's transposed linear), and merging changes no bit of any answer. It costs the
    gradient of the whole weight, which is thrown away.
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
    def unmet(cls, backbone: Backbone) -> str | None:
        """Cells of an RNN keep their matrices under names of their own."""
        return None if any(_adaptable(backbone)) else "it has no layer whose weight is one matrix"

    def apply(self, network: Network) -> None:
        """Add differences that are zero at first."""
        self._frozen = Frozen(network.backbones)
        for module, weight in list(_adaptable(network.backbones)):
            difference = Difference(weight, rank=self.config.rank, alpha=self.config.alpha)
            parametrize.register_parametrization(module, "weight", difference)

    def merge(self, network: Network) -> None:
        """Put the sums in place of the weights."""
        for module in network.backbones.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        if self._frozen is not None:
            self._frozen.release()
        network.requires_grad_(True)


class Difference(nn.Module):
    """Of one weight: `up` [R, K] times `down` [K, C], in the weight's own shape."""

    def __init__(self, weight: Tensor, *, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as it is now."""
        difference = (self.up @ self.down).view(weight.shape) * self.scale
        # Laid out as the weight: another layout is another order of sums wherever it is multiplied.
        pixel_by_pixel = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
        return weight + (difference.contiguous(memory_format=torch.channels_last) if pixel_by_pixel else difference)


def _adaptable(module: nn.Module) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    for each in module.modules():
        weight = getattr(each, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() >= 2 and not isinstance(each, nn.Embedding):
            yield each, weight
