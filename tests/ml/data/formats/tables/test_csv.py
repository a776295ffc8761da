import io

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.data.limits import Limits
from tests.support.ml.dataset_files import (
    codes,
    count,
    encode_image,
    make_base64_csv,
    make_csv,
    make_idx_pair,
    make_images,
    make_labels,
    sample,
    upload,
)

IMAGES, NAMES = make_images(40), make_labels(40)
CLEAN = make_csv(IMAGES, NAMES)
ALL = {"train": 1.0}


def imported_rows(folder, split="train"):
    return Dataset.open(folder / "dataset").rows(split)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [True, False])
def test_pixels_are_detected_with_and_without_a_header(tmp_path, delimiter, header):
    data = make_csv(IMAGES, NAMES, header=header, delimiter=delimiter)
    report = upload(tmp_path, {"a.csv": data}, splits=ALL)
    assert (report.state, codes(report)) == ("ready", set())
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)
    assert list(imported_rows(tmp_path).columns["label"]) == NAMES


def test_a_label_behind_the_pixels_is_detected_by_an_edge_that_is_constant(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 17, (60, 64))
    labels = np.arange(60) % 10
    pixels[:, 0] = 0
    table = np.column_stack([pixels, labels])
    report = upload(tmp_path / "last", {"optdigits.tra": "\n".join(",".join(map(str, row)) for row in table).encode()})
    assert (report.state, report.classes) == ("ready", [str(digit) for digit in range(10)])

    table[:, 0] = labels[::-1]
    report = upload(tmp_path / "both", {"digits.csv": "\n".join(",".join(map(str, row)) for row in table).encode()})
    finding = sample(report, "label_column_guessed")
    assert (finding["found"], finding["expected"]) == ("label = 1", "or 65")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: data.replace(b"label", b'"label"'),
        lambda data: data.replace(b"\n0,", b'\n"0",'),
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"\n", b"\n\n"),
    ],
    ids=["crlf", "cr", "mark", "utf-16", "quoted name", "quoted label", "no last newline", "blank lines"],
)
def test_line_ends_encodings_and_quotes_change_nothing(tmp_path, change):
    report = upload(tmp_path, {"a.csv": change(CLEAN)}, splits=ALL)
    assert (report.state, codes(report)) == ("ready", set())
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)
    assert list(imported_rows(tmp_path).columns["label"]) == NAMES


def test_the_same_images_as_idx_and_csv_are_the_same_dataset(tmp_path):
    digests = set()
    for name, files in (("idx", make_idx_pair(IMAGES, NAMES)), ("csv", {"train.csv": CLEAN})):
        report = upload(tmp_path / name, files)
        assert report.summary is not None
        digests.add(report.summary.digest)
    assert len(digests) == 1


def test_file_names_name_the_splits(tmp_path):
    files = {"train.csv": CLEAN, "digits_test.csv": make_csv(make_images(20, seed=2), make_labels(20))}
    assert upload(tmp_path, files).splits == {"train": 36, "validation": 4, "test": 20}


def test_pixels_from_0_to_1_are_scaled_and_reported(tmp_path):
    report = upload(tmp_path, {"a.csv": make_csv(IMAGES, NAMES, scale=1 / 255)}, splits=ALL)
    assert report.state == "ready"
    assert count(report, "pixels_scaled") == report.repaired == 40
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_images_in_base64(tmp_path, prefix):
    data = make_base64_csv([encode_image(image) for image in IMAGES], NAMES, prefix=prefix)
    delimited = (
        data
        if not prefix
        else data.replace(b"data:image/png;base64,", b'"data:image/png;base64,')
        .replace(b"\n", b'"\n')
        .replace(b'image"\n', b"image\n")
    )
    report = upload(tmp_path, {"a.csv": delimited}, splits=ALL)
    assert (report.state, codes(report)) == ("ready", set())
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)


def test_base64_without_a_header(tmp_path):
    data = make_base64_csv([encode_image(image) for image in IMAGES], NAMES).partition(b"\n")[2]
    report = upload(tmp_path, {"a.csv": data}, splits=ALL)
    assert (report.state, report.classes) == ("ready", ["0", "1"])
    assert list(imported_rows(tmp_path).columns["label"]) == NAMES


