"""Usual requests of the protocols of Hugging Face, for the fast path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from app.http.strict_json import quick_json
from app.huggingface.pipelines import NAMED_PIPELINES, PIPELINES
from app.huggingface.pipelines.base import PipelineRequest, encode
from app.huggingface.pipelines.classification import TextPrediction
from app.huggingface.pipelines.embedding import NormalizedEmbedding, Reranking, SentenceSimilarity
from app.huggingface.pipelines.generation import STREAM
from app.predict.fast_routes import REFERENCE, FastCall, FastRoute
from app.predict.handler import BodyFormat, PredictInputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.huggingface.pipelines.base import Pipeline
    from app.predict.fast_routes import Peek, RequestHead
    from app.serving.types import LoadedModel

_ANY_TYPE: Final = frozenset({BodyFormat.JSON, BodyFormat.RAW, None})


class PipelineRoute(FastRoute):
    """The pipeline of a model's task, as InferenceClient requests it."""

    template = "/hf/{model}"
    prefix = b"/hf/"
    pattern = re.compile(rb"/hf/" + REFERENCE)
    formats = _ANY_TYPE

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse a file, or JSON with `inputs`."""
        match = peek(head.reference)
        pipeline = None if match is None else PIPELINES.get(match[0].served.task)
        return None if pipeline is None else _call(pipeline, head, body, peek)


class PathRoute(FastRoute):
    """A pipeline that the end of the path names, whatever the task."""

    prefix = b"/hf/"
    formats = _ANY_TYPE

    def __init__(
        self,
        ending: str,
        pipeline: Pipeline,
        *,
        template: str | None = None,
        accepts: Callable[[LoadedModel], bool] = lambda _: True,
    ) -> None:
        """`template` is that of the ordinary route, if it is not that of `ending`.

        Models that are not accepted are left to that route.
        """
        self.template = template or f"/hf/{{model}}/{ending}"
        self.pattern = re.compile(rb"/hf/" + REFERENCE + b"/" + ending.encode())
        self._pipeline = pipeline
        self._accepts = accepts

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse a file, or JSON with `inputs`."""
        match = peek(head.reference)
        if match is None or not self._accepts(match[0]):
            return None
        return _call(self._pipeline, head, body, peek)


def fast_routes() -> list[FastRoute]:
    """Return the routes of all pipelines."""
    pipelines: Mapping[str, Pipeline] = {
        "embed": NormalizedEmbedding(),
        "rerank": Reranking(),
        "similarity": SentenceSimilarity(),
    }

    def reads_texts(model: LoadedModel) -> bool:
        return model.predictor.reads_texts

    def has_classes(model: LoadedModel) -> bool:
        return model.served.task == TextPrediction.task

    named = "/hf/{model}/pipeline/{pipeline}"
    return [
        PipelineRoute(),
        PathRoute("predict", TextPrediction(), accepts=has_classes),
        *(PathRoute(ending, pipeline, accepts=reads_texts) for ending, pipeline in pipelines.items()),
        *(PathRoute(f"pipeline/{name}", pipeline, template=named) for name, pipeline in NAMED_PIPELINES.items()),
    ]


def _call(pipeline: Pipeline, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
    match = peek(head.reference)
    is_json = head.body_format is BodyFormat.JSON
    call = PipelineRequest.from_json(quick_json(body)) if is_json else PipelineRequest(body, {}, {})
    if match is None or call.members.get(STREAM):
        return None
    model, watch = match
    request = PredictInputs(pipeline.to_inputs(call), call.parameters)
    return FastCall(model, watch, request, lambda outputs: encode(pipeline, outputs, call))
