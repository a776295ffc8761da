"""Text classification: one class for a text, such as its sentiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ml.metrics import classification
from ml.tasks._text import TextTask
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask, Dropout
from ml.wire import LongTextInput, LongTextOutput

if TYPE_CHECKING:
    from collections.abc import Mapping


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


class TextClassification(TextTask, ClassificationTask):
    """Predicts one class for one text."""

    name = "text_classification"
    summary = "Assign a text to one of the classes of the training data: its sentiment, topic or language"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    config_type = TextClassificationConfig
    output_type = TextClassificationOutput

    def head_config(self) -> dict[str, Any]:
        """Add the hidden layer."""
        return {**super().head_config(), "hidden": self.config.hidden}

    @classmethod
    def example(cls) -> tuple[LongTextInput, TextClassificationOutput]:
        """A sentence from a review."""
        probabilities = {"negative": 0.04, "positive": 0.96}
        output = TextClassificationOutput(label="positive", confidence=0.96, probabilities=probabilities)
        return LongTextInput.make_example(), output
