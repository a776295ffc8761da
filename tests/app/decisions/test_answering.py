"""Options are matched with the classes of a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.decisions.answering import Refusal, classify
from app.decisions.questions import Option, Question
from ml.metrics.calibration import Calibration

PROBABILITIES = {"a": 0.5, "A": 0.3, "b": 0.2}


def answer(*names: str) -> Any:
    served: Any = SimpleNamespace(name="letters")
    question = Question("questions.0", "choice", "Which?", tuple(map(Option, names)))
    return classify(served, question, {"probabilities": PROBABILITIES})


def test_classes_that_differ_in_case_alone_are_distinguished() -> None:
    assert answer("A", "a", "b").probabilities == pytest.approx((0.3, 0.5, 0.2))
    assert answer("A", "a", "B").probabilities == pytest.approx((0.3, 0.5, 0.2))


def test_an_option_names_a_class_in_any_case() -> None:
    matched = answer("B", "A")
    assert matched.probabilities == pytest.approx((0.4, 0.6))
    assert matched.source == "some_classes"


def test_a_refusal_names_the_options_without_a_class() -> None:
    with pytest.raises(Refusal, match="no class c, d; its classes are a, A, b"):
        answer("c", "a", "d")


def test_thresholds_of_validation_rows_decide_about_choices_among_all_classes() -> None:
    # Threshold, coverage, precision, and its lower bound.
    calibration = Calibration(1.0, 200, (), thresholds=[(0.4, 1.0, 0.8, 0.7), (0.6, 0.5, 0.97, 0.93)])
    served: Any = SimpleNamespace(name="letters")

    def ask(*names: str) -> Any:
        question = Question("questions.0", "choice", "Which?", tuple(map(Option, names)))
        return classify(served, question, {"probabilities": PROBABILITIES}, calibration=calibration)

    whole = ask("a", "A", "b")
    assert [whole.is_unsure(precision) for precision in (0.7, 0.9, 0.99)] == [False, True, True]
    assert [whole.threshold(precision) for precision in (0.7, 0.9, 0.99)] == [0.4, 0.6, None]
    # Probabilities of some classes are others: they stand for themselves.
    some = ask("a", "b")
    assert some.threshold(0.7) == 0.7
    assert not some.is_unsure(0.7)


def affirm(instructions: str, *labels: str) -> float:
    """Return the probability of yes by a model that gives its first class 0.75."""
    rest = 0.25 / (len(labels) - 1)
    served: Any = SimpleNamespace(name="reviews")
    question = Question("questions.0", "predicate", instructions, (Option("yes"), Option("no")))
    output = {"probabilities": {label: rest if index else 0.75 for index, label in enumerate(labels)}}
    return classify(served, question, output).probabilities[0]


@pytest.mark.parametrize(
    ("instructions", "labels", "yes"),
    [
        ("Is it positive?", ("positive", "negative"), 0.75),
        ("Is it negative?", ("positive", "negative"), 0.25),
        ("Would I enjoy it?", ("positive", "negative"), 0.75),
        ("Is it spam?", ("spam", "not spam"), 0.75),
        ("Is it not spam?", ("spam", "not spam"), 0.25),
        ("Is it true that there is a 0?", ("yes", "no"), 0.75),
        ("Is it a 10?", ("10", "0", "1"), 0.75),
    ],
)
def test_yes_is_the_class_that_a_question_names(instructions: str, labels: tuple[str, ...], yes: float) -> None:
    assert affirm(instructions, *labels) == pytest.approx(yes)


@pytest.mark.parametrize(
    ("instructions", "labels", "reason"),
    [
        ("Is it not positive?", ("positive", "negative"), "opposite .'not'.*; ask whether it is positive"),
        ("Isn't it a 7?", ("7", "1", "2"), 'opposite ."n\'t".*; ask whether it is 7'),
        ("Is there no damage?", ("yes", "no"), "opposite .'no'."),
        ("Is it positive or negative?", ("positive", "negative"), "not clear which class"),
        ("Is it a 10?", ("0", "1", "2"), "not clear which class"),
        ("Is it nice?", ("7", "1"), "not clear which class"),
    ],
)
def test_a_question_whose_words_are_not_understood_is_refused(
    instructions: str, labels: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        affirm(instructions, *labels)
