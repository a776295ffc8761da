import base64
import io
import tracemalloc
import wave
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import DatasetSummary
from ml.data.files.audio import decode
from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.errors import InputError
from ml.tasks.speech_synthesis import SpeechSynthesis, SpeechSynthesisConfig
from tests.support.ml import samples

CLIPS = [decode(clip) for clip in samples.VALUES["audio"](4)]
ROWS = Rows({"text": ["ab", "ba", "abba", "a"], "audio": CLIPS, "speaker": ["eva", "tom", "eva", "eva"]})
SUMMARY = DatasetSummary(format="jsonl", columns={"text": "text", "audio": "audio"}, splits={"train": 4})


def task(rows: Rows = ROWS, **config: Any) -> SpeechSynthesis:
    options = SpeechSynthesisConfig(**config)
    encoders = {
        "text": ENCODERS["characters"].learn(rows.columns["text"], {}),
        "audio": ENCODERS["mel_spectrogram"].learn(CLIPS, {}),
    }
    return SpeechSynthesis(options, encoders, SpeechSynthesis.learn(options, SUMMARY, rows))


def run_of(duration: float) -> Any:
    """Return a network whose characters have this duration, and their code as frames."""

    def run(graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "durations":
            text = arrays["text"]
            return {"durations": np.full(text.shape, duration), "sequence": text[:, :, None].astype(np.float32)}
        frames = np.take_along_axis(arrays["sequence"][:, :, 0], arrays["letter"], axis=1)
        return {"mel": np.repeat(frames[:, :, None], 32, axis=2)}

    return run


def collate(subject: SpeechSynthesis, *inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    rows = [subject.read(raw_input, parameters={}) for raw_input in inputs]
    return subject.collate(subject.encode(Rows({name: [row[name] for row in rows] for name in rows[0]})))


def test_every_character_has_its_duration_whatever_else_is_in_the_batch() -> None:
    subject = task()
    arrays = subject.predict(run_of(3.0), collate(subject, {"text": "ab"}, {"text": "abba", "speed": 1.5}))

    assert arrays["frames"].tolist() == [6, 8]
    assert arrays["mel"][0, :6, 0].tolist() == [2, 2, 2, 3, 3, 3]
    assert arrays["mel"][1, :8, 0].tolist() == [2, 2, 3, 3, 3, 3, 2, 2]


def test_every_character_has_a_frame_and_the_output_has_a_maximum_duration() -> None:
    subject = task()
    assert subject.predict(run_of(0.01), collate(subject, {"text": "ab"}))["frames"].tolist() == [2]
    frames = subject.predict(run_of(1e5), collate(subject, {"text": "ab"}))["frames"][0]
    assert (
        frames * subject.spectrogram_encoder.config.hop / subject.spectrogram_encoder.config.rate_hz
        == pytest.approx(60, abs=0.1)
    )


def test_memory_grows_with_frames_and_not_with_characters_times_frames() -> None:
    subject = task()
    rows, characters, max_frames = 64, 2_000, 5_000
    batch = {"text": np.full((rows, characters), 2), "text_mask": np.ones((rows, characters), dtype=bool)}
    tracemalloc.start()
    try:
        frames = subject.predict(run_of(max_frames / characters), batch)["frames"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frames.max() >= characters
    # Allows for the 32 bands of this network; one byte per character and frame would be ten times as much.
    assert peak < 8 * 2 * rows * int(frames.max()) * 34


def test_the_output_is_a_16_bit_wav_at_its_sample_rate() -> None:
    subject = task()
    (output,) = subject.decode(subject.predict(run_of(20.0), collate(subject, {"text": "ab"})))

    with wave.open(io.BytesIO(base64.b64decode(output["audio"]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 4_000)
        waveform = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32_767
    assert output["sample_rate_hz"] == 4_000
    assert np.abs(waveform).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    assert len(waveform) == 40 * subject.spectrogram_encoder.config.hop


def test_an_error_gives_characters_outside_the_alphabet_with_their_position() -> None:
    with pytest.raises(InputError, match=r"'x' \(position 2\)") as error:
        task().read({"text": "axb"}, parameters={})
    assert "ab" in (error.value.hint or "")


def test_voices_are_those_of_the_data_the_most_frequent_first() -> None:
    subject = task()
    assert subject.voices == ["eva", "tom"]
    assert subject.head_config()["voices"] == 2
    assert collate(subject, {"text": "a"}, {"text": "a", "voice": "tom"})["voice"].tolist() == [0, 1]
    with pytest.raises(InputError, match="known: eva, tom"):
        subject.read({"text": "a", "voice": "bob"}, parameters={})


def test_without_speakers_there_is_one_voice() -> None:
    rows = Rows({name: column for name, column in ROWS.columns.items() if name != "speaker"})
    assert task(rows).voices == task(voices=False).voices == []
    with pytest.raises(InputError, match="one voice"):
        task(rows).read({"text": "a", "voice": "eva"}, parameters={})


def test_the_distance_is_in_decibels_and_compared_with_that_of_the_mean_frame() -> None:
    subject = task()
    batch = subject.collate(subject.encode(ROWS))
    arrays = subject.predict(run_of(4.0), {name: array for name, array in batch.items() if "audio" not in name})

    exact = subject.collect({"aligned": batch["audio"]}, batch, lambda: arrays)
    mean = subject.collect({"aligned": 0 * batch["audio"]}, batch, lambda: arrays)
    columns = subject.encode(ROWS)

    evaluation = subject.evaluate(dict(mean), columns, train=columns)
    assert (exact["distance"] == 0).all()
    assert evaluation.metrics["mel_distance"] == pytest.approx(evaluation.baseline["mel_distance"], rel=1e-3)
    assert 1 < evaluation.baseline["mel_distance"] < 40


def test_predictions_without_aligned_frames_cannot_be_collected() -> None:
    subject = task()
    batch = subject.collate(subject.encode(ROWS))
    arrays = subject.predict(run_of(4.0), batch)

    # Predicted frames differ in number from those of the audio, so graphs cannot be compared by them.
    with pytest.raises(KeyError, match="aligned"):
        subject.collect(arrays, batch, lambda: arrays)
