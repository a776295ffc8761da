import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, sample, upload

ROWS = 30
LETTERS = "ABCD"


def _things(number):
    return [f"thing {number}{letter}" for letter in LETTERS]


def _question(number):
    return f"Which of these is number {number}?"


def _rows(make):
    return [make(number) for number in range(ROWS)]


LAYOUTS = {
    "mmlu": lambda n: {"question": _question(n), "choices": _things(n), "answer": n % 4},
    "arc": lambda n: {
        "question": _question(n),
        "choices": {"text": _things(n), "label": list("1234")},
        "answerKey": "1234"[n % 4],
    },
    "objects": lambda n: {
        "question": _question(n),
        "choices": [{"label": key, "text": text} for key, text in zip(LETTERS, _things(n), strict=True)],
        "answerKey": LETTERS[n % 4],
    },
    "by_key": lambda n: {
        "question": _question(n),
        "options": dict(zip(LETTERS, _things(n), strict=True)),
        "answer_idx": LETTERS[n % 4],
    },
    "text": lambda n: {"question": _question(n), "options": _things(n), "answer": _things(n)[n % 4]},
    "hellaswag": lambda n: {"ctx": _question(n), "endings": _things(n), "label": str(n % 4)},
    "columns": lambda n: {
        "question": _question(n),
        **dict(zip(LETTERS, _things(n), strict=True)),
        "answer": LETTERS[n % 4],
    },
    "numbered": lambda n: {
        "sentence": _question(n),
        **{f"option{k + 1}": text for k, text in enumerate(_things(n))},
        "answer": str(n % 4 + 1),
    },
    "medmcqa": lambda n: {
        "question": _question(n),
        **{f"op{letter.lower()}": text for letter, text in zip(LETTERS, _things(n), strict=True)},
        "cop": n % 4,
    },
    "lettered": lambda n: {
        "question": _question(n),
        "options": [f"{letter}) {text}" for letter, text in zip(LETTERS, _things(n), strict=True)],
        "correct": LETTERS[n % 4],
    },
}


def _as_lines(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def _as_parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def _as_csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


FILES = {"a.jsonl": _as_lines, "a.parquet": _as_parquet, "a.csv": _as_csv}


def _answers(tmp_path, report):
    dataset = Dataset.open(tmp_path / "dataset")
    columns = [dataset.rows(split).columns for split in report.splits]
    return {prompt: text for column in columns for prompt, text in zip(column["prompt"], column["text"], strict=True)}


def _make_answers():
    return {
        "\n\n".join(
            [_question(n), "\n".join(f"{key}. {text}" for key, text in zip(LETTERS, _things(n), strict=True))]
        ): (_things(n)[n % 4])
        for n in range(ROWS)
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FILES)
def test_the_right_choice_is_learned_as_its_text(tmp_path, layout, name):
    report = upload(tmp_path, {name: FILES[name](_rows(LAYOUTS[layout]))})
    assert report.guess is not None
    assert report.guess.task == "text_generation"
    assert "choices_written_out" in codes(report)
    assert _answers(tmp_path, report) == _make_answers()


def test_a_table_without_names_is_read_by_the_characters_in_its_last_column(tmp_path):
    lines = [",".join([_question(n), *_things(n), LETTERS[n % 4]]) for n in range(ROWS)]
    assert _answers(tmp_path, upload(tmp_path, {"a.csv": "\n".join(lines).encode()})) == _make_answers()


def test_questions_within_a_question_are_read(tmp_path):
    rows = _rows(
        lambda n: {
            "id": f"M{n}",
            "question": {"stem": _question(n), "choices": LAYOUTS["objects"](n)["choices"]},
            "answerKey": LETTERS[n % 4],
        }
    )
    assert _answers(tmp_path, upload(tmp_path, {"a.jsonl": _as_lines(rows)})) == _make_answers()


def test_a_context_precedes_the_question(tmp_path):
    rows = _rows(lambda n: {"context": f"Story {n}.", **LAYOUTS["mmlu"](n)})
    prompts = _answers(tmp_path, upload(tmp_path, {"a.jsonl": _as_lines(rows)}))
    assert all(prompt.startswith("Story ") and "\n\nWhich of these" in prompt for prompt in prompts)


def test_a_question_whose_answer_is_hidden_is_left_out(tmp_path):
    rows = _rows(LAYOUTS["hellaswag"])
    rows[-1]["label"] = ""
    report = upload(tmp_path, {"a.jsonl": _as_lines(rows)})
    assert sample(report, "text_missing")["line"] == ROWS
    assert sum(report.splits.values()) == ROWS - 1


def test_the_report_says_from_which_number_choices_are_counted(tmp_path):
    for name, base in (("mmlu", 0), ("numbered", 1)):
        report = upload(tmp_path / name, {"a.jsonl": _as_lines(_rows(LAYOUTS[name]))})
        assert f"counted from {base}" in sample(report, "choices_written_out")["expected"]


def test_columns_that_the_user_names_are_read_instead(tmp_path):
    report = upload(
        tmp_path, {"a.jsonl": _as_lines(_rows(LAYOUTS["mmlu"]))}, columns={"text": "question", "label": "answer"}
    )
    assert "choices_written_out" not in codes(report)
    assert report.classes == ["0", "1", "2", "3"]


def test_two_texts_and_their_label_are_no_choices(tmp_path):
    rows = _rows(lambda n: {"sentence1": _question(n), "sentence2": f"Thing {n} it is.", "label": n % 2})
    assert "choices_written_out" not in codes(upload(tmp_path, {"a.jsonl": _as_lines(rows)}))
