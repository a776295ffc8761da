"""Usual requests of containers' contracts, for the fast path."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson

from app.containers.instances import (
    ALL_FORMS,
    TARGET_MODEL,
    TENSOR_FORMS,
    Instances,
    encode_outputs,
    encode_predictions,
    parse_instances,
    to_inputs,
)
from app.http.strict_json import quick_json
from app.predict.fast_routes import REFERENCE, FastCall, FastRoute
from app.predict.handler import BodyFormat, PredictInputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.predict.fast_routes import Peek, RequestHead
    from app.predict.handler import Outputs

_TARGET: Final = TARGET_MODEL.lower()


class InstancesRoute(FastRoute):
    """TF Serving, KServe (version 1) and Vertex."""

    template = "/v1/models/{model}:predict"
    prefix = b"/v1/models/"
    pattern = re.compile(rb"/v1/models/" + REFERENCE + rb":predict")
    formats = frozenset({BodyFormat.JSON, BodyFormat.RAW, None})

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse `instances` or `inputs`."""
        instances = parse_instances(quick_json(body), TENSOR_FORMS)
        return _call(head.reference, instances, peek, encode=partial(encode_outputs, instances))


class InvocationsRoute(FastRoute):
    """Answers `/invocations`, the path of SageMaker and MLflow."""

    template = "/invocations"
    prefix = b"/invocations"
    pattern = re.compile(rb"/invocations")
    formats = frozenset({BodyFormat.JSON, BodyFormat.RAW})
    headers = frozenset({_TARGET})

    def __init__(self, default_model: str | None) -> None:
        """`default_model` answers requests that name none."""
        self._default_model = default_model

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse JSON of any form, or one input as it is.

        The ordinary route looks for the only model where none is named.
        """
        reference = head.headers.get(_TARGET) or self._default_model
        if reference is None:
            return None
        is_raw = head.body_format is BodyFormat.RAW
        instances = Instances("body", [body]) if is_raw else parse_instances(quick_json(body), ALL_FORMS)
        return _call(reference, instances, peek, encode=encode_predictions)


class PredictionsRoute(FastRoute):
    """Answers `/predictions/NAME`, the path of TorchServe."""

    template = "/predictions/{model}"
    prefix = b"/predictions/"
    pattern = re.compile(rb"/predictions/" + REFERENCE)
    formats = frozenset({BodyFormat.JSON, BodyFormat.RAW, None})

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse one input."""
        row = quick_json(body) if head.body_format is BodyFormat.JSON else body
        return _call(head.reference, Instances("body", [row]), peek, encode=_encode_one)


def _call(reference: str, instances: Instances, peek: Peek, *, encode: Callable[[Outputs], bytes]) -> FastCall | None:
    match = peek(reference)
    if match is None:
        return None
    model, watch = match
    request = PredictInputs(to_inputs(model.predictor.adapter, instances), instances.parameters)
    return FastCall(model, watch, request, encode)


def _encode_one(outputs: Outputs) -> bytes:
    return orjson.dumps(outputs[0])
