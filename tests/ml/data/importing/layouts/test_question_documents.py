import json

import pyarrow as pa

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, count, make_parquet, upload

PARAGRAPHS = 20


def _paragraph(number):
    questions = [
        {
            "id": f"{number}{n}",
            "question": f"What is {number}{n}?",
            "answers": [{"text": f"ans{number}{n}", "answer_start": 0}],
        }
        for n in range(3)
    ]
    return {"context": f"Long story {number}.", "qas": questions}


def _document(paragraphs):
    return json.dumps({"version": "1.1", "data": [{"title": "T", "paragraphs": paragraphs}]}).encode()


def _rows(tmp_path, report):
    dataset = Dataset.open(tmp_path / "dataset")
    return {
        split: dict(zip(*(dataset.rows(split).columns[name] for name in ("prompt", "text")), strict=True))
        for split in report.splits
    }


def test_questions_of_a_document_are_rows_with_their_context(tmp_path):
    report = upload(tmp_path, {"train-v1.1.json": _document([_paragraph(n) for n in range(PARAGRAPHS)])})
    rows = _rows(tmp_path, report)
    every = {prompt: text for split in rows.values() for prompt, text in split.items()}
    assert len(every) == 3 * PARAGRAPHS
    assert every["What is 52?\n\nLong story 5."] == "ans52"
    contexts = [{prompt.partition("\n\n")[2] for prompt in split} for split in rows.values()]
    assert sum(map(len, contexts)) == PARAGRAPHS


def test_questions_without_an_answer_are_counted(tmp_path):
    paragraphs = [_paragraph(n) for n in range(PARAGRAPHS)]
    for paragraph in paragraphs:
        paragraph["qas"][0] |= {"is_impossible": True, "answers": []}
    report = upload(tmp_path, {"train-v2.0.json": _document(paragraphs)})
    assert count(report, "questions_without_answer") == PARAGRAPHS
    assert sum(report.splits.values()) == 2 * PARAGRAPHS


def test_documents_are_split_as_they_are_named(tmp_path):
    paragraphs = [_paragraph(n) for n in range(PARAGRAPHS)]
    report = upload(
        tmp_path, {"train-v1.1.json": _document(paragraphs[5:]), "dev-v1.1.json": _document(paragraphs[:5])}
    )
    assert report.splits["validation"] == 15


def test_answers_in_parquet_are_read(tmp_path):
    columns = {
        "id": [str(n) for n in range(PARAGRAPHS)],
        "title": ["T"] * PARAGRAPHS,
        "context": [f"Long story {n}." for n in range(PARAGRAPHS)],
        "question": [f"What is {n}?" for n in range(PARAGRAPHS)],
        "answers": pa.array([{"text": [f"ans{n}"], "answer_start": [0]} for n in range(PARAGRAPHS)]),
    }
    report = upload(tmp_path, {"train.parquet": make_parquet(columns)})
    assert "text_column_guessed" not in codes(report)
    assert any(split.get("What is 7?\n\nLong story 7.") == "ans7" for split in _rows(tmp_path, report).values())
