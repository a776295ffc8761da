"""Text regression: a number for a text, such as its rating or its price."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ml.metrics.regression import RegressionOutput
from ml.tasks._text import TextTask
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import LongTextInput, LongTextOutput

if TYPE_CHECKING:
    from collections.abc import Mapping


class TextRegressionConfig(RegressionTaskConfig):
    """Loss and regularization."""

    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")


class TextRegressionOutput(RegressionOutput, LongTextOutput):
    """The predicted number, and how much of the text was read."""


class TextRegression(TextTask, RegressionTask):
    """Predicts one number for one text."""

    name = "text_regression"
    summary = "Predict a number from a text: its rating, its price, its reading time"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", VALUE: "number"}
    config_type = TextRegressionConfig
    output_type = TextRegressionOutput

    @classmethod
    def example(cls) -> tuple[LongTextInput, TextRegressionOutput]:
        """A sentence from a review, and its rating."""
        return LongTextInput.make_example(), TextRegressionOutput(value=4.3)
