"""Image classification: one class for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ml.metrics import classification
from ml.preprocessing import augmentation as image_augmentation
from ml.tasks._image import ImageTask
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class ImageClassificationConfig(ClassificationConfig):
    """Loss, regularization and augmentation."""

    augmentation: image_augmentation.Augmentation = Field("auto", description=image_augmentation.DESCRIPTION)


class ImageClassification(ImageTask, ClassificationTask):
    """Predicts one class for one image."""

    name = "image_classification"
    summary = "Assign an image to one of the classes of the training data"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    config_type = ImageClassificationConfig
    many_rows_augmentation: ClassVar[image_augmentation.Strength] = "shift"

    @classmethod
    def example(cls) -> tuple[ImageInput, classification.ClassificationOutput]:
        """A drawn 7."""
        probabilities = {"1": 0.02, "7": 0.97, "9": 0.01}
        output = classification.ClassificationOutput(label="7", confidence=0.97, probabilities=probabilities)
        return ImageInput.make_example(), output
