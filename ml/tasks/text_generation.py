"""Text generation: the continuation of a prompt, or the reply in a conversation.

N documents, W windows of tokens, B batch, T tokens.
"""

from __future__ import annotations

import secrets
from array import array
from functools import cached_property
from math import exp, log
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import BeforeValidator, Field

from ml.config import Config
from ml.data.conversations import Message, format_prompt
from ml.encoders.text import BLOCK_TEXTS, CHARACTERS_PER_TOKEN
from ml.errors import InputError, TextTooLong
from ml.generation.detokenizer import detokenize
from ml.generation.loop import ForcedDecoding, GeneratedSequence, GenerationLoop, GenerationParams
from ml.generation.sampling import Sampling
from ml.generation.state import GenerationState, state_names, state_shapes
from ml.generation.token_log_probs import TokenDescriber
from ml.metrics.base import Evaluation, Metric
from ml.preprocessing.long_texts import truncation_fields
from ml.preprocessing.sequence_packing import begin_token, pack_sequences, text_encoder_options
from ml.signals import Arrays, Feature, Run, Signal, Slot
from ml.tasks.base import Output, StreamingTask
from ml.wire import TextOutput, Wire
from ml.wire.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.generation.token_log_probs import MeasuredToken

SEEDS: Final = 2**32
STEP: Final = "step"
#: Limits of the prompt and of the new tokens when a training text is shown as an input.
PREVIEW_CHARACTERS: Final = 60
PREVIEW_TOKENS: Final = 16
#: Tokens at the start of a window that the graphs read at once, as a prompt, when they are compared.
CONTEXT_TOKENS: Final = 8
#: Tokens behind it that they then read one at a time, as in generation.
FORCED_TOKENS: Final = 16
#: Most probable tokens that can be requested in the place of each.
MAX_LOG_PROBS: Final = 20

StopText = Annotated[str, Field(min_length=1, max_length=1000)]
StopTexts = Annotated[list[StopText], Field(max_length=8)]
Stop = Annotated[
    StopTexts,
    BeforeValidator(
        lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=StopText | StopTexts
    ),
]


class TextGenerationConfig(Config):
    """No options."""


class TextGenerationInput(Wire):
    """A prompt, and how to continue it.

    The same prompt, seed and options give the same text.
    """

    body = "prompt"

    prompt: Text = Field("", max_length=1_000_000, description="Text to continue; may be empty")
    messages: list[Message] | None = Field(
        None, max_length=1000, description="Conversation to continue, in place of a prompt; the user has the last turn"
    )
    max_new_tokens: int = Field(64, ge=1, le=4096, description="Maximum number of generated tokens")
    temperature: float = Field(
        0.8, ge=0, le=5, description="Divisor of the logits; 0 always selects the most probable token (greedy)"
    )
    top_k: int | None = Field(None, ge=1, description="Sample from this number of the most probable tokens only")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Sample from the fewest tokens whose probabilities add up to this (nucleus)"
    )
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Without it, a random one: every text is different")
    stop: Stop = Field(default_factory=list, description="Strings, or one string, before which the text ends")
    truncate: bool = Field(True, description="Read the end of a prompt that is too long; false: refuse it")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_LOG_PROBS,
        description="Return the log-probability of each token, and of this number of the most probable tokens in its "
        "place: natural logarithms of the model's distribution before temperature, top_k and top_p",
    )


class TokenProbability(Wire):
    """A token that may follow, and how probable it is."""

    token: str = Field(description="Its text; bytes that are no whole character are written as \\xe2")
    bytes: list[int] | None = Field(description="Its bytes in UTF-8; null where they are unknown")
    logprob: float = Field(description="Natural logarithm of the probability; -9999 or more")


class GeneratedToken(TokenProbability):
    """A token of the text, and the most probable tokens in its place."""

    id: int = Field(description="Its number in the vocabulary of the model")
    offset: int = Field(description="Characters of the text before it")
    top: list[TokenProbability] = Field(description="The most probable tokens, the best first")


