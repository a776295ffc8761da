"""Translation: a text in another language, or another text such as a summary.

B batch, T tokens of the longest text, A unfinished rows, K beams, P positions in the cache, W cached numbers per
position.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

import numpy as np
from pydantic import Field

from ml.config import Config, Count
from ml.encoders.base import encode_slots
from ml.generation.beam_search import LENGTH_PENALTY, search
from ml.metrics import bleu
from ml.metrics.base import Evaluation, Metric
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import Output, Task
from ml.wire import TextInput, TextOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.text import TextEncoder
    from ml.generation.beam_search import Hypothesis
    from ml.signals import Run

DEFAULT_VOCABULARY: Final = 6_000
ENCODE: Final = "encode"
STEP: Final = "step"
#: Rows of similar length searched together; more would not be faster, and their caches would not fit in memory.
MAX_ROWS_PER_SEARCH: Final = 64
#: Beams of all rows searched together: each has a cache, and a score for every token.
MAX_BEAMS_PER_SEARCH: Final = 256
#: Tokens by which an output may exceed its input (Vaswani et al. 2017, section 6.1).
MAX_EXTRA_TOKENS: Final = 50
#: Column -> name under which its texts are stored beside their tokens, for evaluation.
RAW_TEXTS: Final = {"text": "raw_text", "target": "raw_target"}


class TranslationConfig(Config):
    """Vocabulary, decoder, regularization, and defaults of requests."""

    vocabulary: Literal["shared", "separate"] = Field(
        "shared",
        description="`shared`: both languages use the same tokens, learned from both, in one embedding table, which "
        "helps to copy names. `separate`: for languages without common characters, or if a base model has only one.",
    )
    layers: Count = Field(2, description="Layers of the decoder.")
    heads: int = Field(0, ge=0, le=1024, description="Attention heads of the decoder; 0: chosen from its width.")
    feedforward: int = Field(0, ge=0, le=65_536, description="Feed-forward width; 0: four times the decoder's width.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Fraction of the target probability that is spread over all tokens."
    )
    beams: int = Field(4, ge=1, le=32, description="Beams in evaluation, and in requests that do not set them.")
    length_penalty: float = Field(
        LENGTH_PENALTY, ge=0, le=5, description="Exponent of the length penalty; higher values favor longer outputs."
    )
    max_length: int = Field(
        512, ge=1, le=65_536, description="Maximum tokens of an output, in requests that do not set it."
    )


class TranslationInput(TextInput):
    """A text, and how to search for its translation."""

    beams: int | None = Field(
        None,
        ge=1,
        le=32,
        description="Beams of the search; 1 is greedy and fastest. Default: the model's",
    )
    max_length: int | None = Field(
        None, ge=1, le=65_536, description="Maximum tokens of the output. Default: the model's"
    )


class TranslationOutput(TextOutput):
    """The translation, and how much of the text was read."""

    text: str


class Translation(Task):
    """Predicts one text from one text."""

    name = "translation"
    summary = "Translate a text into another language, or convert it in another way, such as summarization"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.SEQUENCE}), default_architecture="transformer"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "target"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    head = "decoder"
    config_type = TranslationConfig
    input_type = TranslationInput
    output_type = TranslationOutput
    metrics: ClassVar[Mapping[str, Metric]] = bleu.METRICS
    recipe = Schedule(
        epochs=2,
        batch_size=32,
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        ENCODE: ("text", "text_mask"),
        STEP: ("memory", "text_mask", "token", "past"),
    }
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "memory": (1,),
        "token": (1,),
        "past": (1, 2),
        "log_probabilities": (1,),
        "entry": (1,),
    }

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Return a small vocabulary: it suffices for subwords, and each token costs a logit."""
        return {name: {"vocabulary_size": DEFAULT_VOCABULARY} for name in cls.encoded_columns}

    @classmethod
    def shared_encoders(cls, config: TranslationConfig) -> Mapping[str, str]:
        """Share the encoder of text and target, unless the config separates them."""
        return {"target": "text"} if config.vocabulary == "shared" else {}

    @classmethod
    def learn(cls, config: TranslationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return nothing: the encoders have the vocabulary."""
        return {}

    def head_config(self) -> dict[str, Any]:
        """Return options of the decoder, and its vocabulary; 0 for that of the encoder."""
        vocabulary = 0 if self.config.vocabulary == "shared" else self._target_encoder.shape()["vocabulary"]
        options = self.config.model_dump(include={"layers", "heads", "feedforward", "dropout", "label_smoothing"})
        return {"vocabulary": vocabulary, **options}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the text, and the options of the search from request or config."""
        request = self.input_type.of(raw_input, parameters=parameters)
        config = self.config
        return {
            "text": request.raw(),
            "beams": config.beams if request.beams is None else request.beams,
            "max_length": config.max_length if request.max_length is None else request.max_length,
        }

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[TranslationInput, str | None]:
        """Return the text, and its translation."""
        return TranslationInput(text=row["text"]), row.get("target")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return the tokens of each text; for training rows also the raw texts.

        Requests have `beams` and `max_length`, int64 [N].
        """
        encoded_columns = {name: column for name, column in self.encoded_columns.items() if column in rows.columns}
        columns = encode_slots(self.slot_encoders, encoded_columns, rows)
        if "target" in encoded_columns:
            columns |= {name: list(rows.columns[column]) for column, name in RAW_TEXTS.items()}
        options = {name: rows.columns[name] for name in ("beams", "max_length") if name in rows.columns}
        return {**columns, **{name: np.array(values, dtype=np.int64) for name, values in options.items()}}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return tokens and masks."""
        return super().collate({name: column for name, column in columns.items() if name not in RAW_TEXTS.values()})

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Search for `tokens` int64 [B, T], padded at the end.

        Rows with equal beams and similar lengths are searched together.
        """
        count = len(batch["text"])
        lengths = batch["text_mask"].sum(axis=1)
        beams = batch.get("beams", np.full(count, self.config.beams))
        max_lengths = np.minimum(batch.get("max_length", self.config.max_length), lengths + MAX_EXTRA_TOKENS)
        tokens_of: list[list[int]] = [[]] * count
        order = np.argsort(lengths, kind="stable")
        for width in np.unique(beams):
            same_width = order[beams[order] == width]
            max_rows = min(MAX_ROWS_PER_SEARCH, max(1, MAX_BEAMS_PER_SEARCH // int(width)))
            for start in range(0, len(same_width), max_rows):
                rows = same_width[start : start + max_rows]
                source = {name: batch[name][rows, : lengths[rows].max()] for name in ("text", "text_mask")}
                hypotheses = self._search(run, source, max_lengths[rows], int(width))
                for row, hypothesis in zip(rows.tolist(), hypotheses, strict=True):
                    tokens_of[row] = hypothesis.tokens
        padding = self._target_encoder.token("padding")
        tokens = np.full((count, max(map(len, tokens_of), default=0)), padding, dtype=np.int64)
        for row, row_tokens in enumerate(tokens_of):
            tokens[row, : len(row_tokens)] = row_tokens
        return {"tokens": tokens}

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `tokens` int64 [B, T]."""
        return [TranslationOutput(text=self._target_encoder.decode(tokens)).to_json() for tokens in arrays["tokens"]]

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return the tokens of the real predictions."""
        return {"tokens": predict()["tokens"]}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute BLEU and chrF.

        The baseline is the better of two outputs: the input itself, and one constant text of training.
        """
        predictions = [self._target_encoder.decode(tokens) for tokens in outputs["tokens"]]
        inputs, references = (cast("Sequence[str]", columns[name]) for name in RAW_TEXTS.values())
        scores = bleu.corpus_scores(predictions, references)
        examples = zip(inputs, predictions, references, strict=True)
        extra: dict[str, Any] = {
            "signatures": scores.signatures,
            "examples": [
                dict(zip(("text", "answer", "reference"), example, strict=True))
                for example in islice(examples, bleu.MAX_EXAMPLES)
            ],
            "errors": bleu.worst_rows(inputs, predictions, references),
        }
        if train is None:
            return Evaluation(scores.metrics, notes=scores.notes, extra=extra)
        constant = bleu.most_typical_text(cast("Sequence[str]", train[RAW_TEXTS["target"]]))
        baseline_outputs = {"source": list(inputs), "constant": [constant] * len(references)}
        baselines = {name: bleu.corpus_scores(texts, references).metrics for name, texts in baseline_outputs.items()}
        extra["baselines"] = {**baselines, "constant_sentence": constant}
        best = {name: max(metrics[name] for metrics in baselines.values()) for name in scores.metrics}
        return Evaluation(scores.metrics, best, notes=scores.notes, extra=extra)

    @classmethod
    def example(cls) -> tuple[TranslationInput, TranslationOutput]:
        """A caption, and its translation."""
        return TranslationInput(text="A dog runs on the beach."), TranslationOutput(text="Ein Hund rennt am Strand.")

    @property
    def _target_encoder(self) -> TextEncoder:
        return cast("TextEncoder", self.slot_encoders["target"])

    def _search(self, run: Run, source: Arrays, max_lengths: np.ndarray, beams: int) -> list[Hypothesis]:
        encoder = self._target_encoder
        end = encoder.token("end")
        never = (encoder.tokens[role] for role in ("padding", "begin", "mask") if role in encoder.tokens)
        return search(
            _DecoderStep(run, run(ENCODE, source)["memory"], source["text_mask"], beams),
            start=encoder.token("begin"),
            end=end,
            never=[token for token in never if token != end],
            max_lengths=max_lengths,
            beams=beams,
            length_penalty=self.config.length_penalty,
        )


class _DecoderStep:
    """Runs the graph `step` for a beam search.

    It holds the encoded source, and the cache of every beam, float32 [A, K, P, W].
    """

    def __init__(self, run: Run, memory: np.ndarray, mask: np.ndarray, beams: int) -> None:
        self._run = run
        self._memory = memory
        self._mask = mask
        self._past = np.zeros((len(memory), beams, 0, memory.shape[2]), dtype=np.float32)

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        if len(rows) < len(self._memory):
            self._memory, self._mask = self._memory[rows], self._mask[rows]
        past = self._past[rows[:, None], beams]
        outputs = self._run(STEP, {"memory": self._memory, "text_mask": self._mask, "token": tokens, "past": past})
        self._past = np.concatenate([past, outputs["entry"][:, :, None]], axis=2)
        return outputs["log_probabilities"]
