"""Routes of typed questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Body
from starlette.responses import Response

from app.decisions import openai_decisions, systemone
from app.decisions.answering import ANY_MODEL, Decider, Refusal, find_any_model
from app.decisions.questions import to_input
from app.dependencies import PredictServiceDep, SettingsDep
from app.http.errors import ProblemError, problem_responses
from app.http.request_body import JSONRoute
from app.predict.handler import RESPONSE_TYPE

if TYPE_CHECKING:
    from app.decisions.answers import Answer

router = APIRouter(prefix="/v1", tags=["decisions"], route_class=JSONRoute)

_PROBLEMS: Final = problem_responses(
    "damaged",
    "deadline_exceeded",
    "invalid_input",
    "invalid_package",
    "invalid_request",
    "not_found",
    "queue_full",
    "storage_unavailable",
)
_SYSTEM_ONE_EXAMPLES: Any = {
    "review": {
        "summary": "Levels of severity, which are the classes of the model",
        "value": {
            "model": "reviews",
            "state": "A quiet film.",
            "questions": {
                "severity": {
                    "type": "choice",
                    "instructions": "How severe is the text?",
                    "criteria": {"0": "harmless", "1": "rude", "2": "harmful"},
                }
            },
        },
    }
}
_DECISION_EXAMPLES: Any = {
    "review": {
        "summary": "Levels of severity, which are the classes of the model",
        "value": {
            "model": "reviews",
            "input": "A quiet film.",
            "questions": [
                {
                    "type": "choice",
                    "name": "severity",
                    "instructions": "How severe is the text?",
                    "choices": [{"value": "0"}, {"value": "1"}, {"value": "2"}],
                }
            ],
        },
    }
}


@router.post("/systemone", response_model=systemone.SystemOneResponse, responses=_PROBLEMS)
async def create_system_one_answers(
    body: Annotated[systemone.SystemOneRequest, Body(openapi_examples=_SYSTEM_ONE_EXAMPLES)],
    service: PredictServiceDep,
    settings: SettingsDep,
) -> Response:
    """Answer questions by name: yes or no, a choice, a level, a place.

    A model answers about its own classes with calibrated probabilities; one that embeds texts compares any options.
    """
    questions = body.to_questions()
    model = await _find_model(body.model, settings.decision_model)
    decider = await Decider.open(service, model, to_input(body.state), questions)
    try:
        answers = [await decider.answer(question) for question in questions]
    except Refusal as refusal:
        raise refusal.to_problem() from None
    content = systemone.encode(body, answers, decider.served, tokens=await decider.count_tokens())
    return Response(content, media_type=RESPONSE_TYPE)


@router.post("/decisions", response_model=openai_decisions.DecisionResponse, responses=_PROBLEMS)
async def create_decision(
    body: Annotated[openai_decisions.DecisionRequest, Body(openapi_examples=_DECISION_EXAMPLES)],
    service: PredictServiceDep,
    settings: SettingsDep,
) -> Response:
    """Answer a list of questions about one input, as OpenAI's clients ask them.

    A question that the model cannot answer gets a refusal; the others are answered.
    """
    questions = body.to_questions()
    model = await _find_model(body.model, settings.decision_model)
    decider = await Decider.open(service, model, openai_decisions.read_input(body.input), questions)
    answers: list[Answer | None] = []
    for question in questions:
        try:
            answers.append(await decider.answer(question))
        except Refusal:
            answers.append(None)
    content = openai_decisions.encode(body, answers, decider.served, tokens=await decider.count_tokens())
    return Response(content, media_type=RESPONSE_TYPE)


async def _find_model(name: str, setting: str | None) -> str:
    """Return the model, by the setting where clients send the name that means any."""
    if name != ANY_MODEL:
        return name
    model = setting or await to_thread.run_sync(find_any_model)
    if model is None:
        detail = f"No model can stand for {ANY_MODEL!r}. Import a model that embeds texts, or train a text classifier."
        raise ProblemError(404, "not_found", detail)
    return model
