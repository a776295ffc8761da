"""Scaled dot-product attention equals that of PyTorch."""

import pytest
import torch
from torch.nn import functional

from ml.learning.nn.layers.attention import padding_mask, to_attention_bias
from ml.learning.nn.layers.sdpa import attend


@pytest.mark.parametrize("masked", [False, True])
def test_output_and_gradients_are_those_of_pytorch(masked: bool) -> None:
    torch.manual_seed(0)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    bias = to_attention_bias(padding_mask(mask)) if masked else None
    results = []
    for compute in (attend, lambda *args: functional.scaled_dot_product_attention(*args[:3], attn_mask=bias)):
        torch.manual_seed(1)
        inputs = [torch.randn(2, 3, length, 4, requires_grad=True) for length in (5, 7, 7)]
        output = compute(*inputs, bias)
        output.square().sum().backward()
        results.append([output.detach(), *(tensor.grad for tensor in inputs)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_masked_positions_have_no_weight_at_all() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 1, length, 4) for length in (2, 6, 6))
    bias = to_attention_bias(padding_mask(torch.arange(6).unsqueeze(0) < 4))
    assert torch.equal(attend(query, key, value, bias), attend(query, key, value.masked_fill(bias.mT < 0, 9e9), bias))


def test_dropout_omits_weights_at_random() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 5, 4) for _ in range(3))
    outputs = [attend(query, key, value, dropout=0.5) for _ in range(2)]
    assert not torch.equal(*outputs)
    mean = torch.stack([attend(query, key, value, dropout=0.5) for _ in range(3000)]).mean(dim=0)
    # 3,000 samples of a sum of five terms, each of them doubled or omitted with equal probability.
    torch.testing.assert_close(mean, attend(query, key, value), rtol=0, atol=0.15)
