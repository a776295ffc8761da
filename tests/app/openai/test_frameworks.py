"""Frameworks over the OpenAI protocol, unchanged: Pydantic AI, LlamaIndex, Haystack and OpenAI's agents."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.app.openai.conftest import native
from tests.support.api_process import ApiProcess
from tests.support.client_packages import packages_of, run

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "Pydantic AI", "pydantic-ai-slim", "Agent (run, run_stream, history; by chat and responses), Embedder"
    ),
    pytest.mark.client(
        "LlamaIndex", "llama-index-llms-openai-like", "OpenAILike (complete, chat; streamed, too), OpenAILikeEmbedding"
    ),
    pytest.mark.client(
        "Haystack",
        "haystack-ai",
        "OpenAIChatGenerator (streamed, too), OpenAIResponsesChatGenerator, text and document embedders",
    ),
    pytest.mark.client("openai-agents", "openai-agents", "Runner (run, streamed, with history)"),
]

PYDANTIC_AI: Final = """
import asyncio, json, os

from pydantic_ai import Agent, Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])

async def main():
    replies, streams = [], []
    for model in (OpenAIChatModel, OpenAIResponsesModel):
        agent = Agent(model("stories", provider=provider), model_settings={"max_tokens": 8})
        first = await agent.run("Who are you?")
        replies += [first.output, (await agent.run("And now?", message_history=first.new_messages())).output]
        async with agent.run_stream("Who are you?") as result:
            streams.append("".join([text async for text in result.stream_text(delta=True)]))
    embedded = await Embedder(OpenAIEmbeddingModel("reviews", provider=provider)).embed_query("a film")
    print(json.dumps({"replies": replies, "streams": streams, "vector": list(embedded.embeddings[0])}))

asyncio.run(main())
"""
LLAMA_INDEX: Final = """
import json, os

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

address = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
message, replies, streams = ChatMessage(role="user", content="Who are you?"), [], []
for is_chat in (True, False):
    model = OpenAILike(model="stories", is_chat_model=is_chat, context_window=128, max_tokens=8, **address)
    replies += [model.chat([message]).message.content, model.complete("Who are you?").text]
    streams.append("".join(chunk.delta for chunk in model.stream_chat([message])))
    streams.append("".join(chunk.delta for chunk in model.stream_complete("Who are you?")))
vector = OpenAILikeEmbedding(model_name="reviews", **address).get_text_embedding("a film")
print(json.dumps({"replies": replies, "streams": streams, "vector": vector}))
"""
HAYSTACK: Final = """
import json, os

from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage

address, messages, chunks = os.environ["OPENAI_BASE_URL"], [ChatMessage.from_user("Who are you?")], []
options = {"model": "stories", "api_base_url": address}
chat = OpenAIChatGenerator(generation_kwargs={"max_tokens": 8}, **options)
streaming = OpenAIChatGenerator(
    generation_kwargs={"max_tokens": 8}, streaming_callback=lambda chunk: chunks.append(chunk.content), **options
)
responses = OpenAIResponsesChatGenerator(generation_kwargs={"max_output_tokens": 8}, **options)
replies = [generator.run(messages)["replies"][0].text for generator in (chat, streaming, responses)]
documents = OpenAIDocumentEmbedder(model="reviews", api_base_url=address).run([Document(content="a film")])
vector = OpenAITextEmbedder(model="reviews", api_base_url=address).run("a film")["embedding"]
assert len(documents["documents"][0].embedding) == len(vector)
print(json.dumps({"replies": replies, "streams": ["".join(chunks)], "vector": vector}))
"""
AGENTS: Final = """
import asyncio, json

from agents import Agent, AsyncOpenAI, ModelSettings, OpenAIChatCompletionsModel, Runner, set_tracing_disabled

set_tracing_disabled(True)

async def main():
    model = OpenAIChatCompletionsModel(model="stories", openai_client=AsyncOpenAI())
    agent = Agent(name="a", model=model, model_settings=ModelSettings(max_tokens=8))
    first = await Runner.run(agent, "Who are you?")
    second = await Runner.run(agent, [*first.to_input_list(), {"role": "user", "content": "And now?"}])
    stream = Runner.run_streamed(agent, "Who are you?")
    async for _ in stream.stream_events():
        pass
    print(json.dumps({"replies": [first.final_output, second.final_output], "streams": [stream.final_output]}))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("group", "program"),
    [("pydantic-ai", PYDANTIC_AI), ("llama-index", LLAMA_INDEX), ("haystack", HAYSTACK), ("openai-agents", AGENTS)],
)
def test_a_framework_chats_streams_and_embeds(api: ApiProcess, tmp_path: Path, group: str, program: str) -> None:
    environment = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{api.port}/v1",
        "OPENAI_API_KEY": api.key,
        "PYTHONPATH": os.fspath(packages_of(group)),
        "HAYSTACK_TELEMETRY_ENABLED": "False",
    }
    printed = run([sys.executable, "-W", "ignore", "-c", program], into=tmp_path, environment=environment)
    answers = json.loads(printed[printed.index('{"replies"') :].splitlines()[0])
    # The writer gives the same text after any prompt.
    assert len({*answers["replies"], *answers["streams"]}) == 1
    assert answers["replies"][0].startswith("a")
    (output,) = native(api, "reviews", {"inputs": [{"text": "a film"}], "parameters": {"return": "embedding"}})
    assert answers.get("vector", output["embedding"]) == pytest.approx(output["embedding"], rel=1e-5)
