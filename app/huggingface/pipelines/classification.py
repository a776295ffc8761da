"""Classification of texts, images and audio clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.huggingface.pipelines.base import LABELS, LABELS_HINT, Pipeline, PipelineRequest, check_members

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Classes of an answer, as Hugging Face returns them by default.
TOP_K: Final = 5
#: More than any model has.
MAX_CLASSES: Final = 1_000_000


class TextClassificationPipeline(Pipeline):
    """Classes of each text."""

    field = "text"
    noun = "a text"

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each text or file."""
        check_members(request)
        request.take_only("function_to_apply", ["softmax"], hint="Leave it out: scores are calibrated probabilities.")
        request.take_only("truncation", [True], hint="Leave it out.")
        request.take_only(LABELS, [], hint=LABELS_HINT)
        request.members["top_k"] = request.take_count("top_k", default=TOP_K)
        return [{self.field: value} for value in request.values(self.noun)]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return a list of classes for each text."""
        return [to_classes(output["probabilities"], request.members["top_k"]) for output in outputs]


class FileClassificationPipeline(TextClassificationPipeline):
    """Classes of one file."""

    noun = "a file in base64"

    def __init__(self, field: str) -> None:
        """`field` is the field of the input."""
        self.field = field

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the classes of the file, or a list of them for several."""
        answers = super().to_answer(outputs, request)
        return answers if request.is_list else answers[0]


class TextPrediction(TextClassificationPipeline):
    """All classes of each text, as text-embeddings-inference answers."""

    task = "text_classification"

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each text, which is no pair."""
        for name in ("raw_scores", "truncate", "truncation_direction"):
            if name in request.members:
                request.parameters[name] = request.members.pop(name)
        request.take_only("raw_scores", [False], hint="Leave it out: scores are calibrated probabilities.")
        request.take_only("truncate", [True], hint="Leave it out: the beginning of a long text is read.")
        request.take_only("truncation_direction", ["right", "Right"], hint="Leave it out.")
        request.parameters["top_k"] = MAX_CLASSES
        request.inputs = _to_texts(request.inputs)
        return super().to_inputs(request)

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the classes of the text, or a list of them for several."""
        answers = super().to_answer(outputs, request)
        return answers if request.is_list else answers[0]


def _to_texts(inputs: Any) -> Any:
    """Return a list of texts for a list of lists of one text.

    Clients send several texts in both forms. A list of two texts is a pair there, which no model reads here.
    """
    if not isinstance(inputs, list):
        return inputs
    return [item[0] if isinstance(item, list) and len(item) == 1 else item for item in inputs]


def to_classes(scores: Mapping[str, float], count: int) -> list[dict[str, Any]]:
    """Return the classes with the highest scores, the highest first."""
    best = sorted(scores.items(), key=lambda item: -item[1])[:count]
    return [{"label": label, "score": score} for label, score in best]
