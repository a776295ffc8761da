import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, sample, upload

ROWS = 30
STYLES = {
    "chatml": "<|im_start|>user\nWhere is {0}?<|im_end|>\n<|im_start|>assistant\nBehind {0}.<|im_end|>\n",
    "llama2": "<s>[INST] Where is {0}? [/INST] Behind {0}. </s>",
    "llama3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhere is {0}?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nBehind {0}.<|eot_id|>",
    "gemma": "<start_of_turn>user\nWhere is {0}?<end_of_turn>\n<start_of_turn>model\nBehind {0}.<end_of_turn>",
    "zephyr": "<|user|>\nWhere is {0}?</s>\n<|assistant|>\nBehind {0}.</s>",
    "guanaco": "### Human: Where is {0}?### Assistant: Behind {0}.",
    "alpaca": "### Instruction:\nWhere is {0}?\n\n### Response:\nBehind {0}.",
    "speakers": "\n\nHuman: Where is {0}?\n\nAssistant: Behind {0}.",
    "vicuna": "USER: Where is {0}? ASSISTANT: Behind {0}.</s>",
    "tags": "<human>: Where is {0}?\n<bot>: Behind {0}.",
}


def _as_lines(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def _as_csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def _as_parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


FILES = {"a.jsonl": _as_lines, "a.csv": _as_csv, "a.parquet": _as_parquet}


def _pairs(tmp_path, report):
    dataset = Dataset.open(tmp_path / "dataset")
    columns = [dataset.rows(split).columns for split in report.splits]
    return {(prompt, text) for column in columns for prompt, text in zip(column["prompt"], column["text"], strict=True)}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", FILES)
def test_a_conversation_written_as_one_text_is_read_as_its_turns(tmp_path, style, name):
    rows = [{"text": STYLES[style].format(f"tree {number}")} for number in range(ROWS)]
    report = upload(tmp_path, {name: FILES[name](rows)})
    assert report.guess is not None
    assert report.guess.task == "text_generation"
    assert "chats_in_texts" in codes(report)
    assert _pairs(tmp_path, report) == {
        (f"User: Where is tree {number}?\n\nAssistant:", f"Behind tree {number}.") for number in range(ROWS)
    }


def test_the_system_and_earlier_turns_are_part_of_the_prompt(tmp_path):
    text = (
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWho is {0}? [/INST] A king. </s><s>[INST] Of {0}land? [/INST] Yes. </s>"
    )
    report = upload(tmp_path, {"a.jsonl": _as_lines([{"text": text.format(f"K{i}")} for i in range(ROWS)])})
    start = "System: Be brief.\n\nUser: Who is K3?\n\nAssistant:"
    assert {(start, "A king."), (f"{start} A king.\n\nUser: Of K3land?\n\nAssistant:", "Yes.")} <= _pairs(
        tmp_path, report
    )


def test_turns_of_one_conversation_stay_in_one_split(tmp_path):
    turns = "".join("### Human: {0} " + f"word {n}### Assistant: {{0}} answer {n}" for n in range(4))
    report = upload(tmp_path, {"a.jsonl": _as_lines([{"text": turns.format(f"C{i}")} for i in range(ROWS)])})
    dataset = Dataset.open(tmp_path / "dataset")
    names = [{text.split()[0] for text in dataset.rows(split).columns["text"]} for split in report.splits]
    assert sum(report.splits.values()) == 4 * ROWS
    assert sum(map(len, names)) == len(set().union(*names)) == ROWS


def test_the_chosen_of_two_conversations_is_learned(tmp_path):
    start = "\n\nHuman: Where is {0}?\n\nAssistant: "
    rows = [
        {"chosen": f"{start}Behind {{0}}.".format(f"T{i}"), "rejected": f"{start}No.".format(f"T{i}")}
        for i in range(ROWS)
    ]
    report = upload(tmp_path, {"a.jsonl": _as_lines(rows)})
    assert ("User: Where is T5?\n\nAssistant:", "Behind T5.") in _pairs(tmp_path, report)
    assert sample(report, "fields_not_read")["column"] == "rejected"


def test_an_answer_in_its_own_column_follows_the_turns_of_the_prompt(tmp_path):
    rows = [{"prompt": f"\n\nHuman: Where is T{i}?\n\nAssistant:", "chosen": f"Behind T{i}."} for i in range(ROWS)]
    report = upload(tmp_path, {"a.jsonl": _as_lines(rows)})
    assert ("User: Where is T5?\n\nAssistant:", "Behind T5.") in _pairs(tmp_path, report)


def test_a_text_that_the_user_names_is_read_as_it_is(tmp_path):
    rows = [{"text": STYLES["chatml"].format(f"tree {number}")} for number in range(ROWS)]
    report = upload(tmp_path, {"a.jsonl": _as_lines(rows)}, columns={"text": "text"})
    assert "chats_in_texts" not in codes(report)
    assert Dataset.open(tmp_path / "dataset").rows("train").columns["text"][0].startswith("<|im_start|>user")


def test_texts_that_only_quote_speakers_stay_texts(tmp_path):
    rows = [{"text": f"The play {i} begins. Human: who is there? Assistant: it is me."} for i in range(ROWS)]
    assert "chats_in_texts" not in codes(upload(tmp_path, {"a.jsonl": _as_lines(rows)}))


def test_a_text_without_turns_is_left_out_with_its_location(tmp_path):
    rows = [{"text": STYLES["guanaco"].format(f"tree {number}")} for number in range(ROWS)]
    report = upload(tmp_path, {"a.jsonl": _as_lines([*rows, {"text": "No one speaks."}])})
    assert sample(report, "conversation_without_answer")["line"] == ROWS + 1
    assert sum(report.splits.values()) == ROWS
