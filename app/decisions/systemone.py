"""System One: questions by name in, answers by the same names out.

The shapes are those of the protocol's Python client, typesafe-sdk; jevcompat states them as rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from app.decisions.questions import Option, Question, predicate_options, to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.decisions.answers import Answer
    from app.serving.types import ServedVersion

#: A text, or an object or list that is read as JSON.
Structured = str | dict[str, Any] | list[Any] | None
Instructions = Annotated[Structured, Field(description="What is requested, as a text or as JSON.")]


class _AskedQuestion(BaseModel):
    """Fields of all questions."""

    model_config = ConfigDict(extra="ignore")

    instructions: Instructions = None


class NoulCriteria(BaseModel):
    """Descriptions of yes and no."""

    model_config = ConfigDict(extra="forbid")

    true: Structured = None
    false: Structured = None


class NoulQuestion(_AskedQuestion):
    """A question whose answer is yes or no."""

    type: Literal["noul"]
    criteria: NoulCriteria | None = None

    def to_question(self, path: str) -> Question:
        """Convert to a predicate."""
        criteria = self.criteria or NoulCriteria()
        instructions = to_text(self.instructions)
        options = predicate_options(instructions, to_text(criteria.true), to_text(criteria.false))
        return Question(path, "predicate", instructions, options)


class ChoiceQuestion(_AskedQuestion):
    """One of several options."""

    type: Literal["choice"]
    criteria: dict[str, Structured] = Field(
        min_length=2, max_length=255, description="Options by name, with a description or null."
    )

    def to_question(self, path: str) -> Question:
        """Convert to a choice."""
        options = tuple(Option(name, to_text(text)) for name, text in self.criteria.items())
        return Question(path, "choice", to_text(self.instructions), options)


class ScoreQuestion(_AskedQuestion):
    """A level of several, in their order."""

    type: Literal["score"]
    criteria: list[Structured] = Field(min_length=2, max_length=10, description="Levels, the lowest first.")

    def to_question(self, path: str) -> Question:
        """Convert to a score."""
        options = tuple(Option(to_text(level)) for level in self.criteria)
        return Question(path, "score", to_text(self.instructions), options)


class BoxQuestion(_AskedQuestion):
    """A place in an image."""

    type: Literal["box"]

    def to_question(self, path: str) -> Question:
        """Convert to a box."""
        return Question(path, "box", to_text(self.instructions), ())


AnyQuestion = Annotated[NoulQuestion | ChoiceQuestion | ScoreQuestion | BoxQuestion, Field(discriminator="type")]


class SystemOneRequest(BaseModel):
    """Questions about one state. Unknown fields are ignored, as the protocol asks."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field("jev-latest", max_length=200, description="`name`, `name@3` or `name@alias`; `jev-latest`: any.")
    state: Any = Field(description="What the questions are about: a text, an object or a list.")
    questions: dict[str, AnyQuestion] = Field(min_length=1, max_length=400)
    x_precision: float | None = Field(
        None, gt=0, le=1, description="Answers that are not surely right so often get `x_abstain`."
    )

    def to_questions(self) -> list[Question]:
        """Convert the questions, in their order."""
        return [requested.to_question(f"questions.{name}") for name, requested in self.questions.items()]


class SystemOneUsage(BaseModel):
    """Tokens of the state; answers have none."""

    input_tokens: int
    output_tokens: int = 0


class SystemOneResponse(BaseModel):
    """An answer for each question, by its name."""

    model: str = Field(examples=["reviews@1"])
    answers: dict[str, dict[str, Any]]
    usage: SystemOneUsage


def encode(request: SystemOneRequest, answers: Sequence[Answer], served: ServedVersion, *, tokens: int) -> bytes:
    """Encode `SystemOneResponse`, with the answers to all questions in their order."""
    named = {
        name: to_answer(requested, answer, precision=request.x_precision)
        for (name, requested), answer in zip(request.questions.items(), answers, strict=True)
    }
    usage = {"input_tokens": tokens, "output_tokens": 0}
    return orjson.dumps({"model": f"{served.name}@{served.version}", "answers": named, "usage": usage})


def to_answer(requested: AnyQuestion, answer: Answer, *, precision: float | None) -> dict[str, Any]:
    """Return an answer as the protocol has it; further fields begin with `x_`."""
    further: dict[str, Any] = {"x_source": answer.source}
    if precision is not None:
        further["x_abstain"] = answer.is_unsure(precision)
        further["x_threshold"] = answer.threshold(precision)
        further["x_threshold_source"] = "validation" if answer.thresholds else "probability"
    if isinstance(requested, NoulQuestion):
        return {"type": "noul", "noul": answer.probabilities[0], **further}
    if isinstance(requested, ChoiceQuestion):
        names = list(requested.criteria)
        return {
            "type": "choice",
            "choice": names[answer.best],
            "probabilities": dict(zip(names, answer.probabilities, strict=True)),
            "confidence": answer.choice_confidence,
            **further,
        }
    if isinstance(requested, ScoreQuestion):
        return {
            "type": "score",
            "score": answer.score,
            "legend": {str(index): to_text(level) for index, level in enumerate(requested.criteria)},
            "probabilities": {str(index): value for index, value in enumerate(answer.probabilities)},
            "confidence": answer.score_confidence,
            **further,
        }
    box = answer.box
    assert box is not None
    edges = {"top": box.top, "bottom": box.bottom, "left": box.left, "right": box.right}
    return {"type": "box", "box": edges, "confidence": answer.box_confidence, **further}
