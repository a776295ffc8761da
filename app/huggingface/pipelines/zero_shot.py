"""Classes named in the request, by a model that compares images and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.huggingface.pipelines.base import LABELS, Pipeline, PipelineRequest, check_members, invalid
from ml.data.files import images
from ml.data.files.base64_data import from_text
from ml.errors import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEMPLATE: Final = "hypothesis_template"


class ZeroShot(Pipeline):
    """Compares an image, or a text, with labels."""

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return one input with the labels as candidates, in the template if there is one."""
        check_members(request)
        request.take_only("multi_label", [False], hint="Leave it out: the scores of all labels sum to 1.")
        labels = request.take(LABELS)
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels) or not labels:
            hint = 'Send {"inputs": "...", "parameters": {"candidate_labels": ["a cat", "a dog"]}}.'
            raise invalid("must be a list of texts", path=f"{PARAMETERS}.{LABELS}", hint=hint)
        if len(set(labels)) != len(labels):
            raise invalid("has a label twice", path=f"{PARAMETERS}.{LABELS}", hint="Send each once.")
        template = request.take(TEMPLATE) or "{}"
        if not isinstance(template, str) or template.count("{}") != 1:
            hint = "Such as: a photo of {}."
            raise invalid("must have {} once", path=f"{PARAMETERS}.{TEMPLATE}", hint=hint)
        request.members[LABELS] = {template.replace("{}", label): label for label in labels}
        candidates = list(request.members[LABELS])
        # The JavaScript client puts the image in an object.
        if isinstance(request.inputs, dict) and request.inputs.keys() == {"image"}:
            request.inputs = request.inputs["image"]
        values = request.values("a text, or an image in base64")
        return [{_field_of(value): value, "candidates": candidates} for value in values]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the labels with their probabilities, the most probable first."""
        labels = request.members[LABELS]
        answers = [
            [{"label": labels[item["text"]], "score": item["probability"]} for item in output["scores"]]
            for output in outputs
        ]
        return answers if request.is_list else answers[0]


def _field_of(value: str | bytes) -> str:
    """Return the field of a value; calls for images and for texts look alike."""
    data = from_text(value) if isinstance(value, str) else value
    return "image" if isinstance(value, bytes) or (data and images.looks_like_image(data)) else "text"
