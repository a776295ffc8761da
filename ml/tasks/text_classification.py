"""Text classification: one class for a text, such as its sentiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.metrics import classification
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.wire import LongTextInput, LongTextOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class TextClassificationConfig(Config):
    """Loss, regularization and layers of the head."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the target probability that is spread over all classes."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    hidden: Literal["none", "relu", "gelu"] = Field(
        "none",
        description="Activation of an additional hidden layer in the head, as in DistilBERT and ELECTRA; `none`: no "
        "hidden layer.",
    )


class TextClassificationOutput(classification.ClassificationOutput, LongTextOutput):
    """The most probable class, all probabilities, and how much of the text was read."""


class TextClassification(Task):
    """Predicts one class for one text."""

    name = "text_classification"
    summary = "Assign a text to one of the classes of the training data: its sentiment, topic or language"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    head = "classifier"
    config_type = TextClassificationConfig
    input_type = LongTextInput
    output_type = TextClassificationOutput
    metrics = classification.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("text", "text_mask")}
    recipe = Schedule(epochs=4)

    @classmethod
    def learn(cls, config: TextClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there are at least two classes."""
        return super().check_dataset(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes, and the config."""
        return {"classes": len(self.labels), **self.config.model_dump()}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Read the text, and how one is read that is too long."""
        return self.input_type.of(raw_input, parameters=parameters).columns("text")

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[LongTextInput, str | None]:
        """Return the text, and the label."""
        return LongTextInput(text=row["text"]), row.get("label")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `text`, int32 [T] per row, and, with labels, `label` int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `logits` float [B, classes]."""
        return classification.to_outputs(arrays["logits"], self.labels)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute metrics, confusion matrix, metrics per class and the worst errors.

        The baseline predicts the class frequencies of training. Errors include the text as the network read it.
        """
        evaluation = classification.evaluate(
            np.asarray(outputs["logits"]),
            np.asarray(columns["label"]),
            classes=self.labels,
            loss=self.config.loss,
            train=np.asarray(train["label"]) if train is not None else None,
        )
        encoder: Any = self.slot_encoders["text"]
        for error in evaluation.extra["errors"]:
            error["text"] = encoder.decode(columns["text"][error["index"]])
        return evaluation

    @classmethod
    def example(cls) -> tuple[LongTextInput, TextClassificationOutput]:
        """A sentence from a review."""
        probabilities = {"negative": 0.04, "positive": 0.96}
        output = TextClassificationOutput(label="positive", confidence=0.96, probabilities=probabilities)
        return LongTextInput.make_example(), output
