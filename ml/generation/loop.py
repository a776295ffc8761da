"""Autoregressive generation of many sequences together, one token per step, over torch or ONNX Runtime.

R rows in the batch, T tokens read in this step, V vocabulary.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.generation.detokenizer import IncrementalDetokenizer
from ml.generation.sampling import Sampling, sample
from ml.generation.state import GenerationState
from ml.generation.token_log_probs import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ml.generation.token_log_probs import MeasuredToken
    from ml.signals import Arrays

    Read = Callable[[Arrays], Arrays]

#: Fraction of the context that is read again once it is full. A larger one would be full again sooner.
RETAINED_FRACTION: Final = 0.5
#: Estimated size of one token with its log-probability, as JSON values.
LOG_PROB_BYTES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationParams:
    """Parameters of generation: sampling, seed, and limits."""

    max_new_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    stop: tuple[str, ...] = ()
    #: Number of the most probable tokens whose log-probabilities are returned beside that of each token; None: of none.
    log_probs: int | None = None

    @property
    def nbytes(self) -> int:
        """Estimated size of the log-probabilities of the answer."""
        return 0 if self.log_probs is None else LOG_PROB_BYTES * self.max_new_tokens * (self.log_probs + 1)


class GeneratedSequence:
    """One sequence: its prompt, what was generated, and why it ended."""

    def __init__(
        self,
        prompt: Sequence[int],
        params: GenerationParams,
        *,
        decode: Callable[[Sequence[int]], str],
        end: int | None,
    ) -> None:
        """`decode` converts tokens to text; `end` is the token that ends a text."""
        self.tokens = list(prompt)
        self.prompt_tokens = len(self.tokens)
        self.params = params
        #: `stop` (the model generated `end` or a stop string) or `length`; None while it is generated.
        self.finish_reason: str | None = None
        #: Further fields of the output, which say how much of the prompt was read.
        self.prompt_fields: Mapping[str, Any] = {}
        self._context = list(prompt)
        self._detokenizer = IncrementalDetokenizer(decode, stop=params.stop)
        self._end = end
        self.random_state = np.random.default_rng(params.seed)
        self._log_probs: list[MeasuredToken] = []
        self._taken_log_probs = 0

    @property
    def text(self) -> str:
        """Generated text that can no longer change."""
        return self._detokenizer.text

    @property
    def new_tokens(self) -> list[int]:
        """Generated tokens."""
        return self.tokens[self.prompt_tokens :]

    @property
    def log_probs(self) -> list[MeasuredToken]:
        """Log-probabilities of the tokens of the text.

        Those of a stop string and of the end are left out.
        """
        return self._log_probs[: self._count_readable()]

    def take_log_probs(self) -> list[MeasuredToken]:
        """Return those of `log_probs` that were not taken before."""
        start, self._taken_log_probs = self._taken_log_probs, self._count_readable()
        return self._log_probs[start : self._taken_log_probs]

    def _count_readable(self) -> int:
        if self.finish_reason is not None and not self._detokenizer.is_stopped:
            return len(self._log_probs)
        return bisect_left(self._log_probs, len(self.text), key=lambda item: item.offset)

    @property
    def context_length(self) -> int:
        """Number of tokens in the context."""
        return len(self._context)

    def context(self, max_length: int) -> list[int]:
        """Return the tokens that predict the next one.

        A context that has grown too long is cut to its first token and its latest part.
        """
        if len(self._context) > max_length:
            self._context = [self._context[0], *self._context[-max(1, int(max_length * RETAINED_FRACTION)) :]]
        return self._context

    def add(self, token: int, logits: np.ndarray) -> str:
        """Add a token that was sampled from float [V]; return the new text, often none."""
        if token == self._end:
            self.finish_reason = "stop"
            return self._detokenizer.finish()
        self.tokens.append(token)
        self._context.append(token)
        if self.params.log_probs is not None:
            offset = self._detokenizer.length
            self._log_probs.append(measure(logits, token, count=self.params.log_probs, offset=offset))
        piece = self._detokenizer.add(token)
        if not self._detokenizer.is_stopped and len(self.new_tokens) < self.params.max_new_tokens:
            return piece
        piece += self._detokenizer.finish()
        self.finish_reason = "stop" if self._detokenizer.is_stopped else "length"
        return piece


class ForcedDecoding(GeneratedSequence):
    """A sequence of fixed tokens, to measure how probable each is.

    `token_losses` are their negative log-likelihoods, in nats.
    """

    def __init__(self, tokens: Sequence[int], *, prompt_tokens: int) -> None:
        """The first `prompt_tokens` tokens are read; the others are forced."""
        targets = list(tokens[prompt_tokens:])
        params = GenerationParams(max_new_tokens=len(targets))
        super().__init__(tokens[:prompt_tokens], params, decode=lambda _: "", end=None)
        self.token_losses: list[float] = []
        self._targets = targets

    def add(self, token: int, logits: np.ndarray) -> str:
        """Append the next fixed token, record its loss under float [V], and return no text."""
        token = self._targets[len(self.token_losses)]
        relative = logits.astype(np.float64) - logits.max()
        self.token_losses.append(float(np.log(np.exp(relative).sum()) - relative[token]))
        self.tokens.append(token)
        self._context.append(token)
        if len(self.token_losses) == len(self._targets):
            self.finish_reason = "length"
        return ""


class GenerationLoop:
    """Generates sequences that share each step.

    Between two steps, sequences may join, and finished ones leave. `read` runs a graph of the network: from `{slot}`
    int64 [R, T] and `{slot}_mask` to `logits` [R, V] of the next token. A network with a cache also reads and returns a
    state (see `ml.generation.state`), so that each token is read once; without a cache, the whole context is read for
    each token. Both generate the same.
    """

    def __init__(self, read: Read, *, slot: str, context: int, state_shapes: Sequence[Sequence[int]]) -> None:
        """Start without sequences; `context` is the longest context in tokens.

        `state_shapes` are those of the parts of the state, empty without a cache.
        """
        self._read_batch = read
        self._slot = slot
        self._context = context
        self._shapes = state_shapes
        self._joining: list[GeneratedSequence] = []
        self._sequences: list[GeneratedSequence] = []
        self._state = GenerationState(slot, state_shapes)

    @property
    def is_busy(self) -> bool:
        """True while any sequence is unfinished."""
        return bool(self._joining or self._sequences)

    def join(self, sequences: Iterable[GeneratedSequence]) -> None:
        """Add sequences, from the next step."""
        self._joining += sequences

    def leave(self, sequence: GeneratedSequence) -> None:
        """Remove an unfinished sequence."""
        self._joining = [candidate for candidate in self._joining if candidate is not sequence]
        self._retain([candidate is not sequence for candidate in self._sequences])

    def step(self) -> list[tuple[GeneratedSequence, str]]:
        """Generate one token of each sequence, and return the text of each; finished sequences leave."""
        pieces: list[tuple[GeneratedSequence, str]] = []
        if self._sequences:
            logits = self._read([[sequence.tokens[-1]] for sequence in self._sequences], self._state)
            pieces += self._sample(self._sequences, logits)
        joining, self._joining = self._joining, []
        if joining:
            state = GenerationState(self._slot, self._shapes, rows=len(joining))
            logits = self._read([sequence.context(self._context) for sequence in joining], state)
            pieces += self._sample(joining, logits)
            if self._shapes:
                self._state.extend(state)
                self._sequences += joining
            else:
                self._joining += [sequence for sequence in joining if sequence.finish_reason is None]
        self._remove_finished()
        return pieces

    def _read(self, tokens: Sequence[Sequence[int]], state: GenerationState) -> np.ndarray:
        """Return logits [R, V], and add the tokens to the state."""
        is_token = np.arange(max(map(len, tokens))) < np.array([[len(row)] for row in tokens])
        signal = np.zeros(is_token.shape, dtype=np.int64)
        signal[is_token] = np.concatenate([np.asarray(row, dtype=np.int64) for row in tokens])
        outputs = self._read_batch({self._slot: signal, f"{self._slot}_mask": is_token, **state.inputs()})
        state.update(outputs, is_token)
        return outputs["logits"]

    def _sample(
        self, sequences: Sequence[GeneratedSequence], logits: np.ndarray
    ) -> list[tuple[GeneratedSequence, str]]:
        samplings = [sequence.params.sampling for sequence in sequences]
        tokens = sample(logits, samplings, [sequence.random_state for sequence in sequences])
        rows = zip(sequences, tokens, logits, strict=True)
        return [(sequence, sequence.add(token, row)) for sequence, token, row in rows]

    def _remove_finished(self) -> None:
        """Remove finished sequences, and those whose context is full.

        The latter join again: the retained part of their context is read again.
        """
        is_full = [sequence.context_length > self._context for sequence in self._sequences]
        rows = list(zip(self._sequences, is_full, strict=True))
        self._joining += [sequence for sequence, full in rows if full and sequence.finish_reason is None]
        self._retain([sequence.finish_reason is None and not full for sequence, full in rows])

    def _retain(self, is_retained: Sequence[bool]) -> None:
        if all(is_retained):
            return
        rows = np.flatnonzero(is_retained)
        self._sequences = [self._sequences[row] for row in rows]
        self._state.retain(rows)
