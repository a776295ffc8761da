"""Image regression: a number for an image, such as an age or a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.data.files import images
from ml.metrics.regression import RegressionOutput
from ml.preprocessing import augmentation as image_augmentation
from ml.preprocessing.image_sizes import image_encoder_options
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column


class ImageRegressionConfig(RegressionTaskConfig):
    """Loss, regularization and augmentation."""

    augmentation: image_augmentation.Augmentation = Field("auto", description=image_augmentation.DESCRIPTION)


class ImageRegression(RegressionTask):
    """Predicts one number for one image."""

    name = "image_regression"
    summary = "Predict a number from an image: an age, a weight, a count"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image", VALUE: "number"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    config_type = ImageRegressionConfig
    input_type = ImageInput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("image",)}
    recipe = Schedule(max_steps=1_500)

    @classmethod
    def learn(cls, config: ImageRegressionConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return mean and deviation of the target, and the augmentation."""
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
    def to_input_and_target(cls, row: Row) -> tuple[ImageInput, float | None]:
        """Return the image as PNG, and the number."""
        return ImageInput(image=images.encode_png(row["image"])), row.get(VALUE)

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary the images if augmentation is on."""
        strength = self.state.get("augmentation", "off")
        varied = image_augmentation.augment(np.asarray(columns["image"]), generator, strength=strength)
        return {**columns, "image": varied}

    @classmethod
    def example(cls) -> tuple[ImageInput, RegressionOutput]:
        """A drawn 7, and its value."""
        return ImageInput.make_example(), RegressionOutput(value=7.0)
