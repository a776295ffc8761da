"""Options are matched with the classes of a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.decisions.answering import Refusal, classify
from app.decisions.questions import Option, Question

PROBABILITIES = {"a": 0.5, "A": 0.3, "b": 0.2}


def answer(*names: str) -> Any:
    served: Any = SimpleNamespace(name="letters")
    question = Question("questions.0", "choice", "Which?", tuple(map(Option, names)))
    return classify(served, question, {"probabilities": PROBABILITIES})


def test_classes_that_differ_in_case_alone_are_told_apart() -> None:
    assert answer("A", "a", "b").probabilities == pytest.approx((0.3, 0.5, 0.2))
    assert answer("A", "a", "B").probabilities == pytest.approx((0.3, 0.5, 0.2))


def test_an_option_names_a_class_in_any_case() -> None:
    matched = answer("B", "A")
    assert matched.probabilities == pytest.approx((0.4, 0.6))
    assert matched.source == "some_classes"


def test_a_refusal_names_the_options_without_a_class() -> None:
    with pytest.raises(Refusal, match="no class c, d; its classes are a, A, b"):
        answer("c", "a", "d")
