"""One request of a pipeline, and what a pipeline does with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import orjson
from starlette.responses import Response

from app.http.errors import ProblemError, summarize
from app.predict.handler import RESPONSE_TYPE
from app.predict.schemas import MAX_INPUTS
from app.predict.truncation import truncation_headers
from ml.errors import PARAMETERS, Finding, shorten, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

T = TypeVar("T")

INPUTS: Final = "inputs"
#: Classes that a request names.
LABELS: Final = "candidate_labels"
LABELS_HINT: Final = (
    "Classes of a request are for models of the task image_text_matching; POST /v1/decisions also asks classifiers and "
    "base models of texts."
)
#: Names of parameters that change no answer here.
IGNORED: Final = frozenset({"clean_up_tokenization_spaces", "decoder_input_details", "num_workers", "top_n_tokens"})


@dataclass(slots=True)
class PipelineRequest:
    """A parsed request.

    A pipeline takes the parameters that it knows; those that are left are parameters of `/predict`.
    """

    #: A file as bytes, or a JSON value.
    inputs: Any
    parameters: dict[str, Any]
    #: Members of the body beside `inputs` and `parameters`.
    members: dict[str, Any]

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the request of a JSON body; raises `ProblemError` 422."""
        if not isinstance(value, dict):
            raise invalid("the body is a JSON object", hint='Send {"inputs": "..."}.')
        parameters = value.get(PARAMETERS) or {}
        if not isinstance(parameters, dict):
            raise invalid(f"must be an object, not {shorten(parameters)}", path=PARAMETERS, hint="Leave it out.")
        # These clients send null for a parameter that is not set.
        named = {name: item for name, item in parameters.items() if item is not None}
        members = {name: item for name, item in value.items() if name not in (INPUTS, PARAMETERS) and item is not None}
        return cls(value.get(INPUTS), named, members)

    def take(self, name: str) -> Any:
        """Return a parameter and remove it; None if it is not there."""
        return self.parameters.pop(name, None)

    def take_only(self, name: str, allowed: Iterable[Any], *, hint: str) -> None:
        """Remove a parameter; raises `ProblemError` 422 for a value that is not allowed."""
        value = self.take(name)
        if value is not None and value not in tuple(allowed):
            raise invalid(f"{shorten(value)} is not supported", path=f"{PARAMETERS}.{name}", hint=hint)

    def take_count(self, name: str, *, default: int) -> int:
        """Return a parameter that is a number above 0."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            hint = f"It is a whole number above 0, such as {default}."
            raise invalid(f"must be 1 or more, not {shorten(value)}", path=f"{PARAMETERS}.{name}", hint=hint)
        return value

    def rename(self, names: Mapping[str, str]) -> None:
        """Give parameters the names that they have at `/predict`."""
        for name, native in names.items():
            if name in self.parameters:
                self.parameters[native] = self.parameters.pop(name)

    @property
    def is_list(self) -> bool:
        """True if several inputs were sent."""
        return isinstance(self.inputs, list)

    def values(self, noun: str) -> list[Any]:
        """Return the inputs as a list of strings, or of files."""
        values = self.inputs if self.is_list else [self.inputs]
        if not 1 <= len(values) <= MAX_INPUTS:
            raise invalid(f"has {len(values):,} inputs", path=INPUTS, hint=f"Send 1 to {MAX_INPUTS:,} at a time.")
        for index, value in enumerate(values):
            if not isinstance(value, str | bytes):
                path = f"{INPUTS}.{index}" if self.is_list else INPUTS
                raise invalid(f"must be {noun}, not {shorten(value)}", path=path, hint=f'Send {{"inputs": "{noun}"}}.')
        return list(values)


class Pipeline(ABC):
    """Translates the requests and answers of one kind of client call."""

    #: Media type of an answer that is a file.
    media_type = "application/octet-stream"

    @abstractmethod
    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return the inputs of `/predict`, and take the parameters that the pipeline knows.

        Raises `ProblemError` 422.
        """

    @abstractmethod
    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return the answer as JSON values, or a file as bytes."""

    def path_of(self, request: PipelineRequest, index: int, path: str) -> str:
        """Return the place of a fault in the request from that in the native input."""
        if path.partition(".")[0] == PARAMETERS:
            return path
        return f"{INPUTS}.{index}" if request.is_list else INPUTS


def respond(pipeline: Pipeline, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Response:
    """Return the answer to a request, as `encode`."""
    answer = encode(pipeline, outputs, request)
    return Response(answer, media_type=RESPONSE_TYPE) if isinstance(answer, bytes) else answer


def encode(pipeline: Pipeline, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> bytes | Response:
    """Return the answer: JSON, or a response with a file or a header.

    The header lists the texts that were cut.
    """
    answer = pipeline.to_answer(outputs, request)
    headers = truncation_headers(outputs)
    if isinstance(answer, bytes):
        return Response(answer, media_type=pipeline.media_type, headers=headers)
    content = orjson.dumps(answer)
    return Response(content, media_type=RESPONSE_TYPE, headers=headers) if headers else content


def check_members(request: PipelineRequest, members: Iterable[str] = ()) -> None:
    """Raise `ProblemError` 422 for members of the body that a pipeline does not know."""
    names = (INPUTS, PARAMETERS, *members)
    findings = [unknown("field", name, names, path=name[:80]) for name in request.members if name not in names][:8]
    if findings:
        raise ProblemError(422, "invalid_request", summarize(findings), errors=findings)


def invalid(message: str, *, path: str | None = None, hint: str | None = None) -> ProblemError:
    """Return the error 422 about a part of the body."""
    finding = Finding(code="invalid_request", message=message, path=path, hint=hint)
    return ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])
