import torch

from ml.learning.nn.layers.causal_mask import causal_mask, last_position, positions


def test_a_token_sees_real_ones_up_to_itself() -> None:
    known = torch.tensor([[True, False, True, True]])
    seen = causal_mask(known[:, 2:], known)[0, 0]
    assert seen.tolist() == [[True, False, True, False], [True, False, True, True]]


def test_padding_sees_at_least_itself() -> None:
    mask = torch.tensor([[False, True]])
    assert causal_mask(mask, mask)[0, 0].tolist() == [[True, False], [False, True]]


def test_positions_count_real_tokens_only() -> None:
    assert positions(torch.tensor([[False, True, False, True]])).tolist() == [[0, 0, 0, 1]]


def test_the_last_real_token_is_found_on_either_side_of_padding() -> None:
    sequence = torch.arange(8.0).view(2, 4, 1)
    mask = torch.tensor([[True, True, False, False], [False, False, True, True]])
    assert last_position(sequence, mask).flatten().tolist() == [1, 7]
    assert last_position(sequence, None).flatten().tolist() == [3, 7]