def test_columns_may_be_chosen_by_name(tmp_path):
    data = CLEAN.replace(b"label", b"what")
    columns = {"label": "what", "image": "pixel0:pixel35", "shape": "4x9"}
    report = upload(tmp_path, {"a.csv": data}, columns=columns)
    assert report.state == "ready"
    assert report.summary is not None
    assert report.summary.facts["image"]["max_width"] == 9


def test_columns_may_be_chosen_by_position(tmp_path):
    rows = make_csv(IMAGES, None, header=False).decode().splitlines()
    data = "\n".join(f"{row},{name}" for row, name in zip(rows, NAMES, strict=True)).encode()
    report = upload(tmp_path, {"a.csv": data}, columns={"label": 37, "image": "1:36"}, splits=ALL)
    assert report.state == "ready"
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)


def test_the_guess_can_be_sent_as_a_request(tmp_path):
    first = upload(tmp_path, {"a.csv": CLEAN})
    assert first.guess is not None
    assert first.guess.columns == {"label": "label", "image": "pixel0:pixel35", "shape": "6x6"}
    again = upload(tmp_path / "again", {"a.csv": CLEAN}, columns=first.guess.columns, format=first.guess.format)
    assert first.summary == again.summary


def test_an_index_column_is_no_pixel(tmp_path):
    head, *rows = CLEAN.decode().splitlines()
    data = "\n".join([f"id,{head}", *(f"{number},{row}" for number, row in enumerate(rows))]).encode()
    report = upload(tmp_path, {"a.csv": data}, splits=ALL)
    assert report.state == "ready"
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)


def test_pixels_without_labels_are_unlabeled(tmp_path):
    report = upload(tmp_path, {"a.csv": make_csv(IMAGES, None)})
    assert (report.state, report.classes) == ("ready", None)


def test_labels_written_as_fractions_are_whole_numbers(tmp_path):
    report = upload(tmp_path, {"a.csv": make_csv(IMAGES, [f"{name}.0" for name in NAMES])})
    assert report.classes == ["0", "1"]
    assert count(report, "labels_as_floats") == 40


@pytest.mark.parametrize(
    ("words", "encoding", "guess"),
    [(["grün", "blau"], "latin-1", "cp1252"), (["红色的", "蓝色的"], "gb18030", "gb18030")],
)
def test_other_encodings_are_guessed_and_reported(tmp_path, words, encoding, guess):
    data = make_csv(IMAGES, words * 20).decode().encode(encoding)
    report = upload(tmp_path, {"a.csv": data})
    assert report.state == "ready"
    assert report.classes == sorted(words)
    assert sample(report, "encoding_guessed") == {"file": "a.csv", "line": 2, "found": guess, "expected": "UTF-8"}


def test_faults_have_their_line_row_and_column(tmp_path):
    rows = CLEAN.decode().splitlines()
    rows[3] = rows[3].replace(",", ",x", 1)
    rows[5] += ",7"
    rows[7] = rows[7].rpartition(",")[0] + ",256"
    rows[9] = rows[9].rpartition(",")[0] + ",nan"
    rows[11] = rows[11].rpartition(",")[0] + ","
    rows[13] = rows[13].replace(rows[13][0], "", 1)
    report = upload(tmp_path, {"a.csv": "\n".join(rows).encode()})
    assert report.state == "rejected"
    assert (report.rows, report.rejected) == (40, 6)
    assert sample(report, "pixel_not_a_number")["line"] == 4
    assert sample(report, "pixel_not_a_number")["row"] == 3
    assert sample(report, "pixel_not_a_number")["column"] == "pixel0"
    assert sample(report, "ragged_row") == {"file": "a.csv", "line": 6, "row": 5, "found": "38 cells", "expected": "37"}
    assert sample(report, "pixel_out_of_range") == {
        "file": "a.csv", "line": 8, "row": 7, "column": "pixel35", "found": "256.0", "expected": "0 to 255"
    }  # fmt: skip
    assert sample(report, "missing_label") == {"file": "a.csv", "line": 14, "row": 13, "column": "label"}
    assert count(report, "pixel_not_a_number") == 3


