"""Lines of fastText, and other published layouts of texts with classes."""

import pytest

from ml.data.dataset import Dataset
from tests.ml.data.similarity.test_minhash import sentences
from tests.support.ml.dataset_files import codes, make_zip, sample, upload

TEXTS = sentences(80)


@pytest.mark.parametrize("task", [None, "text_classification"])
def test_lines_begin_with_their_class(tmp_path, task):
    parts = {"train.txt": TEXTS[:50], "test.txt": TEXTS[50:]}
    files = {
        name: "".join(f"__label__{'pn'[row % 2]} {text}\n" for row, text in enumerate(texts)).encode()
        for name, texts in parts.items()
    }
    report = upload(tmp_path, files, task=task)

    assert (report.state, report.guess.format, report.classes) == ("ready", "fasttext", ["n", "p"])
    assert report.splits["test"] == 30
    assert Dataset.open(tmp_path / "dataset").rows("test")[1] == {"text": TEXTS[51], "label": "n"}


def test_a_line_with_several_classes_is_reported(tmp_path):
    lines = [f"__label__{'ab'[row % 2]} {text}" for row, text in enumerate(TEXTS)]
    lines[3] = "__label__a __label__b both"
    report = upload(tmp_path, {"a.txt": "\n".join(lines).encode()})

    assert (report.state, codes(report)) == ("rejected", {"label_not_plain"})
    assert sample(report, "label_not_plain") == {"file": "a.txt", "line": 4, "found": "__label__a __label__b"}


def test_class_folders_of_texts_without_a_suffix_have_their_splits(tmp_path):
    members = [
        (f"20news-bydate-{'train' if row < 50 else 'test'}/{('alt.atheism', 'sci.med')[row % 2]}/{row}", text.encode())
        for row, text in enumerate(TEXTS)
    ]
    report = upload(tmp_path, {"20news-bydate.zip": make_zip(members)})

    assert (report.state, report.guess.task, report.classes) == (
        "ready", "text_classification", ["alt.atheism", "sci.med"],
    )  # fmt: skip
    assert report.splits["test"] == 30


@pytest.mark.parametrize("columns", ["{} NN B-NP {}", "{}\t{}"])
def test_labels_of_words_are_refused_by_name(tmp_path, columns):
    sentences_of_words = [
        "\n".join(columns.format(word, "B-PER" if place == 0 else "O") for place, word in enumerate(text.split()))
        for text in TEXTS
    ]
    report = upload(tmp_path, {"train.conll": "\n\n".join(sentences_of_words).encode()})

    assert (report.state, codes(report)) == ("rejected", {"token_labels"})


@pytest.mark.parametrize("task", [None, "text_classification"])
def test_lines_of_trec_begin_with_their_class(tmp_path, task):
    classes = ("DESC:manner", "ENTY:animal")
    lines = "".join(f"{classes[row % 2]} {text} ?\n" for row, text in enumerate(TEXTS))
    report = upload(tmp_path, {"questions.txt": lines.encode()}, task=task)

    assert (report.state, report.guess.format, report.classes) == ("ready", "fasttext", list(classes))
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["text"] in {f"{text} ?" for text in TEXTS}


def trec_lines():
    classes = ("DESC:manner", "DESC:reason", "ENTY:animal")
    return "".join(f"{classes[row % 3]} {text} ?\n" for row, text in enumerate(TEXTS)).encode()


@pytest.mark.parametrize(
    ("columns", "classes", "reading"),
    [
        ({}, ["DESC:manner", "DESC:reason", "ENTY:animal"], "read: text, label = fine"),
        ({"label": "fine"}, ["DESC:manner", "DESC:reason", "ENTY:animal"], "read: text, label = fine"),
        ({"label": "Coarse"}, ["DESC", "ENTY"], "read: text, label = coarse"),
    ],
)
def test_the_coarse_classes_of_trec_are_the_label_on_request(tmp_path, columns, classes, reading):
    report = upload(tmp_path, {"questions.txt": trec_lines()}, columns=columns)

    assert (report.state, report.classes, report.reading) == ("ready", classes, reading)
    rows = Dataset.open(tmp_path / "dataset").rows("train")
    assert not any(row["text"].startswith(("DESC", "ENTY")) for row in (rows[index] for index in range(len(rows))))


@pytest.mark.parametrize("columns", [{"label": "middle"}, {"label": 2}, {"text": "coarse"}])
def test_other_classes_of_trec_are_refused_with_the_choice(tmp_path, columns):
    report = upload(tmp_path, {"questions.txt": trec_lines()}, columns=columns)

    assert (report.state, "invalid_columns" in codes(report)) == ("rejected", True)
    assert sample(report, "invalid_columns")["expected"] == '{"label": "fine"} or {"label": "coarse"}'


def test_lines_with_one_class_have_no_columns_to_choose(tmp_path):
    lines = "\n".join(f"__label__{'ab'[row % 2]} {text}" for row, text in enumerate(TEXTS))
    report = upload(tmp_path, {"a.txt": lines.encode()}, columns={"label": "coarse"})

    assert (report.state, codes(report), report.classes) == ("ready", {"columns_not_used"}, ["a", "b"])
