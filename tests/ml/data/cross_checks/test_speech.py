"""Checks between audio clips and their texts on import."""

from pathlib import Path

from ml.data.cross_checks.speech import FRAMES_PER_SECOND
from ml.encoders.log_mel import HOP_SECONDS, LogMelConfig
from tests.support.ml import samples
from tests.support.ml.dataset_files import codes, count, make_zip, sample, upload

ROWS = 24
#: Clips of 0.2 s to 0.4 s, the first the shortest.
CLIPS = samples.VALUES["audio"](ROWS)


def import_texts(folder: Path, texts: list[str], *, splits: list[str] | None = None):
    splits = splits or ["train"] * ROWS
    lines = [f"{row}.wav,{text},{split}\n" for row, (text, split) in enumerate(zip(texts, splits, strict=True))]
    table = ("file_name,text,split\n" + "".join(lines)).encode()
    clips = [(f"{row}.wav", clip) for row, clip in enumerate(CLIPS)]
    return upload(folder, {"speech.zip": make_zip([("metadata.csv", table), *clips])}, task="speech_recognition")


def test_a_text_too_long_for_its_audio_clip_is_reported(tmp_path):
    report = import_texts(
        tmp_path, ["yes"] * 4 + ["this text has more signs than its audio clip can hold here"] + ["no"] * 19
    )
    assert report.state == "ready", "a voice may learn from it all the same"
    assert count(report, "text_longer_than_audio") == 1
    issue = sample(report, "text_longer_than_audio")
    assert (issue["file"], issue["column"]) == ("speech.zip/4.wav", "text")
    assert issue["found"].startswith("58 characters in 0.")


def test_equal_neighboring_characters_need_a_frame_between_them(tmp_path):
    most = int(0.2 * FRAMES_PER_SECOND)
    report = import_texts(tmp_path, ["a" * most] + ["no"] * 23)
    assert count(report, "text_longer_than_audio") == 1
    assert "text_longer_than_audio" not in codes(import_texts(tmp_path / "2", ["ab" * (most // 2)] + ["no"] * 23))


def test_frames_are_those_of_the_default_recognizer():
    stride = LogMelConfig.model_fields["stride"].default
    assert round(1 / (HOP_SECONDS * stride)) == FRAMES_PER_SECOND


def test_characters_missing_in_train_are_reported_with_row_and_split(tmp_path):
    splits = ["train"] * 20 + ["test"] * 4
    report = import_texts(tmp_path, ["yes", "no"] * 10 + ["yes", "señor", "no", "no"], splits=splits)
    assert count(report, "characters_not_in_training") == 1
    issue = sample(report, "characters_not_in_training")
    assert (issue["file"], issue["found"]) == ("speech.zip/21.wav", "r ñ in test")


def test_numbers_in_digits_are_reported(tmp_path):
    report = import_texts(tmp_path, ["at 12"] + ["no"] * 23)
    assert sample(report, "text_with_digits")["found"] == "12"
    assert "text_with_digits" not in codes(import_texts(tmp_path / "2", ["no"] * 24))


def test_few_texts_of_many_clips_are_reported_as_commands(tmp_path):
    issue = sample(import_texts(tmp_path, ["yes", "no"] * 12), "few_texts")
    assert (issue["found"], "audio_classification" in issue["expected"]) == ("2 texts of 24 clips", True)
    assert "few_texts" not in codes(import_texts(tmp_path / "2", [f"number {'i' * row}" for row in range(24)]))
