"""A text read aloud.

B batch, L letters, T frames, F bands.
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
from ml.tasks.base import Answer, Task
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
LONGEST_SECONDS: Final = 60.0
"""Of one answer; a text that would last longer is read faster."""
SPEAKER: Final = "speaker"
SHOWN: Final = 10
"""Letters that are not in the alphabet; a text in another script has hundreds."""


class SpeechSynthesisConfig(Config):
    """Whose voice is heard."""

    voices: bool = True
    """Tell voices apart, where the data has a column `speaker`; else all speak as one."""
    dropout: float = Field(0.1, ge=0, lt=1)


class SpeechSynthesisInput(Wire):
    """What is to be said."""

    body = "text"

    text: Text = Field(min_length=1, max_length=10_000, description="A sentence, in the letters of the training texts")
    voice: str | None = Field(None, description="One of the model's voices; absent: the first")
    speed: float = Field(1.0, ge=0.5, le=2.0, description="2: twice as fast")


class SpeechSynthesisOutput(Wire):
    """A WAV of 16 bits, one channel, peak at -1 dB."""

    audio: Base64
    sample_rate_hz: int


class SpeechSynthesis(Task):
    """How long each letter lasts, then what is heard meanwhile, then a wave that sounds like it.

    The network ends with the loudness of bands; the wave is made of these without it (`ml.audio.vocoder`).
    """

    name = "speech_synthesis"
    summary = "Read a text aloud, in one voice or several"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.SEQUENCE}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "audio": "audio"}
    reads: ClassVar[Mapping[str, str]] = {"text": "text", "audio": "audio"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "characters", "audio": "mel_spectrogram"}
    head = "spectrogram"
    config_type = SpeechSynthesisConfig
    input_type = SpeechSynthesisInput
    output_type = SpeechSynthesisOutput
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mel_distance": Metric(
            "Mean over rows of the absolute difference between the loudness of a recording and of what was made for "
            "its text, over bands and frames, in decibels; frames are compared as aligned in training",
            False,
        ),
        "duration_error": Metric(
            "Mean over rows of the difference between how long a recording lasts, the silence at its ends aside, and "
            "how long its text would be read, as a share of the former",
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
    def letters(self) -> CharactersEncoder:
        """The alphabet."""
        encoder: CharactersEncoder = self.slot_encoders["text"]  # type: ignore[assignment]  # as `encoders` says
        return encoder

    @property
    def spectrogram(self) -> MelSpectrogramEncoder:
        """How frames become a wave."""
        encoder: MelSpectrogramEncoder = self.slot_encoders["audio"]  # type: ignore[assignment]  # as `encoders` says
        return encoder

    @property
    def voices(self) -> Sequence[str]:
        """Who can speak; none where all speak as one."""
        voices: Sequence[str] = self.state["voices"]
        return voices

    @classmethod
    def learn(cls, config: SpeechSynthesisConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """The voices, those heard most often first."""
        if not config.voices or SPEAKER not in rows.columns:
            return {"voices": []}
        names, counts = np.unique(list(rows.columns[SPEAKER]), return_counts=True)
        return {"voices": [str(names[index]) for index in np.lexsort([names, -counts])] if len(names) > 1 else []}

    def head_config(self) -> dict[str, Any]:
        """Bands and voices, and the dropout."""
        return {"bands": self.spectrogram.config.bands, "voices": len(self.voices), "dropout": self.config.dropout}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The text, which voice, and how fast; raises `InputError` for letters that nobody has been heard to say."""
        asked = self.input_type.of(given, parameters=parameters)
        text = self.letters.normalize(asked.text)
        if not text:
            raise InputError("there is nothing to say", field="text", hint="Send a text that has letters.")
        if len(text) > self.letters.config.length:
            message = f"{len(text):,} letters are too many; this model reads {self.letters.config.length:,}"
            raise InputError(message, field="text", hint="Send one sentence at a time.")
        if outside := self.letters.unknown_characters(text):
            named = ", ".join(f"{letter!r} (letter {place})" for letter, place in islice(outside.items(), SHOWN))
            more = f" and {len(outside) - SHOWN} more" if len(outside) > SHOWN else ""
            hint = "Spell out numbers and signs; the model knows: " + self.letters.config.alphabet.strip()[:200]
            raise InputError(f"not in the model's alphabet: {named}{more}", field="text", hint=hint)
        return {"text": text, "speed": asked.speed, **self._voice(asked.voice)}

    @classmethod
    def show(cls, row: Row) -> tuple[SpeechSynthesisInput, dict[str, Any]]:
        """The text, and as the target a WAV."""
        shown = {"audio": audio.encode_wav(row["audio"]), "sample_rate_hz": row["audio"].rate_hz}
        target = SpeechSynthesisOutput.model_validate(shown).model_dump(mode="json")
        return SpeechSynthesisInput(text=row["text"]), target

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Letters; of training rows also frames; `voice` where there are some, `speed` of asked ones."""
        names = [name for name, column in self.reads.items() if column in rows.columns]
        columns = {name: self.slot_encoders[name].encode(rows.columns[self.reads[name]]) for name in names}
        if self.voices:
            # A voice that was not there to be learned speaks as the first.
            heard = [name if name in self.voices else self.voices[0] for name in rows.columns[SPEAKER]]
            columns["voice"] = classification.encode_labels(heard, self.voices)
        if "speed" in rows.columns:
            columns["speed"] = np.array(rows.columns["speed"], dtype=np.float64)
        return columns

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """Durations, rounded to frames, then the frames."""
        first = run(DURATIONS, batch)
        speed = batch.get("speed", np.ones(len(batch["text"])))[:, None]
        lasts = self._lasts(first["durations"] / speed, batch["text_mask"])
        frames = lasts.sum(axis=1)
        heard = np.arange(frames.max()) < frames[:, None]
        letter = np.full(heard.shape, lasts.shape[1] - 1)
        letter[heard] = np.concatenate([np.repeat(np.arange(len(row)), row) for row in lasts])
        spread = {"sequence": first["sequence"], "lasts": lasts, "letter": letter, "letter_mask": heard}
        second = run(FRAMES, spread)
        return {**first, "mel": second["mel"], "frames": frames}

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `mel` float [B, T, F], of which `frames` int [B] are real."""
        sounds = [
            self.spectrogram.to_audio(row[:count]) for row, count in zip(arrays["mel"], arrays["frames"], strict=True)
        ]
        return [
            SpeechSynthesisOutput(audio=audio.encode_wav(sound), sample_rate_hz=sound.rate_hz).to_json()
            for sound in sounds
        ]

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """By row: `distance` in decibels, and `frames` there would be."""
        distance = self._distance(outputs["aligned"] - batch["audio"], batch["audio_mask"])
        return {"distance": distance, "frames": answer()["frames"]}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """The baseline is the mean frame of training, and a letter's mean duration, for every letter."""
        frames = np.array([len(each) for each in columns["audio"]])
        found = {
            "mel_distance": float(np.mean(outputs["distance"])),
            "duration_error": float((np.abs(outputs["frames"] - frames) / frames).mean()),
        }
        unknown = [row + 1 for row, each in enumerate(columns["text"]) if (each == UNKNOWN).any()]
        extra = {"outside_alphabet": {"rows": len(unknown), "sample": unknown[:20]}}
        if train is None:
            return Evaluation(found, extra=extra)
        # Frames are normalised: their mean in training is nought.
        blind = [self._distance(each[None], np.ones((1, len(each)), dtype=bool))[0] for each in columns["audio"]]
        usual = sum(map(len, train["audio"])) / max(1, sum(map(len, train["text"])))
        guessed = usual * np.array([len(each) for each in columns["text"]])
        baseline = {
            "mel_distance": float(np.mean(blind)),
            "duration_error": float((np.abs(guessed - frames) / frames).mean()),
        }
        return Evaluation(found, baseline, extra=extra)

    @classmethod
    def example(cls) -> tuple[SpeechSynthesisInput, SpeechSynthesisOutput]:
        """The letter that most alphabets have; how it sounds, only a model knows."""
        silence = Audio(np.zeros(80, dtype=np.float32), 8_000)
        return SpeechSynthesisInput(text="e"), SpeechSynthesisOutput(
            audio=audio.encode_wav(silence), sample_rate_hz=silence.rate_hz
        )

    def _voice(self, asked: str | None) -> dict[str, str]:
        if not self.voices:
            if asked is not None:
                raise InputError("this model has one voice", field="voice", hint="Leave voice out.")
            return {}
        if asked is not None and asked not in self.voices:
            finding = unknown("voice", asked, self.voices, path="voice", default_hint="Leave voice out for the first.")
            raise InputError.of([finding])
        return {SPEAKER: asked or self.voices[0]}

    def _lasts(self, durations: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """int64 [B, L]: at least a frame for each letter, and no more in all than may be."""
        config = self.spectrogram.config
        most = LONGEST_SECONDS * config.rate_hz / config.hop
        total = durations.sum(axis=1, where=mask, keepdims=True)
        fitting = durations * np.minimum(1.0, most / np.maximum(total, 1.0))
        return np.asarray(np.rint(fitting).clip(min=1).astype(np.int64) * mask)

    def _distance(self, difference: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """float [B]: decibels, mean over bands and the real frames of each row."""
        decibels = np.abs(self.spectrogram.decibels(difference.astype(np.float32))).mean(axis=2)
        return np.asarray((decibels * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))
