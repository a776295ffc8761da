"""Base class of the tasks that read one image and predict one target for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml.data.files import images
from ml.preprocessing import augmentation as image_augmentation
from ml.preprocessing.image_sizes import image_encoder_options
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL, Task
from ml.wire import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column


class ImageTask(Task):
    """Reads an image, and varies it in training.

    Among the bases of a task it precedes the class with the target.
    """

    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    encoded_columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    input_type = ImageInput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("image",)}
    recipe = Schedule(max_steps=1_500)
    #: Column of the target.
    target: ClassVar[str]
    #: Augmentation of many images. None, since a target may depend on the position.
    many_rows_augmentation: ClassVar[image_augmentation.Strength] = "off"

    @classmethod
    def learn(cls, config: Any, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return what the target needs, and the augmentation."""
        augmentation = image_augmentation.resolve(config.augmentation, rows=len(rows), many=cls.many_rows_augmentation)
        return {**super().learn(config, summary, rows), "augmentation": augmentation}

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read large images at a size that their number teaches."""
        return {"image": image_encoder_options(summary)}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the image."""
        return {"image": self.input_type.value_of(raw_input, parameters=parameters)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[ImageInput, Any]:
        """Return the image as PNG, and the target."""
        return ImageInput(image=images.encode_png(row["image"])), row.get(cls.target)

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary the images if augmentation is on."""
        strength = self.state.get("augmentation", "off")
        varied = image_augmentation.augment(np.asarray(columns["image"]), generator, strength=strength)
        return {**columns, "image": varied}
