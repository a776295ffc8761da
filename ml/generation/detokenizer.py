"""Incremental detokenization of tokens as they are generated.

Text comes in whole characters, and ends before a stop string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Decoded in place of bytes that are no complete character yet.
INCOMPLETE: Final = "\ufffd"


class IncrementalDetokenizer:
    """Text of tokens as they arrive. A piece that was returned never changes.

    Text is held back while a token ends within a character, and while it could become a stop string.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], *, stop: Sequence[str] = ()) -> None:
        """`decode` converts tokens to text; the text ends before the first of the `stop` strings."""
        #: All pieces returned so far.
        self.text = ""
        #: Whether a stop string was generated; it and what follows are not part of the text.
        self.is_stopped = False
        self._decode = decode
        self._stop = tuple(stop)
        self._tokens: list[int] = []
        self._prefix_start = self._prefix_end = 0
        self._pending_text = ""

    @property
    def length(self) -> int:
        """Number of characters so far, including those that are held back."""
        return len(self.text) + len(self._pending_text)

    def add(self, token: int) -> str:
        """Add a token and return the text that has become certain, often none."""
        self._tokens.append(token)
        new_text = self._decode_new()
        if new_text is None:
            return ""
        self._prefix_start, self._prefix_end = self._prefix_end, len(self._tokens)
        return self._emit(self._pending_text + new_text, is_last=False)

    def finish(self) -> str:
        """Return the remaining text, after the last token."""
        new_text = self._decode_new(is_last=True) or ""
        self._prefix_start = self._prefix_end = len(self._tokens)
        return self._emit(self._pending_text + new_text, is_last=True)

    def _decode_new(self, *, is_last: bool = False) -> str | None:
        """Decode the tokens since the last piece; None where they end within a character.

        They are decoded together with the tokens before, as some tokenizers write a space only after another token.
        """
        prefix = self._decode(self._tokens[self._prefix_start : self._prefix_end])
        text = self._decode(self._tokens[self._prefix_start :])
        return None if text.endswith(INCOMPLETE) and not is_last else text[len(prefix) :]

    def _emit(self, text: str, *, is_last: bool) -> str:
        self._pending_text = ""
        if self.is_stopped:
            return ""
        positions = [position for stop in self._stop if (position := text.find(stop)) >= 0]
        if positions:
            self.is_stopped = True
            text = text[: min(positions)]
        elif not is_last:
            pending = max((_overlap(text, stop) for stop in self._stop), default=0)
            text, self._pending_text = text[: len(text) - pending], text[len(text) - pending :]
        self.text += text
        return text


def detokenize(tokens: Sequence[int], decode: Callable[[Sequence[int]], str], *, stop: Sequence[str] = ()) -> str:
    """Return the text of all tokens, as `IncrementalDetokenizer` returns it in pieces."""
    detokenizer = IncrementalDetokenizer(decode, stop=stop)
    for token in tokens:
        detokenizer.add(token)
    detokenizer.finish()
    return detokenizer.text


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` are the beginning of `stop`."""
    return next((length for length in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:length])), 0)
