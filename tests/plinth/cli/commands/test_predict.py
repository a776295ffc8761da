"""`plinth predict` with texts, standard input, tables, folders, and mistakes."""

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest

from tests.plinth.cli.commands.conftest import Run

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("trained")]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_text_is_typed_as_it_is(plinth_command: Run) -> None:
    answered = plinth_command("predict", "tickets", "my invoice is late")
    assert json.loads(answered.stdout)["label"] == "billing", answered.stderr
    first, second = plinth_command("predict", "tickets", "my crash is odd", "my login is late").stdout.splitlines()
    assert (json.loads(first)["input"], json.loads(second)["label"]) == ("my crash is odd", "account")


def test_standard_input_is_a_text_json_or_json_lines(plinth_command: Run) -> None:
    assert (
        json.loads(plinth_command("predict", "tickets", "-", typed="my refund is odd\n").stdout)["label"] == "billing"
    )
    one = plinth_command("predict", "tickets", "-", typed='{"text": "my refund is odd"}')
    assert json.loads(one.stdout)["label"] == "billing"
    lines = '{"text": "my refund is odd", "id": 1}\n{"text": "my freeze is odd", "id": 2}\n'
    assert [row["label"] for row in rows_of(plinth_command("predict", "tickets", "-", typed=lines).stdout)] == [
        "billing",
        "bug",
    ]
    assert "empty" in plinth_command("predict", "tickets", "-").stderr


@pytest.mark.parametrize(("name", "delimiter"), [("new.csv", ","), ("new.csv", ";"), ("new.tsv", "\t")])
def test_a_table_comes_back_with_the_answers_as_columns(
    plinth_command: Run, tmp_path: Path, name: str, delimiter: str
) -> None:
    table = tmp_path / name
    with table.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["id", "message", "label"], [7, 'my invoice, "late"', "?"], [8, "my password is odd", "?"]])
    answered = plinth_command("predict", "tickets", str(table))
    first, second = rows_of(answered.stdout)
    assert list(first) == ["id", "message", "label", "predicted_label", "confidence"], answered.stderr
    assert (first["id"], first["message"], first["label"]) == ("7", 'my invoice, "late"', "?")
    assert (first["predicted_label"], second["predicted_label"]) == ("billing", "account")
    assert 0 < float(second["confidence"]) <= 1


def test_a_table_of_many_rows_is_sent_in_batches_and_written_to_a_file(plinth_command: Run, tmp_path: Path) -> None:
    table, answers = tmp_path / "many.jsonl", tmp_path / "answers.jsonl"
    table.write_text("".join(json.dumps({"body": f"my login is odd {row}"}) + "\n" for row in range(150)))
    written = plinth_command("predict", "tickets", str(table), "--columns", "text=body", "--output", str(answers))
    assert "Wrote 150 rows" in written.stdout, written.stderr
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [row["body"] for row in rows] == [f"my login is odd {row}" for row in range(150)]
    assert set(rows[0]["output"]) == {"label", "confidence", "probabilities"}
    plinth_command("predict", "tickets", str(table), "--columns", "text=body", "-o", str(tmp_path / "answers.csv"))
    assert len(rows_of((tmp_path / "answers.csv").read_text())) == 150


def test_a_folder_has_a_line_for_each_file_with_its_name(plinth_command: Run, tmp_path: Path) -> None:
    (tmp_path / "mails" / "old").mkdir(parents=True)
    (tmp_path / "mails" / "b.txt").write_text("my crash is late")
    (tmp_path / "mails" / "old" / "a.txt").write_text("my refund is late")
    (tmp_path / "mails" / ".DS_Store").write_bytes(b"\0")
    answered = plinth_command("predict", "tickets", str(tmp_path / "mails"))
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    assert [(Path(row["input"]).name, row["label"]) for row in answers] == [("b.txt", "bug"), ("a.txt", "billing")]
    assert "No input" in plinth_command("predict", "tickets", str(make_folder(tmp_path / "empty"))).stderr


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_answer_of_the_api_is_printed_as_json(plinth_command: Run) -> None:
    document = json.loads(plinth_command("predict", "tickets", "my crash", "my login", "--json").stdout)
    assert (document["model"], document["version"], len(document["outputs"])) == ("tickets", 1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.txt"], "No such file: nowhere.txt"),
        (["folder/nowhere"], "No such file: folder/nowhere"),
        (['{"txt": 1}'], "txt"),
        (["{oops"], "not JSON"),
    ],
)
def test_a_mistake_gets_a_message_with_what_to_do(plinth_command: Run, arguments: list[str], message: str) -> None:
    failed = plinth_command("predict", "tickets", *arguments)
    assert failed.returncode == 1
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_columns_that_do_not_fit_are_reported_with_those_that_exist(plinth_command: Run, tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text("number,words\n1,my crash\n")

    def fail(*options: str) -> subprocess.CompletedProcess[str]:
        failed = plinth_command("predict", "tickets", str(table), *options)
        assert failed.returncode == 1
        return failed

    assert "it has number, words. Name one: --columns text=words" in fail().stderr
    assert "has no column 'wrds'; it has number, words" in fail("--columns", "text=wrds").stderr
    assert "has no field 'txt'; it has text" in fail("--columns", "txt=words").stderr
    table.write_text("text\nmy crash\n\n")
    assert len(rows_of(plinth_command("predict", "tickets", str(table)).stdout)) == 1
    table.write_text('text,id\nmy crash,1\n"",2\n')
    assert "row 2: " in fail().stderr


def test_columns_are_joined_as_in_the_training_data(plinth_command: Run, tmp_path: Path) -> None:
    table = tmp_path / "mails.csv"
    table.write_text("subject,body\nmy invoice,is late\n,my password is odd\n")
    for joined in ("text=subject + body", "text=subject+body"):
        answered = plinth_command("predict", "tickets", str(table), "--columns", joined)
        assert [row["label"] for row in rows_of(answered.stdout)] == ["billing", "account"], answered.stderr


def test_a_table_of_measurements_is_predicted_as_it_was_uploaded(plinth_command: Run, tmp_path: Path) -> None:
    table = tmp_path / "leaves.csv"
    rows = [
        f"{row % 7},{4.5 + row % 2},{'north' if row % 3 else 'south'},{'long' if row % 2 else 'short'}"
        for row in range(60)
    ]
    table.write_text("\n".join(["width,length,site,label", *rows, ""]))
    assert plinth_command("upload", str(table), "--name", "leaves").returncode == 0
    trained = plinth_command("train", "leaves", "--model", "leaves")
    assert trained.returncode == 0, trained.stderr
    answered = plinth_command("predict", "leaves", str(table))
    answers = rows_of(answered.stdout)
    assert len(answers) == 60, answered.stderr
    right = sum(row["predicted_label"] == row["label"] for row in answers)
    assert right == 60, "the length alone decides"
