"""Muon for the matrices of hidden layers, AdamW for all other weights, as one optimizer.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) makes the update of a matrix orthogonal. It is
scaled to the usual size of an update by AdamW (Liu et al. 2025, arXiv:2502.16982), so that both have one learning rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch.nn import Parameter

#: Key of a parameter group: whether Muon trains it.
IS_MATRIX = "is_matrix"


class MuonWithAdamW(optim.Optimizer):
    """Trains groups with a true `is_matrix` by Muon, and all others by AdamW.

    `params` are parameter groups; those of matrices have tensors of two dimensions.
    """

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, *, weight_decay: float) -> None:
        # The options of either optimizer are defaults of the groups that it trains.
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, IS_MATRIX: False})
        self._link()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch's overloads
        """Update all weights that have a gradient."""
        loss = closure() if closure is not None else None
        for part in self._parts:
            part.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore groups and states, as `load_state_dict` does."""
        super().__setstate__(state)
        self._link()

    def _link(self) -> None:
        """Let both optimizers work on the groups and the states of this one."""
        matrices = [group for group in self.param_groups if group[IS_MATRIX]]
        others = [group for group in self.param_groups if not group[IS_MATRIX]]
        self._parts: list[optim.Optimizer] = []
        if matrices:
            self._parts.append(optim.Muon(matrices, adjust_lr_fn="match_rms_adamw"))
        if others:
            self._parts.append(optim.AdamW(others, fused=True))
        for part in self._parts:
            part.state = self.state


def hidden_matrices(module: nn.Module) -> Iterator[Parameter]:
    """Yield the matrices of hidden layers.

    Those of embeddings and of the head are left out.
    """
    embeddings = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Embedding)}
    for name, parameter in module.named_parameters():
        is_hidden = "backbones" in name.split(".") and id(parameter) not in embeddings
        if is_hidden and parameter.ndim == 2:
            yield parameter
