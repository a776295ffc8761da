"""The AI SDK of Vercel for JavaScript, unchanged, by its provider for compatible services."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.app.openai.conftest import native
from tests.app.openai.test_openai_node import answers_of
from tests.support.api_process import ApiProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "ai (JavaScript, with @ai-sdk/openai-compatible)",
        "npm:ai",
        "generateText, streamText (by chat and completions), embedMany",
    ),
]

#: The newest versions for Node.js 20: those after them need 22.
PACKAGES: Final = ("ai@6.0.326", "@ai-sdk/openai-compatible@2.0.92", "zod@4.6.7")


def test_the_ai_sdk_generates_streams_and_embeds(api: ApiProcess, tmp_path: Path) -> None:
    answers = answers_of("ai_sdk_calls.mjs", api, tmp_path, packages=PACKAGES)
    texts = {*answers["replies"], *(text for text, _, _ in answers["streams"])}
    assert len(texts) == 1
    assert texts.pop().startswith("a")
    assert [rest for _, *rest in answers["streams"]] == [["length", 8], ["length", 8]]
    inputs = [{"text": "a film"}, {"text": "a song"}]
    outputs = native(api, "reviews", {"inputs": inputs, "parameters": {"return": "embedding"}})
    for vector, output in zip(answers["vectors"], outputs, strict=True):
        assert vector == pytest.approx(output["embedding"], rel=1e-5)
    status, message = answers["refusal"]
    assert status == 404
    assert "There is no model 'nothing'" in message
