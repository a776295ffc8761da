"""Tokens one by one become text piece by piece: whole characters, and nothing of what ends the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNFINISHED: Final = "\ufffd"
"""What stands for bytes that are no character yet."""


class IncrementalDetokenizer:
    """The text of tokens as they come. A piece, once given, is never taken back.

    A token may end within a character: that is held until the rest has come. So is what could become a stop string.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], *, stop: Sequence[str] = ()) -> None:
        self.text = ""
        """All pieces given so far."""
        self.stopped = False
        """Whether a stop string has come; it and what follows are not part of the text."""
        self._decode = decode
        self._stop = tuple(stop)
        self._tokens: list[int] = []
        self._shown = self._read = 0
        self._held = ""

    def add(self, token: int) -> str:
        """What can be given now that this token has come; often nothing."""
        self._tokens.append(token)
        # Decoded along with the tokens before it, since some write their space only after another.
        before = self._decode(self._tokens[self._shown : self._read])
        now = self._decode(self._tokens[self._shown :])
        if now.endswith(UNFINISHED):
            return ""
        self._shown, self._read = self._read, len(self._tokens)
        return self._give(self._held + now[len(before) :], last=False)

    def finish(self) -> str:
        """The rest, once no token comes any more."""
        before = self._decode(self._tokens[self._shown : self._read])
        now = self._decode(self._tokens[self._shown :])
        self._shown = self._read = len(self._tokens)
        return self._give(self._held + now[len(before) :], last=True)

    def _give(self, text: str, *, last: bool) -> str:
        self._held = ""
        if self.stopped:
            return ""
        found = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            text = text[: min(found)]
        elif not last:
            hold = max((_beginning(text, stop) for stop in self._stop), default=0)
            text, self._held = text[: len(text) - hold], text[len(text) - hold :]
        self.text += text
        return text


def detokenize(tokens: Sequence[int], decode: Callable[[Sequence[int]], str], *, stop: Sequence[str] = ()) -> str:
    """The text of all tokens, as it would have come piece by piece."""
    spelling = IncrementalDetokenizer(decode, stop=stop)
    for token in tokens:
        spelling.add(token)
    spelling.finish()
    return spelling.text


def _beginning(text: str, stop: str) -> int:
    """How many letters at the end of `text` are the beginning of `stop`."""
    return next((length for length in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:length])), 0)
