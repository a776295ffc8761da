"""Other clients of the OpenAI protocol: the line before the newest, and LiteLLM."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.app.openai.conftest import MODELS
from tests.support.api_process import ApiProcess
from tests.support.client_packages import packages_of, run
from tests.support.ml import samples

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("openai (Python, 2.x)", "group:openai2", "models, embeddings, chat.completions (streamed)"),
    pytest.mark.client("litellm", "litellm", "completion (streamed), embedding, transcription"),
]

CLIP: Final = samples.VALUES["audio"](3)[2]
OPENAI_2: Final = """
import json, openai

client = openai.OpenAI(max_retries=0)
assert openai.__version__.startswith("2."), openai.__version__
reply = client.chat.completions.create(
    model="stories", messages=[{"role": "user", "content": "Who are you?"}], max_tokens=8
)
stream = client.chat.completions.create(
    model="stories", messages=[{"role": "user", "content": "Who are you?"}], max_tokens=8, stream=True
)
print(json.dumps({
    "models": sorted(model.id for model in client.models.list()),
    "reply": reply.choices[0].message.content,
    "stream": "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices),
    "vector": client.embeddings.create(model="reviews", input="a quiet film").data[0].embedding,
}))
"""
LITELLM: Final = """
import json, os
import litellm

options = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
messages = [{"role": "user", "content": "Who are you?"}]
reply = litellm.completion(model="openai/stories", messages=messages, max_tokens=8, **options)
stream = litellm.completion(model="openai/stories", messages=messages, max_tokens=8, stream=True, **options)
vectors = litellm.embedding(model="openai/reviews", input=["a quiet film"], **options)
with open("clip.wav", "rb") as clip:
    transcription = litellm.transcription(model="openai/speech", file=clip, **options)
print(json.dumps({
    "reply": reply.choices[0].message.content,
    "stream": "".join(chunk.choices[0].delta.content or "" for chunk in stream),
    "vector": vectors.data[0]["embedding"],
    "transcription": transcription.text,
}))
"""


@pytest.mark.parametrize(("group", "program"), [("openai2", OPENAI_2), ("litellm", LITELLM)])
def test_a_client_chats_streams_and_embeds(api: ApiProcess, tmp_path: Path, group: str, program: str) -> None:
    environment = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{api.port}/v1",
        "OPENAI_API_KEY": api.key,
        "PYTHONPATH": os.fspath(packages_of(group)),
        # LiteLLM would fetch a list of prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    (tmp_path / "clip.wav").write_bytes(CLIP)
    printed = run([sys.executable, "-W", "ignore", "-c", program], into=tmp_path, environment=environment)
    answers = json.loads(printed.splitlines()[-1])
    assert answers["reply"].startswith("a")
    assert answers["stream"] == answers["reply"]
    body = {"inputs": [{"text": "a quiet film"}], "parameters": {"return": "embedding"}}
    headers = {"Content-Type": "application/json"}
    _, _, native = api.request("POST", "/predict/reviews", headers=headers, body=json.dumps(body).encode())
    assert answers["vector"] == pytest.approx(json.loads(native)["outputs"][0]["embedding"], rel=1e-6)
    headers = {"Content-Type": "audio/wav"}
    _, _, native = api.request("POST", "/predict/speech", headers=headers, body=CLIP)
    text = json.loads(native)["outputs"][0]["text"]
    assert answers.get("transcription", text) == text
    assert answers.get("models", list(MODELS)) == list(MODELS)
