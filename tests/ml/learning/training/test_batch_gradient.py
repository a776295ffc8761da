"""A batch that is computed in parts, in one process."""

import contextlib
from typing import Any

import pytest
import torch
from torch import nn

from ml.learning.nn.batch_parts import divisor, exchanging, gather_rows, reweight
from ml.learning.nn.layers.attention import Attention
from ml.learning.training.batch_gradient import BatchGradient
from ml.learning.training.distributed import SingleProcess
from tests.support.ml.objectives import build_objective, make_batch

#: Objectives without random numbers of their own, which the parts of a batch draw in another order than the whole.
STEADY = ["causal_language_modeling", "contrastive_views", "distillation", "image_text_contrast", "supervised"]


def _steady(name: str) -> Any:
    """Return an objective that draws nothing, and whose batch normalization uses its running statistics."""
    objective = build_objective(name)
    for module in objective.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, Attention):
            module.dropout = 0.0
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    objective.augment = lambda images: images * torch.linspace(0.5, 1, images.shape[3])
    return objective


def _parts(batch: dict[str, torch.Tensor], count: int) -> list[dict[str, torch.Tensor]]:
    return [{name: tensor[part::count] for name, tensor in batch.items()} for part in range(count)]


def _backward(objective: Any, parts: list[dict[str, torch.Tensor]], *, step: int = 0) -> torch.Tensor:
    gradient = BatchGradient(
        objective, SingleProcess(), accumulate=len(parts), seed=0, autocast=contextlib.nullcontext()
    )
    return gradient.backward(parts, step=step, scale=lambda loss: loss)


def _gradients(objective: Any) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in objective.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("name", STEADY)
def test_the_parts_of_a_batch_have_the_loss_and_the_gradient_of_the_whole(name: str, parts: int) -> None:
    whole, divided, batch = _steady(name), _steady(name), make_batch()
    loss = _backward(whole, [batch])
    # Sums of float32 in another order.
    torch.testing.assert_close(_backward(divided, _parts(batch, parts)), loss, rtol=1e-5, atol=1e-6)
    assert _gradients(divided).keys() == _gradients(whole).keys()
    for weight, expected in _gradients(whole).items():
        torch.testing.assert_close(_gradients(divided)[weight], expected, rtol=1e-3, atol=2e-6)


def test_random_numbers_of_a_part_depend_on_its_step_and_place_alone() -> None:
    batch = {"x": torch.ones(4, 1)}

    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))
            self.drawn: list[float] = []

        def forward(self, batch: Any) -> dict[str, torch.Tensor]:
            self.drawn.append(float(torch.rand(())))
            return {"loss": self.weight * 0}

    draws = Draws()
    for step, state in ((0, 1), (1, 2), (1, 3)):
        torch.manual_seed(state)
        _backward(draws, _parts(batch, 2), step=step)
    # Twice for a rehearsal, which shows whether the objective exchanges anything.
    first, second, again = (draws.drawn[start + 2 : start + 4] for start in (0, 4, 8))
    assert second == again
    assert len({*first, *second}) == 4


def test_running_statistics_move_by_the_mean_of_the_parts() -> None:
    class Normalized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, batch: Any) -> dict[str, torch.Tensor]:
            return {"loss": self.norm(batch["x"]).square().mean()}

    x = torch.randn(12, 3, generator=torch.manual_seed(0))
    divided, whole = Normalized(), Normalized()
    _backward(divided, _parts({"x": x}, 2))
    _backward(whole, [{"x": x}])
    torch.testing.assert_close(divided.norm.running_mean, whole.norm.running_mean)
    variances = torch.stack([part["x"].var(dim=0) for part in _parts({"x": x}, 2)])
    torch.testing.assert_close(divided.norm.running_var, 0.9 + 0.1 * variances.mean(dim=0))
    assert int(divided.norm.num_batches_tracked) == 1


def test_an_undivided_batch_exchanges_nothing() -> None:
    rows, mean = torch.rand(3, 2), torch.rand(())
    assert gather_rows(rows) is rows
    assert reweight(mean, 0) is mean
    assert int(divisor(torch.tensor(0))) == 1


def test_a_mean_over_few_entries_counts_less() -> None:
    class Two:
        """Another part has three entries."""

        parts, part = 2, 0

        def __call__(self, value: torch.Tensor) -> list[torch.Tensor]:
            return [value, torch.full_like(value, 3)]

    with exchanging(Two()):
        own, other = reweight(torch.tensor(5.0), 1), 7.0 * 3 / float(divisor(torch.tensor(1)))
    assert (float(own) + other) / 2 == pytest.approx((5.0 * 1 + 7.0 * 3) / 4)