def test_faults_have_the_same_locations_in_quoted_files(tmp_path):
    rows = CLEAN.decode().splitlines()
    rows[0] = rows[0].replace("label", '"la\nbel"')
    rows[7] = rows[7].rpartition(",")[0] + ',"2\n56"'
    report = upload(tmp_path, {"a.csv": "\n".join(rows).encode()}, columns={"label": 1})
    assert sample(report, "pixel_not_a_number")["line"] == 9
    assert sample(report, "pixel_not_a_number")["row"] == 7


def test_an_open_quote_rejects_its_row_and_is_reported(tmp_path):
    rows = CLEAN.decode().splitlines()
    rows[30] = '"' + rows[30]
    report = upload(tmp_path, {"a.csv": "\n".join(rows).encode()})
    assert sample(report, "bad_quoting")["line"] == 31


def test_pixels_that_form_no_square_require_a_shape(tmp_path):
    data = make_csv(make_images(40)[:, :5], NAMES)
    report = upload(tmp_path, {"a.csv": data})
    assert sample(report, "pixels_not_square") == {"file": "a.csv", "found": "30 pixel columns"}
    hint = next(entry.hint for entry in report.errors if entry.code == "pixels_not_square")
    assert '{"shape": "28x28"}' in hint
    assert upload(tmp_path, {"a.csv": data}, columns={"shape": "5x6"}).state == "ready"


def test_a_long_file_is_read_in_blocks_with_correct_locations(tmp_path):
    """Far beyond one block of text, with one fault near the end."""
    images = make_images(3000, side=28)
    rows = make_csv(images, make_labels(3000)).decode().splitlines()
    rows[2990] = rows[2990].rpartition(",")[0] + ",-1"
    report = upload(tmp_path, {"a.csv": "\n".join(rows).encode()})
    assert sample(report, "pixel_out_of_range")["line"] == 2991
    assert report.rejected == 1
    assert report.rows == 3000


def test_too_many_rows_are_rejected(tmp_path):
    report = upload(tmp_path, {"a.csv": CLEAN}, limits=Limits(max_rows=39))
    assert "too_many_rows" in codes(report)


def test_files_written_by_numpy_are_read(tmp_path):
    file = io.BytesIO()
    np.savetxt(file, np.c_[IMAGES.reshape(40, -1), [int(name) for name in NAMES]], delimiter=",")
    report = upload(tmp_path, {"a.csv": file.getvalue()}, columns={"label": 37}, splits=ALL)
    assert (report.state, report.classes) == ("ready", ["0", "1"])
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("first", ['"He said ""no"", and left"', "He said no"])
def test_a_line_ends_only_at_a_newline(tmp_path, sign, first):
    rows = [f"and {number} {sign} more,{'no' if number % 2 else 'yes'}\n" for number in range(40)]
    report = upload(tmp_path, {"a.csv": "".join(["text,label\n", f"{first},yes\n", *rows, "odd\n"]).encode()})
    assert report.rows == 42
    assert codes(report) <= {"ragged_row", "text_control_characters"}
    assert sample(report, "ragged_row") == {"file": "a.csv", "line": 43, "row": 42, "found": "1 cells", "expected": "2"}


@pytest.mark.parametrize("delimiter_line", ["sep=;\r\n", '"sep=;"\r\n', "\ufeffsep=;\n"])
def test_excel_may_name_its_delimiter_in_a_line_before(tmp_path, delimiter_line):
    rows = [f"it, was; {number};{'yes' if number % 2 else 'no'}\r\n".replace("; ", " ") for number in range(40)]
    data = f"{delimiter_line}text;label\r\n{''.join(rows)}odd\r\n".encode()
    report = upload(tmp_path, {"a.csv": data})
    assert report.guess.columns == {"text": "text", "label": "label"}
    assert sample(report, "ragged_row") == {"file": "a.csv", "line": 43, "row": 41, "found": "1 cells", "expected": "2"}


def test_a_column_that_numbers_the_rows_is_no_label(tmp_path):
    rows = [f"{number + 1},the phrase {number},{number % 3}" for number in range(40)]
    data = "\n".join(["PhraseId,Phrase,Sentiment", *rows]).encode()
    report = upload(tmp_path / "labelled", {"train.csv": data})
    assert report.guess.columns == {"text": "Phrase", "label": "Sentiment"}

    unlabeled = "\n".join(["PhraseId,Phrase", *(row.rpartition(",")[0] for row in rows)]).encode()
    assert upload(tmp_path / "unlabeled", {"test.csv": unlabeled}).guess.columns == {"text": "Phrase"}


