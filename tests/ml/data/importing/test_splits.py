"""Rows that belong together stay in one split; shared prompts are spread."""

import json

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, upload


def to_jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def rows_by_split(folder):
    dataset = Dataset.open(folder / "dataset")
    return {split: list(dataset.rows(split)) for split in ("train", "validation", "test")}


@pytest.mark.parametrize("prompts", [1, 2, 3, 7])
def test_prompts_that_many_rows_share_are_spread_over_the_splits(tmp_path, prompts):
    rows = [{"prompt": f"Tell it, way {n % prompts}", "completion": f"story number {n}"} for n in range(600)]
    report = upload(tmp_path, {"job.jsonl": to_jsonl(rows)}, task="text_generation")
    assert (report.state, report.splits) == ("ready", {"train": 480, "validation": 60, "test": 60})


def test_equal_rows_of_a_shared_prompt_stay_in_one_split(tmp_path):
    rows = [{"prompt": "Tell it", "completion": f"story number {n % 100}"} for n in range(600)]
    report = upload(tmp_path, {"job.jsonl": to_jsonl(rows)}, task="text_generation")
    texts = {split: {row["text"] for row in rows} for split, rows in rows_by_split(tmp_path).items()}
    assert report.splits["test"] >= 30
    assert not texts["train"] & (texts["validation"] | texts["test"])
    assert "duplicate_across_splits" not in codes(report)


def test_a_prompt_with_a_few_answers_stays_in_one_split(tmp_path):
    rows = [{"prompt": f"question {n // 3}", "completion": f"answer {n}"} for n in range(300)]
    upload(tmp_path, {"job.jsonl": to_jsonl(rows)}, task="text_generation")
    prompts = {split: {row["prompt"] for row in rows} for split, rows in rows_by_split(tmp_path).items()}
    assert not prompts["train"] & (prompts["validation"] | prompts["test"])


def test_one_instruction_in_files_of_each_split_loses_no_row(tmp_path):
    files = {
        f"{split}.jsonl": to_jsonl([{"prompt": "Tell it", "completion": f"{split} story {n}"} for n in range(count)])
        for split, count in (("train", 80), ("test", 20), ("validation", 20))
    }
    report = upload(tmp_path, files, task="text_generation")
    assert (report.state, report.splits) == ("ready", {"train": 80, "validation": 20, "test": 20})


def test_the_turns_of_a_conversation_stay_in_one_split(tmp_path):
    turns = ("user", "assistant", "user", "assistant", "user", "assistant")
    rows = [
        {"messages": [{"role": role, "content": f"talk {n % 150} turn {turn}"} for turn, role in enumerate(turns)]}
        for n in range(160)
    ]
    report = upload(tmp_path, {"chat.jsonl": to_jsonl(rows)}, task="text_generation")
    talks = {split: {row["text"].split()[1] for row in rows} for split, rows in rows_by_split(tmp_path).items()}
    assert len(talks["test"]) == len(talks["validation"]) == 15
    assert not talks["train"] & (talks["validation"] | talks["test"])
    assert not talks["validation"] & talks["test"]
    assert report.rows == 480
