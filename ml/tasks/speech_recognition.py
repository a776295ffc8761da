"""What was said in a recording.

B batch, T frames, C letters known, the blank among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.data.files import audio
from ml.encoders.characters import PADDING, UNKNOWN, CharactersEncoder
from ml.errors import DataError
from ml.metrics import error_rate
from ml.schedule import Schedule
from ml.signals import Arrays, Feature, Signal, Slot
from ml.tasks.base import MODEL, Answer, Task
from ml.wire import AudioInput, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.encoders.log_mel import LogMelEncoder
    from ml.metrics.base import Evaluation, Metric

BLANK: Final = PADDING
"""What CTC says where no letter begins."""
SHOWN: Final = 20
BANDS_HIDDEN: Final = 0.2
TIME_HIDDEN: Final = 0.1
"""Largest share of the bands, and of the time: at most about a phoneme, or the text would not be there to be heard."""


class SpeechRecognitionConfig(Config):
    """What the network goes without while training."""

    dropout: float = Field(0.1, ge=0, lt=1)
    augmentation: Literal["off", "light"] = "off"
    """Light: a few bands, and a short while, of each training recording are silenced."""


class SpeechRecognitionOutput(Wire):
    """What was heard; empty where nothing was."""

    text: str


class SpeechRecognition(Task):
    """A text for a recording, letter by letter (CTC), so that any word can be spelled, known or not."""

    name = "speech_recognition"
    summary = "Write down what is said in a recording"
    slots: ClassVar[Mapping[str, Slot]] = {
        "audio": Slot(reads=frozenset({Signal.FRAMES}), needs=frozenset({Feature.SEQUENCE}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio", "text": "text"}
    reads: ClassVar[Mapping[str, str]] = {"audio": "audio", "text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"audio": "log_mel", "text": "characters"}
    head = "ctc"
    config_type = SpeechRecognitionConfig
    input_type = AudioInput
    output_type = SpeechRecognitionOutput
    metrics: ClassVar[Mapping[str, Metric]] = error_rate.METRICS
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: ("audio", "audio_mask")}
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"logits": (1,)}
    recipe = Schedule(epochs=20, batch_size=32, learning_rate=5e-3)

    @property
    def letters(self) -> CharactersEncoder:
        """The alphabet."""
        encoder: CharactersEncoder = self.slot_encoders["text"]  # type: ignore[assignment]  # as `encoders` says
        return encoder

    @classmethod
    def learn(cls, config: SpeechRecognitionConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Nothing: the alphabet travels with its encoder."""
        return {}

    def head_config(self) -> dict[str, Any]:
        """How many letters, and the dropout."""
        return {"letters": self.letters.shape()["vocabulary"], "dropout": self.config.dropout}

    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """The recording, decoded."""
        return {"audio": self.input_type.value_of(given, parameters=parameters)}

    @classmethod
    def show(cls, row: Row) -> tuple[AudioInput, str | None]:
        """A WAV, and the text."""
        return AudioInput(audio=audio.encode_wav(row["audio"])), row.get("text")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Frames, and where there are texts their letters; raises `DataError` where no row can be learned from."""
        names = [name for name, column in self.reads.items() if column in rows.columns]
        columns = {name: self.slot_encoders[name].encode(rows.columns[self.reads[name]]) for name in names}
        if "text" in columns and len(columns["text"]):
            crowded = len(self._crowded(columns))
            if crowded == len(columns["text"]):
                message = "every text has more letters than its recording has frames, so none can be learned from"
                raise DataError(message, hint="Are texts and recordings those of one another, and recordings whole?")
            self.letters.count_loss(
                "not learned from, as they have more letters than their recordings have frames", crowded
            )
        return columns

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """SpecAugment (Park et al. 2019, arXiv:1904.08779) without its warping: what is hidden must be guessed."""
        if self.config.augmentation == "off":
            return columns
        return {**columns, "audio": [_masked(frames, generator) for frames in columns["audio"]]}

    def decode(self, arrays: Arrays) -> list[Answer]:
        """From `logits` float [B, T, C] and `audio_mask`; what was said about padding is no part of the answer."""
        return [SpeechRecognitionOutput(text=self.letters.decode(each)).to_json() for each in _spelled(arrays)]

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """`said`: int [B, L], the letters heard, 0 behind them."""
        said = _spelled({**batch, **outputs})
        padded = np.zeros((len(said), max(len(each) for each in said)), dtype=np.int32)
        for row, each in enumerate(said):
            padded[row, : len(each)] = each
        return {"said": padded}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Error rates; the baseline is the commonest text of training. Beside them: rows that could not be right."""
        spell = self.letters.decode
        wanted = [spell(each) for each in columns["text"]]
        known = [spell(each) for each in train["text"]] if train is not None else None
        found = error_rate.evaluate([spell(each) for each in outputs["said"]], wanted, train=known)
        found.extra["outside_alphabet"] = self._outside(columns)
        found.extra["more_letters_than_frames"] = self._report_crowded(columns)
        if train is not None:
            found.extra["left_out_of_training"] = self._report_crowded(train)
        return found

    @classmethod
    def example(cls) -> tuple[AudioInput, SpeechRecognitionOutput]:
        """A tone, and a word; what a tone says to a model, only the model knows."""
        return AudioInput.make_example(), SpeechRecognitionOutput(text="seven")

    def _outside(self, columns: dict[str, Column]) -> dict[str, Any]:
        """Rows with letters that training did not have; they count as wrong, since nothing can spell them."""
        places = {row: np.flatnonzero(each == UNKNOWN) for row, each in enumerate(columns["text"])}
        rows = [row for row, found in places.items() if len(found)]
        sample = [{"row": row + 1, "letter": int(places[row][0]) + 1, "count": len(places[row])} for row in rows]
        return {"rows": len(rows), "sample": sample[:SHOWN]}

    def _report_crowded(self, columns: dict[str, Column]) -> dict[str, Any]:
        crowded = self._crowded(columns)
        sample = [
            {"row": row + 1, "found": f"{frames} frames", "expected": f"at least {needed}, for so many letters"}
            for row, (frames, needed) in list(crowded.items())[:SHOWN]
        ]
        return {"rows": len(crowded), "sample": sample}

    def _crowded(self, columns: dict[str, Column]) -> dict[int, tuple[int, int]]:
        """Rows with fewer frames than letters and blanks between equal ones: frames there are, frames needed."""
        frames: LogMelEncoder = self.slot_encoders["audio"]  # type: ignore[assignment]  # as `encoders` says
        crowded = {}
        for row, (heard, said) in enumerate(zip(columns["audio"], columns["text"], strict=True)):
            needed = len(said) + int((said[1:] == said[:-1]).sum())
            if frames.length(len(heard)) < needed:
                crowded[row] = (frames.length(len(heard)), needed)
        return crowded


def _masked(frames_TF: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A copy with one stretch of bands and one of time at their mean, which normalisation has made nought."""
    masked = frames_TF.copy()
    for axis, share in ((1, BANDS_HIDDEN), (0, TIME_HIDDEN)):
        length = masked.shape[axis]
        width = int(generator.integers(0, int(share * length) + 1))
        start = int(generator.integers(0, length - width + 1))
        np.moveaxis(masked, axis, 0)[start : start + width] = 0
    return masked


def _spelled(arrays: Arrays) -> list[np.ndarray]:
    """The likeliest letter of each real frame, without repetitions and then blanks (Graves et al. 2006, section 3)."""
    likeliest, lengths = arrays["logits"].argmax(axis=2), arrays["audio_mask"].sum(axis=1)
    return [_collapsed(row[:length]) for row, length in zip(likeliest, lengths, strict=True)]


def _collapsed(letters: np.ndarray) -> np.ndarray:
    changed = np.concatenate([letters[:1] != BLANK, letters[1:] != letters[:-1]])
    return np.asarray(letters[changed & (letters != BLANK)])
