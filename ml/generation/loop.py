"""Sequences that are written on, token by token, many at once; the loop is the same over torch and ONNX Runtime.

R rows at hand, T tokens read now, P tokens remembered, K numbers remembered of each, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.generation.detokenizer import IncrementalDetokenizer
from ml.generation.sampling import Sampling, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ml.signals import Arrays

    Read = Callable[[Arrays], Arrays]

KEPT: Final = 0.5
"""Share of the longest context that is read again once it is full. More would have to be read again sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationParams:
    """How one sequence is to go on, and when it is to end."""

    max_new_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    stop: tuple[str, ...] = ()


class GeneratedSequence:
    """One sequence: what was given, what was written, and why it ended."""

    def __init__(
        self, prompt: Sequence[int], wish: GenerationParams, *, decode: Callable[[Sequence[int]], str], end: int | None
    ) -> None:
        self.tokens = list(prompt)
        self.prompt_tokens = len(self.tokens)
        self.wish = wish
        self.reason: str | None = None
        """`stop` (the model ended it, or a stop string came) or `length`; none while it goes on."""
        self._context = list(prompt)
        self._spelling = IncrementalDetokenizer(decode, stop=wish.stop)
        self._end = end
        self._chance = np.random.default_rng(wish.seed)

    @property
    def text(self) -> str:
        """What was written so far and can no longer change."""
        return self._spelling.text

    @property
    def written(self) -> list[int]:
        """The new tokens."""
        return self.tokens[self.prompt_tokens :]

    @property
    def length(self) -> int:
        """Of its context."""
        return len(self._context)

    def context(self, longest: int) -> list[int]:
        """What the next token is told from. When it grows too long, its first token and the latest part are kept."""
        if len(self._context) > longest:
            self._context = [self._context[0], *self._context[-max(1, int(longest * KEPT)) :]]
        return self._context

    def step(self, logits: np.ndarray) -> str:
        """Choose the next token from float [V]; gives the piece of text that has become certain, often none."""
        token = choose(logits, self.wish.sampling, self._chance)
        if token == self._end:
            self.reason = "stop"
            return self._spelling.finish()
        self.tokens.append(token)
        self._context.append(token)
        piece = self._spelling.add(token)
        if not self._spelling.stopped and len(self.written) < self.wish.max_new_tokens:
            return piece
        piece += self._spelling.finish()
        self.reason = "stop" if self._spelling.stopped else "length"
        return piece


class ForcedDecoding(GeneratedSequence):
    """One that is told what to write, and notes how improbable each token of it was: `nats`."""

    def __init__(self, tokens: Sequence[int], *, given: int) -> None:
        dictated = list(tokens[given:])
        super().__init__(tokens[:given], GenerationParams(max_new_tokens=len(dictated)), decode=lambda _: "", end=None)
        self.nats: list[float] = []
        self._dictated = dictated

    def step(self, logits: np.ndarray) -> str:
        """The next token, whatever the logits are; nothing is spelt."""
        token = self._dictated[len(self.nats)]
        below = logits.astype(np.float64) - logits.max()
        self.nats.append(float(np.log(np.exp(below).sum()) - below[token]))
        self.tokens.append(token)
        self._context.append(token)
        if len(self.nats) == len(self._dictated):
            self.reason = "length"
        return ""


