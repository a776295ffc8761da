"""Text regression: a number for a text, such as its rating or its price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import Field

from ml.metrics.regression import RegressionOutput
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import LongTextInput, LongTextOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation

#: Training rows below which texts are read by whole words.
FEW_ROWS: Final = 2_000


class TextRegressionConfig(RegressionTaskConfig):
    """Loss and regularization."""

    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")


class TextRegressionOutput(RegressionOutput, LongTextOutput):
    """The predicted number, and how much of the text was read."""


class TextRegression(RegressionTask):
    """Predicts one number for one text."""

    name = "text_regression"
    summary = "Predict a number from a text: its rating, its price, its reading time"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.POOLED}), default_architecture="text_cnn"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", VALUE: "number"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    config_type = TextRegressionConfig
    input_type = LongTextInput
    output_type = TextRegressionOutput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("text", "text_mask")}
    recipe = Schedule(epochs=4, max_steps=1_500)

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read whole words in lower case if there are few texts, however rare they are."""
        are_few = summary.splits.get("train", 0) < FEW_ROWS
        return {"text": {"prefers_words": True}} if are_few else {}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Read the text, and how one is read that is too long."""
        return self.input_type.of(raw_input, parameters=parameters).columns("text")

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[LongTextInput, float | None]:
        """Return the text, and the number."""
        return LongTextInput(text=row["text"]), row.get(VALUE)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute the metrics, and the largest errors with their texts as read."""
        evaluation = super().evaluate(outputs, columns, train=train)
        encoder: Any = self.slot_encoders["text"]
        for error in evaluation.extra["errors"]:
            error["text"] = encoder.decode(columns["text"][error["index"]])
        return evaluation

    @classmethod
    def example(cls) -> tuple[LongTextInput, TextRegressionOutput]:
        """A sentence from a review, and its rating."""
        return LongTextInput.make_example(), TextRegressionOutput(value=4.3)
