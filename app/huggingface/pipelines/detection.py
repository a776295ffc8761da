"""Object detection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.huggingface.pipelines.base import Pipeline, PipelineRequest, check_members

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ObjectDetectionPipeline(Pipeline):
    """Objects of one image, with boxes in whole pixels."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each image; `threshold` is the lowest confidence."""
        check_members(request)
        request.rename({"threshold": "confidence"})
        return [{"image": value} for value in request.values("an image in base64")]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the objects of the image, or a list of them for several."""
        answers = [[_to_object(item) for item in output["objects"]] for output in outputs]
        return answers if request.is_list else answers[0]


def _to_object(item: Mapping[str, Any]) -> dict[str, Any]:
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(round, item["box"]), strict=True))
    return {"score": item["confidence"], "label": item["label"], "box": box}
