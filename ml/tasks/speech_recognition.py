"""Speech recognition: the text of an audio clip.

B batch, T frames, C characters of the alphabet, including the blank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.files import audio
from ml.encoders.characters import PADDING, UNKNOWN, CharactersEncoder
from ml.errors import DataError
from ml.metrics import error_rate
from ml.preprocessing import audio_augmentation
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Output, Task
from ml.wire import AudioInput, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.log_mel import LogMelEncoder
    from ml.metrics.base import Evaluation, Metric

#: Output of CTC for a frame where no character begins.
BLANK: Final = PADDING
MAX_SAMPLES: Final = 20


class SpeechRecognitionConfig(Config):
    """Regularization and augmentation."""

    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    augmentation: audio_augmentation.Augmentation = Field("auto", description=audio_augmentation.DESCRIPTION)


class SpeechRecognitionOutput(Wire):
    """The recognized text."""

    text: str = Field(description="Recognized text; empty if there is no speech")


class SpeechRecognition(Task):
    """Predicts the characters of an audio clip (CTC), and so can spell any word."""

    name = "speech_recognition"
    summary = "Transcribe speech: the text of an audio clip"
    slots: ClassVar[Mapping[str, Slot]] = {
        "audio": Slot(reads=frozenset({Signal.FRAMES}), needs=frozenset({Feature.SEQUENCE}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio", "text": "text"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"audio": "audio", "text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"audio": "log_mel", "text": "characters"}
    head = "ctc"
    config_type = SpeechRecognitionConfig
    input_type = AudioInput
    output_type = SpeechRecognitionOutput
    metrics: ClassVar[Mapping[str, Metric]] = error_rate.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("audio", "audio_mask")}
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"logits": (1,)}
    recipe = Schedule(epochs=20, max_steps=2_500, batch_size=32, learning_rate=5e-3)

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Normalize each clip if there are few: their voices and microphones would be memorized."""
        return {"audio": {"normalize_clips": summary.splits.get("train", 0) < audio_augmentation.FEW_ROWS}}

    @property
    def text_encoder(self) -> CharactersEncoder:
        """The encoder of the text, which has the alphabet."""
        encoder: CharactersEncoder = self.slot_encoders["text"]  # type: ignore[assignment]  # as `encoders` says
        return encoder

    @classmethod
    def learn(cls, config: SpeechRecognitionConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the augmentation; the text encoder has the alphabet."""
        return {"augmentation": audio_augmentation.resolve(config.augmentation, rows=len(rows))}

    def head_config(self) -> dict[str, Any]:
        """Return the number of characters, and the dropout."""
        return {"characters": self.text_encoder.shape()["vocabulary"], "dropout": self.config.dropout}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Decode the audio clip."""
        return {"audio": self.input_type.value_of(raw_input, parameters=parameters)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[AudioInput, str | None]:
        """Return the audio clip as WAV, and the text."""
        return AudioInput(audio=audio.encode_wav(row["audio"])), row.get("text")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return frames and, if the rows have texts, their characters."""
        names = [name for name, column in self.encoded_columns.items() if column in rows.columns]
        columns = {name: self.slot_encoders[name].encode(rows.columns[self.encoded_columns[name]]) for name in names}
        if "text" in columns and len(columns["text"]):
            too_long = len(self._too_long_texts(columns))
            self.text_encoder.count_loss("ignored, as they have more characters than their audio has frames", too_long)
        return columns

    def check_encoded(self, columns: Mapping[str, Column]) -> None:
        """Raise `DataError` if every text has more characters than its clip has frames.

        CTC cannot learn from those.
        """
        if len(columns["text"]) and len(self._too_long_texts(columns)) == len(columns["text"]):
            message = "every text has more characters than its audio clip has frames, so training has no usable row"
            raise DataError(message, hint="Check that texts belong to their audio clips, and that no clip is cut.")

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary speed, pitch, position and level, and mask parts, if augmentation is on."""
        strength = self.state.get("augmentation", "off")
        return {**columns, "audio": audio_augmentation.augment(columns["audio"], generator, strength=strength)}

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `logits` float [B, T, C] and `audio_mask`; padding is ignored."""
        texts = (self.text_encoder.decode(codes) for codes in _greedy_decode(arrays))
        return [SpeechRecognitionOutput(text=text).to_json() for text in texts]

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return `characters` int [B, L], the recognized ones, padded with 0."""
        rows = _greedy_decode({**batch, **outputs})
        characters = np.zeros((len(rows), max(len(codes) for codes in rows)), dtype=np.int32)
        for row, codes in enumerate(rows):
            characters[row, : len(codes)] = codes
        return {"characters": characters}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute error rates, and count the rows that could not be recognized.

        The baseline is the most common text of training.
        """
        decode = self.text_encoder.decode
        predictions = [decode(codes) for codes in outputs["characters"]]
        references = [decode(codes) for codes in columns["text"]]
        train_texts = [decode(codes) for codes in train["text"]] if train is not None else None
        evaluation = error_rate.evaluate(predictions, references, train=train_texts)
        evaluation.extra["outside_alphabet"] = self._report_unknown_characters(columns)
        evaluation.extra["more_characters_than_frames"] = self._report_too_long_texts(columns)
        if train is not None:
            evaluation.extra["left_out_of_training"] = self._report_too_long_texts(train)
        return evaluation

    @classmethod
    def example(cls) -> tuple[AudioInput, SpeechRecognitionOutput]:
        """A tone, and a word; the real output for a tone depends on the model."""
        return AudioInput.make_example(), SpeechRecognitionOutput(text="seven")

    def _report_unknown_characters(self, columns: dict[str, Column]) -> dict[str, Any]:
        """Report rows with characters that are not in the training data.

        The model cannot output them, so they count as errors.
        """
        positions = {row: np.flatnonzero(codes == UNKNOWN) for row, codes in enumerate(columns["text"])}
        rows = [row for row, unknown in positions.items() if len(unknown)]
        sample = [
            {"row": row + 1, "character": int(positions[row][0]) + 1, "count": len(positions[row])}
            for row in rows[:MAX_SAMPLES]
        ]
        return {"rows": len(rows), "sample": sample}

    def _report_too_long_texts(self, columns: dict[str, Column]) -> dict[str, Any]:
        too_long = self._too_long_texts(columns)
        sample = [
            {
                "row": row + 1,
                "found": f"{frames} frames",
                "expected": f"at least {required} frames",
            }
            for row, (frames, required) in list(too_long.items())[:MAX_SAMPLES]
        ]
        return {"rows": len(too_long), "sample": sample}

    def _too_long_texts(self, columns: Mapping[str, Column]) -> dict[int, tuple[int, int]]:
        """Return row -> (frames, required frames) for rows with too few frames.

        CTC needs a frame for each character, and one for a blank between equal characters.
        """
        frames_encoder: LogMelEncoder = self.slot_encoders["audio"]  # type: ignore[assignment]  # as `encoders` says
        too_long = {}
        for row, (frames, characters) in enumerate(zip(columns["audio"], columns["text"], strict=True)):
            required = len(characters) + int((characters[1:] == characters[:-1]).sum())
            available = frames_encoder.length(len(frames))
            if available < required:
                too_long[row] = (available, required)
        return too_long


def _greedy_decode(arrays: Arrays) -> list[np.ndarray]:
    """Return the most probable character of each frame, without repetitions and blanks.

    This is best path decoding (Graves et al. 2006, section 3).
    """
    best, lengths = arrays["logits"].argmax(axis=2), arrays["audio_mask"].sum(axis=1)
    return [_collapse(row[:length]) for row, length in zip(best, lengths, strict=True)]


def _collapse(path: np.ndarray) -> np.ndarray:
    """Remove repetitions, then blanks."""
    is_new = np.concatenate([path[:1] != BLANK, path[1:] != path[:-1]])
    return np.asarray(path[is_new & (path != BLANK)])