def test_the_second_of_two_unnamed_texts_is_no_class(tmp_path):
    rows = [f"The man number {number} walks.\tDer Mann Nummer {number} geht.\n" for number in range(40)]
    report = upload(tmp_path, {"pairs.tsv": "".join(rows).encode()})
    assert (report.state, report.guess.task) == ("ready", "translation")


def test_an_instruction_is_a_prompt_and_no_class(tmp_path):
    rows = [f"do {number},ctx {number % 2},done {number}\n" for number in range(40)]
    report = upload(tmp_path, {"alpaca.csv": "".join(["instruction,context,output\n", *rows]).encode()})
    assert (report.state, report.guess.columns) == ("ready", {"prompt": "instruction + context", "text": "output"})


INSTRUCTIONS = [
    ("instruction,input,output", "do it,mark {0},done {0}", "do it\n\nmark {0}"),
    ("output,input,instruction", "done {0},mark {0},do it", "do it\n\nmark {0}"),
    ("instruction,input,output,text", "do it,mark {0},done {0},Below is: do it mark {0} done {0}", "do it\n\nmark {0}"),
    ("instruction,context,response,category", "do it,mark {0},done {0},qa", "do it\n\nmark {0}"),
    ("id,system_prompt,question,response", "a{0},be brief,what {0},done {0}", "be brief\n\nwhat {0}"),
    ("instruction,input,output", "do {0},,done {0}", "do {0}"),
]


@pytest.mark.parametrize(("head", "row", "prompt"), INSTRUCTIONS)
@pytest.mark.parametrize("task", ["text_generation", None])
def test_the_context_of_an_instruction_is_part_of_its_prompt(tmp_path, head, row, prompt, task):
    data = "\n".join([head, *(row.format(number) for number in range(40))]).encode()
    report = upload(tmp_path, {"a.csv": data}, task=task, splits=ALL)
    assert (report.state, report.guess.task) == ("ready", "text_generation")
    imported = list(imported_rows(tmp_path))
    assert [(row["prompt"], row["text"]) for row in imported] == [
        (prompt.format(number), f"done {number}") for number in range(40)
    ]


def test_columns_can_be_joined_by_request(tmp_path):
    data = "\n".join(["a,b,c", *(f"one {number},two {number},three {number}" for number in range(40))]).encode()
    columns = {"prompt": "b + a", "text": "c"}
    report = upload(tmp_path, {"a.csv": data}, task="text_generation", columns=columns, splits=ALL)
    assert (report.state, report.guess.columns) == ("ready", columns)
    assert imported_rows(tmp_path)[0]["prompt"] == "two 0\n\none 0"
    unknown = upload(tmp_path / "x", {"a.csv": data}, task="text_generation", columns={"text": "a + d"})
    assert codes(unknown) >= {"column_missing"}


@pytest.mark.parametrize(
    "names", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("text_a", "text_b"), ("question", "answer")]
)
def test_two_texts_that_are_judged_together_are_both_read(tmp_path, names):
    rows = [f"the dog {number},an animal {number},{'yes' if number % 2 else 'no'}" for number in range(40)]
    data = "\n".join([f"{','.join(names)},gold", *rows]).encode()
    report = upload(tmp_path, {"a.csv": data}, task="text_classification", splits=ALL)
    assert (report.state, report.guess.columns) == ("ready", {"text": " + ".join(names), "label": "gold"})
    assert imported_rows(tmp_path)[3]["text"] == "the dog 3\n\nan animal 3"
    assert "text = " in sample(report, "columns_joined")["found"]


def test_columns_that_are_not_read_are_named(tmp_path):
    rows = [f"{number},head {number},the story {number},{number % 2},{number % 3}" for number in range(40)]
    data = "\n".join(["id,title,text,label,priority", *rows]).encode()
    report = upload(tmp_path, {"a.csv": data}, task="text_classification")
    assert (report.state, count(report, "fields_not_read")) == ("ready", 2)
    assert sample(report, "fields_not_read") == {
        "file": "a.csv",
        "column": "title",
        "found": "not read: title",
        "expected": "read: text = text, label = label",
    }


