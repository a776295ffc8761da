"""Speech synthesis: a text read aloud.

B batch, L characters, T frames, F bands.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ml.audio.waveform import Audio
from ml.config import Config
from ml.data.files import audio
from ml.encoders.characters import UNKNOWN, CharactersEncoder
from ml.errors import InputError, unknown
from ml.metrics import classification
from ml.metrics.base import Evaluation, Metric
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import Output, Task
from ml.wire import Base64, Wire
from ml.wire.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.mel_spectrogram import MelSpectrogramEncoder
    from ml.signals import Run

DURATIONS: Final = "durations"
FRAMES: Final = "frames"
#: Limit of one output; a text that would take longer is read faster.
MAX_SECONDS: Final = 60.0
SPEAKER: Final = "speaker"
#: Unknown characters that an error lists; a text in another script has hundreds.
MAX_LISTED_CHARACTERS: Final = 10
MAX_LISTED_ROWS: Final = 20


class SpeechSynthesisConfig(Config):
    """Voices and regularization."""

    voices: bool = Field(
        True, description="Learn one voice per speaker, if the data has a column `speaker`; otherwise one for all."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")


class SpeechSynthesisInput(Wire):
    """The text to read, the voice and the speed."""

    body = "text"

    text: Text = Field(
        min_length=1, max_length=10_000, description="A sentence, in characters that the training texts contain"
    )
    voice: str | None = Field(None, description="One of the model's voices; without it, the first")
    speed: float = Field(1.0, ge=0.5, le=2.0, description="Factor of the speed; 2 is twice as fast")


class SpeechSynthesisOutput(Wire):
    """A WAV file."""

    audio: Base64 = Field(description="WAV file as base64: 16 bits, one channel, peak at -1 dB")
    sample_rate_hz: int = Field(description="Samples per second")


class SpeechSynthesis(Task):
    """Predicts the duration of each character, then a mel spectrogram.

    A vocoder converts it to a waveform. The vocoder (`ml.audio.vocoder`) is not part of the network.
    """

    name = "speech_synthesis"
    summary = "Read a text aloud, in one voice or several"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.SEQUENCE}), default_architecture="rnn")
    }
    separates_subjects: ClassVar[bool] = False  # each voice is learned from train
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "audio": "audio"}
    encoded_columns: ClassVar[Mapping[str, str]] = {"text": "text", "audio": "audio"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "characters", "audio": "mel_spectrogram"}
    head = "spectrogram"
    config_type = SpeechSynthesisConfig
    input_type = SpeechSynthesisInput
    output_type = SpeechSynthesisOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mel_distance": Metric(
            "Mean over rows of the absolute difference, in decibels, between the mel spectrograms of an audio clip and "
            "of the speech for its text, over bands and frames; frames are aligned as in training",
            False,
        ),
        "duration_error": Metric(
            "Mean over rows of the absolute difference between the durations of the audio clip, without silence at its "
            "ends, and of the speech for its text, as a fraction of the former",
            False,
        ),
    }
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        DURATIONS: ("text", "text_mask", "voice"),
        FRAMES: ("sequence", "lasts", "letter", "letter_mask"),
    }
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "durations": (1,),
        "sequence": (1,),
        "lasts": (1,),
        "letter": (1,),
        "letter_mask": (1,),
        "mel": (1,),
    }
    recipe = Schedule(epochs=30, batch_size=32, learning_rate=3e-3)

    @property
    def text_encoder(self) -> CharactersEncoder:
        """The encoder of the text, which has the alphabet."""
        encoder: CharactersEncoder = self.slot_encoders["text"]  # type: ignore[assignment]  # as `encoders` says
        return encoder

    @property
    def spectrogram_encoder(self) -> MelSpectrogramEncoder:
        """The encoder of the audio, which also converts frames to a waveform."""
        encoder: MelSpectrogramEncoder = self.slot_encoders["audio"]  # type: ignore[assignment]  # as `encoders` says
        return encoder

    @property
    def voices(self) -> Sequence[str]:
        """Names of the voices; empty if there is only one."""
        voices: Sequence[str] = self.state["voices"]
        return voices

    @classmethod
    def learn(cls, config: SpeechSynthesisConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the voices, the most frequent first."""
        if not config.voices or SPEAKER not in rows.columns:
            return {"voices": []}
        names, counts = np.unique(list(rows.columns[SPEAKER]), return_counts=True)
        return {"voices": [str(names[index]) for index in np.lexsort([names, -counts])] if len(names) > 1 else []}

    def head_config(self) -> dict[str, Any]:
        """Return the number of bands and voices, and the dropout."""
        bands = self.spectrogram_encoder.config.bands
        return {"bands": bands, "voices": len(self.voices), "dropout": self.config.dropout}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the normalized text, the voice and the speed.

        Raises `InputError` for a text that is empty, too long, or has characters that the model did not learn.
        """
        request = self.input_type.of(raw_input, parameters=parameters)
        text = self.text_encoder.normalize(request.text)
        config = self.text_encoder.config
        if not text:
            raise InputError("the text has no characters to read", field="text", hint="Send a text with words.")
        if len(text) > config.length:
            message = f"the text has {len(text):,} characters; the limit of this model is {config.length:,}"
            raise InputError(message, field="text", hint="Send one sentence at a time.")
        if positions := self.text_encoder.unknown_characters(text):
            message = f"not in the model's alphabet: {_list_characters(positions)}"
            hint = f"Spell out numbers and symbols. The alphabet: {config.alphabet.strip()[:200]}"
            raise InputError(message, field="text", hint=hint)
        return {"text": text, "speed": request.speed, **self._voice_column(request.voice)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[SpeechSynthesisInput, dict[str, Any]]:
        """Return the text, and the audio clip as WAV."""
        fields = {"audio": audio.encode_wav(row["audio"]), "sample_rate_hz": row["audio"].rate_hz}
        target = SpeechSynthesisOutput.model_validate(fields).model_dump(mode="json")
        return SpeechSynthesisInput(text=row["text"]), target

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return characters; for training rows also frames, for requests `speed`, with several voices `voice`."""
        names = [name for name, column in self.encoded_columns.items() if column in rows.columns]
        columns = {name: self.slot_encoders[name].encode(rows.columns[self.encoded_columns[name]]) for name in names}
        if self.voices:
            # A voice that is not in the training data is replaced by the first.
            speakers = [name if name in self.voices else self.voices[0] for name in rows.columns[SPEAKER]]
            columns["voice"] = classification.encode_labels(speakers, self.voices)
        if "speed" in rows.columns:
            columns["speed"] = np.array(rows.columns["speed"], dtype=np.float64)
        return columns

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Predict durations, round them to frames, then predict the frames."""
        encoded = run(DURATIONS, batch)
        speed = batch.get("speed", np.ones(len(batch["text"])))[:, None]
        durations = self._round_durations(encoded["durations"] / speed, batch["text_mask"])
        frame_counts = durations.sum(axis=1)
        frame_mask = np.arange(frame_counts.max()) < frame_counts[:, None]
        character_of_frame = np.full(frame_mask.shape, durations.shape[1] - 1)
        character_of_frame[frame_mask] = np.concatenate([np.repeat(np.arange(len(row)), row) for row in durations])
        aligned = {
            "sequence": encoded["sequence"],
            "lasts": durations,
            "letter": character_of_frame,
            "letter_mask": frame_mask,
        }
        return {**encoded, "mel": run(FRAMES, aligned)["mel"], "frames": frame_counts}

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `mel` float [B, T, F], of which each row has `frames` int [B]."""
        rows = zip(arrays["mel"], arrays["frames"], strict=True)
        clips = [self.spectrogram_encoder.to_audio(mel[:count]) for mel, count in rows]
        return [
            SpeechSynthesisOutput(audio=audio.encode_wav(clip), sample_rate_hz=clip.rate_hz).to_json() for clip in clips
        ]

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return `distance` in decibels, and `frames`, the predicted number, of each row."""
        distance = self._distance(outputs["aligned"] - batch["audio"], batch["audio_mask"])
        return {"distance": distance, "frames": predict()["frames"]}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute the mel distance and the duration error.

        The baseline predicts the mean frame and the mean duration of a character of training.
        """
        frames = np.array([len(clip) for clip in columns["audio"]])
        metrics = {
            "mel_distance": float(np.mean(outputs["distance"])),
            "duration_error": float((np.abs(outputs["frames"] - frames) / frames).mean()),
        }
        unknown_rows = [row + 1 for row, codes in enumerate(columns["text"]) if (codes == UNKNOWN).any()]
        extra = {"outside_alphabet": {"rows": len(unknown_rows), "sample": unknown_rows[:MAX_LISTED_ROWS]}}
        if train is None:
            return Evaluation(metrics, extra=extra)
        # Frames are normalized, so their mean in training is 0, and each is its own difference from the mean.
        distances = [self._distance(clip[None], np.ones((1, len(clip)), dtype=bool))[0] for clip in columns["audio"]]
        mean_duration = sum(map(len, train["audio"])) / max(1, sum(map(len, train["text"])))
        baseline_frames = mean_duration * np.array([len(codes) for codes in columns["text"]])
        baseline = {
            "mel_distance": float(np.mean(distances)),
            "duration_error": float((np.abs(baseline_frames - frames) / frames).mean()),
        }
        return Evaluation(metrics, baseline, extra=extra)

    @classmethod
    def example(cls) -> tuple[SpeechSynthesisInput, SpeechSynthesisOutput]:
        """A character that most alphabets have, and silence; the real output depends on the model."""
        silence = Audio(np.zeros(80, dtype=np.float32), 8_000)
        return SpeechSynthesisInput(text="e"), SpeechSynthesisOutput(
            audio=audio.encode_wav(silence), sample_rate_hz=silence.rate_hz
        )

    def _voice_column(self, voice: str | None) -> dict[str, str]:
        """Return the row's column of the speaker, if the model has several voices; raises `InputError`."""
        if not self.voices:
            if voice is not None:
                raise InputError("this model has one voice", field="voice", hint="Omit voice.")
            return {}
        if voice is not None and voice not in self.voices:
            finding = unknown("voice", voice, self.voices, path="voice", default_hint="Omit voice to use the first.")
            raise InputError.of([finding])
        return {SPEAKER: voice or self.voices[0]}

    def _round_durations(self, durations: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Round to frames, int64 [B, L].

        A character has at least one frame; the sum is at most about `MAX_SECONDS`.
        """
        config = self.spectrogram_encoder.config
        max_frames = MAX_SECONDS * config.rate_hz / config.hop
        total = durations.sum(axis=1, where=mask, keepdims=True)
        scaled = durations * np.minimum(1.0, max_frames / np.maximum(total, 1.0))
        return np.asarray(np.rint(scaled).clip(min=1).astype(np.int64) * mask)

    def _distance(self, difference: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the mean absolute difference in decibels, float [B].

        It is the mean over bands and over the frames in `mask`.
        """
        decibels = np.abs(self.spectrogram_encoder.decibels(difference.astype(np.float32))).mean(axis=2)
        return np.asarray((decibels * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))


def _list_characters(positions: Mapping[str, int]) -> str:
    """List characters with their positions, at most `MAX_LISTED_CHARACTERS`."""
    listed = islice(positions.items(), MAX_LISTED_CHARACTERS)
    names = ", ".join(f"{character!r} (position {position})" for character, position in listed)
    more = len(positions) - MAX_LISTED_CHARACTERS
    return f"{names} and {more} more" if more > 0 else names
