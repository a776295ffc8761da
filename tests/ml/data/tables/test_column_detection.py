"""Rules by which the canonical columns of a table without images are detected."""

from dataclasses import replace

import pytest

from ml.data.issues import DataRejected
from ml.data.tables.column_detection import RULES, ColumnDetection, detect_columns
from ml.data.tables.layout import CellColumn, ColumnQuery

SENTENCE, WORD = 40.0, 4.0
TEXT = {"text": "text"}
LABELED = {"text": "text", "label": "label"}
TRANSLATION = {"text": "text", "target": "text"}


def make_columns(*columns):
    """Make text columns of (name, mean characters), and columns of numbers from a name.

    A third value marks distinct cells.
    """
    return [
        column
        if isinstance(column, CellColumn)
        else CellColumn(column, "number")
        if isinstance(column, str)
        else CellColumn(column[0], "text", column[1], any(column[2:]))
        for column in columns
    ]


#: Rule -> columns, requested columns, required columns, whether the file has a header, expected positions.
CASES = {
    "chosen by the user": ([("a", WORD), ("b", SENTENCE)], {"text": "a"}, TEXT, True, {"text": 0}),
    "texts with a score of both": (
        [("sentence1", SENTENCE), ("sentence2", SENTENCE), CellColumn("score", "number", is_measured=True)],
        {}, {"text": "text", "value": "number"}, True, {"text": 0, "value": 2},
    ),
    "number of a class before its texts": (
        [CellColumn("1", "number", repeats_values=True), ("2", WORD), ("3", SENTENCE)],
        {}, LABELED, False, {"text": 1, "label": 0},
    ),
    "usual column name": ([("notes", SENTENCE), ("review", WORD)], {}, TEXT, True, {"text": 1}),
    "names of coded classes": (
        [("text", SENTENCE), "label", ("label_text", WORD)], {}, LABELED, True, {"text": 0, "label": 2},
    ),
    "languages of a translation": (
        [("translation.en", WORD), ("translation.de", WORD)], {}, TRANSLATION, True, {"text": 0, "target": 1},
    ),
    "two texts to be judged together": (
        [("premise", WORD), ("hypothesis", SENTENCE), ("label", WORD)], {}, LABELED, True, {"text": 0, "label": 2},
    ),
    "prompt before a text": (
        [("instruction", WORD), ("output", SENTENCE)], {}, None, True, {"prompt": 0, "text": 1},
    ),
    "system and input are part of the prompt": (
        [("input", WORD), ("instruction", WORD), ("output", WORD)], {}, TEXT, True, {"prompt": 1, "text": 2},
    ),
    "target column of class names is the label": (
        [("text", SENTENCE), ("target", WORD)], {}, None, True, {"text": 0, "label": 1},
    ),
    "first text if a target is required too": (
        [("1", WORD), ("2", SENTENCE)], {}, TRANSLATION, False, {"text": 0, "target": 1},
    ),
    "two columns of distinct sentences in their order": (
        [("1", SENTENCE - 1, True), ("2", SENTENCE, True)], {}, None, False, {"text": 0, "target": 1},
    ),
    "longest text": ([("1", WORD), ("2", SENTENCE)], {}, TEXT, False, {"text": 1}),
    "first free column is the required target": (
        [("1", SENTENCE), ("text", SENTENCE)], {}, TRANSLATION, True, {"text": 1, "target": 0},
    ),
    "number to predict": (
        ["row_id", ("review", SENTENCE), "price"], {}, {"text": "text", "value": "number"}, True,
        {"text": 1, "value": 2},
    ),
    "column of classes beside a text": (
        [("remark", SENTENCE), ("status", WORD), ("intent", WORD)], {}, None, True, {"text": 0, "label": 2},
    ),
    "two texts beside such a column": (
        [("question1", SENTENCE), ("question2", SENTENCE), ("intent", WORD)],
        {}, None, True, {"text": 0, "label": 2},
    ),
    "last free column of distinct sentences is the target": (
        [("1", SENTENCE), ("2", SENTENCE - 1, True)], {}, None, False, {"text": 0, "target": 1},
    ),
    "last free column is the label": ([("1", SENTENCE), ("2", WORD)], {}, None, False, {"text": 0, "label": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_each_rule_applies_to_its_table_and_decides_on_a_column(name):
    columns, requested, required, has_header, expected = CASES[name]
    query = ColumnQuery(make_columns(*columns), requested, required, has_header)

    layout = detect_columns(query.columns, requested, has_header=has_header, required=required)

    assert layout.columns == expected
    canonicals = tuple(dict.fromkeys([*(required or ("text", "target", "label")), *requested]))
    assigned = {}
    for rule in RULES:
        detection = ColumnDetection(query, canonicals, assigned)
        applies = rule.applies(detection)
        changes = rule.assign(detection) if applies else {}
        if rule.name == name:
            assert changes.items() - assigned.items()
        changed = {**assigned, **changes}
        assigned = {canonical: position for canonical, position in changed.items() if position is not None}


def test_the_prompt_is_the_first_column_and_so_the_key():
    columns = make_columns(("output", SENTENCE), ("instruction", WORD))

    assert list(detect_columns(columns, {}, has_header=True).columns) == ["prompt", "text"]


def test_a_column_that_numbers_the_rows_is_never_detected():
    columns = [*make_columns(("1", SENTENCE)), CellColumn("2", "number", is_distinct=True)]

    assert detect_columns(columns, {}, has_header=False).columns == {"text": 0}


def test_a_missing_required_column_is_rejected_with_its_usual_names():
    with pytest.raises(DataRejected) as rejection:
        detect_columns(make_columns(("review", SENTENCE)), {}, has_header=True, required=TRANSLATION)

    assert rejection.value.code == "no_columns"
    assert "target: target, translation" in str(rejection.value.expected)


@pytest.mark.parametrize("position", [0, 3, "4"])
def test_a_request_for_a_missing_column_is_rejected_with_the_names(position):
    with pytest.raises(DataRejected) as rejection:
        detect_columns(make_columns(("a", WORD), ("b", WORD)), {"text": position}, has_header=True)

    assert rejection.value.code == "column_missing"
    assert rejection.value.expected == "one of a, b, or a position 1 to 2"


def test_pixel_columns_can_be_requested_again_as_they_were_detected():
    columns = [CellColumn("label", "text"), *(CellColumn(f"pixel{index}", "number") for index in range(9))]

    layout = detect_columns(columns, {}, has_header=True)
    request = layout.to_request(columns)

    assert request == {"label": "label", "image": "pixel0:pixel8", "shape": "3x3"}
    assert detect_columns(columns, request, has_header=True) == layout


def test_columns_that_say_where_texts_come_from_are_no_pair():
    source = CellColumn("source1", "text", WORD, repeats_values=True)
    columns = [source, replace(source, name="source2"), *make_columns(("sentence1", SENTENCE), ("sentence2", SENTENCE))]
    layout = detect_columns([*columns, CellColumn("label", "number")], {}, has_header=True, required=LABELED)

    assert layout.joined == {"text": (2, 3)}
