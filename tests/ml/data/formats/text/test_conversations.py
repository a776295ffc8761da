import json

import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, upload


def make_conversation(*turns):
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]}


def to_jsonl(records):
    return "\n".join(json.dumps(record) for record in records).encode()


def imported_rows(folder):
    dataset = Dataset.open(folder / "dataset")
    return [row for split in ("train", "validation", "test") for row in dataset.rows(split)]


def test_answers_become_rows_with_the_turns_before_as_prompt(tmp_path):
    conversations = [
        make_conversation("s:Be brief.", f"u:Question {n}?", f"a:Answer {n}.", f"u:And {n + 1}?", f"a:{n}!")
        for n in range(20)
    ]
    report = upload(tmp_path, {"chat.jsonl": to_jsonl(conversations)}, task="text_generation")
    assert (report.state, report.rows) == ("ready", 40)
    texts = {row["prompt"]: row["text"] for row in imported_rows(tmp_path)}
    prompt = "System: Be brief.\n\nUser: Question 3?\n\nAssistant:"
    assert texts[prompt] == "Answer 3."
    assert texts[f"{prompt} Answer 3.\n\nUser: And 4?\n\nAssistant:"] == "3!"


def test_conversations_are_detected_without_a_task(tmp_path):
    report = upload(
        tmp_path, {"chat.jsonl": to_jsonl([make_conversation(f"u:Question {n}", f"a:Answer {n}") for n in range(20)])}
    )
    assert report.summary is not None
    assert (report.summary.format, report.summary.task) == ("conversations", "text_generation")


@pytest.mark.parametrize(
    ("record", "code", "expected_text"),
    [
        (make_conversation("u:Hello", "a:Hi", "u:Bye"), "conversation_order", "user, assistant, user"),
        (make_conversation("a:Hello", "u:Hi", "a:Bye"), "conversation_order", "assistant, user, assistant"),
        (make_conversation("u:Hello", "s:Be kind", "a:Bye"), "conversation_order", "user, system, assistant"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "conversation_invalid", "turn 1: role"),
        ({"messages": [{"role": "user", "content": 3}]}, "conversation_invalid", "turn 1: content"),
        (make_conversation("u: ", "a:Hi"), "conversation_invalid", "turn 1: empty content"),
        ({"messages": []}, "conversation_invalid", "messages"),
        ({"messages": "Hello"}, "conversation_invalid", "messages"),
        ([1], "conversation_invalid", "[1]"),
    ],
)
def test_an_invalid_conversation_is_reported_with_its_line(tmp_path, record, code, expected_text):
    good = [make_conversation(f"u:Question {n}", f"a:Answer {n}") for n in range(20)]
    report = upload(tmp_path, {"chat.jsonl": to_jsonl([*good, record])}, task="text_generation")
    assert codes(report) >= {code}
    (entry,) = [entry for entry in report.errors if entry.code == code]
    assert entry.sample[0]["line"] == 21
    assert expected_text in entry.sample[0]["found"]


@pytest.mark.parametrize("names", [("prompt", "completion"), ("instruction", "output"), ("question", "answer")])
def test_prompts_and_completions_in_tables_are_detected_by_usual_names(tmp_path, names):
    records = [dict(zip(names, (f"Say {n}", f"It is {n}"), strict=True)) for n in range(20)]
    report = upload(tmp_path, {"pairs.jsonl": to_jsonl(records)}, task="text_generation")
    assert report.state == "ready"
    assert {row["prompt"]: row["text"] for row in imported_rows(tmp_path)}["Say 3"] == "It is 3"


def test_a_text_alone_has_no_prompt(tmp_path):
    upload(tmp_path, {"texts.jsonl": to_jsonl([{"text": f"Text {n}"} for n in range(20)])}, task="text_generation")
    assert set(imported_rows(tmp_path)[0]) == {"text"}
