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

SOUNDS = [decode(each) for each in samples.VALUES["audio"](4)]
ROWS = Rows({"text": ["ab", "ba", "abba", "a"], "audio": SOUNDS, "speaker": ["eva", "tom", "eva", "eva"]})
SUMMARY = DatasetSummary(format="jsonl", columns={"text": "text", "audio": "audio"}, splits={"train": 4})


def task(rows: Rows = ROWS, **config: Any) -> SpeechSynthesis:
    settled = SpeechSynthesisConfig(**config)
    encoders = {
        "text": ENCODERS["characters"].learn(rows.columns["text"], {}),
        "audio": ENCODERS["mel_spectrogram"].learn(SOUNDS, {}),
    }
    return SpeechSynthesis(settled, encoders, SpeechSynthesis.learn(settled, SUMMARY, rows))


def run_of(lasts: float) -> Any:
    """A network whose every letter lasts so many frames and is heard as its number."""

    def run(graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "durations":
            text = arrays["text"]
            return {"durations": np.full(text.shape, lasts), "sequence": text[:, :, None].astype(np.float32)}
        heard = np.take_along_axis(arrays["sequence"][:, :, 0], arrays["letter"], axis=1)
        return {"mel": np.repeat(heard[:, :, None], 32, axis=2)}

    return run


def asked(subject: SpeechSynthesis, *given: dict[str, Any]) -> dict[str, np.ndarray]:
    rows = [subject.read(each, parameters={}) for each in given]
    return subject.collate(subject.encode(Rows({name: [row[name] for row in rows] for name in rows[0]})))


def test_each_letter_is_heard_for_as_long_as_it_lasts_whatever_stands_beside_it() -> None:
    subject = task()
    answer = subject.answer(run_of(3.0), asked(subject, {"text": "ab"}, {"text": "abba", "speed": 1.5}))

    assert answer["frames"].tolist() == [6, 8]
    assert answer["mel"][0, :6, 0].tolist() == [2, 2, 2, 3, 3, 3]
    assert answer["mel"][1, :8, 0].tolist() == [2, 2, 3, 3, 3, 3, 2, 2]


def test_no_letter_is_passed_over_and_no_answer_lasts_forever() -> None:
    subject = task()
    assert subject.answer(run_of(0.01), asked(subject, {"text": "ab"}))["frames"].tolist() == [2]
    frames = subject.answer(run_of(1e5), asked(subject, {"text": "ab"}))["frames"][0]
    assert frames * subject.spectrogram.config.hop / subject.spectrogram.config.rate_hz == pytest.approx(60, abs=0.1)


def test_many_long_texts_take_memory_by_their_frames_and_not_by_letters_times_frames() -> None:
    subject = task()
    rows, letters, longest = 64, 2_000, 5_000
    batch = {"text": np.full((rows, letters), 2), "text_mask": np.ones((rows, letters), dtype=bool)}
    tracemalloc.start()
    try:
        frames = subject.answer(run_of(longest / letters), batch)["frames"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frames.max() >= letters
    # Of the 32 bands that this network gives; one byte for each letter and frame would be ten times as much.
    assert peak < 8 * 2 * rows * int(frames.max()) * 34


def test_the_answer_is_a_wav_of_sixteen_bits_at_the_rate_it_says() -> None:
    subject = task()
    (answer,) = subject.decode(subject.answer(run_of(20.0), asked(subject, {"text": "ab"})))

    with wave.open(io.BytesIO(base64.b64decode(answer["audio"]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 4_000)
        samples_ = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32_767
    assert answer["sample_rate_hz"] == 4_000
    assert np.abs(samples_).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    assert len(samples_) == 40 * subject.spectrogram.config.hop


def test_letters_nobody_said_are_refused_with_their_place() -> None:
    with pytest.raises(InputError, match=r"'x' \(letter 2\)") as caught:
        task().read({"text": "axb"}, parameters={})
    assert "ab" in (caught.value.hint or "")


def test_voices_are_those_of_the_data_the_commonest_first() -> None:
    subject = task()
    assert subject.voices == ["eva", "tom"]
    assert subject.head_config()["voices"] == 2
    assert asked(subject, {"text": "a"}, {"text": "a", "voice": "tom"})["voice"].tolist() == [0, 1]
    with pytest.raises(InputError, match="known: eva, tom"):
        subject.read({"text": "a", "voice": "bob"}, parameters={})


def test_without_speakers_there_is_one_voice() -> None:
    rows = Rows({name: column for name, column in ROWS.columns.items() if name != "speaker"})
    assert task(rows).voices == task(voices=False).voices == []
    with pytest.raises(InputError, match="one voice"):
        task(rows).read({"text": "a", "voice": "eva"}, parameters={})


def test_the_distance_is_in_decibels_and_stands_beside_that_of_the_mean_frame() -> None:
    subject = task()
    batch = subject.collate(subject.encode(ROWS))
    answer = subject.answer(run_of(4.0), {name: each for name, each in batch.items() if "audio" not in name})

    exact = subject.collect({"aligned": batch["audio"]}, batch, lambda: answer)
    mean = subject.collect({"aligned": 0 * batch["audio"]}, batch, lambda: answer)
    columns = subject.encode(ROWS)

    found = subject.evaluate(dict(mean), columns, train=columns)
    assert (exact["distance"] == 0).all()
    assert found.metrics["mel_distance"] == pytest.approx(found.baseline["mel_distance"], rel=1e-3)
    assert 1 < found.baseline["mel_distance"] < 40


def test_answers_of_another_length_than_the_recordings_are_no_frames_to_compare() -> None:
    subject = task()
    batch = subject.collate(subject.encode(ROWS))
    answer = subject.answer(run_of(4.0), batch)

    # How those who compare graphs are told that there is nothing to compare.
    with pytest.raises(KeyError, match="aligned"):
        subject.collect(answer, batch, lambda: answer)
