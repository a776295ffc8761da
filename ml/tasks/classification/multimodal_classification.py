"""Multimodal classification: one class for a row of several parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml.metrics import classification
from ml.metrics.base import wilson_interval
from ml.tasks._multimodal import Dropout, MultimodalConfig, MultimodalTask
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask
from ml.wire import ImageInput, TextOutput
from ml.wire.multimodal import MultimodalInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class MultimodalClassificationConfig(MultimodalConfig, ClassificationConfig):
    """Parts, how they are joined, loss and regularization."""

    dropout: Dropout = 0.1


class MultimodalClassificationOutput(classification.ClassificationOutput, TextOutput):
    """The most probable class, all probabilities, and how much of a text was read."""


class MultimodalClassification(MultimodalTask, ClassificationTask):
    """Predicts one class for one row of several parts."""

    name = "multimodal_classification"
    summary = "Assign a row of several parts, such as an image and a text, to one of the classes of the training data"
    columns: ClassVar[Mapping[str, str]] = {"label": "label"}
    config_type = MultimodalClassificationConfig
    output_type = MultimodalClassificationOutput
    head = "fused_classifier"

    def head_config(self) -> dict[str, Any]:
        """Add the fusion."""
        return {**super().head_config(), "fusion": self.config.fusion, "width": self.config.width}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute the metrics of a classifier, and in `parts` the accuracy of each part alone.

        `accuracy` is that of the rows that have the part, `accuracy_of_all` that of all parts together on these rows.
        """
        evaluation = super().evaluate(outputs, columns, train=train)
        label = np.asarray(columns["label"])
        is_right_N = np.asarray(outputs["logits"]).argmax(axis=1) == label
        alone_NSK = np.asarray(outputs["part_logits"])
        sections = {}
        for index, slot, rows in self.rows_by_part(columns):
            accuracy = float((alone_NSK[rows, index].argmax(axis=1) == label[rows]).mean())
            sections[slot] = {
                "rows": len(rows),
                "accuracy": accuracy,
                "interval": list(wilson_interval(accuracy, len(rows))),
                "accuracy_of_all": float(is_right_N[rows].mean()),
            }
        evaluation.extra["parts"] = sections
        return evaluation

    @classmethod
    def example(cls) -> tuple[MultimodalInput, MultimodalClassificationOutput]:
        """A drawn 7 and a sentence."""
        probabilities = {"spam": 0.03, "useful": 0.97}
        output = MultimodalClassificationOutput(label="useful", confidence=0.97, probabilities=probabilities)
        return MultimodalInput(image=ImageInput.make_example().image, text="A quiet, moving film."), output
