"""Image regression: a number for an image, such as an age or a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ml.metrics.regression import RegressionOutput
from ml.preprocessing import augmentation as image_augmentation
from ml.tasks._image import ImageTask
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class ImageRegressionConfig(RegressionTaskConfig):
    """Loss, regularization and augmentation."""

    augmentation: image_augmentation.Augmentation = Field("auto", description=image_augmentation.DESCRIPTION)


class ImageRegression(ImageTask, RegressionTask):
    """Predicts one number for one image."""

    name = "image_regression"
    summary = "Predict a number from an image: an age, a weight, a count"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", VALUE: "number"}
    config_type = ImageRegressionConfig

    @classmethod
    def example(cls) -> tuple[ImageInput, RegressionOutput]:
        """A drawn 7, and its value."""
        return ImageInput.make_example(), RegressionOutput(value=7.0)
