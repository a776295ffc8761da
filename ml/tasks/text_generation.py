"""Write a text on.

N documents, W windows of tokens, B batch, T tokens, K numbers remembered of each.
"""

from __future__ import annotations

import secrets
from math import exp, log
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import BeforeValidator, Field

from ml.config import Config
from ml.data.conversations import Message, format_prompt
from ml.encoders.text import CHARACTERS_PER_TOKEN
from ml.errors import InputError
from ml.generation.detokenizer import detokenize
from ml.generation.loop import ForcedDecoding, GeneratedSequence, GenerationLoop, GenerationParams
from ml.generation.sampling import Sampling
from ml.metrics.base import Evaluation, Metric
from ml.preprocessing.sequence_packing import begin_token, pack_sequences, text_encoder_options
from ml.signals import Arrays, Feature, Run, Signal, Slot
from ml.tasks.base import Answer, Task
from ml.wire import Wire
from ml.wire.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column

SEEDS: Final = 2**32
STEP: Final = "step"
SHOWN_LETTERS: Final = 60
SHOWN_TOKENS: Final = 16
"""Of a row as an input: as much of its beginning, to be written on a little."""
CONTEXT_TOKENS: Final = 8
FORCED_TOKENS: Final = 16
"""Of a window that graphs are judged by: so much is read at once, as a prompt is, and then token by token."""

StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Stops = Annotated[list[StopText], Field(max_length=8)]
Stop = Annotated[
    Stops,
    BeforeValidator(
        lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=StopText | Stops
    ),
]


class TextGenerationConfig(Config):
    """Nothing to choose: what there is to learn, the data says."""


class TextGenerationInput(Wire):
    """What to write on, and how. The same prompt, seed and options give the same text."""

    body = "prompt"

    prompt: Text = Field("", max_length=1_000_000, description="The beginning; may be empty")
    messages: list[Message] | None = Field(
        None, max_length=1000, description="A conversation to answer, in place of a prompt; the last turn is the user's"
    )
    max_new_tokens: int = Field(64, ge=1, le=4096, description="The text ends after so many")
    temperature: float = Field(0.8, ge=0, le=5, description="0: the most probable token each time")
    top_k: int | None = Field(None, ge=1, description="Draw from so many of the most probable tokens")
    top_p: float | None = Field(None, gt=0, le=1, description="Draw from the fewest tokens that are so probable")
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Absent: another text each time")
    stop: Stop = Field(default_factory=list, description="The text ends before any of these; a string or several")


class TextGenerationOutput(Wire):
    """What was written, without the prompt."""

    text: str
    finish_reason: str
    """`stop`: the model ended the text, or a stop string came; `length`: after `max_new_tokens`."""
    seed: int
    prompt_tokens: int
    new_tokens: int


