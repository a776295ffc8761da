"""Say in one language what was said in another; or make any text of a text: shorter, plainer, spelt out.

B batch, T tokens of the longest, K beams, W numbers kept of a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, cast

import numpy as np
from pydantic import Field

from ml.config import Config, Count
from ml.encoders.base import encode_slots
from ml.encoders.text import CHARACTERS_PER_TOKEN
from ml.generation.beam_search import LENGTH_PENALTY, search
from ml.metrics import bleu
from ml.metrics.base import Evaluation, Metric
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import Answer, Task
from ml.wire import TextInput, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.text import TextEncoder
    from ml.generation.beam_search import Hypothesis
    from ml.signals import Run

VOCABULARY: Final = 6_000
ENCODE: Final = "encode"
STEP: Final = "step"
AT_ONCE: Final = 64
"""Rows searched together, alike in length; more would be no faster, and their pasts would not fit."""
MORE: Final = 50
"""An answer has at most so many tokens more than what was read (Vaswani et al. 2017, section 6.1)."""
SEQUENCES_AT_ONCE: Final = 256
"""Beams of all rows that are searched together: each has a past, and a score for every token."""
ENDS: Final = 2
"""Tokens that begin and end a text."""
TEXTS: Final = {"text": "text_itself", "target": "target_itself"}
"""Column -> the name under which its texts are kept beside their tokens, to be judged by."""


class TranslationConfig(Config):
    """How the decoder is built and taught, and how answers are looked for."""

    vocabulary: Literal["shared", "separate"] = "shared"
    """Whether both languages are written with the same tokens. Shared ones are learned from both, need one table, and
    copy names; separate ones are for languages without a letter in common, or where a base model knows only one."""
    layers: Count = 2
    heads: int = Field(0, ge=0, le=1024)
    """Of attention; 0: as the width suggests."""
    feedforward: int = Field(0, ge=0, le=65_536)
    """0: four times the width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the certainty that is spread over all tokens."""
    beams: int = Field(4, ge=1, le=32)
    """Sequences followed at a time where a request says nothing; also when it is judged."""
    length_penalty: float = Field(LENGTH_PENALTY, ge=0, le=5)
    max_length: int = Field(512, ge=1, le=65_536)
    """Tokens of an answer, where a request says nothing."""


class TranslationInput(TextInput):
    """A text, and how hard to look for the best answer."""

    beams: int | None = Field(None, ge=1, le=32, description="Sequences followed at a time; 1 is greedy and fastest")
    max_length: int | None = Field(None, ge=1, le=65_536, description="Of the answer, in tokens of the model")


class TranslationOutput(Wire):
    """The answer."""

    text: str
    truncated: bool = Field(False, description="Whether the text was longer than the model reads: its end is not in it")


class Translation(Task):
    """One text for one text."""

    name = "translation"
    summary = "Say in one language what was said in another, or make any other text of a text"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.SEQUENCE}), default_architecture="transformer"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    reads: ClassVar[Mapping[str, str]] = {"text": "text", "target": "target"}
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
        """A few thousand tokens: enough where words are put together, and every one is a score to compute a place."""
        return {name: {"vocabulary_size": VOCABULARY} for name in cls.reads}

    @classmethod
    def shared_encoders(cls, config: TranslationConfig) -> Mapping[str, str]:
        """The target's is that of the text, unless asked otherwise."""
        return {"target": "text"} if config.vocabulary == "shared" else {}

    @classmethod
    def learn(cls, config: TranslationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Nothing beside the encoders."""
        return {}

    def head_config(self) -> dict[str, Any]:
        """How many tokens there are to write; 0 for those that are read."""
        own = 0 if self.config.vocabulary == "shared" else self._writer.shape()["vocabulary"]
        said = self.config.model_dump(include={"layers", "heads", "feedforward", "dropout", "label_smoothing"})
        return {"vocabulary": own, **said}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The text, and what a request asks or this model's config says."""
        asked = self.input_type.of(given, parameters=parameters)
        config = self.config
        return {
            "text": asked.raw(),
            "beams": config.beams if asked.beams is None else asked.beams,
            "max_length": config.max_length if asked.max_length is None else asked.max_length,
        }

    @classmethod
    def show(cls, row: Row) -> tuple[TranslationInput, str | None]:
        """The text, and its translation."""
        return TranslationInput(text=row["text"]), row.get("target")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Tokens of each text, and the texts themselves.

        Of asked rows `beams` and `max_length`, int64 [N], and `truncated`, bool [N]: which texts were cut.
        """
        there = {name: column for name, column in self.reads.items() if column in rows.columns}
        columns = encode_slots(self.slot_encoders, there, rows)
        if "target" in there:
            columns |= {kept: list(rows.columns[column]) for column, kept in TEXTS.items()}
        asked = {name: rows.columns[name] for name in ("beams", "max_length") if name in rows.columns}
        if asked:
            reader = cast("TextEncoder", self.slot_encoders["text"])
            most = CHARACTERS_PER_TOKEN * reader.config.max_length
            whole = [len(pieces) for pieces in reader.tokenize_whole([text[:most] for text in rows.columns["text"]])]
            columns["truncated"] = np.array([length + ENDS for length in whole]) > reader.config.max_length
        return {**columns, **{name: np.array(each, dtype=np.int64) for name, each in asked.items()}}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Tokens and masks."""
        return super().collate({name: each for name, each in columns.items() if name not in TEXTS.values()})

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """`tokens` int64 [B, T], filled up behind with padding."""
        count = len(batch["text"])
        lengths = batch["text_mask"].sum(axis=1)
        beams = batch.get("beams", np.full(count, self.config.beams))
        most = np.minimum(batch.get("max_length", self.config.max_length), lengths + MORE)
        found: list[Hypothesis | None] = [None] * count
        order = np.argsort(lengths, kind="stable")
        for width in np.unique(beams):
            alike = order[beams[order] == width]
            most_rows = min(AT_ONCE, max(1, SEQUENCES_AT_ONCE // int(width)))
            for start in range(0, len(alike), most_rows):
                rows = alike[start : start + most_rows]
                longest = int(lengths[rows].max())
                read = {name: batch[name][rows, :longest] for name in ("text", "text_mask")}
                for row, each in zip(rows.tolist(), self._search(run, read, most[rows], int(width)), strict=True):
                    found[row] = each
        answers = [each.tokens for each in found if each is not None]
        tokens = np.full((count, max(map(len, answers), default=0)), self._writer.token("padding"), dtype=np.int64)
        for row, written in enumerate(answers):
            tokens[row, : len(written)] = written
        return {"tokens": tokens}

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `tokens`, and what was `truncated`."""
        return [
            TranslationOutput(text=self._writer.decode(row), truncated=cut).to_json()
            for row, cut in zip(arrays["tokens"], arrays["truncated"].tolist(), strict=True)
        ]

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """What it really answers."""
        return {"tokens": answer()["tokens"]}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """BLEU and chrF; the baseline is the better of the source as it is and of one sentence for all."""
        answers = [self._writer.decode(row) for row in outputs["tokens"]]
        given, wanted = (cast("Sequence[str]", columns[kept]) for kept in TEXTS.values())
        found = bleu.corpus_scores(answers, wanted)
        extra: dict[str, Any] = {
            "signatures": found.signatures,
            "examples": [
                dict(zip(("text", "answer", "wanted"), row, strict=True))
                for row in zip(given, answers, wanted, strict=True)
            ][: bleu.MAX_EXAMPLES],
            "errors": bleu.worst_rows(given, answers, wanted),
        }
        if train is None:
            return Evaluation(found.metrics, extra=extra)
        same = bleu.most_typical_text(cast("Sequence[str]", train[TEXTS["target"]]))
        blind = {"source": list(given), "constant": [same] * len(wanted)}
        scores = {name: bleu.corpus_scores(each, wanted).metrics for name, each in blind.items()}
        extra["baselines"] = {**scores, "constant_sentence": same}
        best = {name: max(each[name] for each in scores.values()) for name in found.metrics}
        return Evaluation(found.metrics, best, extra=extra)

    @classmethod
    def example(cls) -> tuple[TranslationInput, TranslationOutput]:
        """A caption."""
        return TranslationInput(text="A dog runs on the beach."), TranslationOutput(text="Ein Hund rennt am Strand.")

    @property
    def _writer(self) -> TextEncoder:
        return cast("TextEncoder", self.slot_encoders["target"])

    def _search(self, run: Run, read: Arrays, longest: np.ndarray, beams: int) -> list[Hypothesis]:
        walk = _Walk(run, run(ENCODE, read)["memory"], read["text_mask"], beams)
        writer = self._writer
        return search(
            walk,
            start=writer.token("begin"),
            end=writer.token("end"),
            never=[
                writer.tokens[role]
                for role in ("padding", "begin", "mask")
                if role in writer.tokens and writer.tokens[role] != writer.token("end")
            ],
            max_lengths=longest,
            beams=beams,
            length_penalty=self.config.length_penalty,
        )


class _Walk:
    """The step graph with what it has to remember: the source, and of every beam its past [B, K, P, W]."""

    def __init__(self, run: Run, memory: np.ndarray, mask: np.ndarray, beams: int) -> None:
        self._run = run
        self._memory = memory
        self._mask = mask
        self._past = np.zeros((len(memory), beams, 0, memory.shape[2]), dtype=np.float32)

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        if len(rows) < len(self._memory):
            self._memory, self._mask = self._memory[rows], self._mask[rows]
        past = self._past[rows[:, None], beams]
        read = {"memory": self._memory, "text_mask": self._mask, "token": tokens, "past": past}
        given = self._run(STEP, read)
        self._past = np.concatenate([past, given["entry"][:, :, None]], axis=2)
        return given["log_probabilities"]
