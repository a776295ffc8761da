"""Usual requests of the Open Inference Protocol, for the fast path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from app.http.strict_json import quick_json
from app.inference_protocol.request_tensors import HEADER_LENGTH, parse_body
from app.inference_protocol.response_tensors import encode
from app.predict.fast_routes import REFERENCE, FastCall, FastRoute
from app.predict.handler import BodyFormat, PredictInputs
from app.predict.signature import signature_of
from app.serving.types import PredictResult

if TYPE_CHECKING:
    from app.predict.fast_routes import Peek, RequestHead

_LENGTH: Final = HEADER_LENGTH.lower()


class InferRoute(FastRoute):
    """Tensors as JSON, or as bytes after it."""

    template = "/v2/models/{model}/infer"
    prefix = b"/v2/models/"
    pattern = re.compile(rb"/v2/models/" + REFERENCE + rb"/infer")
    formats = frozenset({BodyFormat.JSON, BodyFormat.RAW, None})
    headers = frozenset({_LENGTH})

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse tensors; a deadline is left to the ordinary route."""
        match = peek(head.reference)
        tensors = parse_body(body, head.headers.get(_LENGTH), decode=quick_json)
        if match is None or tensors.deadline is not None:
            return None
        model, watch = match
        signature = signature_of(model.predictor)
        request = PredictInputs(tensors.rows(signature), tensors.parameters)
        return FastCall(
            model,
            watch,
            request,
            lambda outputs: encode(tensors.body, PredictResult(model.served, outputs), signature),
        )
