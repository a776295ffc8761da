"""Questions about the classes of a model, for the fast path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.decisions import openai_decisions, systemone
from app.decisions.answering import Refusal, check_options, classify, counted_text, native_input
from app.decisions.questions import to_input
from app.http.strict_json import quick_json
from app.predict.fast_routes import FastCall, FastRoute
from app.predict.handler import PredictInputs
from app.serving.service import SMALL_TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.decisions.answers import Answer
    from app.decisions.questions import DecisionInput, Question
    from app.predict.fast_routes import Peek, RequestHead
    from app.predict.handler import Outputs
    from app.serving.types import LoadedModel


class SystemOneRoute(FastRoute):
    """Questions of System One."""

    template = "/v1/systemone"
    prefix = b"/v1/systemone"
    pattern = re.compile(rb"/v1/systemone")

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse questions by name."""
        request = systemone.SystemOneRequest.model_validate(quick_json(body))
        questions, decision_input = request.to_questions(), to_input(request.state)

        def encode(model: LoadedModel, outputs: Outputs, tokens: int) -> bytes:
            try:
                answers = [classify(model.served, question, outputs[0]) for question in questions]
            except Refusal as refusal:
                raise refusal.to_problem() from None
            return systemone.encode(request, answers, model.served, tokens=tokens)

        return _call(request.model, questions, decision_input, peek, encode=encode)


class DecisionsRoute(FastRoute):
    """Questions of OpenAI's decisions."""

    template = "/v1/decisions"
    prefix = b"/v1/decisions"
    pattern = re.compile(rb"/v1/decisions")

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse a list of questions."""
        request = openai_decisions.DecisionRequest.model_validate(quick_json(body))
        questions, decision_input = request.to_questions(), openai_decisions.read_input(request.input)

        def encode(model: LoadedModel, outputs: Outputs, tokens: int) -> bytes:
            answers = [_classify_or_refuse(model, question, outputs) for question in questions]
            return openai_decisions.encode(request, answers, model.served, tokens=tokens)

        return _call(request.model, questions, decision_input, peek, encode=encode)


def _classify_or_refuse(model: LoadedModel, question: Question, outputs: Outputs) -> Answer | None:
    try:
        return classify(model.served, question, outputs[0])
    except Refusal:
        return None


def _call(
    reference: str,
    questions: Sequence[Question],
    decision_input: DecisionInput,
    peek: Peek,
    *,
    encode: Callable[[LoadedModel, Outputs, int], bytes],
) -> FastCall | None:
    """Return the call of a classifier; None for other models and questions."""
    match = peek(reference)
    if match is None or len(decision_input.text or "") > SMALL_TEXT_BYTES:
        return None
    model, watch = match
    is_classified = (model.served.task or "").endswith("_classification")
    if not is_classified or any(question.kind == "box" for question in questions):
        return None
    check_options(questions)

    def encode_with_tokens(outputs: Outputs) -> bytes:
        text = counted_text(model.served, decision_input)
        return encode(model, outputs, 0 if text is None else model.predictor.count_tokens([text]))

    return FastCall(model, watch, PredictInputs([native_input(model.served, decision_input)], {}), encode_with_tokens)
