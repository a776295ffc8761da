"""Log-probabilities of generated tokens, of the network's own distribution: before temperature, top-k and top-p.

Exported ONNX folders run a copy of this file. V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Stands for lower values, and for that of a token that cannot follow: JSON has no infinity.
MIN_LOG_PROB: Final = -9999.0
#: Decoded in place of bytes that are no complete character.
INCOMPLETE: Final = "\ufffd"
#: A text of one token, after which others are decoded as within a text.
ANCHOR: Final = "a"
#: Bytes that byte-level vocabularies write as they are; the others follow from 256 on (Radford et al. 2019).
_PLAIN_BYTES: Final = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))


@dataclass(frozen=True, slots=True)
class MeasuredToken:
    """A generated token, and the most probable ones in its place."""

    token: int
    log_prob: float
    #: The most probable tokens with their log-probabilities, the best first.
    top: tuple[tuple[int, float], ...]
    #: Characters of the text before the token.
    offset: int


def measure(logits: np.ndarray, token: int, *, count: int, offset: int) -> MeasuredToken:
    """Return the log-probability of a token under float [V], and the `count` most probable tokens.

    Ties among these are in the order of the vocabulary.
    """
    relative = logits.astype(np.float64) - logits.max()
    log_probs = np.maximum(relative - np.log(np.exp(relative).sum()), MIN_LOG_PROB)
    count = min(count, len(log_probs))
    top = np.sort(np.argpartition(-log_probs, count - 1)[:count]) if count else np.zeros(0, dtype=np.int64)
    top = top[np.argsort(-log_probs[top], kind="stable")]
    pairs = zip(top.tolist(), log_probs[top].tolist(), strict=True)
    return MeasuredToken(token, float(log_probs[token]), tuple(pairs), offset)


class TokenDescriber:
    """Texts and bytes of single tokens of one tokenizer, which are remembered."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        *,
        tokenize: Callable[[str], Sequence[int]],
        name_of: Callable[[int], str | None],
    ) -> None:
        """`name_of` returns the entry of a token in the vocabulary."""
        self._decode = decode
        self._name_of = name_of
        self._anchor = list(tokenize(ANCHOR))
        self._prefix = decode(self._anchor)
        self._descriptions: dict[tuple[int, bool], dict[str, Any]] = {}

    def describe(self, log_probs: Sequence[MeasuredToken]) -> list[dict[str, Any]]:
        """Return `id`, `token`, `bytes`, `logprob`, `offset` and `top` of each token, as JSON values."""
        return [
            {
                "id": item.token,
                **self._describe(item.token, is_first=item.offset == 0),
                "logprob": item.log_prob,
                "offset": item.offset,
                "top": [
                    {**self._describe(token, is_first=item.offset == 0), "logprob": log_prob}
                    for token, log_prob in item.top
                ],
            }
            for item in log_probs
        ]

    def _describe(self, token: int, *, is_first: bool) -> Mapping[str, Any]:
        """Return the text of a token, and its bytes.

        Bytes are None for a part of an unknown encoding. Some tokenizers write a space before a token only behind
        another.
        """
        key = token, is_first
        if key not in self._descriptions:
            text = self._decode([token]) if is_first else self._decode([*self._anchor, token])[len(self._prefix) :]
            name = self._name_of(token) or ""
            # A special token has no text.
            text = text or name
            content = _to_bytes(name) if INCOMPLETE in text else text.encode()
            if content is not None and INCOMPLETE in text:
                text = "".join(f"\\x{byte:02x}" for byte in content)
            self._descriptions[key] = {"token": text, "bytes": None if content is None else list(content)}
        return self._descriptions[key]


def _to_bytes(name: str) -> bytes | None:
    """Return the bytes of an entry of a vocabulary; None for an unknown encoding."""
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes.fromhex(name[3:5])
    codes = [_BYTES.get(character) for character in name]
    return None if None in codes else bytes(code for code in codes if code is not None)


def _byte_alphabet() -> dict[str, int]:
    others = [byte for byte in range(0x100) if byte not in _PLAIN_BYTES]
    return {chr(byte): byte for byte in _PLAIN_BYTES} | {chr(0x100 + rank): byte for rank, byte in enumerate(others)}


_BYTES: Final = _byte_alphabet()