class TextGenerationOutput(TextOutput):
    """The generated text, without the prompt.

    The model reads only the end of a prompt that is too long for it.
    """

    text: str
    finish_reason: str = Field(
        description="`stop`: the model ended the text, or generated a stop string; `length`: it reached max_new_tokens"
    )
    seed: int = Field(description="Seed that gives the same text again")
    prompt_tokens: int = Field(description="Tokens of the prompt that were read")
    new_tokens: int = Field(description="Generated tokens")
    logprobs: list[GeneratedToken] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="With `logprobs`, the tokens of the text, without those of a stop string",
    )


class TextGeneration(StreamingTask):
    """Predicts each token from those before it, and generates text one token at a time."""

    name = "text_generation"
    summary = "Continue a text in the style of the training data; reply to a prompt or a conversation"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.CAUSAL}), default_architecture="gpt")
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    head = "next_token"
    config_type = TextGenerationConfig
    input_type = TextGenerationInput
    output_type = TextGenerationOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("Mean over tokens of the cross-entropy in nats, given the tokens before in the window", False),
        "perplexity": Metric(
            "Exponential of the loss: the number of equally probable tokens with the same uncertainty", False
        ),
        "bits_per_character": Metric(
            "Cross-entropy of all tokens in bits, including the ends of texts, per character (code point): independent "
            "of how text is split into tokens",
            False,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {STEP: ("text", "text_mask", "text_state_mask")}
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"text_state_mask": (1,)}

    @classmethod
    def learn(cls, config: TextGenerationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return whether there are prompts, which are read but not learned."""
        return {"prompted": "prompt" in rows.columns}

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Return the length of a window, and a vocabulary size for the amount of text."""
        return {"text": text_encoder_options(summary)}

    def bind_widths(self, widths: Mapping[str, Any]) -> None:
        """Store the shapes of the state of the network, and the maximum context length."""
        shapes = [list(shape) for shape in widths["text"].state]
        self.state |= {"state_shapes": shapes, "context": widths["text"].shape["length"]}

    def graph_inputs(self) -> Mapping[str, tuple[str, ...]]:
        """Return the arrays of a step, with those of the state."""
        return {STEP: (*self.graphs[STEP], *state_names("text", len(self._state_shapes)))}

    def graph_axes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the axes of positions, in the state and in what is new of it."""
        shapes = self._state_shapes
        names = [state_names("text", len(shapes), kind=kind) for kind in ("state", "new_state")]
        states = {name: (len(shape),) for kind in names for name, shape in zip(kind, shapes, strict=True)}
        return {**self.variable_axes, **states}

    @property
    def _state_shapes(self) -> list[list[int]]:
        return state_shapes(self.state)

    def head_config(self) -> dict[str, Any]:
        """Return no options: the head outputs the tokens that are read."""
        return {}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the prompt and the generation parameters; an absent seed is chosen here."""
        request = self.input_type.of(raw_input, parameters=parameters)
        if request.messages is not None and request.prompt:
            raise InputError("give either prompt or messages", hint="Omit one of them.")
        prompt = request.prompt if request.messages is None else format_prompt(request.messages)
        params = GenerationParams(
            max_new_tokens=request.max_new_tokens,
            sampling=Sampling(temperature=request.temperature, top_k=request.top_k, top_p=request.top_p),
            seed=secrets.randbelow(SEEDS) if request.seed is None else request.seed,
            stop=tuple(request.stop),
            log_probs=request.logprobs,
        )
        length = 0 if request.truncate else self._encoder.count(self._end_prompt(prompt))
        if length > self._length - 1:
            field = "prompt" if request.messages is None else "messages"
            raise TextTooLong(field, length=length, limit=self._length - 1)
        return {"prompt": prompt, "params": params, "whole_length": length}

    @cached_property
    def text_columns(self) -> Mapping[str, str]:
        """The column of prompts."""
        return {"text": "prompt"}

    def split(self, row: Row) -> list[Row]:
        """Return the row with the length of its prompt, which is never read in windows."""
        return [{**row, "whole_length": self._encoder.count(self._end_prompt(row["prompt"]))}]

    def truncation(self, rows: Rows, columns: Mapping[str, Column]) -> dict[int, Output]:
        """Return how many tokens were read of prompts that were cut."""
        fields: dict[int, Output] = {}
        for index, (prompt, tokens) in enumerate(zip(rows.columns["prompt"], columns["text"], strict=True)):
            if len(tokens) == self._length:
                length = rows.columns["whole_length"][index] or self._encoder.count(self._end_prompt(prompt))
                if truncation := truncation_fields(len(tokens) - 1, length):
                    fields[index] = truncation
        return fields

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[TextGenerationInput, str]:
        """Return the prompt, or the beginning of the text, and the continuation."""
        text = row["text"]
        prompt = row.get("prompt") or text[: min(PREVIEW_CHARACTERS, len(text) // 2)]
        target = text if row.get("prompt") else text[len(prompt) :]
        return TextGenerationInput(prompt=prompt, max_new_tokens=PREVIEW_TOKENS), target

    @property
    def encodes_rows_alone(self) -> bool:
        """False: a window may hold parts of several texts."""
        return False

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return W windows of training texts, or the prompts of requests.

        Windows have `text`, `characters`, the number of characters, and, if there are prompts, `text_weight`.
        """
        if "params" in rows.columns:
            return self._encode_requests(rows)
        lengths = array("q")
        windows = pack_sequences(
            self._documents(rows, lengths),
            length=self._length,
            begin=begin_token(self._encoder),
            end=self._end,
            scratch=self.scratch,
        )
        characters = [sum(lengths[document] for document in documents) for documents in windows.documents]
        columns: dict[str, Column] = {"text": windows.tokens, "characters": np.array(characters, dtype=np.int64)}
        return columns if "prompt" not in rows.columns else {**columns, "text_weight": windows.weights}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return signals, masks and weights; for requests also `params` and an empty state."""
        weights, params = columns.get("text_weight"), columns.get("params")
        signals = {name: column for name, column in columns.items() if name not in ("text_weight", "params")}
        arrays = super().collate(signals)
        if weights is not None:
            arrays["text_weight"] = np.zeros(arrays["text"].shape, dtype=np.float32)
            for row, weight in enumerate(weights):
                arrays["text_weight"][row, : len(weight)] = weight
        if params is not None:
            arrays["params"] = np.array([None, *params], dtype=object)[1:]
            arrays |= GenerationState("text", self._state_shapes, rows=len(params)).inputs()
        return arrays

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Return `new_tokens` int64 [B, n], `is_stopped` bool [B] and `log_probs`, a list by row.

        New tokens are padded with -1. A row that reached the length limit is not stopped.
        """
        sequences = self.start_sequences(batch)
        self._generate(run, sequences)
        lengths = [len(sequence.new_tokens) for sequence in sequences]
        new_tokens = np.full((len(sequences), max(lengths, default=0)), -1, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            new_tokens[row, : lengths[row]] = sequence.new_tokens
        is_stopped = np.array([sequence.finish_reason == "stop" for sequence in sequences])
        log_probs = np.array([None, *(sequence.log_probs for sequence in sequences)], dtype=object)[1:]
        return {"new_tokens": new_tokens, "is_stopped": is_stopped, "log_probs": log_probs}

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `new_tokens` of each row, up to its stop string."""
        lengths = arrays["text_mask"].sum(axis=1).tolist()
        ends = zip(arrays["is_stopped"].tolist(), arrays["log_probs"], strict=True)
        rows = zip(arrays["new_tokens"], ends, arrays["params"], lengths, strict=True)
        return [
            TextGenerationOutput(
                text=detokenize(tokens[tokens >= 0].tolist(), self._encoder.decode, stop=params.stop),
                finish_reason="stop" if is_stopped else "length",
                seed=params.seed,
                prompt_tokens=prompt_tokens,
                new_tokens=int((tokens >= 0).sum()),
                logprobs=self._describe(params, log_probs),
            ).to_json()
            for tokens, (is_stopped, log_probs), params, prompt_tokens in rows
        ]

    def generation_loop(self, run: Run) -> GenerationLoop:
        """Return a loop over the graph `step`."""
        shapes, context = self._state_shapes, self.state["context"]
        return GenerationLoop(lambda batch: run(STEP, batch), slot="text", context=context, state_shapes=shapes)

    def start_sequences(self, batch: Arrays) -> list[GeneratedSequence]:
        """Return one sequence per row, which begins with its prompt."""
        rows = zip(batch["text"], batch["text_mask"], batch["params"], strict=True)
        return [
            GeneratedSequence(tokens[mask].tolist(), params, decode=self._encoder.decode, end=self._end)
            for tokens, mask, params in rows
        ]

    def finish_sequence(self, sequence: GeneratedSequence) -> Output:
        """Return the text, and why it ended."""
        return TextGenerationOutput(
            text=sequence.text,
            finish_reason=sequence.finish_reason or "length",
            seed=sequence.params.seed,
            prompt_tokens=sequence.prompt_tokens,
            new_tokens=len(sequence.new_tokens),
            logprobs=self._describe(sequence.params, sequence.log_probs),
        ).to_json()

    def take_log_probs(self, sequence: GeneratedSequence) -> list[Output] | None:
        """Return the tokens of the newest text; None if they were not requested."""
        if sequence.params.log_probs is None:
            return None
        return self._describer.describe(sequence.take_log_probs())

    def predict_with_targets(self, run: Run, batch: Arrays) -> Arrays:
        """Return `token_loss` and `weight`, float64 [B, n], of tokens of each window.

        They are the first tokens that count. The graphs read the tokens one at a time, as in generation.
        """
        weights = batch.get("text_weight", batch["text_mask"])
        rows = [
            _force_decoding(tokens[mask], weight[mask])
            for tokens, mask, weight in zip(batch["text"], batch["text_mask"], weights, strict=True)
        ]
        self._generate(run, [sequence for sequence, _ in rows if sequence is not None])
        arrays = {name: np.zeros((len(rows), FORCED_TOKENS)) for name in ("token_loss", "weight")}
        for row, (sequence, weight) in enumerate(rows):
            if sequence is not None:
                arrays["token_loss"][row, : len(weight)] = sequence.token_losses
                arrays["weight"][row, : len(weight)] = weight
        return arrays

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return the sums of `token_loss` and `weight` of each window, as their lengths differ."""
        token_loss = (outputs["token_loss"].astype(np.float64) * outputs["weight"]).sum(axis=1)
        return {"token_loss": token_loss, "weight": outputs["weight"].astype(np.float64).sum(axis=1)}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute loss, perplexity and bits per character.

        The baseline predicts the token frequencies of training, with add-one smoothing.
        """
        characters = int(np.sum(columns["characters"]))
        metrics = _metrics(float(np.sum(outputs["token_loss"])), float(np.sum(outputs["weight"])), characters)
        if train is None:
            return Evaluation(metrics)
        counts = np.bincount(np.concatenate(list(train["text"])), minlength=self._vocabulary) + 1.0
        token_loss = -np.log(counts / counts.sum())
        targets = _targets(columns)
        total_loss = sum(float((token_loss[tokens] * weights).sum()) for tokens, weights in targets)
        weight = sum(float(weights.sum()) for _, weights in targets)
        return Evaluation(metrics, baseline=_metrics(total_loss, weight, characters))

    @classmethod
    def example(cls) -> tuple[TextGenerationInput, TextGenerationOutput]:
        """The beginning of a text, and a continuation."""
        output = TextGenerationOutput(
            text=" upon a time", finish_reason="length", seed=1, prompt_tokens=2, new_tokens=3
        )
        return TextGenerationInput(prompt="Once", max_new_tokens=3, seed=1), output

    def _describe(self, params: GenerationParams, log_probs: Sequence[MeasuredToken]) -> list[GeneratedToken] | None:
        if params.log_probs is None:
            return None
        return [GeneratedToken.model_validate(token) for token in self._describer.describe(log_probs)]

    @cached_property
    def _describer(self) -> TokenDescriber:
        encoder = self._encoder
        return TokenDescriber(
            encoder.decode, tokenize=lambda text: encoder.tokenize_whole([text])[0].tolist(), name_of=encoder.name_of
        )

    @property
    def _encoder(self) -> Any:
        return self.slot_encoders["text"]

    @property
    def _length(self) -> int:
        length: int = self._encoder.shape()["length"]
        return length

    @property
    def _vocabulary(self) -> int:
        vocabulary: int = self._encoder.shape()["vocabulary"]
        return vocabulary

    @property
    def _end(self) -> int:
        end: int = self._encoder.token("end")
        return end

    def _generate(self, run: Run, sequences: Iterable[GeneratedSequence]) -> None:
        loop = self.generation_loop(run)
        loop.join(sequences)
        while loop.is_busy:
            loop.step()

    def _documents(self, rows: Rows, characters: array[int]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield tokens and weights of each text after its prompt, whose weights are 0.

        Without prompts there are no weights. Appends the characters of each text.
        """
        for start in range(0, len(rows), BLOCK_TEXTS):
            block = {name: column[start : start + BLOCK_TEXTS] for name, column in rows.columns.items()}
            texts = list(block["text"])
            characters.extend(map(len, texts))
            documents = self._encoder.iterate_whole(texts)
            if "prompt" not in block:
                yield from ((tokens, None) for tokens in documents)
                continue
            prompts = self._encoder.iterate_whole([self._end_prompt(prompt) for prompt in block["prompt"]])
            for prompt, tokens in zip(prompts, documents, strict=True):
                yield np.concatenate([prompt, tokens]), np.repeat([0.0, 1.0], [len(prompt), len(tokens)])

    def _encode_requests(self, rows: Rows) -> dict[str, Column]:
        begin, max_tokens = begin_token(self._encoder), self._length - 1
        # One token more than fits is enough to notice that a prompt was cut.
        max_characters = CHARACTERS_PER_TOKEN * (max_tokens + 1)
        prompts = [self._end_prompt(prompt)[-max_characters:] for prompt in rows.columns["prompt"]]
        tokens = self._encoder.tokenize_whole(prompts)
        self._encoder.count_loss(f"cut to their last {max_tokens} tokens", sum(len(row) > max_tokens for row in tokens))
        text = [np.concatenate([[begin], row[-max_tokens:]]).astype(np.int32) for row in tokens]
        return {"text": text, "params": list(rows.columns["params"])}

    def _end_prompt(self, prompt: str) -> str:
        """Append a line break if the training data has prompts.

        Without them, a prompt is the beginning of a text.
        """
        return f"{prompt}\n" if self.state["prompted"] and prompt else prompt


def _force_decoding(tokens: np.ndarray, weight: np.ndarray) -> tuple[ForcedDecoding | None, np.ndarray]:
    """Return a sequence of the first tokens of a window that count, and their weights.

    The sequence is None if no token counts. `tokens` and `weight` [T] have no padding.
    """
    first = int(np.argmax(weight > 0))
    prompt_tokens = max(1, first, min(CONTEXT_TOKENS, len(tokens) - 1))
    forced = slice(prompt_tokens, prompt_tokens + FORCED_TOKENS)
    if not weight[forced].any():
        return None, weight[:0]
    return ForcedDecoding(tokens[: forced.stop].tolist(), prompt_tokens=prompt_tokens), weight[forced]


def _targets(columns: dict[str, Column]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the predicted tokens of each window, and their weights."""
    windows = columns["text"]
    weights = columns.get("text_weight", [np.ones(len(tokens)) for tokens in windows])
    return [(tokens[1:], weight[1:]) for tokens, weight in zip(windows, weights, strict=True)]


def _metrics(total_loss: float, tokens: float, characters: int) -> dict[str, float]:
    loss = total_loss / max(tokens, 1.0)
    bits_per_character = total_loss / log(2) / max(characters, 1)
    return {"loss": loss, "perplexity": exp(min(loss, 700.0)), "bits_per_character": bits_per_character}
