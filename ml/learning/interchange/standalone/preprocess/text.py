"""A text loses the blanks around it and is cut into tokens by tokenizer.json (the library `tokenizers`), whose own
template adds the tokens that begin and end it; what only looks like a special token is plain letters. It is cut to
`max_length` tokens. int64 [batch, time], filled up behind with the token that `special` calls padding; the mask is bool
[batch, time], true where there is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "text"
NEEDS = "tokenizers"


def read(inputs: list[dict[str, Any]], about: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """`signal` and `mask`."""
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    tokenizer.enable_truncation(about["max_length"])
    end, padding = (tokenizer.token_to_id(about["special"][role]) for role in ("end", "padding"))
    rows = [each.ids or [end] for each in tokenizer.encode_batch_fast([given["text"].strip() for given in inputs])]
    signal = np.full((len(rows), max(map(len, rows))), padding, dtype=np.int64)
    mask = np.zeros(signal.shape, dtype=bool)
    for row, tokens in enumerate(rows):
        signal[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    return {"signal": signal, "mask": mask}
