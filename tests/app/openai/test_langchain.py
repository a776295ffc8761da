"""LangChain's models for OpenAI, unchanged."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.api_process import ApiProcess
from tests.support.client_packages import packages_of, run

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "langchain-openai", "langchain-openai", "ChatOpenAI (invoke, stream; by responses, too), OpenAIEmbeddings"
    ),
]

PROGRAM: Final = """
import json

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

chat = ChatOpenAI(model="stories", max_tokens=8)
responses = ChatOpenAI(model="stories", max_tokens=8, use_responses_api=True)
reply = responses.invoke([("system", "Be brief."), ("user", "Who are you?")])
chunks = list(responses.stream("Who are you?"))
embeddings = OpenAIEmbeddings(model="reviews", check_embedding_ctx_length=False)
print(json.dumps({
    "reply": chat.invoke("Who are you?").content,
    "stream": "".join(chunk.content for chunk in chat.stream("Who are you?")),
    "responses": reply.text,
    "next": responses.invoke([("user", "Who are you?"), reply, ("user", "And now?")]).text,
    "responses_stream": "".join(chunk.text for chunk in chunks),
    "tokens": [reply.usage_metadata["output_tokens"], chunks[-1].usage_metadata["output_tokens"]],
    "vectors": embeddings.embed_documents(["a quiet film", "a loud song"]),
    "query": embeddings.embed_query("a quiet film"),
}))
"""


def test_chat_models_and_embeddings_of_langchain_ask_the_service(api: ApiProcess, tmp_path: Path) -> None:
    environment = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{api.port}/v1",
        "OPENAI_API_KEY": api.key,
        "PYTHONPATH": os.fspath(packages_of("langchain")),
        "LANGSMITH_TRACING": "false",
    }
    printed = run([sys.executable, "-W", "ignore", "-c", PROGRAM], into=tmp_path, environment=environment)
    answers = json.loads(printed.splitlines()[-1])
    assert answers["reply"].startswith("a")
    assert answers["stream"] == answers["reply"]
    assert answers["responses"] == answers["responses_stream"] == answers["next"] == answers["reply"]
    assert answers["tokens"] == [8, 8]
    assert answers["query"] == pytest.approx(answers["vectors"][0], rel=1e-6)
    assert answers["vectors"][0] != answers["vectors"][1]
