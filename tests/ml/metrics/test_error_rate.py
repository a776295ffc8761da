"""Error rates are those of jiwer, and those that exceed 1 are noted."""

import jiwer
import pytest

from ml.metrics.error_rate import METRICS, evaluate


@pytest.mark.parametrize(
    ("outputs", "references"),
    [
        (["one two", "three"], ["one too", "three four"]),
        (["", "a"], ["b", "a"]),
        (["a b c d"], ["a"]),
        (["x y", ""], ["", "z"]),
    ],
)
def test_the_error_rates_are_those_of_jiwer(outputs, references):
    metrics = evaluate(outputs, references, train=None).metrics

    assert metrics["word_error_rate"] == jiwer.wer(references, outputs)
    assert metrics["character_error_rate"] == jiwer.cer(references, outputs)
    assert metrics.keys() == METRICS.keys()


def test_a_rate_above_one_is_noted():
    evaluation = evaluate(["a b c d"], ["a"], train=None)

    assert evaluation.metrics["word_error_rate"] == 3
    assert [note.partition(":")[0] for note in evaluation.notes] == [
        "word_error_rate is 3",
        "character_error_rate is 6",
    ]


def test_a_rate_of_one_or_less_has_no_note():
    assert evaluate(["a", "b"], ["a", "c"], train=None).notes == []


def test_empty_references_are_noted():
    evaluation = evaluate(["a b c d"], [""], train=None)

    assert evaluation.metrics["word_error_rate"] == jiwer.wer("", "a b c d") == 4
    (note,) = evaluation.notes
    assert "all references are empty" in note
