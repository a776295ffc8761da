import torch

from ml.learning.nn.layers.causal_mask import causal_mask, last_position, position_ids


def test_a_token_attends_to_real_tokens_up_to_itself() -> None:
    context_mask = torch.tensor([[True, False, True, True]])
    mask = causal_mask(context_mask[:, 2:], context_mask)[0, 0]
    assert mask.tolist() == [[True, False, True, False], [True, False, True, True]]


def test_padding_attends_to_itself() -> None:
    mask = torch.tensor([[False, True]])
    assert causal_mask(mask, mask)[0, 0].tolist() == [[True, False], [False, True]]


def test_position_ids_count_real_tokens_only() -> None:
    assert position_ids(torch.tensor([[False, True, False, True]])).tolist() == [[0, 0, 0, 1]]


def test_the_last_real_token_is_selected_with_padding_on_either_side() -> None:
    sequence = torch.arange(8.0).view(2, 4, 1)
    mask = torch.tensor([[True, True, False, False], [False, False, True, True]])
    assert last_position(sequence, mask).flatten().tolist() == [1, 7]
    assert last_position(sequence, None).flatten().tolist() == [3, 7]
