"""Texts that are longer than a network reads: cut, or read in overlapping windows.

Exported ONNX folders run a copy of this file.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

#: Fraction of a window that the next one reads again.
OVERLAP: Final = 0.25
#: Windows of one text; each costs as much as a text of its own.
MAX_WINDOWS: Final = 256
#: Characters whose tokens are counted; the number in a longer text is estimated. A million take seconds.
MAX_COUNTED_CHARACTERS: Final = 65_536
#: More than the longest token has, except for runs of whitespace.
CHARACTERS_PER_TOKEN: Final = 64
#: A text of which every tokenizer makes a token.
SAMPLE: Final = "a"
#: Length of a vector that is taken to be 1.
UNIT_TOLERANCE: Final = 1e-3


class TokenizedText(NamedTuple):
    """A text as a network reads it, or one window of a long text."""

    #: int32 [T], with the tokens that begin and end a text; empty for whitespace alone.
    tokens: np.ndarray
    #: Tokens of the text that are read, by all windows together, and tokens that it has.
    retained: int
    length: int
    #: Number of windows, 0 if the text is cut.
    windows: int

    @property
    def nbytes(self) -> int:
        """Size in bytes of the tokens."""
        return int(self.tokens.nbytes)


def tokenize_long(tokenizer: Any, text: str, *, max_length: int, has_windows: bool) -> list[TokenizedText]:
    """Tokenize a text of any length: its beginning, or all of its windows.

    Args:
        tokenizer: A `tokenizers.Tokenizer` without truncation.
        text: The text.
        max_length: Tokens of a window, including those that begin and end a text.
        has_windows: Whether to return windows rather than the beginning. There are at most `MAX_WINDOWS`.
    """
    prefix, suffix = special_tokens(tokenizer)
    body, length = _read_tokens(tokenizer, text, len(text) if has_windows else _counted_characters(max_length))
    size = max(1, max_length - len(prefix) - len(suffix))
    step = size - int(OVERLAP * size)
    count = min(MAX_WINDOWS, max(1, -(-(len(body) - size) // step) + 1)) if has_windows else 1
    retained = min(len(body), size + (count - 1) * step)
    return [
        TokenizedText(
            np.array([*prefix, *body[start : start + size], *suffix], dtype=np.int32),
            retained,
            length,
            count if has_windows else 0,
        )
        for start in range(0, count * step, step)
    ]


def count_tokens(tokenizer: Any, text: str, *, max_length: int) -> int:
    """Return the number of tokens of a text, without begin and end tokens.

    That of a text of more than `MAX_COUNTED_CHARACTERS`, and far more than `max_length` tokens, is estimated from its
    beginning.
    """
    return _read_tokens(tokenizer, text, _counted_characters(max_length))[1]


def _counted_characters(max_length: int) -> int:
    return max(MAX_COUNTED_CHARACTERS, CHARACTERS_PER_TOKEN * max_length)


def _read_tokens(tokenizer: Any, text: str, characters: int) -> tuple[list[int], int]:
    """Return the tokens of the first characters of a text, and their number in all.

    The number is estimated if the text has more characters.
    """
    (encoding,) = tokenizer.encode_batch_fast([text[:characters]], add_special_tokens=False)
    ids: list[int] = encoding.ids
    return ids, round(len(ids) * max(1.0, len(text) / max(1, characters)))


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the tokens that the template of the tokenizer adds before and after a text."""
    encoding = tokenizer.encode(SAMPLE)
    added = list(encoding.special_tokens_mask)
    first = added.index(0) if 0 in added else len(added)
    last = len(added) - added[::-1].index(0) if 0 in added else len(added)
    return encoding.ids[:first], encoding.ids[last:]


def truncation_fields(retained: int, length: int, windows: int = 0) -> dict[str, Any]:
    """Return the fields of an output that say how a text was read.

    There are none if all of its `length` tokens were `retained`, and it was not read in windows.
    """
    fields: dict[str, Any] = {"windows": windows} if windows else {}
    return {**fields, "truncated": {"kept": retained, "of": length}} if retained < length else fields


def join_windows(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the outputs of the windows of each text, which follow each other.

    Probabilities and embeddings are averaged; the mean of vectors of length 1 has length 1, too.
    """
    joined, start = [], 0
    while start < len(outputs):
        count = outputs[start].get("windows", 1)
        joined.append(_average(outputs[start : start + count]))
        start += count
    return joined


def _average(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    if len(outputs) == 1:
        return outputs[0]
    output = dict(outputs[0])
    if "embedding" in output:
        output["embedding"] = _mean_vector([output["embedding"] for output in outputs])
    if "probabilities" in output:
        labels = list(output["probabilities"])
        rows = [[output["probabilities"][label] for label in labels] for output in outputs]
        means = np.mean(rows, axis=0).tolist()
        best = int(np.argmax(means))
        averages = {"label": labels[best], "confidence": means[best]}
        output |= {**averages, "probabilities": dict(zip(labels, means, strict=True))}
    return output


def _mean_vector(vectors: list[list[float]]) -> list[float]:
    mean = np.mean(vectors, axis=0)
    if np.allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=UNIT_TOLERANCE):
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
    values: list[float] = mean.tolist()
    return values
