"""Which of the known classes a text belongs to; its sentiment, for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.metrics import classification
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Answer, Task
from ml.wire import TextInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class TextClassificationConfig(Config):
    """What a mistake costs."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the certainty that is spread over all classes."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the features that the head goes without in each training step."""
    hidden: Literal["none", "relu", "gelu"] = "none"
    """One layer more in the head, and what it is followed by, as DistilBERT and ELECTRA have it."""


class TextClassification(Task):
    """One label for one text."""

    name = "text_classification"
    summary = "Say which of the known classes a text belongs to: its sentiment, its topic, its language"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    reads: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    head = "classifier"
    config_type = TextClassificationConfig
    input_type = TextInput
    output_type = classification.ClassificationOutput
    metrics = classification.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("text", "text_mask")}
    recipe = Schedule(epochs=4)

    @property
    def labels(self) -> Sequence[str]:
        """The classes in the order of their codes."""
        labels: Sequence[str] = self.state["labels"]
        return labels

    @classmethod
    def learn(cls, config: TextClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """The names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def refuse(cls, summary: DatasetSummary) -> list[str]:
        """Beside what is missing: classes that cannot be told apart because there is one."""
        return super().refuse(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Number of classes, the loss and the dropout."""
        return {"classes": len(self.labels), **self.config.model_dump()}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The text."""
        return {"text": self.input_type.value_of(given, parameters=parameters)}

    @classmethod
    def show(cls, row: Row) -> tuple[TextInput, str | None]:
        """The text, and the label."""
        return TextInput(text=row["text"]), row.get("label")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """`text`: int32 [T] each, and where there are labels `label`: int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `logits` float [B, classes]."""
        return classification.to_outputs(arrays["logits"], self.labels)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """As every classification is judged; the worst errors are told with their texts, as the network read them."""
        found = classification.evaluate(
            np.asarray(outputs["logits"]),
            np.asarray(columns["label"]),
            classes=self.labels,
            loss=self.config.loss,
            train=np.asarray(train["label"]) if train is not None else None,
        )
        encoder: Any = self.slot_encoders["text"]
        for error in found.extra["errors"]:
            error["text"] = encoder.decode(columns["text"][error["index"]])
        return found

    @classmethod
    def example(cls) -> tuple[TextInput, classification.ClassificationOutput]:
        """A sentence from a review."""
        probabilities = {"negative": 0.04, "positive": 0.96}
        output = classification.ClassificationOutput(label="positive", confidence=0.96, probabilities=probabilities)
        return TextInput.make_example(), output
