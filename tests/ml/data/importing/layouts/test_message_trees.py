import json

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, make_parquet, make_zip, upload

TREES = 30


def _messages(tree):
    """Make a question with two answers, of which the first is asked about again."""
    shared = {"message_tree_id": f"t{tree}", "lang": "en", "deleted": False}
    return [
        {"message_id": f"{tree}q", "parent_id": None, "role": "prompter", "text": f"Why {tree}?", **shared},
        {"message_id": f"{tree}a", "parent_id": f"{tree}q", "role": "assistant", "text": f"So {tree}.", **shared},
        {"message_id": f"{tree}b", "parent_id": f"{tree}q", "role": "assistant", "text": f"Or {tree}.", **shared},
        {"message_id": f"{tree}c", "parent_id": f"{tree}a", "role": "prompter", "text": f"Really {tree}?", **shared},
        {"message_id": f"{tree}d", "parent_id": f"{tree}c", "role": "assistant", "text": f"Yes {tree}.", **shared},
    ]


def _lines(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def _pairs(tmp_path, report):
    dataset = Dataset.open(tmp_path / "dataset")
    return {
        split: {
            (prompt, text)
            for prompt, text in zip(*(dataset.rows(split).columns[name] for name in ("prompt", "text")), strict=True)
        }
        for split in report.splits
    }


def _check(tmp_path, report):
    pairs = _pairs(tmp_path, report)
    every = set().union(*pairs.values())
    assert {text for _, text in every} == {f"{word} {tree}." for word in ("So", "Or", "Yes") for tree in range(TREES)}
    assert ("User: Why 3?\n\nAssistant: So 3.\n\nUser: Really 3?\n\nAssistant:", "Yes 3.") in every
    trees = [{text.rpartition(" ")[2] for _, text in rows} for rows in pairs.values()]
    assert sum(map(len, trees)) == TREES


def test_messages_with_parents_become_conversations(tmp_path):
    rows = [message for tree in range(TREES) for message in _messages(tree)]
    _check(tmp_path / "lines", upload(tmp_path / "lines", {"ready.messages.jsonl": _lines(rows)}))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    _check(tmp_path / "parquet", upload(tmp_path / "parquet", {"train.parquet": make_parquet(columns)}))


def test_messages_with_replies_become_conversations(tmp_path):
    def nest(messages, parent=None):
        return [
            {"role": message["role"], "text": message["text"], "replies": nest(messages, message["message_id"])}
            for message in messages
            if message["parent_id"] == parent
        ]

    rows = [{"message_tree_id": f"t{tree}", "prompt": nest(_messages(tree))[0]} for tree in range(TREES)]
    _check(tmp_path, upload(tmp_path, {"ready.trees.jsonl": _lines(rows)}))


def _make_export(number):
    def node(key, parent, role, parts):
        message = role and {"author": {"role": role}, "content": {"content_type": "text", "parts": parts}}
        return {key: {"id": key, "message": message, "parent": parent}}

    mapping = {
        **node("root", None, None, []),
        **node("q", "root", "user", [f"Why {number}?"]),
        **node("a", "q", "assistant", [f"So {number}."]),
    }
    return {"title": "x", "create_time": 1.0, "mapping": mapping, "current_node": "a"}


def test_the_export_of_chatgpt_is_read_without_what_lies_beside(tmp_path):
    files = {
        "conversations.json": json.dumps([_make_export(number) for number in range(TREES)]).encode(),
        "user.json": b"{}",
        "chat.html": b"<html></html>",
        "message_feedback.json": b"[]",
    }
    report = upload(tmp_path, {"export.zip": make_zip(files.items())})
    assert count(report, "file_beside_data") == 3
    assert ("User: Why 4?\n\nAssistant:", "So 4.") in set().union(*_pairs(tmp_path, report).values())


def test_no_message_of_a_circle_of_parents_comes_twice(tmp_path):
    rows = [
        *_messages(0),
        {"message_id": "x", "parent_id": "y", "role": "assistant", "text": "x"},
        {"message_id": "y", "parent_id": "x", "role": "prompter", "text": "y"},
        {"message_id": "z", "parent_id": "y", "role": "assistant", "text": "z"},
    ]
    report = upload(tmp_path, {"a.jsonl": _lines(rows)})
    assert "trees_as_conversations" in codes(report)
    assert {row for rows in _pairs(tmp_path, report).values() for row in rows if row[1] in ("x", "z")} == {
        ("Assistant: x\n\nUser: y\n\nAssistant:", "z")
    }