class GenerationLoop:
    """Continuations that share each step. Between any two steps some may join, and those that ended leave.

    `read` is a graph of the network: it reads `{slot}` int64 [R, T] and `{slot}_mask` and gives `logits` [R, V] of what
    follows. Where the network remembers (`state_width` is K), it also reads and leaves a state, so that each token is
    read once; where it does not, all of the context is read for each token. Both write the same.
    """

    def __init__(self, read: Read, *, slot: str, context: int, state_width: int) -> None:
        self._read_batch = read
        self._slot = slot
        self._context = context
        self._width = state_width
        self._fresh: list[GeneratedSequence] = []
        self._rows: list[GeneratedSequence] = []
        self._memory = np.zeros((0, 0, state_width), dtype=np.float32)
        self._mask = np.zeros((0, 0), dtype=bool)

    @property
    def busy(self) -> bool:
        """Whether any of them goes on."""
        return bool(self._fresh or self._rows)

    def join(self, some: Iterable[GeneratedSequence]) -> None:
        """From the next step on."""
        self._fresh += some

    def leave(self, one: GeneratedSequence) -> None:
        """Nobody waits for this one any more."""
        self._fresh = [each for each in self._fresh if each is not one]
        self._keep([each is not one for each in self._rows])

    def step(self) -> list[tuple[GeneratedSequence, str]]:
        """One more token for each; gives who wrote which piece of text. Those that ended have left."""
        pieces: list[tuple[GeneratedSequence, str]] = []
        if self._rows:
            last = [[each.tokens[-1]] for each in self._rows]
            logits, self._memory, self._mask = self._read(last, self._memory, self._mask)
            pieces += self._go_on(self._rows, logits)
        fresh, self._fresh = self._fresh, []
        if fresh:
            nothing = np.zeros((len(fresh), 0, self._width), dtype=np.float32)
            tokens = [each.context(self._context) for each in fresh]
            logits, memory, mask = self._read(tokens, nothing, np.zeros((len(fresh), 0), dtype=bool))
            pieces += self._go_on(fresh, logits)
            if self._width:
                self._take_in(fresh, memory, mask)
            else:
                self._fresh += [each for each in fresh if each.reason is None]
        self._let_go()
        return pieces

    def _read(
        self, tokens: Sequence[Sequence[int]], memory: np.ndarray, mask: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits, and what is remembered then."""
        real = np.arange(max(map(len, tokens))) < np.array([[len(each)] for each in tokens])
        signal = np.zeros(real.shape, dtype=np.int64)
        signal[real] = np.concatenate([np.asarray(each, dtype=np.int64) for each in tokens])
        batch = {self._slot: signal, f"{self._slot}_mask": real}
        if not self._width:
            return self._read_batch(batch)["logits"], memory, mask
        found = self._read_batch({**batch, f"{self._slot}_state": memory, f"{self._slot}_state_mask": mask})
        return found["logits"], found[f"{self._slot}_next_state"], found[f"{self._slot}_next_state_mask"]

    def _go_on(self, rows: Sequence[GeneratedSequence], logits: np.ndarray) -> list[tuple[GeneratedSequence, str]]:
        return [(each, each.step(scores)) for each, scores in zip(rows, logits, strict=True)]

    def _take_in(self, rows: Sequence[GeneratedSequence], memory: np.ndarray, mask: np.ndarray) -> None:
        """Each row's memory of what was real goes to the end, so that new tokens follow it at once."""
        lengths = mask.sum(axis=1)
        longest = max(int(lengths.max()), self._mask.shape[1])
        known = np.arange(longest) >= longest - lengths[:, None]
        settled = np.zeros((*known.shape, self._width), dtype=np.float32)
        settled[known] = memory[mask]
        self._memory = np.concatenate([_in_front(self._memory, longest), settled])
        self._mask = np.concatenate([_in_front(self._mask, longest), known])
        self._rows += rows

    def _let_go(self) -> None:
        """Of those that ended, and of the memory of those whose context is full: part of it is read again."""
        full = [each.length > self._context for each in self._rows]
        self._fresh += [each for each, over in zip(self._rows, full, strict=True) if over and each.reason is None]
        self._keep([each.reason is None and not over for each, over in zip(self._rows, full, strict=True)])

    def _keep(self, kept: Sequence[bool]) -> None:
        if all(kept):
            return
        rows = np.flatnonzero(kept)
        self._rows = [self._rows[row] for row in rows]
        used = self._mask[rows].any(axis=0)
        self._memory, self._mask = self._memory[rows][:, used], self._mask[rows][:, used]


def _in_front(rows: np.ndarray, length: int) -> np.ndarray:
    """[R, P, ...] with nothing before it, up to `length`."""
    return np.pad(rows, [(0, 0), (length - rows.shape[1], 0), *[(0, 0)] * (rows.ndim - 2)])
