"""Usual requests of the OpenAI protocol, for the fast path: embeddings and moderations."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import orjson

from app.http.strict_json import quick_json
from app.openai import embeddings, moderation
from app.openai.schemas import EmbeddingsRequest, ModerationRequest
from app.predict.fast_routes import FastCall, FastRoute
from app.predict.handler import PredictInputs
from app.serving.service import SMALL_TEXT_BYTES

if TYPE_CHECKING:
    from app.predict.fast_routes import Peek, RequestHead
    from app.predict.handler import Outputs
    from app.serving.types import LoadedModel


class EmbeddingsRoute(FastRoute):
    """Embeddings of short texts, whose tokens are counted at once."""

    template = "/v1/embeddings"
    prefix = b"/v1/embeddings"
    pattern = re.compile(rb"/v1/embeddings")

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse texts."""
        request = EmbeddingsRequest.model_validate(quick_json(body))
        match = peek(request.model)
        if match is None or sum(map(len, request.input)) > SMALL_TEXT_BYTES:
            return None
        model, watch = match
        if not model.predictor.reads_texts:
            return None
        return FastCall(model, watch, embeddings.to_inputs(request), partial(_encode_embeddings, model, request))


class ModerationsRoute(FastRoute):
    """Moderation by a text classifier."""

    template = "/v1/moderations"
    prefix = b"/v1/moderations"
    pattern = re.compile(rb"/v1/moderations")

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:  # of the base class
        """Parse texts."""
        request = ModerationRequest.model_validate(quick_json(body))
        match = peek(request.model)
        if match is None or match[0].served.task != moderation.TASK:
            return None
        model, watch = match
        inputs = PredictInputs(moderation.to_inputs(request), {})

        def encode(outputs: Outputs) -> bytes:
            return orjson.dumps(moderation.to_answer(request, model.served, outputs, request_id=head.request_id))

        return FastCall(model, watch, inputs, encode)


def _encode_embeddings(model: LoadedModel, request: EmbeddingsRequest, outputs: Outputs) -> bytes:
    tokens = model.predictor.count_tokens(request.input)
    return orjson.dumps(embeddings.to_answer(request, model.served, outputs, tokens=tokens))
