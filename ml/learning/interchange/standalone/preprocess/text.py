"""Texts as token ids.

Whitespace at both ends of the text is removed, and the text is tokenized by `tokenizer.json` (the `tokenizers`
library), whose template adds the begin and end tokens. Special tokens that are written in a text are plain characters.
The tokens are cut to `max_length`: int64 [batch, time], padded at the end with the token that `special` names as
padding. The mask is bool [batch, time], true where there is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

#: Field of an input that a file fills.
FIELD: Final = "text"


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """Return `signal`, int64 [batch, time], and `mask`, bool [batch, time]."""
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(config["max_length"])
    end, padding = (tokenizer.token_to_id(config["special"][role]) for role in ("end", "padding"))
    texts = [raw_input["text"].strip() for raw_input in inputs]
    rows = [encoding.ids or [end] for encoding in tokenizer.encode_batch_fast(texts)]
    signal = np.full((len(rows), max(map(len, rows))), padding, dtype=np.int64)
    mask = np.zeros(signal.shape, dtype=bool)
    for row, tokens in enumerate(rows):
        signal[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    return {"signal": signal, "mask": mask}


def load_tokenizer(folder: Path) -> Any:  # tokenizers.Tokenizer
    """Load the tokenizer of a folder, without padding and truncation."""
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
