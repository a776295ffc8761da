"""Attention by hand is PyTorch's."""

import pytest
import torch
from torch.nn import functional

from ml.learning.nn.layers.attention import attention_mask, hidden
from ml.learning.nn.layers.sdpa import attend


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_librarys_with_its_gradients(masked: bool) -> None:
    torch.manual_seed(0)
    seen = torch.arange(7) < torch.tensor([[7], [3]])
    unseen = hidden(attention_mask(seen)) if masked else None
    found = []
    for look in (attend, lambda *each: functional.scaled_dot_product_attention(*each[:3], attn_mask=unseen)):
        torch.manual_seed(1)
        parts = [torch.randn(2, 3, length, 4, requires_grad=True) for length in (5, 7, 7)]
        answer = look(*parts, unseen)
        answer.square().sum().backward()
        found.append([answer.detach(), *(part.grad for part in parts)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_is_not_seen_has_no_share_at_all() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 1, length, 4) for length in (2, 6, 6))
    unseen = hidden(attention_mask(torch.arange(6).unsqueeze(0) < 4))
    assert torch.equal(
        attend(query, key, value, unseen), attend(query, key, value.masked_fill(unseen.mT < 0, 9e9), unseen)
    )


def test_dropout_leaves_out_shares_at_random() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 5, 4) for _ in range(3))
    answers = [attend(query, key, value, dropout=0.5) for _ in range(2)]
    assert not torch.equal(*answers)
    many = torch.stack([attend(query, key, value, dropout=0.5) for _ in range(3000)]).mean(dim=0)
    # 3,000 draws of a sum of five terms, each there half of the time and then twice as large.
    torch.testing.assert_close(many, attend(query, key, value), rtol=0, atol=0.15)
