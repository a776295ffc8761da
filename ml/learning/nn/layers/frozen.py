"""Freezing of modules while others are trained."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Frozen:
    """Keeps the weights and running statistics of a module unchanged until `release`.

    Dropout stays active, since it regularizes the modules that are trained.
    """

    def __init__(self, module: nn.Module) -> None:
        module.requires_grad_(False)
        self._hooks: list[Any] = [  # torch's RemovableHandle
            layer.register_forward_pre_hook(_set_eval) for layer in module.modules() if isinstance(layer, _BatchNorm)
        ]

    def release(self) -> None:
        """Let running statistics be updated again.

        Weights stay frozen: the caller chooses which ones to unfreeze.
        """
        for hook in self._hooks:
            hook.remove()


def _set_eval(module: nn.Module, _: Any) -> None:
    module.eval()
