"""Answers of `plinth predict` for people."""

import io
import json
from pathlib import Path

import pytest

from plinth.cli.prediction_inputs import NamedInput
from plinth.cli.prediction_outputs import print_answers, write_csv


def test_recommended_items_are_a_list_with_titles_without_the_profile(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"item": "P106", "title": "Moka pot", "score": 0.25}, {"item": "P1", "title": None, "score": 0.125}]
    output = {"items": items, "profile": [0.5, 0.25], "unknown": 1, "portrait": None}
    print_answers([NamedInput(name="", value={"history": ["P1", "x"]})], [output])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["item", "title", "score"],
        ["1", "P106", "Moka", "pot", "25.0%"],
        ["2", "P1", "12.5%"],
    ]
    assert lines[3:] == ["note: 1 item of the history is not in the training data, and ignored"]


def test_other_answers_stay_json_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    objects = [{"label": "cat", "confidence": 0.9, "box": [1.0, 2.0, 3.0, 4.0]}]
    print_answers([NamedInput(name="a.png", value=Path("a.png"))], [{"objects": objects}])
    assert json.loads(capsys.readouterr().out) == {"input": "a.png", "objects": objects}


def test_detected_objects_are_lines_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    objects = [{"label": "cat", "confidence": 0.9, "box": [1.0, 2.0, 3.4, 4.0]}]
    print_answers([NamedInput(name="a.png", value=Path("a.png"))] * 2, [{"objects": objects}, {"objects": []}])
    assert capsys.readouterr().out.splitlines() == ["a.png  cat  90.0%  from 1, 2 to 3, 4", "a.png  nothing detected"]


def test_a_confidence_in_a_table_has_the_decimals_that_mean_something() -> None:
    file = io.StringIO()
    row = NamedInput(name="", value={"text": "hot"}, row={"text": "hot"})
    write_csv([row], [{"label": "heat", "confidence": 0.98765412345678, "value": 1234567.8901}], file)
    assert file.getvalue() == "text,label,confidence,value\nhot,heat,0.987654,1234567.8901\n"
