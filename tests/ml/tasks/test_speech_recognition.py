from typing import Any

import numpy as np
import pytest

from ml.data.files.audio import decode
from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.errors import DataError, InputError
from ml.tasks.speech_recognition import SpeechRecognition, SpeechRecognitionConfig
from tests.support.ml import samples

SOUNDS = [decode(each) for each in samples.VALUES["audio"](4)]


def task(*texts: str, **config: Any) -> SpeechRecognition:
    encoders = {
        "audio": ENCODERS["log_mel"].learn(SOUNDS, {}),
        "text": ENCODERS["characters"].learn(texts or ("abc",), {}),
    }
    return SpeechRecognition(SpeechRecognitionConfig(**config), encoders, {})


def likely(path: str, letters: str = "abc", frames: int = 8) -> np.ndarray:
    """Logits of a path; `-` is the blank."""
    logits = np.zeros((frames, len(letters) + 2), dtype=np.float32)
    for frame, letter in enumerate(path):
        logits[frame, 0 if letter == "-" else letters.index(letter) + 2] = 5
    return logits


def answers(paths: list[str], lengths: list[int]) -> list[str]:
    arrays = {
        "logits": np.stack([likely(path) for path in paths]),
        "audio_mask": np.arange(8) < np.array(lengths)[:, None],
    }
    return [each["text"] for each in task().decode(arrays)]


def test_repetitions_and_blanks_are_taken_out_and_twins_need_a_blank() -> None:
    assert answers(["aab-bcc-", "--------", "-a------"], [8, 8, 8]) == ["abbc", "", "a"]


def test_what_is_said_about_padding_is_no_part_of_the_answer() -> None:
    assert answers(["ab-ccccc"], [3]) == ["ab"]


def test_error_rates_stand_beside_those_of_the_commonest_text() -> None:
    subject = task("abc", "a b")
    columns = subject.encode(Rows({"audio": SOUNDS, "text": ["abc", "abc", "abc", "a b"]}))
    said = np.array([[3, 4, 5], [3, 4, 0], [3, 4, 5], [3, 2, 5]])

    found = subject.evaluate({"said": said}, columns, train=columns)

    assert found.metrics == {
        "word_error_rate": pytest.approx(2 / 5),
        "character_error_rate": pytest.approx(2 / 12),
        "exact": 0.5,
    }
    assert found.baseline["word_error_rate"] == pytest.approx(2 / 5)
    assert found.extra["worst"][0] == {"row": 2, "expected": "abc", "found": "ab"}


def test_letters_that_training_did_not_have_are_told_and_count_as_wrong() -> None:
    subject = task("ab")
    columns = subject.encode(Rows({"audio": SOUNDS[:2], "text": ["ab", "axb"]}))

    found = subject.evaluate({"said": np.array([[2, 3, 0], [2, 3, 0]])}, columns, train=None)

    assert found.metrics["exact"] == 0.5
    assert found.extra["outside_alphabet"] == {"rows": 1, "sample": [{"row": 2, "letter": 2, "count": 1}]}


def test_texts_longer_than_their_frames_are_told_with_both_numbers() -> None:
    subject = task("ab" * 40)
    texts = ["ab", "ab" * 40, "a" * 11, "b"]
    columns = subject.encode(Rows({"audio": SOUNDS, "text": texts}))

    assert list(subject.letters.pop_losses()) == [
        "not learned from, as they have more letters than their recordings have frames"
    ]
    crowded = subject.evaluate({"said": np.zeros((4, 1))}, columns, train=None).extra["more_letters_than_frames"]
    assert [each["row"] for each in crowded["sample"]] == [2, 3]
    assert crowded["sample"][1]["expected"].startswith("at least 21")  # eleven twins and ten blanks between them


def test_where_no_text_fits_its_recording_there_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="more letters than its recording has frames"):
        task("ab").encode(Rows({"audio": SOUNDS[:1], "text": ["ab" * 40]}))


def test_light_augmentation_hides_a_little_and_touches_neither_text_nor_original() -> None:
    subject = task(augmentation="light")
    columns = subject.encode(Rows({"audio": SOUNDS, "text": ["abc"] * 4}))
    before = [each.copy() for each in columns["audio"]]

    changed = subject.augment(columns, np.random.default_rng(1))

    assert all(np.array_equal(one, other) for one, other in zip(columns["audio"], before, strict=True))
    hidden = [float((one != other).mean()) for one, other in zip(changed["audio"], before, strict=True)]
    assert 0 < max(hidden) < 0.4
    assert changed["text"] is columns["text"]


def test_a_body_that_is_no_recording_is_refused_with_what_can_be_sent() -> None:
    with pytest.raises(InputError, match="not an audio file") as caught:
        task().read(b"hello", parameters={})
    assert "WAV" in (caught.value.hint or "")
