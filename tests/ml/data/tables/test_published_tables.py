"""Tables of published corpora whose columns no usual rule finds."""

import json
from pathlib import Path

import numpy as np
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, sample, upload

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima"]


def sentence(number: int) -> str:
    return " ".join(WORDS[(number * step + step) % 12] for step in range(1, 8)) + f" {number}"


def lines(header: str, rows: list[str]) -> bytes:
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


def objects(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def score(row: int) -> float:
    return (row * 7 % 51) / 10


def sts_b() -> bytes:
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
    genres = ("main-captions", "main-news")
    rows = [
        f"{row}\t{genres[row % 2]}\tMSRvid\t{2012 + row % 3}\t{row}\tnone\tnone\t{sentence(row)}\t{sentence(row + 99)}"
        f"\t{score(row):.3f}"
        for row in range(60)
    ]
    return lines(header, rows)


def sts_b_without_names() -> bytes:
    rows = [
        f"main-news\tMSRvid\t2012test\t{row:04}\t{score(row):.3f}\t{sentence(row)}\t{sentence(row + 99)}"
        for row in range(60)
    ]
    return lines("", rows)


def sts_b_of_hugging_face() -> bytes:
    rows = [{"sentence1": sentence(row), "sentence2": sentence(row + 99), "score": score(row)} for row in range(60)]
    return objects(rows)


@pytest.mark.parametrize("task", [None, "text_regression"])
@pytest.mark.parametrize(
    ("name", "make"),
    [("train.tsv", sts_b), ("sts-train.csv", sts_b_without_names), ("train.jsonl", sts_b_of_hugging_face)],
)
def test_a_score_of_two_sentences_is_predicted_from_both(tmp_path: Path, name: str, make, task: str | None) -> None:  # type: ignore[no-untyped-def]
    report = upload(tmp_path, {name: make()}, task=task)
    rows = Dataset.open(tmp_path / "dataset").rows("train").columns

    assert (report.state, report.guess.task if report.guess else None) == ("ready", "text_regression")
    assert (rows["text"][1], rows["value"][1]) == (f"{sentence(1)}\n\n{sentence(100)}", pytest.approx(0.7))


def test_votes_for_an_answer_are_no_target_unless_the_task_says_so(tmp_path: Path) -> None:
    lines = [f"{sentence(row)}?,{sentence(row + 99)},{score(row):.2f}" for row in range(60)]
    files = {"answers.csv": "\n".join(["question,answer,score", *lines, ""]).encode()}
    report = upload(tmp_path / "a", files)
    assert (report.guess and report.guess.columns) == {"prompt": "question", "text": "answer"}
    assert "not read: score" in report.reading
    report = upload(tmp_path / "b", files, task="text_regression")
    assert (report.guess and report.guess.columns) == {"text": "question + answer", "value": "score"}


def test_classes_of_two_sentences_go_before_their_score(tmp_path: Path) -> None:
    judgments = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")
    rows = [
        f"{row}\t{sentence(row)}\t{sentence(row + 99)}\t{score(row):.1f}\t{judgments[row % 3]}" for row in range(60)
    ]
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
    report = upload(tmp_path, {"SICK.txt": lines(header, rows)})

    assert report.classes == sorted(judgments)


def test_both_strings_of_mrpc_are_read(tmp_path: Path) -> None:
    rows = [f"{row % 2}\t{700 + row}\t{900 + row}\t{sentence(row)}\t{sentence(row + 99)}" for row in range(60)]
    report = upload(tmp_path, {"msr.txt": lines("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", rows)})

    assert (report.classes, report.guess.columns["text"] if report.guess else "") == (
        ["0", "1"],
        "#1 String + #2 String",
    )


def test_answers_that_are_rejected_are_no_targets(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"chosen": f"Human: {sentence(row)} Assistant: yes", "rejected": f"Human: {sentence(row)} Assistant: no"}
        for row in range(60)
    ]
    report = upload(tmp_path, {"a.jsonl": objects(rows)})

    assert report.summary is not None
    assert (report.summary.task, list(report.summary.columns)) == ("text_generation", ["text"])
    assert sample(report, "fields_not_read")["column"] == "rejected"


def test_turns_may_be_plain_texts(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"conversations": [f"{sentence(row)}?", sentence(row + 99)], "source": "exchange"} for row in range(60)
    ]
    report = upload(tmp_path, {"lima.jsonl": objects(rows)})
    columns = Dataset.open(tmp_path / "dataset").rows("train").columns

    assert (report.state, columns["text"][0]) == ("ready", sentence(99))
    assert f"{sentence(0)}?" in columns["prompt"][0]


def test_one_cell_for_all_rows_is_no_text(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"source": "exchange", "turns": [{"a": row}]} for row in range(60)]
    report = upload(tmp_path, {"a.jsonl": objects(rows)})

    assert (report.state, codes(report) & {"no_columns"}) == ("rejected", {"no_columns"})


def test_a_comma_in_every_text_is_no_column_where_all_cells_are_quoted(tmp_path: Path) -> None:
    rows = [f'"{1 + row % 2}","{sentence(row)}, and so on"' for row in range(60)]
    report = upload(tmp_path, {"a.csv": lines("", rows)})

    assert (report.classes, list(report.guess.quoting.values()) if report.guess else []) == (
        ["1", "2"],
        ["quoting: doubled (cells in quotes, a quote within is doubled)"],
    )


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.mbox", "From ann@example.org Mon Jan  1 00:00:00 2024\nSubject: a\n\nA text.\n", "mbox"),
        ("behaviors.tsv", "1\tU1\t11/11/2019 9:05:58 AM\tN1 N2\tN3-1 N4-0\n", "MIND's behaviors"),
        ("a.conllu", "# sent_id = 1\n# text = A\n1\tA\ta\tDET\tDT\t_\t0\troot\t_\t_\n\n", "CoNLL-U"),
    ],
)
def test_files_whose_lines_are_no_texts_are_refused_by_name(tmp_path: Path, name: str, content: str, kind: str) -> None:
    report = upload(tmp_path, {name: (content * 20).encode()})

    assert (report.state, sample(report, "content_not_read")["found"]) == ("rejected", kind)


