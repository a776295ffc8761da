"""OpenAI's decisions: a list of questions in, a list of answers out.

The shapes are those of the Python client openai since 3.51.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from app.decisions.questions import DecisionInput, Option, Question, data_of_url, predicate_options, to_input, to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.decisions.answers import Answer
    from app.serving.types import ServedVersion

#: A text, or parts: `{"type": "input_text", "text"}`, `{"type": "input_image", "image_url"}`, JSON.
Parts = str | list[dict[str, Any]]


class _Asked(BaseModel):
    """Fields of all questions."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    instructions: Parts


class Predicate(_Asked):
    """A question whose answer is yes or no."""

    type: Literal["predicate"]

    def to_question(self, path: str) -> Question:
        """Convert to a predicate."""
        instructions = join_texts(self.instructions)
        return Question(path, "predicate", instructions, predicate_options(instructions, "", ""))


class ChoiceOption(BaseModel):
    """One of the options."""

    model_config = ConfigDict(extra="forbid")

    value: bool | str
    description: str | None = None

    @property
    def name(self) -> str:
        """The value as a text."""
        return str(self.value).lower() if isinstance(self.value, bool) else self.value


class ChoiceOfOptions(_Asked):
    """One of several options."""

    type: Literal["choice"]
    choices: list[ChoiceOption] = Field(min_length=2, max_length=255)

    def to_question(self, path: str) -> Question:
        """Convert to a choice; true and false are options by these names."""
        options = tuple(
            Option(
                str(choice.value).lower() if isinstance(choice.value, bool) else choice.value, choice.description or ""
            )
            for choice in self.choices
        )
        return Question(path, "choice", join_texts(self.instructions), options)


class Level(BaseModel):
    """One of the levels."""

    model_config = ConfigDict(extra="forbid")

    label: str
    description: str | None = None


class Score(_Asked):
    """A level of several, in their order."""

    type: Literal["score"]
    levels: list[Level] = Field(min_length=2, max_length=255)

    def to_question(self, path: str) -> Question:
        """Convert to a score."""
        options = tuple(Option(level.label, level.description or "") for level in self.levels)
        return Question(path, "score", join_texts(self.instructions), options)


class DecisionRequest(BaseModel):
    """Questions about one input."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=200)
    input: Parts
    questions: list[Annotated[Predicate | ChoiceOfOptions | Score, Field(discriminator="type")]] = Field(
        min_length=1, max_length=400
    )
    precision: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Answers that are not surely right so often are refusals. Not part of the protocol.",
    )
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    safety_identifier: str | None = None

    def to_questions(self) -> list[Question]:
        """Convert the questions, in their order."""
        return [requested.to_question(f"questions.{index}") for index, requested in enumerate(self.questions)]


class DecisionResponse(BaseModel):
    """An answer for each question, in their order."""

    model: str = Field(examples=["reviews@1"])
    answers: list[dict[str, Any]]
    usage: dict[str, Any]


def join_texts(parts: Parts) -> str:
    """Return the texts of parts, one per line; JSON parts as JSON."""
    if isinstance(parts, str):
        return parts
    texts = [part["text"] if "text" in part else to_text(part.get("json", part.get("value"))) for part in parts]
    return "\n".join(text for text in texts if text)


def read_input(parts: Parts) -> DecisionInput:
    """Return the input of messages: their texts, and the first image or JSON object."""
    if isinstance(parts, str):
        return DecisionInput(parts)
    texts: list[str] = []
    image: str | None = None
    fields: dict[str, Any] | None = None
    for message in parts:
        content = message.get("content", message.get("output", message.get("arguments", "")))
        for part in content if isinstance(content, list) else [{"text": to_text(content)}]:
            value = part.get("json", part.get("value")) if isinstance(part, dict) else None
            if isinstance(part, dict) and isinstance(part.get("image_url"), str):
                image = image or data_of_url(part["image_url"])
            elif isinstance(value, dict):
                fields = fields or value
                texts.append(to_text(value))
            else:
                texts.append(str(part.get("text", "")) if isinstance(part, dict) else to_text(part))
    text = "\n".join(text for text in texts if text)
    return to_input(fields) if fields and image is None and not text else DecisionInput(text or None, image, fields)


def encode(request: DecisionRequest, answers: Sequence[Answer | None], served: ServedVersion, *, tokens: int) -> bytes:
    """Encode `DecisionResponse`, with the answers to all questions in their order."""
    converted = [
        to_answer(requested, answer, precision=request.precision)
        for requested, answer in zip(request.questions, answers, strict=True)
    ]
    model = f"{served.name}@{served.version}"
    return orjson.dumps({"model": model, "answers": converted, "usage": to_usage(tokens)})


def to_answer(
    requested: Predicate | ChoiceOfOptions | Score, answer: Answer | None, *, precision: float | None
) -> dict[str, Any]:
    """Return an answer in the protocol's form; none, or an unsure one, is a refusal."""
    if answer is None or answer.is_unsure(precision):
        return {"type": "refusal", "name": requested.name}
    if isinstance(requested, Predicate):
        return {"type": "predicate", "name": requested.name, "probability": answer.probabilities[0]}
    if isinstance(requested, ChoiceOfOptions):
        return {
            "type": "choice",
            "name": requested.name,
            "choice": requested.choices[answer.best].value,
            "confidence": answer.choice_confidence,
            "probabilities": [
                {"value": choice.value, "probability": value}
                for choice, value in zip(requested.choices, answer.probabilities, strict=True)
            ],
        }
    return {
        "type": "score",
        "name": requested.name,
        "score": answer.score,
        "confidence": answer.score_confidence,
        "probabilities": [
            {"label": level.label, "value": index, "probability": value}
            for index, (level, value) in enumerate(zip(requested.levels, answer.probabilities, strict=True))
        ],
    }


def to_usage(tokens: int) -> dict[str, Any]:
    """Return the tokens of the input; answers have none."""
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens,
    }
