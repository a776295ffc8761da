"""Moderation by any text classifier: its harmful classes are the categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.http.errors import ProblemError, summarize
from app.openai.fields import invalid_field, names_in_errors
from app.openai.required_task import require_task
from ml.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from app.openai.schemas import ModerationRequest
    from app.serving.service import PredictService
    from app.serving.types import ServedVersion

TASK: Final = "text_classification"
#: Names of classes, in lower case, that flag nothing unless the request names others.
HARMLESS: Final = frozenset({"acceptable", "clean", "ham", "harmless", "neutral", "none", "normal", "ok", "safe"})
HARMLESS_HINT: Final = 'Name them, in Python by extra_body={"harmless": ["..."]}.'


async def moderate(service: PredictService, request: ModerationRequest, *, request_id: str) -> dict[str, Any]:
    """Return `Moderation` as JSON values; raises the errors of `PredictService.predict`."""
    await require_task(service, request.model, TASK, ability="flags texts")
    with names_in_errors({"": "input.{index}", "text": "input.{index}"}):
        result = await service.predict(request.model, to_inputs(request), parameters={})
    return to_answer(request, result.served, result.outputs, request_id=request_id)


def to_inputs(request: ModerationRequest) -> list[dict[str, str]]:
    """Return the inputs of `/predict`."""
    return [{"text": text} for text in request.input]


def to_answer(
    request: ModerationRequest, served: ServedVersion, outputs: Sequence[Mapping[str, Any]], *, request_id: str
) -> dict[str, Any]:
    """Return `Moderation` as JSON values; raises `ProblemError` 422 for labels of unknown harm."""
    harmless = _harmless_labels(list(outputs[0]["probabilities"]), request.harmless)
    return {
        "id": f"modr-{request_id}",
        "model": f"{served.name}@{served.version}",
        "results": [_to_result(output, harmless) for output in outputs],
    }


def _harmless_labels(labels: Sequence[str], requested: Sequence[str] | None) -> Collection[str]:
    """Return the classes that flag nothing; they are refused rather than guessed."""
    if requested is not None:
        findings = [
            unknown("label", label, labels, path=f"harmless.{index}")
            for index, label in enumerate(requested)
            if label not in labels
        ]
        if findings:
            raise ProblemError(422, "invalid_request", summarize(findings), errors=findings)
        return requested
    harmless = [label for label in labels if label.lower() in HARMLESS]
    if not harmless:
        shown = ", ".join(labels[:20])
        raise invalid_field("harmless", f"no class is known to be harmless among {shown}", hint=HARMLESS_HINT)
    return harmless


def _to_result(output: Mapping[str, Any], harmless: Collection[str]) -> dict[str, Any]:
    scores = {label: score for label, score in output["probabilities"].items() if label not in harmless}
    return {
        "flagged": output["label"] in scores,
        "categories": {label: label == output["label"] for label in scores},
        "category_scores": scores,
    }
