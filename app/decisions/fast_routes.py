"""Questions about the classes of a model, for the fast path."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from app.decisions import openai_decisions, systemone
from app.decisions.answering import Refusal, check_options, classify, counted_text, native_input
from app.decisions.questions import to_input
from app.http.strict_json import quick_json
from app.predict.fast_routes import FastCall, FastRoute
from app.predict.handler import PredictInputs
from app.serving.service import SMALL_TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.decisions.answers import Answer
    from app.decisions.questions import DecisionInput, Question
    from app.predict.fast_routes import Peek, RequestHead
    from app.predict.handler import Outputs
    from app.serving.types import LoadedModel

T = TypeVar("T", systemone.SystemOneRequest, openai_decisions.DecisionRequest)

#: Questions of one request, as JSON, whose parsed form is remembered.
MAX_CACHED_BYTES: Final = 4096
MAX_CACHED_QUESTIONS: Final = 128


class SystemOneRoute(FastRoute):
    """Questions of System One."""

    template = "/v1/systemone"
    prefix = b"/v1/systemone"
    pattern = re.compile(rb"/v1/systemone")

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse questions by name."""
        request, questions = _parse(systemone.SystemOneRequest, _parse_by_name, body)
        decision_input = to_input(request.state)

        def encode(model: LoadedModel, outputs: Outputs, tokens: int) -> bytes:
            try:
                calibration = model.predictor.adapter.calibration
                answers = [
                    classify(model.served, question, outputs[0], calibration=calibration) for question in questions
                ]
            except Refusal as refusal:
                raise refusal.to_problem() from None
            return systemone.encode(request, answers, model.served, tokens=tokens)

        return _call(request.model, decision_input, peek, encode=encode)


class DecisionsRoute(FastRoute):
    """Questions of OpenAI's decisions."""

    template = "/v1/decisions"
    prefix = b"/v1/decisions"
    pattern = re.compile(rb"/v1/decisions")

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse a list of questions."""
        request, questions = _parse(openai_decisions.DecisionRequest, _parse_in_order, body)
        decision_input = openai_decisions.read_input(request.input)

        def encode(model: LoadedModel, outputs: Outputs, tokens: int) -> bytes:
            answers = [_classify_or_refuse(model, question, outputs) for question in questions]
            return openai_decisions.encode(request, answers, model.served, tokens=tokens)

        return _call(request.model, decision_input, peek, encode=encode)


def _parse(
    schema: type[T], parse_questions: Callable[[bytes], tuple[Any, list[Question]]], body: bytes
) -> tuple[T, list[Question]]:
    """Validate a request, whose questions are often those of the request before.

    Raises `ValueError`.
    """
    value = quick_json(body)
    key = orjson.dumps(value["questions"]) if isinstance(value, dict) and "questions" in value else b""
    if not 0 < len(key) <= MAX_CACHED_BYTES:
        request = schema.model_validate(value)
        return request, _to_class_questions(request)
    validated, questions = parse_questions(key)
    return schema.model_validate({**value, "questions": validated}), questions


@lru_cache(MAX_CACHED_QUESTIONS)
def _parse_by_name(key: bytes) -> tuple[Any, list[Question]]:
    request = systemone.SystemOneRequest(state=None, questions=orjson.loads(key))
    return request.questions, _to_class_questions(request)


@lru_cache(MAX_CACHED_QUESTIONS)
def _parse_in_order(key: bytes) -> tuple[Any, list[Question]]:
    request = openai_decisions.DecisionRequest(model="", input="", questions=orjson.loads(key))
    return request.questions, _to_class_questions(request)


def _to_class_questions(request: systemone.SystemOneRequest | openai_decisions.DecisionRequest) -> list[Question]:
    """Return questions that classes may answer; raises `ValueError` for others, and `ProblemError` for too many."""
    questions = request.to_questions()
    check_options(questions)
    if any(question.kind == "box" for question in questions):
        raise ValueError("no class is a place")
    return questions


def _classify_or_refuse(model: LoadedModel, question: Question, outputs: Outputs) -> Answer | None:
    try:
        return classify(model.served, question, outputs[0], calibration=model.predictor.adapter.calibration)
    except Refusal:
        return None


def _call(
    reference: str,
    decision_input: DecisionInput,
    peek: Peek,
    *,
    encode: Callable[[LoadedModel, Outputs, int], bytes],
) -> FastCall | None:
    """Return the call of a classifier; None for other models."""
    match = peek(reference)
    if match is None:
        return None
    model, watch = match
    text = counted_text(model.served, decision_input)
    if text is not None and len(text) > SMALL_TEXT_BYTES:
        return None
    if not (model.served.task or "").endswith("_classification"):
        return None

    def encode_with_tokens(outputs: Outputs) -> bytes:
        return encode(model, outputs, 0 if text is None else model.predictor.count_tokens([text]))

    return FastCall(model, watch, PredictInputs([native_input(model.served, decision_input)], {}), encode_with_tokens)
