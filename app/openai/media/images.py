"""Images by any model of the task `image_generation`, of a class."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from app.openai.fields import invalid_field, names_in_errors
from app.openai.required_task import require_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.openai.media.schemas import ImageRequest
    from app.serving.service import PredictService
    from app.serving.types import LoadedModel

TASK: Final = "image_generation"


async def generate_images(service: PredictService, request: ImageRequest) -> dict[str, Any]:
    """Return `GeneratedImages` as JSON values; raises the errors of `PredictService.predict`."""
    await require_task(service, request.model, TASK, ability="generates images")
    size = _size_of(await service.load(request.model))
    if request.size not in (None, "auto", size):
        message = f"this model generates images of {size}, not {request.size}"
        raise invalid_field("size", message, hint="Leave it out, or send 'auto'.")
    label = {"label": request.prompt} if request.prompt else {}
    inputs = [
        label if request.seed is None else {**label, "seed": request.seed + index} for index in range(request.n or 1)
    ]
    with names_in_errors({"": "prompt", "label": "prompt"}):
        result = await service.predict(request.model, inputs, parameters={})
    return {
        "created": int(time.time()),
        "model": f"{result.served.name}@{result.served.version}",
        "size": size,
        "output_format": "png",
        "data": [_to_image(output) for output in result.outputs],
    }


def _size_of(model: LoadedModel) -> str:
    config = model.predictor.manifest.encoders["image"].config
    return f"{config['width']}x{config['height']}"


def _to_image(output: Mapping[str, Any]) -> dict[str, Any]:
    return {"b64_json": output["image"], "revised_prompt": output["label"], "seed": output["seed"]}
