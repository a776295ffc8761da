"""Chunked cross-entropy has the same value and gradients as that over all logits."""

import pytest
import torch
from torch.nn import functional

from ml.learning.nn.layers.chunked_cross_entropy import POSITIONS_PER_CHUNK, most_probable, smoothed_cross_entropy


def _sample_inputs(positions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(positions)
    hidden, table = torch.randn(positions, 12), torch.randn(30, 12)
    return hidden.requires_grad_(), table.requires_grad_(), torch.randint(30, (positions,))


@pytest.mark.parametrize("positions", [1, POSITIONS_PER_CHUNK, 2 * POSITIONS_PER_CHUNK + 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_the_cross_entropy_and_has_its_gradients(positions: int, smoothing: float) -> None:
    actual, expected = [], []
    for compute_loss, results in ((smoothed_cross_entropy, actual), (_reference_loss, expected)):
        hidden, table, target = _sample_inputs(positions)
        loss = compute_loss(hidden, table, target, smoothing=smoothing)
        (3 * loss).backward()
        results += [loss.detach(), hidden.grad, table.grad]
    for tensor, reference in zip(actual, expected, strict=True):
        torch.testing.assert_close(tensor, reference, rtol=1e-5, atol=1e-6)


def _reference_loss(
    hidden: torch.Tensor, table: torch.Tensor, target: torch.Tensor, *, smoothing: float
) -> torch.Tensor:
    return functional.cross_entropy(hidden @ table.T, target, label_smoothing=smoothing)


def test_gradients_in_half_precision_are_those_of_full_precision_up_to_rounding() -> None:
    gradients = []
    for half in (False, True):
        hidden, table, target = _sample_inputs(500)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            smoothed_cross_entropy(hidden, table, target, smoothing=0.1).backward()
        gradients.append(table.grad)
    assert gradients[0] is not None
    # Eight bits of mantissa, a few hundred terms of either sign.
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.05, atol=0.02 * gradients[0].abs().max().item())


def test_the_loss_of_no_positions_is_zero() -> None:
    hidden, table, target = _sample_inputs(1)
    assert smoothed_cross_entropy(hidden[:0], table, target[:0]).item() == 0
    assert most_probable(hidden[:0], table).shape == (0,)


def test_the_most_probable_token_has_the_largest_logit() -> None:
    hidden, table, _ = _sample_inputs(POSITIONS_PER_CHUNK + 3)
    assert torch.equal(most_probable(hidden, table), (hidden @ table.T).argmax(dim=1))
