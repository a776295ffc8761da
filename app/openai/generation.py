"""Generation: fields of the protocol to those of `text_generation`, and outputs to choices."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from app.openai.fields import invalid_field, renamed_path, too_long
from app.openai.required_task import require_task
from app.predict.client_paths import client_paths
from ml.errors import TextTooLong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from app.openai.schemas import SamplingRequest
    from app.serving.service import PredictService
    from app.serving.types import PredictResult, ServedVersion

TASK: Final = "text_generation"
#: Fields that both protocols have.
_SHARED_FIELDS: Final = ("temperature", "top_p", "seed", "stop")


class Generation:
    """One request for texts: its native inputs and parameters."""

    def __init__(
        self,
        request: SamplingRequest,
        inputs: Sequence[Mapping[str, Any]],
        *,
        limit_field: str,
        names: Mapping[str, str],
    ) -> None:
        """`limit_field` names the limit on new tokens; `names` are those of native input fields."""
        self._model = request.model
        self._inputs = inputs
        self._names = {"max_new_tokens": limit_field, **names}
        sent = {name: getattr(request, name) for name in _SHARED_FIELDS}
        sent["max_new_tokens"] = getattr(request, limit_field)
        sent["logprobs"] = request.top_log_probs
        # As the protocol's own server does; a conversation whose beginning is missing would look like a whole one.
        sent["truncate"] = None if request.truncates else False
        self._parameters = {name: value for name, value in sent.items() if value is not None}

    async def run(self, service: PredictService) -> PredictResult:
        """Generate all texts; raises the errors of `PredictService.predict`."""
        await require_task(service, self._model, TASK, ability="generates texts")
        with self._client_errors():
            return await service.predict(self._model, self._inputs, parameters=self._parameters)

    async def stream(self, service: PredictService) -> tuple[ServedVersion, AsyncIterator[str | dict[str, Any] | None]]:
        """Generate the only text in pieces; raises the errors of `PredictService.stream`."""
        await require_task(service, self._model, TASK, ability="generates texts")
        if len(self._inputs) != 1:
            message = f"a stream has one text, and {len(self._inputs)} prompts were sent"
            raise invalid_field("prompt", message, hint="Send one at a time.")
        with self._client_errors():
            return await service.stream(self._model, self._inputs, parameters=self._parameters)

    @contextmanager
    def _client_errors(self) -> Iterator[None]:
        """Replace errors about inputs by those of the protocol."""
        with client_paths(self.path_of):
            try:
                yield
            except TextTooLong as error:
                path = self.path_of(error.index, error.findings[0].path or "")
                raise too_long(path, length=error.length, limit=error.limit) from error

    def path_of(self, index: int, path: str) -> str:
        """Return the path of a fault in the request.

        `path` is that in the native input at `index`.
        """
        return renamed_path(path, self._names).format(index=index)


class Envelope:
    """The fields that all parts of one answer share."""

    def __init__(self, served: ServedVersion, *, prefix: str, request_id: str) -> None:
        """`prefix` begins the id of the answer."""
        self.fields: Mapping[str, Any] = {
            "id": f"{prefix}-{request_id}",
            "created": int(time.time()),
            "model": f"{served.name}@{served.version}",
        }


def usage_of(outputs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return `TokenUsage` as JSON values: the tokens of all outputs."""
    prompt_tokens = sum(output["prompt_tokens"] for output in outputs)
    new_tokens = sum(output["new_tokens"] for output in outputs)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": new_tokens,
        "total_tokens": prompt_tokens + new_tokens,
    }
