"""Image classification: one class for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.data.files import images
from ml.metrics import classification
from ml.preprocessing import augmentation as image_augmentation
from ml.preprocessing.image_sizes import image_encoder_options
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column


class ImageClassificationConfig(ClassificationConfig):
    """Loss, regularization and augmentation."""

    augmentation: image_augmentation.Augmentation = Field("auto", description=image_augmentation.DESCRIPTION)


class ImageClassification(ClassificationTask):
    """Predicts one class for one image."""

    name = "image_classification"
    summary = "Assign an image to one of the classes of the training data"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    config_type = ImageClassificationConfig
    input_type = ImageInput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("image",)}
    recipe = Schedule(max_steps=1_500)

    @classmethod
    def learn(cls, config: ImageClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order, and the augmentation."""
        augmentation = image_augmentation.resolve(config.augmentation, rows=len(rows))
        return {**super().learn(config, summary, rows), "augmentation": augmentation}

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read large images at a size that their number teaches."""
        return {"image": image_encoder_options(summary)}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the image."""
        return {"image": self.input_type.value_of(raw_input, parameters=parameters)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ImageInput, str | None]:
        """Return the image as PNG, and the label."""
        return ImageInput(image=images.encode_png(row["image"])), row.get("label")

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary the images if augmentation is on."""
        strength = self.state.get("augmentation", "off")
        varied = image_augmentation.augment(np.asarray(columns["image"]), generator, strength=strength)
        return {**columns, "image": varied}

    @classmethod
    def example(cls) -> tuple[ImageInput, classification.ClassificationOutput]:
        """A drawn 7."""
        probabilities = {"1": 0.02, "7": 0.97, "9": 0.01}
        output = classification.ClassificationOutput(label="7", confidence=0.97, probabilities=probabilities)
        return ImageInput.make_example(), output