def test_context_and_hypothesis_are_read_together(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"context": sentence(row), "hypothesis": sentence(row + 99), "label": "enc"[row % 3]} for row in range(60)
    ]
    report = upload(tmp_path, {"train.jsonl": objects(rows)})

    assert (report.classes, report.guess.columns["text"] if report.guess else "") == (
        ["c", "e", "n"],
        "context + hypothesis",
    )


def test_a_class_may_have_the_name_of_rejected_answers(tmp_path: Path) -> None:
    rows = [f"{sentence(row)},{row % 2}" for row in range(60)]
    report = upload(tmp_path, {"a.csv": lines("sentence,negative", rows)}, task="text_classification")

    assert (report.state, report.classes) == ("ready", ["0", "1"])


def test_the_pixels_of_fer2013_are_images_in_its_splits(tmp_path: Path) -> None:
    usages = ("Training", "Training", "PublicTest", "PrivateTest")
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (80, 8 * 8))
    lines = [f"{row // 4 % 3},{' '.join(map(str, images[row]))},{usages[row % 4]}" for row in range(80)]
    report = upload(tmp_path, {"fer2013.csv": "\n".join(["emotion,pixels,Usage", *lines, ""]).encode()})
    assert (report.guess and report.guess.task, report.splits) == (
        "image_classification",
        {"train": 40, "validation": 20, "test": 20},
    )
    first = Dataset.open(tmp_path / "dataset").rows("train").columns["image"][0]
    assert first.tolist() == images[0].reshape(8, 8, 1).tolist()


def test_lists_of_numbers_that_are_no_pixels_stay_texts(tmp_path: Path) -> None:
    for name, count, limit in (("few", 16, 256), ("large", 64, 900)):
        numbers = np.random.default_rng(0).integers(0, limit, (40, count))
        lines = [f"{' '.join(map(str, row))},{'ab'[index % 2]}" for index, row in enumerate(numbers)]
        report = upload(tmp_path / name, {"a.csv": "\n".join(["tokens,label", *lines, ""]).encode()})
        assert (report.guess and report.guess.columns.keys()) == {"text", "label"}


def test_a_column_of_one_value_is_no_label(tmp_path: Path) -> None:
    lines = [
        f'"{row % 2 * 4}","{1467810369 + row}","Mon Apr 06 22:19:45 PDT 2009","NO_QUERY","user{row}","{sentence(row)}"'
        for row in range(60)
    ]
    report = upload(tmp_path, {"training.1600000.csv": "\n".join(lines).encode()})
    assert (report.guess and report.guess.columns) == {"text": "6", "label": "1"}


def test_names_beside_the_numbers_of_a_target_are_the_classes(tmp_path: Path) -> None:
    lines = [f"{sentence(row)},{row % 3},{('autos', 'space', 'guns')[row % 3]}" for row in range(60)]
    report = upload(tmp_path, {"news.csv": "\n".join(["text,target,target_names", *lines, ""]).encode()})
    assert report.classes == ["autos", "guns", "space"]


def test_a_list_of_the_names_of_classes_beside_tables_is_no_session(tmp_path: Path) -> None:
    table = "\n".join(["text,category", *(f"{sentence(row)},card_{row % 4}" for row in range(60)), ""]).encode()
    names = json.dumps([f"card_{number}" for number in range(4)]).encode()
    report = upload(tmp_path, {"a.csv": table, "categories.json": names})
    assert (report.guess and report.guess.task) == "text_classification"


def test_the_first_answer_of_squad_is_the_text(tmp_path: Path) -> None:
    rows = [
        {
            "id": str(row),
            "context": sentence(row),
            "question": f"what is {row}?",
            "answers": {"text": [f"answer {row}", "another"], "answer_start": [0, 5]},
        }
        for row in range(60)
    ]
    report = upload(tmp_path, {"train.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()})
    assert (report.guess and report.guess.columns) == {"prompt": "question + context", "text": "answer"}


def test_long_names_of_classes_in_the_last_column_are_the_target(tmp_path: Path) -> None:
    kinds = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    lines = [
        f"{5 + row % 9 / 10},{3 + row % 7 / 10},{1 + row % 5 / 10},0.{row % 4},{kinds[row % 3]}" for row in range(60)
    ]
    report = upload(tmp_path, {"iris.data": "\n".join([*lines, ""]).encode()})
    assert (report.guess and report.guess.task, report.classes) == ("tabular_classification", list(kinds))


@pytest.mark.parametrize(
    "names", [("query", "positive"), ("anchor", "positive"), ("source_sentence", "target_sentence")]
)
def test_pairs_of_retrieval_are_judged_together(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [f"{sentence(row)},{sentence(row + 99)},{row % 2}" for row in range(60)]
    report = upload(tmp_path, {"pairs.csv": lines(",".join([*names, "label"]), rows)})
    assert (report.guess and report.guess.columns) == {"text": " + ".join(names), "label": "label"}


def test_a_correct_answer_is_what_answers_a_question(tmp_path):
    rows = "".join(f"Was it number {row}?,no one,The {row} man,Long story {row}.\n" for row in range(40))
    report = upload(tmp_path, {"a.csv": f"question,distractor1,correct_answer,support\n{rows}".encode()})
    assert report.guess is not None
    assert dict(report.guess.columns) == {"prompt": "question + support", "text": "correct_answer"}