class TextGeneration(Task):
    """Learns to tell each token from those before it, and writes by telling again and again."""

    name = "text_generation"
    summary = "Write a text on, in the manner of the training data; answer a prompt or a conversation"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.CAUSAL}), default_architecture="gpt")
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    reads: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    head = "next_token"
    config_type = TextGenerationConfig
    input_type = TextGenerationInput
    output_type = TextGenerationOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("Mean over tokens of the cross-entropy in nats, given the tokens before in the window", False),
        "perplexity": Metric("e to the power of the loss: among how many tokens it is as if one had to guess", False),
        "bits_per_character": Metric(
            "Bits that all tokens cost, the ends of texts included, over all letters (code points): does not depend on "
            "how text is cut into tokens",
            False,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {STEP: ("text", "text_mask", "text_state", "text_state_mask")}
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"text_state": (1,), "text_state_mask": (1,)}
    streams = True

    @classmethod
    def learn(cls, config: TextGenerationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Whether there are prompts, which are given and not to be learned."""
        return {"prompted": "prompt" in rows.columns}

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """As many tokens as the letters allow to be learned, and windows of one length."""
        return {"text": text_encoder_options(summary)}

    def note_widths(self, widths: Mapping[str, Any]) -> None:
        """K, and the longest context."""
        self.state |= {"state_width": widths["text"].state, "context": widths["text"].shape["length"]}

    def head_config(self) -> dict[str, Any]:
        """Nothing: it writes the tokens that are read."""
        return {}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The prompt and what was wished; a seed is chosen here where none was given."""
        asked = self.input_type.of(given, parameters=parameters)
        if asked.messages is not None and asked.prompt:
            raise InputError("give either prompt or messages", hint="Leave one of them out.")
        prompt = asked.prompt if asked.messages is None else format_prompt(asked.messages)
        wish = GenerationParams(
            max_new_tokens=asked.max_new_tokens,
            sampling=Sampling(temperature=asked.temperature, top_k=asked.top_k, top_p=asked.top_p),
            seed=secrets.randbelow(SEEDS) if asked.seed is None else asked.seed,
            stop=tuple(asked.stop),
        )
        return {"prompt": prompt, "wish": wish}

    @classmethod
    def show(cls, row: Row) -> tuple[TextGenerationInput, str]:
        """The prompt, or the beginning of a text; and what follows."""
        text = row["text"]
        prompt = row.get("prompt") or text[: min(SHOWN_LETTERS, len(text) // 2)]
        target = text if row.get("prompt") else text[len(prompt) :]
        return TextGenerationInput(prompt=prompt, max_new_tokens=SHOWN_TOKENS), target

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Of rows W windows (`text`, `letters`, and `text_weight` where there are prompts); of inputs their prompts."""
        if "wish" in rows.columns:
            return self._encode_asked(rows)
        texts, prompts = rows.columns["text"], rows.columns.get("prompt")
        windows = pack_sequences(
            self._documents(rows), length=self._length, begin=begin_token(self._encoder), end=self._end
        )
        letters = [sum(len(texts[document]) for document in each) for each in windows.documents]
        columns: dict[str, Column] = {"text": windows.tokens, "letters": np.array(letters, dtype=np.int64)}
        return columns if prompts is None else {**columns, "text_weight": windows.weights}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Signals and masks, the weights, and of inputs the state before anything is read."""
        weights, wishes = columns.get("text_weight"), columns.get("wish")
        rest = {name: column for name, column in columns.items() if name not in ("text_weight", "wish")}
        arrays = super().collate(rest)
        if weights is not None:
            arrays["text_weight"] = np.zeros(arrays["text"].shape, dtype=np.float32)
            for row, each in enumerate(weights):
                arrays["text_weight"][row, : len(each)] = each
        if wishes is not None:
            arrays["wish"] = np.array([None, *wishes], dtype=object)[1:]
            if self.state["state_width"]:
                arrays["text_state"] = np.zeros((len(wishes), 0, self.state["state_width"]), dtype=np.float32)
                arrays["text_state_mask"] = np.zeros((len(wishes), 0), dtype=bool)
        return arrays

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """`written`, int64 [B, n], -1 behind the end; `stopped`, whether a text ended before it had to."""
        some, loop = self.begun(batch), self.writing(run)
        loop.join(some)
        while loop.is_busy:
            loop.step()
        written = np.full((len(some), max((len(each.new_tokens) for each in some), default=0)), -1, dtype=np.int64)
        for row, each in enumerate(some):
            written[row, : len(each.new_tokens)] = each.new_tokens
        return {"written": written, "stopped": np.array([each.finish_reason == "stop" for each in some])}

    def decode(self, arrays: Arrays) -> list[Answer]:
        """Each text up to its stop string."""
        lengths = arrays["text_mask"].sum(axis=1).tolist()
        rows = zip(arrays["written"], arrays["stopped"].tolist(), arrays["wish"], lengths, strict=True)
        return [
            TextGenerationOutput(
                text=detokenize(written[written >= 0].tolist(), self._encoder.decode, stop=wish.stop),
                finish_reason="stop" if stopped else "length",
                seed=wish.seed,
                prompt_tokens=prompt_tokens,
                new_tokens=int((written >= 0).sum()),
            ).to_json()
            for written, stopped, wish, prompt_tokens in rows
        ]

    def writing(self, run: Run) -> GenerationLoop:
        """A loop that continuations of any requests may join."""
        width, context = self.state["state_width"], self.state["context"]
        return GenerationLoop(lambda batch: run(STEP, batch), slot="text", context=context, state_width=width)

    def begun(self, batch: Arrays) -> list[GeneratedSequence]:
        """Each input of a batch as it begins."""
        rows = zip(batch["text"], batch["text_mask"], batch["wish"], strict=True)
        return [
            GeneratedSequence(tokens[real].tolist(), wish, decode=self._encoder.decode, end=self._end)
            for tokens, real, wish in rows
        ]

    def ended(self, one: GeneratedSequence) -> Answer:
        """Its text, and why it ended."""
        return TextGenerationOutput(
            text=one.text,
            finish_reason=one.finish_reason or "length",
            seed=one.params.seed,
            prompt_tokens=one.prompt_tokens,
            new_tokens=len(one.new_tokens),
        ).to_json()

    def answer_rows(self, run: Run, batch: Arrays) -> Arrays:
        """`nats` and `weight`, float64 [B, n], of the first tokens of each window that are to be told, read as those
        are that are written."""
        rows = [
            _dictation(tokens[real], weight[real])
            for tokens, real, weight in zip(
                batch["text"], batch["text_mask"], batch.get("text_weight", batch["text_mask"]), strict=True
            )
        ]
        loop = self.writing(run)
        loop.join([each for each, _ in rows if each is not None])
        while loop.is_busy:
            loop.step()
        arrays = {name: np.zeros((len(rows), FORCED_TOKENS)) for name in ("token_loss", "weight")}
        for row, (each, weight) in enumerate(rows):
            if each is not None:
                arrays["token_loss"][row, : len(weight)] = each.token_losses
                arrays["weight"][row, : len(weight)] = weight
        return arrays

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """Nats and weight of each window, since no two are equally long."""
        nats = (outputs["token_loss"].astype(np.float64) * outputs["weight"]).sum(axis=1)
        return {"token_loss": nats, "weight": outputs["weight"].astype(np.float64).sum(axis=1)}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Against the baseline of telling each token by how often it was seen in training, each once more than seen."""
        letters = int(np.sum(columns["letters"]))
        metrics = _metrics(float(np.sum(outputs["token_loss"])), float(np.sum(outputs["weight"])), letters)
        if train is None:
            return Evaluation(metrics)
        seen = np.bincount(np.concatenate(list(train["text"])), minlength=self._vocabulary) + 1.0
        blind = -np.log(seen / seen.sum())
        told = _counted(columns)
        nats = sum(float((blind[tokens] * weights).sum()) for tokens, weights in told)
        weight = sum(float(weights.sum()) for _, weights in told)
        return Evaluation(metrics, baseline=_metrics(nats, weight, letters))

    @classmethod
    def example(cls) -> tuple[TextGenerationInput, TextGenerationOutput]:
        """A beginning and what could follow."""
        answer = TextGenerationOutput(
            text=" upon a time", finish_reason="length", seed=1, prompt_tokens=2, new_tokens=3
        )
        return TextGenerationInput(prompt="Once", max_new_tokens=3, seed=1), answer

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

    def _documents(self, rows: Rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        texts = self._encoder.tokenize_whole(rows.columns["text"])
        if "prompt" not in rows.columns:
            yield from ((tokens, np.ones(len(tokens))) for tokens in texts)
            return
        prompts = self._encoder.tokenize_whole([self._prompt(prompt) for prompt in rows.columns["prompt"]])
        for prompt, tokens in zip(prompts, texts, strict=True):
            yield np.concatenate([prompt, tokens]), np.repeat([0.0, 1.0], [len(prompt), len(tokens)])

    def _encode_asked(self, rows: Rows) -> dict[str, Column]:
        begin, most = begin_token(self._encoder), self._length - 1
        # No more is read than may be kept, and one token more than that, which tells that something was cut.
        letters = CHARACTERS_PER_TOKEN * (most + 1)
        prompts = self._encoder.tokenize_whole([self._prompt(prompt)[-letters:] for prompt in rows.columns["prompt"]])
        self._encoder.count_loss(f"cut to their last {most} tokens", sum(len(each) > most for each in prompts))
        begun = [np.concatenate([[begin], each[-most:]]).astype(np.int32) for each in prompts]
        return {"text": begun, "wish": list(rows.columns["wish"])}

    def _prompt(self, prompt: str) -> str:
        """As it stands before what is to be written; a text that is only to be written on stands for itself."""
        return f"{prompt}\n" if self.state["prompted"] and prompt else prompt


def _dictation(tokens: np.ndarray, weight: np.ndarray) -> tuple[ForcedDecoding | None, np.ndarray]:
    """The first tokens that count, and how much; None where there are none. All real tokens of a window are given."""
    first = int(np.argmax(weight > 0))
    given = max(1, first, min(CONTEXT_TOKENS, len(tokens) - 1))
    told = slice(given, given + FORCED_TOKENS)
    if not weight[told].any():
        return None, weight[:0]
    return ForcedDecoding(tokens[: told.stop].tolist(), prompt_tokens=given), weight[told]


def _counted(columns: dict[str, Column]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each window the tokens that are to be told, and how much each counts."""
    tokens = columns["text"]
    weights = columns.get("text_weight", [np.ones(len(each)) for each in tokens])
    return [(each[1:], weight[1:]) for each, weight in zip(tokens, weights, strict=True)]


def _metrics(nats: float, tokens: float, letters: int) -> dict[str, float]:
    loss = nats / max(tokens, 1.0)
    return {"loss": loss, "perplexity": exp(min(loss, 700.0)), "bits_per_character": nats / log(2) / max(letters, 1)}
