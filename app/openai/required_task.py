"""The checks that a model can do what a path is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.openai.fields import invalid_field

if TYPE_CHECKING:
    from app.serving.service import PredictService


async def require_task(service: PredictService, model: str, task: str, *, ability: str) -> None:
    """Raise `ProblemError` 422 for a model of another task, and `ModelNotFound` for none.

    `ability` completes the sentence "the model ...".
    """
    served = await service.names.resolve(model)
    if served.task != task:
        kind = f"has the task {served.task}" if served.task else "is a base model"
        hint = f"GET /v1/models lists the models of the task {task}."
        raise invalid_field("model", f"{served.name!r} {kind}; only a model of the task {task} {ability}", hint=hint)


async def require_texts(service: PredictService, model: str) -> None:
    """Raise `ProblemError` 422 for a model that embeds no texts, and `ModelNotFound` for none."""
    loaded = await service.load(model)
    if not loaded.predictor.reads_texts:
        hint = "Name a base model of texts or a text classifier; POST /predict embeds images and audio clips."
        raise invalid_field("model", f"{loaded.served.name!r} embeds no texts", hint=hint)
