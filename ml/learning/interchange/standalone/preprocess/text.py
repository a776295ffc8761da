"""Texts as token ids.

Whitespace at both ends of the text is removed, and the text is tokenized by `tokenizer.json` (the `tokenizers`
library), whose template adds the begin and end tokens. Special tokens that are written in a text are plain characters.
The tokens are cut to `max_length`: int64 [batch, time], padded at the end with the token that `special` names as
padding. The mask is bool [batch, time], true where there is text. `truncated` of an output says how many tokens of a
text were read, if it was cut. If `long_texts` of an input is `windows`, the text is read in windows of `max_length`
that overlap by a quarter, and the outputs of the `windows` are averaged (`runtime/long_texts.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import Tokenizer

from ml.preprocessing.long_texts import TokenizedText, tokenize_long, truncation_fields

if TYPE_CHECKING:
    from pathlib import Path

#: Field of an input that a file fills.
FIELD: Final = "text"
#: Field of an input that is one window of its text.
WINDOW: Final = "window"


def encode(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:
    """Return `signal`, int64 [batch, time], and `mask`, bool [batch, time]."""
    tokenizer = load_tokenizer(folder)
    end, padding = (tokenizer.token_to_id(config["special"][role]) for role in ("end", "padding"))
    rows = [_tokenize(raw_input, config, folder).tokens for raw_input in inputs]
    rows = [tokens if len(tokens) else np.array([end]) for tokens in rows]
    signal = np.full((len(rows), max(map(len, rows))), padding, dtype=np.int64)
    mask = np.zeros(signal.shape, dtype=bool)
    for row, tokens in enumerate(rows):
        signal[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    return {"signal": signal, "mask": mask}


def split(raw_input: dict[str, Any], config: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return an input for each window of the text."""
    windows = tokenize_long(
        load_tokenizer(folder), raw_input["text"].strip(), max_length=config["max_length"], has_windows=True
    )
    return [{**raw_input, WINDOW: window} for window in windows]


def truncation(inputs: list[dict[str, Any]], config: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the fields of outputs that say how each text was read.

    There are none for a text that was read whole at once.
    """
    texts = [_tokenize(raw_input, config, folder) for raw_input in inputs]
    return [truncation_fields(text.retained, text.length, text.windows) for text in texts]


@lru_cache(2)
def load_tokenizer(folder: Path) -> Any:  # tokenizers.Tokenizer
    """Load the tokenizer of a folder, without padding and truncation."""
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _tokenize(raw_input: dict[str, Any], config: dict[str, Any], folder: Path) -> TokenizedText:
    if WINDOW in raw_input:
        window: TokenizedText = raw_input[WINDOW]
        return window
    text, tokenizer = raw_input["text"].strip(), load_tokenizer(folder)
    (beginning,) = tokenize_long(tokenizer, text, max_length=config["max_length"], has_windows=False)
    return beginning
