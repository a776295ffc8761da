"""Wrong labels that are planted in texts and images, as an import reports them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml.data.cross_checks.wrong_labels import MIN_ROWS
from ml.data.dataset import Dataset
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import parse_operations
from ml.data.flagged_rows import read_flagged_rows
from ml.data.label_quality.confident_learning import explained_fraction, find_label_errors
from ml.data.label_quality.features import audio_features
from ml.tasks import TASKS
from tests.ml.data.similarity.test_image_hash import photo
from tests.support.ml.dataset_files import all_codes, encode_image, make_idx_pair, make_zip, sample, upload
from tests.support.ml.samples import VALUES

TOPICS = {
    "weather": ["rain", "storm", "cloud", "wind", "sunny", "forecast", "snow", "cold", "humid", "fog"],
    "music": ["guitar", "concert", "song", "album", "band", "piano", "chorus", "melody", "drum", "stage"],
    "food": ["pasta", "recipe", "oven", "sauce", "bread", "cheese", "dinner", "spice", "soup", "salad"],
}
FILLERS = ["the", "a", "of", "and", "it", "was", "very", "then", "about", "with", "some", "they"]


def topics(count: int, *, overlap: float = 0.15) -> list[tuple[str, str]]:
    """Texts of three topics; some of the words are those of another topic."""
    generator = np.random.default_rng(0)
    names = list(TOPICS)
    rows = []
    for row in range(count):
        name = names[row % 3]
        words = [
            generator.choice(TOPICS[name if generator.random() > overlap else names[generator.integers(3)]])
            for _ in range(6)
        ]
        rows.append((" ".join(generator.permutation([*words, *generator.choice(FILLERS, 6)])), name))
    return rows


def plant(labels: list[str], fraction: float) -> tuple[list[str], set[int]]:
    """Change a fraction of the labels to the next class; returns also the changed rows."""
    generator = np.random.default_rng(1)
    classes = sorted(set(labels))
    wrong = set(generator.choice(len(labels), round(fraction * len(labels)), replace=False).tolist())
    return [
        classes[(classes.index(label) + 1) % len(classes)] if row in wrong else label
        for row, label in enumerate(labels)
    ], wrong


def import_texts(folder: Path, rows: list[tuple[str, str]]):
    table = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
    return upload(folder, {"topics.csv": table.encode()}, task="text_classification")


def test_planted_errors_of_texts_are_found_and_corrected(tmp_path: Path) -> None:
    rows = topics(600)
    labels, wrong = plant([label for _, label in rows], 0.05)
    report = import_texts(tmp_path, [(text, label) for (text, _), label in zip(rows, labels, strict=True)])
    assert report.state == "ready", "it is a warning"
    flags = read_flagged_rows(tmp_path / "dataset", "label_probably_wrong")
    hits = [flag.row - 1 in wrong for flag in flags]
    assert np.mean(hits[: len(wrong)]) >= 0.8, "precision at the number planted"
    assert sum(hits) >= 0.7 * len(wrong)
    for flag in flags[: len(wrong) // 2]:
        assert (flag.given_label, flag.label) == (labels[flag.row - 1], rows[flag.row - 1][1])
        assert flag.probability > 0.4
    issue = sample(report, "label_probably_wrong")
    assert issue["row"] == flags[0].row
    assert issue["found"].startswith(flags[0].given_label)
    assert issue["expected"].startswith(flags[0].label)

    operations = parse_operations([{"operation": "relabel", "finding": "label_probably_wrong"}])
    derive_dataset(tmp_path / "dataset", tmp_path / "derived", operations, name="x@1", tasks=TASKS)
    truth = dict(rows)
    agreements = []
    for name in ("dataset", "derived"):
        dataset = Dataset.open(tmp_path / name)
        stored = [row for split in ("train", "validation", "test") for row in dataset.rows(split)]
        agreements.append(np.mean([truth[row["text"]] == row["label"] for row in stored]))
    assert agreements[1] > agreements[0]


def test_planted_errors_of_images_are_found(tmp_path: Path) -> None:
    digits = load_digits()
    images = (digits.images * 255 / 16).astype(np.uint8)[..., None]
    labels, wrong = plant([str(label) for label in digits.target], 0.05)
    report = upload(tmp_path, make_idx_pair(images, labels), task="image_classification")
    assert report.state == "ready"
    flags = read_flagged_rows(tmp_path / "dataset", "label_probably_wrong")
    hits = [flag.row - 1 in wrong for flag in flags]
    assert np.mean(hits[: len(wrong)]) >= 0.85
    assert sum(hits) >= 0.7 * len(wrong)


def test_right_labels_give_few_findings(tmp_path: Path) -> None:
    import_texts(tmp_path, topics(600, overlap=0.05))
    assert len(read_flagged_rows(tmp_path / "dataset", "label_probably_wrong")) <= 6


def test_a_model_that_learns_nothing_reports_nothing(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [(text, str(generator.choice(["yes", "no"]))) for text, _ in topics(400)]
    assert "label_probably_wrong" not in all_codes(import_texts(tmp_path, rows))


def test_few_rows_and_tiny_classes_are_not_judged(tmp_path: Path) -> None:
    report = import_texts(tmp_path / "few", topics(MIN_ROWS - 10))
    assert report.state == "ready"
    assert "label_probably_wrong" not in all_codes(report)
    rows = [*topics(300), *[(f"rare text number {number}", "rare") for number in range(6)]]
    assert import_texts(tmp_path / "rare", rows).state == "ready"


def test_clips_have_features_whatever_their_duration() -> None:
    clips = VALUES["audio"](12)
    features = audio_features(clips)
    assert features.shape == (12, 768)
    assert np.isfinite(features).all()


def test_a_class_is_suggested_only_with_confidence() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9]])
    labels = np.array([0, 0, 1, 1, 1, 0])
    errors = find_label_errors(probabilities, labels)
    assert errors.rows.tolist() == [5, 2]
    assert errors.suggested.tolist() == [1, 0]
    assert errors.probability.tolist() == [0.9, 0.7]


@pytest.mark.parametrize(("labels", "expected"), [([0, 0, 1, 1], 1.0), ([0, 0, 0, 1], 0.0), ([0, 0, 0, 0], 0.0)])
def test_the_explained_fraction_compares_with_the_largest_class(labels: list[int], expected: float) -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    assert explained_fraction(probabilities, np.array(labels)) == pytest.approx(expected)


def test_planted_errors_in_image_files_are_found(tmp_path: Path) -> None:
    labels, wrong = plant(["warm" if row % 2 else "cold" for row in range(160)], 0.05)
    generator = np.random.default_rng(2)
    members = []
    for row, label in enumerate(labels):
        pixels = np.asarray(photo(row, side=40)).astype(int) // 2
        pixels[:, :, 0 if row % 2 else 2] += generator.integers(60, 120)
        image = encode_image(pixels.clip(0, 255).astype(np.uint8), format="JPEG", quality=90)
        members.append((f"{label}/{row}.jpg", image))
    upload(tmp_path, {"images.zip": make_zip(members)}, task="image_classification")
    flags = read_flagged_rows(tmp_path / "dataset", "label_probably_wrong")
    files = {int(flag.file.rpartition("/")[2].split(".")[0]) for flag in flags[: len(wrong)]}
    assert len(files & wrong) >= 0.8 * len(wrong)
