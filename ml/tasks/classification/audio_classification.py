"""Audio classification: one class for an audio clip, such as its sound, command or speaker.

B batch, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.data.files import audio
from ml.metrics import classification
from ml.preprocessing import audio_augmentation
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask, Dropout
from ml.wire import AudioInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column


class AudioClassificationConfig(ClassificationConfig):
    """Loss, regularization and augmentation."""

    dropout: Dropout = 0.1
    augmentation: audio_augmentation.Augmentation = Field("auto", description=audio_augmentation.DESCRIPTION)


class AudioClassification(ClassificationTask):
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
    config_type = AudioClassificationConfig
    input_type = AudioInput
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("audio", "audio_mask")}
    recipe = Schedule(epochs=20, max_steps=2_500, batch_size=32)

    @classmethod
    def learn(cls, config: AudioClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order, and the augmentation."""
        augmentation = audio_augmentation.resolve(config.augmentation, rows=len(rows))
        return {**super().learn(config, summary, rows), "augmentation": augmentation}

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Choose single frames, a hundred a second: convolutions read a plain spectrogram."""
        return {"audio": {"stacked": 1, "stride": 1}}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the audio clip."""
        return {"audio": self.input_type.value_of(raw_input, parameters=parameters)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[AudioInput, str | None]:
        """Return the audio clip as WAV, and the label."""
        return AudioInput(audio=audio.encode_wav(row["audio"])), row.get("label")

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary speed, pitch, position and level, and mask parts, if augmentation is on."""
        strength = self.state.get("augmentation", "off")
        return {**columns, "audio": audio_augmentation.augment(columns["audio"], generator, strength=strength)}

    @classmethod
    def example(cls) -> tuple[AudioInput, classification.ClassificationOutput]:
        """A tone, and two classes; the real output for a tone depends on the model."""
        probabilities = {"doorbell": 0.91, "knock": 0.09}
        output = classification.ClassificationOutput(label="doorbell", confidence=0.91, probabilities=probabilities)
        return AudioInput.make_example(), output
