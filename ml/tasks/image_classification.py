"""Which of the known classes a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.files import images
from ml.metrics import classification
from ml.preprocessing.augmentation import random_affine
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Answer, Task
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class ImageClassificationConfig(Config):
    """What a mistake costs, and how training pictures are varied."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the certainty that is spread over all classes."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the features that the head goes without in each training step."""
    augmentation: Literal["off", "light"] = "off"
    """Light: turned, scaled and shifted a little; never mirrored."""


class ImageClassification(Task):
    """One label for one picture."""

    name = "image_classification"
    summary = "Say which of the known classes a picture shows"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    reads: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    head = "classifier"
    config_type = ImageClassificationConfig
    input_type = ImageInput
    output_type = classification.ClassificationOutput
    metrics = classification.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("image",)}

    @property
    def labels(self) -> Sequence[str]:
        """The classes in the order of their codes."""
        labels: Sequence[str] = self.state["labels"]
        return labels

    @classmethod
    def learn(cls, config: ImageClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """The names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def refuse(cls, summary: DatasetSummary) -> list[str]:
        """Beside what is missing: classes that cannot be told apart because there is one."""
        return super().refuse(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Number of classes, and the loss."""
        return {"classes": len(self.labels), **self.config.model_dump(exclude={"augmentation"})}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The picture, decoded."""
        return {"image": self.input_type.value_of(given, parameters=parameters)}

    @classmethod
    def show(cls, row: Row) -> tuple[ImageInput, str | None]:
        """A PNG, and the label."""
        return ImageInput(image=images.encode_png(row["image"])), row.get("label")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """`image`: uint8 [N, C, H, W], and where there are labels `label`: int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Distort the pictures where the config asks for it."""
        if self.config.augmentation == "off":
            return columns
        return {**columns, "image": random_affine(np.asarray(columns["image"]), generator)}

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `logits` float [B, classes]."""
        return classification.to_outputs(arrays["logits"], self.labels)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Metrics, confusion matrix, per class, worst errors; the baseline is the shares of the classes in training."""
        return classification.evaluate(
            np.asarray(outputs["logits"]),
            np.asarray(columns["label"]),
            classes=self.labels,
            loss=self.config.loss,
            train=np.asarray(train["label"]) if train is not None else None,
        )

    @classmethod
    def example(cls) -> tuple[ImageInput, classification.ClassificationOutput]:
        """A drawn 7."""
        probabilities = {"1": 0.02, "7": 0.97, "9": 0.01}
        output = classification.ClassificationOutput(label="7", confidence=0.97, probabilities=probabilities)
        return ImageInput.make_example(), output
