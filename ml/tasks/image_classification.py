"""Image classification: one class for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.files import images
from ml.metrics import classification
from ml.preprocessing.augmentation import random_affine
from ml.preprocessing.image_sizes import image_encoder_options
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class ImageClassificationConfig(Config):
    """Loss, regularization and augmentation."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the target probability that is spread over all classes."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    augmentation: Literal["off", "light"] = Field(
        "off", description="`light`: rotate, scale and shift training images a little; never mirror them."
    )


class ImageClassification(Task):
    """Predicts one class for one image."""

    name = "image_classification"
    summary = "Assign an image to one of the classes of the training data"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    head = "classifier"
    config_type = ImageClassificationConfig
    input_type = ImageInput
    output_type = classification.ClassificationOutput
    metrics = classification.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("image",)}

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read large images at a size that their number teaches."""
        return {"image": image_encoder_options(summary)}

    @classmethod
    def learn(cls, config: ImageClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there are at least two classes."""
        return super().check_dataset(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes, and the config without augmentation."""
        return {"classes": len(self.labels), **self.config.model_dump(exclude={"augmentation"})}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the image."""
        return {"image": self.input_type.value_of(raw_input, parameters=parameters)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ImageInput, str | None]:
        """Return the image as PNG, and the label."""
        return ImageInput(image=images.encode_png(row["image"])), row.get("label")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `image` uint8 [N, C, H, W] and, with labels, `label` int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Transform the images if augmentation is on."""
        if self.config.augmentation == "off":
            return columns
        return {**columns, "image": random_affine(np.asarray(columns["image"]), generator)}

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `logits` float [B, classes]."""
        return classification.to_outputs(arrays["logits"], self.labels)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute metrics, confusion matrix, metrics per class and the worst errors.

        The baseline predicts the class frequencies of training.
        """
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
