"""Text classification: one class for a text, such as its sentiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field

from ml.metrics import classification
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask, Dropout
from ml.wire import LongTextInput, LongTextOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


#: Training rows below which texts are read by whole words.
FEW_ROWS: Final = 2_000


class TextClassificationConfig(ClassificationConfig):
    """Loss, regularization and layers of the head."""

    dropout: Dropout = 0.1
    hidden: Literal["none", "relu", "gelu"] = Field(
        "none",
        description="Activation of an additional hidden layer in the head, as in DistilBERT and ELECTRA; `none`: no "
        "hidden layer.",
    )


class TextClassificationOutput(classification.ClassificationOutput, LongTextOutput):
    """The most probable class, all probabilities, and how much of the text was read."""


class TextClassification(ClassificationTask):
    """Predicts one class for one text."""

    name = "text_classification"
    summary = "Assign a text to one of the classes of the training data: its sentiment, topic or language"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="text_cnn"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    config_type = TextClassificationConfig
    input_type = LongTextInput
    output_type = TextClassificationOutput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("text", "text_mask")}
    recipe = Schedule(epochs=4, max_steps=1_500)

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read whole words in lower case if there are few texts, however rare they are."""
        are_few = summary.splits.get("train", 0) < FEW_ROWS
        return {"text": {"prefers_words": True}} if are_few else {}

    def head_config(self) -> dict[str, Any]:
        """Add the hidden layer."""
        return {**super().head_config(), "hidden": self.config.hidden}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Read the text, and how one is read that is too long."""
        return self.input_type.of(raw_input, parameters=parameters).columns("text")

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[LongTextInput, str | None]:
        """Return the text, and the label."""
        return LongTextInput(text=row["text"]), row.get("label")

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute metrics, confusion matrix, metrics per class and the worst errors.

        The baseline predicts the class frequencies of training. Errors include the text as the network read it.
        """
        evaluation = super().evaluate(outputs, columns, train=train)
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
