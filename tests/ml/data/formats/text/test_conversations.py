import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, sample, upload


def make_conversation(*turns):
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]}


def make_parts(*types):
    content = [{"type": type, type: "x"} for type in types]
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "Hi"}]}


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
        (make_conversation("u:Hello", "a:Hi", "u:Bye"), "turns_not_learned", "user ends"),
        (make_conversation("a:Hello", "u:Hi", "a:Bye"), "turns_not_learned", "the assistant begins"),
        (make_conversation("u:Hello", "s:Be kind"), "conversation_without_answer", "user, system"),
        (make_parts("text", "image_url"), "conversation_with_media", "image_url"),
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


def to_parquet(records):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), file)
    return file.getvalue()


def user(n):
    return {"role": "user", "content": f"say {n}"}


def assistant(n):
    return {"role": "assistant", "content": f"it is {n}"}


LAYOUTS = {
    "ShareGPT": lambda n: {
        "conversations": [{"from": "human", "value": f"say {n}"}, {"from": "gpt", "value": f"it is {n}"}]
    },
    "messages beside a prompt": lambda n: {
        "prompt": "say",
        "prompt_id": f"{n:064x}",
        "messages": [user(n), assistant(n)],
    },
    "prompt and completion": lambda n: {"prompt": [user(n)], "completion": [assistant(n)]},
    "preferences": lambda n: {
        "chosen": [user(n), assistant(n)],
        "rejected": [user(n), {"role": "assistant", "content": "no"}],
    },
    "preferences with a prompt": lambda n: {"prompt": f"say {n}", "chosen": [assistant(n)], "rejected": [user(n)]},
    "parts": lambda n: {
        "messages": [
            {**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in (user(n), assistant(n))
        ]
    },
    "another name": lambda n: {"dialog": [user(n), assistant(n)], "source": "web"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("chat.jsonl", to_jsonl),
        ("chat.parquet", to_parquet),
        ("chat.jsonl.gz", lambda rows: gzip.compress(to_jsonl(rows))),
    ],
)
@pytest.mark.parametrize("task", ["text_generation", None])
def test_conversations_are_read_in_every_layout(tmp_path, layout, name, pack, task):
    records = [LAYOUTS[layout](n) for n in range(20)]
    report = upload(tmp_path, {name: pack(records)}, task=task)
    assert (report.state, report.guess.format, report.guess.task) == ("ready", "conversations", "text_generation")
    rows = {row["prompt"]: row["text"] for row in imported_rows(tmp_path)}
    assert rows == {f"User: say {n}\n\nAssistant:": f"it is {n}" for n in range(20)}
    fields = {key for record in records for key in record}
    unread = fields & {"prompt_id", "rejected", "source"} | ({"prompt"} if "prompt_id" in fields else set())
    assert ("fields_not_read" in codes(report)) == bool(unread)
    if unread:
        assert count(report, "fields_not_read") == 20 * len(unread)
        assert sample(report, "fields_not_read")["column"] in unread


@pytest.mark.parametrize("roles", [("system",), ("developer",)])
def test_a_system_text_may_stand_beside_or_in_the_turns(tmp_path, roles):
    beside = [{"system": "be brief", **LAYOUTS["ShareGPT"](n)} for n in range(10)]
    within = [{"messages": [{"role": roles[0], "content": "be brief"}, user(n), assistant(n)]} for n in range(10, 20)]
    report = upload(tmp_path, {"a.jsonl": to_jsonl(beside), "b.jsonl": to_jsonl(within)}, task="text_generation")
    assert (report.state, "fields_not_read" in codes(report)) == ("ready", False)
    assert {row["prompt"] for row in imported_rows(tmp_path)} == {
        f"System: be brief\n\nUser: say {n}\n\nAssistant:" for n in range(20)
    }


@pytest.mark.parametrize(
    "mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"masked": True}, {"mask": 1}, {"loss": False}]
)
@pytest.mark.parametrize(("name", "pack"), [("chat.jsonl", to_jsonl), ("chat.parquet", to_parquet)])
def test_a_turn_that_is_not_to_be_learned_is_only_read(tmp_path, mark, name, pack):
    ((key, value),) = mark.items()
    opposite = type(value)(not value)
    records = [
        {
            "messages": [
                user(n),
                {"role": "assistant", "content": f"wrong {n}", key: value},
                {"role": "user", "content": "no"},
                {**assistant(n), key: opposite},
            ]
        }
        for n in range(20)
    ]
    report = upload(tmp_path, {name: pack(records)}, task="text_generation")
    assert (report.state, report.rows, codes(report)) == ("ready", 20, set())
    rows = list(imported_rows(tmp_path))
    assert all(row["text"].startswith("it is") and "wrong" in row["prompt"] for row in rows)


CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOLS = {
    "OpenAI": [
        user(1),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "12"},
        assistant(1),
    ],
    "ShareGPT": [
        {"from": "human", "value": "say 1"},
        {"from": "function_call", "value": '{"name": "weather"}'},
        {"from": "observation", "value": "12"},
        {"from": "gpt", "value": "it is 1"},
    ],
}


@pytest.mark.parametrize("layout", TOOLS)
def test_calls_of_tools_are_read_and_not_learned(tmp_path, layout):
    key = "messages" if layout == "OpenAI" else "conversations"
    usual = LAYOUTS["ShareGPT"] if key == "conversations" else lambda n: {"messages": [user(n), assistant(n)]}
    records = [{key: TOOLS[layout]}, *map(usual, range(2, 20))]
    report = upload(tmp_path, {"chat.jsonl": to_jsonl(records)}, task="text_generation")
    assert (report.state, report.rows, count(report, "tool_calls_not_learned")) == ("ready", 19, 1)
    (prompt,) = [row["prompt"] for row in imported_rows(tmp_path) if row["text"] == "it is 1"]
    assert '"name": "weather"' in prompt
    assert "Tool: 12" in prompt


def test_fields_of_turns_that_are_not_read_are_named(tmp_path):
    records = [
        {"messages": [user(n), {**assistant(n), "reasoning_content": "hm", "weight": 0.5}], "tools": []}
        for n in range(20)
    ]
    report = upload(tmp_path, {"chat.jsonl": to_jsonl(records)}, task="text_generation")
    (entry,) = [entry for entry in report.errors if entry.code == "fields_not_read"]
    assert {place["column"] for place in entry.sample} == {
        "messages.reasoning_content", "messages.weight", "tools",
    }  # fmt: skip
