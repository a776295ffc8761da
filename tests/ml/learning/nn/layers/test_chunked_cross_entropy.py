"""The loss over a vocabulary in pieces: the same number and the same gradients as in one."""

import pytest
import torch
from torch.nn import functional

from ml.learning.nn.layers.chunked_cross_entropy import POSITIONS_PER_CHUNK, most_probable, smoothed_cross_entropy


def _given(places: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(places)
    hidden, table = torch.randn(places, 12), torch.randn(30, 12)
    return hidden.requires_grad_(), table.requires_grad_(), torch.randint(30, (places,))


@pytest.mark.parametrize("places", [1, POSITIONS_PER_CHUNK, 2 * POSITIONS_PER_CHUNK + 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_the_cross_entropy_and_has_its_gradients(places: int, smoothing: float) -> None:
    found, expected = [], []
    for loss_of, kept in ((smoothed_cross_entropy, found), (_plain, expected)):
        hidden, table, wanted = _given(places)
        loss = loss_of(hidden, table, wanted, smoothing=smoothing)
        (3 * loss).backward()
        kept += [loss.detach(), hidden.grad, table.grad]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def _plain(hidden: torch.Tensor, table: torch.Tensor, wanted: torch.Tensor, *, smoothing: float) -> torch.Tensor:
    return functional.cross_entropy(hidden @ table.T, wanted, label_smoothing=smoothing)


def test_in_half_precision_gradients_are_those_of_full_but_for_rounding() -> None:
    gradients = []
    for half in (False, True):
        hidden, table, wanted = _given(500)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            smoothed_cross_entropy(hidden, table, wanted, smoothing=0.1).backward()
        gradients.append(table.grad)
    assert gradients[0] is not None
    # Eight bits of mantissa, a few hundred terms of either sign.
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.05, atol=0.02 * gradients[0].abs().max().item())


def test_nothing_to_judge_costs_nothing() -> None:
    hidden, table, wanted = _given(1)
    assert smoothed_cross_entropy(hidden[:0], table, wanted[:0]).item() == 0
    assert most_probable(hidden[:0], table).shape == (0,)


def test_the_most_probable_token_is_that_of_the_highest_score() -> None:
    hidden, table, _ = _given(POSITIONS_PER_CHUNK + 3)
    assert torch.equal(most_probable(hidden, table), (hidden @ table.T).argmax(dim=1))
