"""Texts that give the label away, as an import reports them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.ml.data.similarity.test_minhash import sentences
from tests.support.ml.dataset_files import all_codes, sample, upload

NAMES = ("sport", "music", "food")


def import_table(folder: Path, lines: list[str], **options: object):
    table = "\n".join(["text,kind,label", *lines, ""]).encode()
    return upload(folder, {"topics.csv": table}, task="text_classification", **options)


def test_a_column_of_few_values_with_one_label_each_is_reported(tmp_path: Path) -> None:
    lines = [f"{text},kind number {row % 6},{NAMES[row % 3]}" for row, text in enumerate(sentences(90))]
    report = import_table(tmp_path / "kind", lines, columns={"text": "kind", "label": "label"})
    assert sample(report, "label_leaked_by_column")["found"].startswith("kind: 6 different values in 90 rows")
    assert "label_leaked_by_column" not in all_codes(import_table(tmp_path / "text", lines))


def test_a_joined_column_that_states_the_label_is_reported(tmp_path: Path) -> None:
    lines = [f"{text},about {NAMES[row % 3]},{NAMES[row % 3]}" for row, text in enumerate(sentences(90))]
    report = import_table(tmp_path, lines, columns={"text": "text + kind", "label": "label"})
    assert "a word for each class, as 'food' in food" in sample(report, "label_leaked_by_column")["found"]
    assert report.state != "rejected" or "label_leaked_by_column" in all_codes(report)


def test_words_that_some_rows_lack_or_share_are_no_leak(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = [
        f"{text} {NAMES[row % 3 if generator.random() < 0.9 else (row + 1) % 3]},x,{NAMES[row % 3]}"
        for row, text in enumerate(sentences(150))
    ]
    assert "label_leaked_by_column" not in all_codes(import_table(tmp_path, lines))
