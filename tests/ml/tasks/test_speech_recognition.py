from typing import Any

import numpy as np
import pytest

from ml.data.files.audio import decode
from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.errors import DataError, InputError
from ml.preprocessing.audio_augmentation import FEW_ROWS
from ml.tasks.speech_recognition import SpeechRecognition, SpeechRecognitionConfig
from tests.support.ml import samples

CLIPS = [decode(clip) for clip in samples.VALUES["audio"](4)]


def task(*texts: str, **config: Any) -> SpeechRecognition:
    encoders = {
        "audio": ENCODERS["log_mel"].learn(CLIPS, {}),
        "text": ENCODERS["characters"].learn(texts or ("abc",), {}),
    }
    state = {"augmentation": config.get("augmentation", "off")}
    return SpeechRecognition(SpeechRecognitionConfig(**config), encoders, state)


def logits_of(path: str, alphabet: str = "abc", frames: int = 8) -> np.ndarray:
    """Return logits of a path; `-` is the blank."""
    logits = np.zeros((frames, len(alphabet) + 2), dtype=np.float32)
    for frame, character in enumerate(path):
        logits[frame, 0 if character == "-" else alphabet.index(character) + 2] = 5
    return logits


def transcribe(paths: list[str], lengths: list[int]) -> list[str]:
    arrays = {
        "logits": np.stack([logits_of(path) for path in paths]),
        "audio_mask": np.arange(8) < np.array(lengths)[:, None],
    }
    return [output["text"] for output in task().decode(arrays)]


def test_repetitions_and_blanks_are_removed_and_double_characters_need_a_blank() -> None:
    assert transcribe(["aab-bcc-", "--------", "-a------"], [8, 8, 8]) == ["abbc", "", "a"]


def test_padding_is_ignored() -> None:
    assert transcribe(["ab-ccccc"], [3]) == ["ab"]


def test_error_rates_are_reported_with_those_of_the_most_common_text() -> None:
    subject = task("abc", "a b")
    columns = subject.encode(Rows({"audio": CLIPS, "text": ["abc", "abc", "abc", "a b"]}))
    characters = np.array([[3, 4, 5], [3, 4, 0], [3, 4, 5], [3, 2, 5]])

    evaluation = subject.evaluate({"characters": characters}, columns, train=columns)

    assert evaluation.metrics == {
        "word_error_rate": pytest.approx(2 / 5),
        "character_error_rate": pytest.approx(2 / 12),
        "exact": 0.5,
    }
    assert evaluation.baseline["word_error_rate"] == pytest.approx(2 / 5)
    assert evaluation.extra["worst"][0] == {"row": 2, "expected": "abc", "found": "ab"}


def test_characters_outside_the_alphabet_are_reported_and_count_as_errors() -> None:
    subject = task("ab")
    columns = subject.encode(Rows({"audio": CLIPS[:2], "text": ["ab", "axb"]}))

    evaluation = subject.evaluate({"characters": np.array([[2, 3, 0], [2, 3, 0]])}, columns, train=None)

    assert evaluation.metrics["exact"] == 0.5
    assert evaluation.extra["outside_alphabet"] == {"rows": 1, "sample": [{"row": 2, "character": 2, "count": 1}]}


def test_texts_longer_than_their_frames_are_reported_with_both_numbers() -> None:
    subject = task("ab" * 40)
    texts = ["ab", "ab" * 40, "a" * 11, "b"]
    columns = subject.encode(Rows({"audio": CLIPS, "text": texts}))

    assert list(subject.text_encoder.pop_losses()) == [
        "ignored, as they have more characters than their audio has frames"
    ]
    too_long = subject.evaluate({"characters": np.zeros((4, 1))}, columns, train=None).extra[
        "more_characters_than_frames"
    ]
    assert [row["row"] for row in too_long["sample"]] == [2, 3]
    assert too_long["sample"][1]["expected"].startswith(
        "at least 21"
    )  # eleven equal characters, and ten blanks between them


def test_an_error_says_that_no_text_fits_its_audio() -> None:
    with pytest.raises(DataError, match="more characters than its audio clip has frames"):
        subject = task("ab")
        subject.check_encoded(subject.encode(Rows({"audio": CLIPS[:1], "text": ["ab" * 40]})))


def test_one_text_that_does_not_fit_is_no_error_in_a_block_of_its_own() -> None:
    subject = task("ab")
    blocks = [subject.encode(Rows({"audio": CLIPS[:1], "text": [text]})) for text in ("ab", "ab" * 40)]
    subject.check_encoded({name: [*blocks[0][name], *blocks[1][name]] for name in blocks[0]})


def test_light_augmentation_masks_a_copy_and_leaves_the_text() -> None:
    subject = task(augmentation="light")
    columns = subject.encode(Rows({"audio": CLIPS, "text": ["abc"] * 4}))
    before = [clip.copy() for clip in columns["audio"]]

    augmented = subject.augment(columns, np.random.default_rng(1))

    assert all(np.array_equal(clip, copy) for clip, copy in zip(columns["audio"], before, strict=True))
    hidden = [float((clip != copy).mean()) for clip, copy in zip(augmented["audio"], before, strict=True)]
    assert 0 < max(hidden) < 0.4
    assert augmented["text"] is columns["text"]


@pytest.mark.parametrize(("clips", "are_few"), [(FEW_ROWS - 1, True), (FEW_ROWS, False)])
def test_only_few_clips_are_varied_and_normalized_each(clips: int, are_few: bool) -> None:
    summary = samples.dataset(SpeechRecognition.columns).summary.model_copy(update={"splits": {"train": clips}})
    rows = Rows({"text": ["yes"] * clips})

    assert SpeechRecognition.encoder_options(summary) == {"audio": {"normalize_clips": are_few}}
    state = SpeechRecognition.learn(SpeechRecognitionConfig(), summary, rows)
    assert state == {"augmentation": "strong" if are_few else "off"}


def test_a_body_that_is_not_audio_raises_an_error_with_the_accepted_formats() -> None:
    with pytest.raises(InputError, match="not an audio file") as error:
        task().read(b"hello", parameters={})
    assert "WAV" in (error.value.hint or "")
