"""Audio classification: one class for an audio clip, such as its sound, command or speaker.

B batch, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.files import audio
from ml.metrics import classification
from ml.preprocessing import audio_augmentation
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.wire import AudioInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class AudioClassificationConfig(Config):
    """Loss, regularization and augmentation."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the target probability that is spread over all classes."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    augmentation: audio_augmentation.Augmentation = Field("auto", description=audio_augmentation.DESCRIPTION)


class AudioClassification(Task):
    """Predicts one class for one audio clip."""

    name = "audio_classification"
    summary = "Assign an audio clip to one of the classes of the training data: a sound, a command, a speaker"
    slots: ClassVar[Mapping[str, Slot]] = {
        "audio": Slot(
            reads=frozenset({Signal.FRAMES}), needs=frozenset({Feature.POOLED}), default_architecture="audio_cnn"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio", "label": "label"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"audio": "audio"}
    encoders: ClassVar[Mapping[str, str]] = {"audio": "log_mel"}
    head = "classifier"
    config_type = AudioClassificationConfig
    input_type = AudioInput
    output_type = classification.ClassificationOutput
    metrics = classification.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("audio", "audio_mask")}
    recipe = Schedule(epochs=20, max_steps=2_500, batch_size=32)

    @classmethod
    def learn(cls, config: AudioClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order, and the augmentation."""
        return {
            "labels": summary.classes,
            "augmentation": audio_augmentation.resolve(config.augmentation, rows=len(rows)),
        }

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Choose single frames, a hundred a second: convolutions read a plain spectrogram."""
        return {"audio": {"stacked": 1, "stride": 1}}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there are at least two classes."""
        return super().check_dataset(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes, and the config without augmentation."""
        return {"classes": len(self.labels), **self.config.model_dump(exclude={"augmentation"})}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the audio clip."""
        return {"audio": self.input_type.value_of(raw_input, parameters=parameters)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[AudioInput, str | None]:
        """Return the audio clip as WAV, and the label."""
        return AudioInput(audio=audio.encode_wav(row["audio"])), row.get("label")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `audio`, float16 [T, F] per row, and, with labels, `label` int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary speed, pitch, position and level, and mask parts, if augmentation is on."""
        strength = self.state.get("augmentation", "off")
        return {**columns, "audio": audio_augmentation.augment(columns["audio"], generator, strength=strength)}

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
    def example(cls) -> tuple[AudioInput, classification.ClassificationOutput]:
        """A tone, and two classes; the real output for a tone depends on the model."""
        probabilities = {"doorbell": 0.91, "knock": 0.09}
        output = classification.ClassificationOutput(label="doorbell", confidence=0.91, probabilities=probabilities)
        return AudioInput.make_example(), output
