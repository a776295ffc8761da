"""Paths of other protocols that are not offered, and the hints of their errors."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

REFUSED = {
    "/v1/files": "POST /api/v1/datasets",
    "/v1/uploads": "POST /api/v1/datasets",
    "/v1/vector_stores/vs_1/search": "POST /api/v1/datasets",
    "/v1/batches": "batch_predict",
    "/v1/fine_tuning/jobs": "plinth train",
    "/v1/evals": "plinth train",
    "/v1/responses/resp_1": "POST /v1/responses",
    "/v1/responses/input_tokens": "POST /v1/responses",
    "/v1/conversations": "POST /v1/responses",
    "/v1/assistants": "POST /v1/responses",
    "/v1/threads/runs": "POST /v1/responses",
    "/v1/audio/translations": "POST /v1/audio/transcriptions",
    "/v1/images/edits": "POST /v1/images/generations",
    "/v1/images/variations": "POST /v1/images/generations",
    "/v1/messages": "POST /v1/chat/completions",
    "/chat/completions": "ends in /v1",
}
#: Paths whose clients read a text as `error`.
REFUSED_AS_TEXT = {
    "/api/chat": "OpenAI client",
    "/api/embed": "OpenAI client",
    "/v2/embed": "/v2/rerank",
    "/v1/chat": "OpenAI client",
    "/rerank": "/v1/rerank",
    "/hf/reviews/embed_sparse": "POST /hf/NAME/embed",
    "/generate": "POST /hf/NAME",
    "/hf/stories/generate_stream": "POST /hf/NAME",
    "/v1/models/flowers:classify": ":predict",
    "/v2/systemsharedmemory/region/a/register": "send tensors in the request",
    "/v2/logging": "OpenTelemetry",
    "/endpoints/flowers/invocations-response-stream": "invoke_endpoint",
}


@pytest.mark.parametrize("path", REFUSED)
def test_further_paths_of_openai_are_refused_in_its_form_with_a_hint(client: TestClient, path: str) -> None:
    answer = client.post(path, json={})
    assert answer.status_code == 404
    assert REFUSED[path] in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "no_such_path"


@pytest.mark.parametrize("path", REFUSED_AS_TEXT)
def test_further_paths_of_other_protocols_are_refused_with_a_text(client: TestClient, path: str) -> None:
    answer = client.post(path, json={})
    assert answer.status_code in (404, 405), answer.text
    assert REFUSED_AS_TEXT[path] in answer.json()["error"]