REFERENCES = [
    "https://example.com/entry/a-thing-{0}-happens-at-length",
    "{0:064x}",
    "12345678-abcd-4321-abcd-{0:012x}",
    "CC-BY 2.0 (France) Attribution: tatoeba.org #{0} (a) & #{0} (b)",
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_links_and_hashes_are_no_text_to_learn_from(tmp_path, reference):
    rows = [f"a thing {number},{reference.format(number)},{number % 2}" for number in range(40)]
    data = "\n".join(["headline,where,label", *rows]).encode()
    report = upload(tmp_path, {"a.csv": data}, task="text_classification")
    assert (report.state, report.guess.columns) == ("ready", {"text": "headline", "label": "label"})
    assert codes(report) == {"fields_not_read"}


def test_a_text_that_is_guessed_by_its_length_is_reported(tmp_path):
    rows = [f"thing {number},what is said about it {number},{number % 2}" for number in range(40)]
    data = "\n".join(["headline,blurb,label", *rows]).encode()
    report = upload(tmp_path, {"a.csv": data}, task="text_classification")
    assert sample(report, "text_column_guessed") == {"file": "a.csv", "found": "text = blurb"}


@pytest.mark.parametrize("task", ["translation", None])
def test_a_credit_beside_two_sentences_is_not_read(tmp_path, task):
    credit = "CC-BY 2.0 (France) Attribution: tatoeba.org #1 (a) & #2 (b)"
    rows = [f"I see {number} dogs.\tJe vois {number} gros chiens noirs.\t{credit}\n" for number in range(40)]
    report = upload(tmp_path, {"fra.txt": "".join(rows).encode()}, task=task)
    assert (report.state, report.guess.task) == ("ready", "translation")
    assert report.guess.columns == {"text": "1", "target": "2"}
    assert sample(report, "fields_not_read")["column"] == "3"


def test_an_invalid_cell_is_reported_with_its_column(tmp_path):
    rows = [f"what it was {number},{'yes' if number % 2 else 'no'}" for number in range(40)]
    rows[3], rows[5] = ",yes", "what it was,"
    for head, names in (("Comment,Verdict\n", ("Comment", "Verdict")), ("", ("1", "2"))):
        data = f"{head}{chr(10).join(rows)}\n".encode()
        folder = tmp_path / str(len(head))
        report = upload(folder, {"a.csv": data}, columns={"text": names[0], "label": names[1]} if head else {})
        assert sample(report, "text_missing")["column"] == names[0]
        assert sample(report, "missing_label")["column"] == names[1]


def test_labels_with_leading_zeros_are_names(tmp_path):
    rows = [f"what it was {number},{'007' if number % 2 else '1.0'}\n" for number in range(40)]
    report = upload(tmp_path, {"a.csv": "".join(["text,label\n", *rows]).encode()})
    assert sorted(report.classes) == ["007", "1.0"]


def test_the_only_row_of_a_class_is_reported(tmp_path):
    verdicts = ["lonely" if number == 7 else "yes" if number % 2 else "no" for number in range(40)]
    rows = [f"what it was {number},{verdict}\n" for number, verdict in enumerate(verdicts)]
    report = upload(tmp_path, {"a.csv": "".join(["text,verdict\n", *rows]).encode()})
    assert sample(report, "class_too_small") == {
        "file": "a.csv", "line": 9, "row": 8, "column": "verdict", "found": "lonely: 1", "expected": "at least 2 rows"
    }  # fmt: skip


SPECIES = ["setosa", "versicolor", "virginica"]


def make_measurements(names, *, classes=SPECIES, label="species", header=True, whole=False):
    rows = [[(row * 7 + index * 13) % 90 for index in range(len(names))] for row in range(60)]
    lines = [
        ",".join([*(str(cell if whole else cell / 10) for cell in row), classes[index % len(classes)]])
        for index, row in enumerate(rows)
    ]
    return "\n".join([*([",".join([*names, label])] if header else []), *lines, ""]).encode()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("label", ["species", "y", "quality"])
@pytest.mark.parametrize(
    "names",
    [
        ["height", "width"],
        ["sepal_length", "sepal_width", "petal_length", "petal_width"],
        [f"q{number}" for number in range(1, 10)],
        list("abcdefghijklmnop"),
    ],
)
def test_measurements_are_no_pixels_and_their_classes_no_texts(tmp_path, names, label, whole):
    report = upload(tmp_path, {"a.csv": make_measurements(names, label=label, whole=whole)})

    assert (report.state, report.guess.task, report.classes) == ("ready", "tabular_classification", SPECIES)
    assert report.guess.columns == {"features": " + ".join(names), "label": label}
    assert ("label_column_guessed" in codes(report)) == (label != "y")


@pytest.mark.parametrize("count", [4, 9, 16, 60])
def test_measurements_without_a_header_are_no_pixels(tmp_path, count):
    data = make_measurements([""] * count, header=False)

    report = upload(tmp_path, {"a.csv": data})

    assert (report.state, report.guess.task) == ("ready", "tabular_classification")
    assert report.guess.columns["label"] == str(count + 1)
    assert sample(report, "label_column_guessed")["found"] == f"label = {count + 1}"


def test_marks_beside_a_text_need_the_text_to_be_named(tmp_path):
    marks = ["toxic", "obscene", "threat", "insult"]
    rows = "".join(f"{row:08x},a word or two about {row},{row % 2},0,{row % 3 % 2},0\n" for row in range(60))
    data = f"id,remark,{','.join(marks)}\n{rows}".encode()

    assert codes(upload(tmp_path / "unnamed", {"a.csv": data})) == {"target_not_named"}
    report = upload(tmp_path / "named", {"a.csv": data}, columns={"text": "remark", "label": "toxic"})
    assert (report.state, report.classes) == ("ready", ["0", "1"])


@pytest.mark.parametrize("names", [("premise", "hypothesis"), ("sentence1", "sentence2")])
def test_numbers_beside_two_texts_that_are_judged_together_are_no_measurements(tmp_path, names):
    rows = "".join(
        f"a sentence about {row},another one about {row * 7},{row % 2},{row},{row % 5},{row % 7},{row % 11}\n"
        for row in range(60)
    )
    data = f"{','.join(names)},label,score,annotators,length,overlap\n{rows}".encode()

    report = upload(tmp_path, {"a.csv": data})
    assert (report.state, report.classes) == ("ready", ["0", "1"])
    assert report.guess.task == "text_classification"


def test_measurements_are_images_if_their_shape_is_requested(tmp_path):
    data = make_measurements(["a", "b", "c", "d"], whole=True)

    assert upload(tmp_path, {"a.csv": data}, columns={"shape": "2x2", "label": "species"}).state == "ready"


@pytest.mark.parametrize("name", ["pixel_{}", "px{}", "1x{}", "V{}", "x{}"])
def test_names_of_pixels_are_pixels(tmp_path, name):
    header, _, rows = CLEAN.decode().partition("\n")
    names = [name.format(index) for index in range(header.count(","))]

    report = upload(tmp_path, {"a.csv": f"label,{','.join(names)}\n{rows}".encode()}, splits=ALL)

    assert report.state == "ready"
    assert np.array_equal(imported_rows(tmp_path).columns["image"].array, IMAGES)


@pytest.mark.parametrize("groups", [3, 6])
def test_a_table_that_could_be_two_things_is_classified_and_names_the_other_reading(tmp_path, groups):
    teams = ["Billing", "Network", "Hardware", "Access", "Software", "Other"][:groups]
    lines = [
        f"{row},Subject {row * 7 % 60},my printer {row} prints {row * 11},{teams[row % groups]},{row % 2 and 'high'}"
        for row in range(60)
    ]
    data = "\n".join(["id,subject,description,group,priority", *lines]).encode()
    report = upload(tmp_path / "guessed", {"tickets.csv": data})
    assert (report.state, report.guess.task) == ("ready", "text_classification")
    assert sample(report, "label_column_guessed") == {
        "file": "tickets.csv", "found": "label = group", "expected": "or priority",
    }  # fmt: skip
    assert report.reading == "read: text = description, label = group; not read: subject, priority, id"
    chosen = upload(tmp_path / "chosen", {"tickets.csv": data}, columns={"text": "description", "label": "priority"})
    assert chosen.reading == "read: text = description, label = priority; not read: subject, group, id"
    assert sample(chosen, "details_not_read")["column"] == "id"
    alone = upload(tmp_path / "alone", {"tickets.csv": data}, columns={"text": "description"})
    assert alone.guess.task == "text_generation"
