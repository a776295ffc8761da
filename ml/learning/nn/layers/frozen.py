"""Modules that stay as they are while others learn."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Frozen:
    """Weights that do not move and running statistics that do not either, until `release`.

    Dropout stays on: it belongs to how the others learn.
    """

    def __init__(self, module: nn.Module) -> None:
        module.requires_grad_(False)
        self._hooks: list[Any] = [  # torch's RemovableHandle
            each.register_forward_pre_hook(_evaluate) for each in module.modules() if isinstance(each, _BatchNorm)
        ]

    def release(self) -> None:
        """Let the statistics move again; of weights, that is for whoever knows which."""
        for hook in self._hooks:
            hook.remove()


def _evaluate(module: nn.Module, _: Any) -> None:
    module.eval()
