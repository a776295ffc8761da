"""Single facts that give the label away: columns, features, and properties of files."""

import numpy as np
import pytest

from ml.audio.waveform import Audio
from ml.data.cross_checks.single_fact import predict_by
from ml.data.files.audio import encode_wav
from tests.ml.data.similarity.test_minhash import sentences
from tests.support.ml.dataset_files import all_codes, encode_image, make_images, make_zip, sample, upload

ROWS = 90


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda row: row, True),  # rows sorted by class, and numbered
        (lambda row: row // 30 * 7, True),
        (lambda row: row * 37 % 90, False),
        (lambda row: 1, False),
        (lambda row: row // 30 if row % 10 else 9, False),  # 10 % of the rows have a value of their own
        (lambda row: float("nan"), False),
    ],
)
def test_a_fact_predicts_the_label_if_its_ranges_are_those_of_classes(values, expected):
    codes = np.repeat([0, 1, 2], 30).astype(np.int32)
    assert (predict_by(np.array([values(row) for row in range(90)], dtype=float), codes) > 0.96) == expected


def test_random_labels_are_predicted_by_nothing():
    generator = np.random.default_rng(0)
    for rows in (40, 400, 40_000):
        codes = generator.integers(0, 2, rows).astype(np.int32)
        assert predict_by(generator.random(rows), codes) < 0.8


def make_wav(*, seconds, rate_hz, seed):
    noise = np.random.default_rng(seed).normal(size=int(seconds * rate_hz))
    return encode_wav(Audio((noise * 0.1).astype(np.float32), rate_hz))


def import_texts(folder, *, shift):
    """Import texts with an id and a color, by class if `shift` is 1."""
    rows = []
    for row, text in enumerate(sentences(ROWS)):
        label = row % 3
        rows.append(f"{label * 1000 * shift + row},{('red', 'green', 'blue')[label * shift]},{text},{'abc'[label]}")
    data = "\n".join(["id,color,text,label", *rows, ""]).encode()
    return upload(folder, {"a.csv": data}, task="text_classification")


def test_columns_that_are_not_read_and_predict_the_label_are_notes(tmp_path):
    report = import_texts(tmp_path / "leak", shift=1)
    [entry] = [entry for entry in report.errors if entry.code == "column_predicts_label"]
    assert (report.state, entry.severity, entry.count) == ("ready", "note", 2)
    assert {item["found"].split()[0] for item in entry.sample} == {"id", "color"}
    assert "column_predicts_label" not in all_codes(import_texts(tmp_path / "none", shift=0))


def test_a_feature_that_predicts_the_label_is_a_warning(tmp_path):
    rows = [f"{row * 7 % 90},{row * 11 % 90}.5,{row % 3},{'abc'[row % 3]}" for row in range(ROWS)]
    report = upload(tmp_path, {"a.csv": "\n".join(["height,width,code,label", *rows, ""]).encode()})
    assert (report.state, report.guess.task) == ("ready", "tabular_classification")
    assert sample(report, "feature_predicts_label")["found"].startswith("code alone predicts 100%")


@pytest.mark.parametrize("fact", ["format", "width", None])
def test_images_whose_files_tell_the_classes_apart_are_a_warning(tmp_path, fact):
    members = []
    for row in range(48):
        label = row % 2
        image = make_images(1, side=8 + 4 * label if fact == "width" else 8, seed=row)[0]
        data = encode_image(image, format="BMP" if fact == "format" and label else "PNG")
        members.append((f"{'ab'[label]}/{row}.png", data))
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="image_classification")
    facts = [item["found"] for entry in report.errors if entry.code == "label_leaked_by_files" for item in entry.sample]
    assert report.state == "ready"
    assert any(fact in text for text in facts) if fact else not facts


@pytest.mark.parametrize("fact", ["duration", "sample rate", None])
def test_sounds_whose_files_tell_the_classes_apart_are_a_warning(tmp_path, fact):
    members = []
    for row in range(48):
        label = row % 2
        seconds = 0.3 if fact == "duration" and label else 0.2
        rate_hz = 8_000 if fact == "sample rate" and label else 16_000
        members.append((f"{'ab'[label]}/{row}.wav", make_wav(seconds=seconds, rate_hz=rate_hz, seed=row)))
    report = upload(tmp_path, {"a.zip": make_zip(members)}, task="audio_classification")
    facts = [item["found"] for entry in report.errors if entry.code == "label_leaked_by_files" for item in entry.sample]
    assert report.state == "ready"
    assert any(fact in text for text in facts) if fact else not facts
