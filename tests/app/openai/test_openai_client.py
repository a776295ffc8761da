"""The newest client of the OpenAI protocol, unchanged, asks models of a real service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import openai
import pytest

from ml.package.manifest import MANIFEST
from tests.app.openai.conftest import MODELS, native
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import register, writer

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "openai (Python, sync and async)", "openai", "models, embeddings, completions, chat.completions, moderations"
    ),
]

TEXTS: Final = ["a quiet film", "a loud song"]
#: What the network of `writer` generates, whatever the prompt; its tokens are bytes.
GENERATED: Final = "aé世aé世"
MESSAGES: Final[list[Any]] = [{"role": "user", "content": "世"}]


def test_models_are_listed_and_read_by_name_version_and_alias(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    assert {model.id: model.object for model in listed} == dict.fromkeys(MODELS, "model")
    assert all(model.created > 1_700_000_000 and model.owned_by == "plinth" for model in listed)
    assert client.models.retrieve("reviews").id == "reviews"
    assert client.models.retrieve("reviews@1").id == "reviews@1"
    with pytest.raises(openai.NotFoundError, match=r"reviews@1"):
        client.models.retrieve("reviews@9")


def test_embeddings_are_those_of_predict_in_both_formats(client: openai.OpenAI, api: ApiProcess) -> None:
    inputs = [{"text": text} for text in TEXTS]
    expected = [
        row["embedding"] for row in native(api, "reviews", {"inputs": inputs, "parameters": {"return": "embedding"}})
    ]
    # Without a format the client requests base64, and decodes it.
    by_default = client.embeddings.create(model="reviews", input=TEXTS)
    as_floats = client.embeddings.create(model="reviews@1", input=TEXTS, encoding_format="float")
    assert [row.index for row in by_default.data] == [0, 1]
    for answer in (by_default, as_floats):
        # The graph is the same; only the batch may differ by the last bit of float32.
        np.testing.assert_allclose([row.embedding for row in answer.data], expected, rtol=1e-6)
        assert answer.model == "reviews@1"
    raw = client.embeddings.create(model="reviews", input=TEXTS[0], encoding_format="base64").data[0].embedding
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(str(raw)), "<f4"), expected[0], rtol=1e-6)


def test_usage_of_embeddings_counts_the_tokens_of_all_texts(client: openai.OpenAI) -> None:
    counts = [client.embeddings.create(model="reviews", input=text).usage.prompt_tokens for text in TEXTS]
    assert all(count > 0 for count in counts)
    assert client.embeddings.create(model="reviews", input=TEXTS).usage.total_tokens == sum(counts)


@pytest.mark.parametrize("words", [400, 40_000], ids=["fast path", "ordinary path"])
def test_a_text_that_is_longer_than_the_model_reads_is_not_embedded_in_part(client: openai.OpenAI, words: int) -> None:
    with pytest.raises(openai.BadRequestError, match=r"maximum context length is \d+ tokens. However") as caught:
        client.embeddings.create(model="reviews", input=["short", "film " * words])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input.1")


@pytest.mark.parametrize("model", ["shades", "stories"])
def test_a_model_that_embeds_no_texts_is_named_with_those_that_do(client: openai.OpenAI, model: str) -> None:
    for _ in ("ordinary path", "fast path"):
        with pytest.raises(openai.UnprocessableEntityError, match=f"model: '{model}' embeds no texts.*text classifier"):
            client.embeddings.create(model=model, input="a")


def test_a_text_is_continued_as_predict_continues_it(client: openai.OpenAI, api: ApiProcess) -> None:
    answer = client.completions.create(model="stories", prompt=["世", "a"], max_tokens=12, temperature=0, seed=1)
    parameters = {"max_new_tokens": 12, "temperature": 0, "seed": 1}
    expected = native(api, "stories", {"inputs": [{"prompt": "世"}, {"prompt": "a"}], "parameters": parameters})
    assert [choice.text for choice in answer.choices] == [output["text"] for output in expected]
    assert answer.choices[0].text == GENERATED
    assert [(choice.index, choice.finish_reason) for choice in answer.choices] == [(0, "length"), (1, "length")]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(output["prompt_tokens"] for output in expected)
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_a_conversation_that_exceeds_the_context_is_refused_with_the_code_of_the_protocol(
    client: openai.OpenAI,
) -> None:
    messages: list[Any] = [{"role": "user", "content": "a" * 200}]
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: client.chat.completions.create(model="stories", messages=messages, max_tokens=1), "messages"),
        (lambda: client.chat.completions.create(model="stories", messages=messages, stream=True), "messages"),
        (lambda: client.completions.create(model="stories", prompt=["a", "a" * 200], max_tokens=1), "prompt.1"),
        (lambda: client.responses.create(model="stories", input=messages), "input"),
    ]
    for call, param in calls:
        with pytest.raises(openai.BadRequestError, match="context length is 127 tokens") as error:
            call()
        assert (error.value.code, error.value.param) == ("context_length_exceeded", param)
    cut = client.responses.create(model="stories", input=messages, truncation="auto", max_output_tokens=3)
    assert (cut.truncation, cut.output_text) == ("auto", "aé")


def test_log_probabilities_of_a_reply_are_those_of_its_tokens(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"model": "stories", "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    choice = client.chat.completions.create(**fields, logprobs=True, top_logprobs=2).choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    # Its tokens are bytes: those of one character are no text of their own.
    tokens = choice.logprobs.content
    assert [token.token for token in tokens[:6]] == ["a", "\\xc3", "\\xa9", "\\xe4", "\\xb8", "\\x96"]
    assert bytes(byte for token in tokens for byte in token.bytes or []).decode() == GENERATED
    for token in tokens:
        assert [len(token.top_logprobs), token.top_logprobs[0].token] == [2, token.token]
        assert token.top_logprobs[0].logprob == token.logprob
        # The best token is ahead of all others by at least 20 in its logit, so that it is nearly certain.
        assert -1e-6 < token.logprob <= 0
        assert token.top_logprobs[1].logprob < -19
    chunks = list(client.chat.completions.create(**fields, logprobs=True, top_logprobs=2, stream=True))
    logged = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert [token for part in logged for token in part.content or []] == tokens
    assert client.chat.completions.create(**fields).choices[0].logprobs is None
    assert client.chat.completions.create(**fields, logprobs=True).choices[0].logprobs.content[0].top_logprobs == []  # type: ignore[union-attr, index]


def test_log_probabilities_of_a_continued_text_have_lists_and_end_before_a_stop_string(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"model": "stories", "prompt": "世", "max_tokens": 12, "temperature": 0, "stop": "世"}
    logged = client.completions.create(**fields, logprobs=2).choices[0].logprobs
    assert logged is not None
    assert (logged.tokens, logged.text_offset) == (["a", "\\xc3", "\\xa9"], [0, 1, 1])
    assert logged.token_logprobs is not None
    assert logged.top_logprobs is not None
    for token, value, top in zip(logged.tokens, logged.token_logprobs, logged.top_logprobs, strict=True):
        assert (len(top), top[token]) == (2, value)
    chunks = list(client.completions.create(**fields, logprobs=2, stream=True))
    parts = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [token for part in parts for token in part.tokens or []] == logged.tokens
    assert [offset for part in parts for offset in part.text_offset or []] == logged.text_offset


def test_a_text_ends_before_a_stop_string(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="stories", prompt="世", max_tokens=12, temperature=0, stop="世")
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("aé", "stop")


def test_the_same_seed_gives_the_same_text(client: openai.OpenAI) -> None:
    def generate(seed: int) -> str:
        answer = client.completions.create(
            model="stories", prompt="a", max_tokens=20, temperature=2, top_p=0.95, seed=seed
        )
        return answer.choices[0].text

    assert generate(3) == generate(3)


def test_a_conversation_is_replied_to(client: openai.OpenAI, api: ApiProcess) -> None:
    parts = [{"type": "text", "text": "世"}]
    for content in ("世", parts):
        messages: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": content}]
        answer = client.chat.completions.create(
            model="stories", messages=messages, max_completion_tokens=12, temperature=0, n=1, presence_penalty=0.0
        )
        expected = native(
            api,
            "stories",
            {
                "inputs": [{"messages": [{"role": "developer", "content": "Be brief."}, *MESSAGES]}],
                "parameters": {"max_new_tokens": 12, "temperature": 0},
            },
        )
        (choice,) = answer.choices
        assert (choice.message.role, choice.message.content) == ("assistant", expected[0]["text"])
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == expected[0]["prompt_tokens"]
        assert answer.id.startswith("chatcmpl-")


def test_a_streamed_reply_is_that_without_a_stream_and_ends_with_usage(client: openai.OpenAI) -> None:
    fields: dict[str, Any] = {"model": "stories", "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**fields)
    chunks = list(client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
    *parts, last = chunks
    assert parts[0].choices[0].delta.role == "assistant"
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole.choices[0].message.content
    assert [part.choices[0].finish_reason for part in parts][-2:] == [None, "length"]
    assert last.choices == []
    assert last.usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(part.usage is None for part in parts)


def test_a_streamed_text_has_no_usage_unless_it_is_requested(client: openai.OpenAI) -> None:
    chunks = list(client.completions.create(model="stories", prompt="世", max_tokens=12, temperature=0, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == GENERATED
    assert chunks[-1].choices[0].finish_reason == "length"
    assert all(chunk.usage is None for chunk in chunks)


def test_the_asynchronous_client_gets_the_same(api: ApiProcess) -> None:
    async def generate() -> str:
        url = f"http://127.0.0.1:{api.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=api.key) as client:
            stream = await client.completions.create(
                model="stories", prompt="世", max_tokens=12, temperature=0, stream=True
            )
            return "".join([chunk.choices[0].text async for chunk in stream])

    assert asyncio.run(generate()) == GENERATED


def test_any_text_classifier_flags_texts(client: openai.OpenAI, api: ApiProcess) -> None:
    expected = native(api, "reviews", {"inputs": [{"text": text} for text in TEXTS]})
    for label in ("0", "1", "2"):
        answer = client.moderations.create(model="reviews", input=TEXTS, extra_body={"harmless": [label]})
        for result, output in zip(answer.results, expected, strict=True):
            harms = {name: score for name, score in output["probabilities"].items() if name != label}
            assert result.flagged is (output["label"] != label)
            assert result.categories.model_extra == {name: name == output["label"] for name in harms}
            # The graph is the same; only the batch may differ by the last bit of float32.
            assert result.category_scores.model_extra == pytest.approx(harms, rel=1e-5)
    assert answer.model == "reviews@1"


REFUSED: Final[dict[str, tuple[Callable[[openai.OpenAI], object], str, str]]] = {
    "token ids": (lambda c: c.embeddings.create(model="reviews", input=[1, 2]), "input", "check_embedding_ctx_length"),
    "lists of token ids": (
        lambda c: c.embeddings.create(model="reviews", input=[[1, 2], [3]]),
        "input",
        "check_embedding_ctx_length",
    ),
    "dimensions": (
        lambda c: c.embeddings.create(model="reviews", input="a", dimensions=7),
        "dimensions",
        "have the width",
    ),
    "a blank text": (lambda c: c.embeddings.create(model="reviews", input=["a", " "]), "input.1", "whitespace"),
    "no text": (lambda c: c.embeddings.create(model="reviews", input=[]), "input", "at least 1"),
    "a model of images": (lambda c: c.embeddings.create(model="shades", input="a"), "model", "text classifier"),
    "a model that generates no text": (
        lambda c: c.completions.create(model="reviews", prompt="a"),
        "model",
        "text_classification",
    ),
    "classes of unknown harm": (
        lambda c: c.moderations.create(model="reviews", input="a"),
        "harmless",
        "extra_body",
    ),
    "a misspelled class": (
        lambda c: c.moderations.create(model="reviews", input="a", extra_body={"harmless": ["0", "3"]}),
        "harmless.1",
        "0, 1, 2",
    ),
    "a model that classifies no texts": (
        lambda c: c.moderations.create(model="shades", input="a"),
        "model",
        "image_classification",
    ),
    "several texts": (lambda c: c.completions.create(model="stories", prompt="a", n=2), "n", "only 1"),
    "a stream of two texts": (
        lambda c: c.completions.create(model="stories", prompt=["a", "b"], stream=True),
        "prompt",
        "one at a time",
    ),
    "prompts of token ids": (lambda c: c.completions.create(model="stories", prompt=[1, 2]), "prompt", "token ids"),
    "too many tokens": (
        lambda c: c.completions.create(model="stories", prompt="a", max_tokens=10**6),
        "max_tokens",
        "4,096",
    ),
    "a heat out of range": (
        lambda c: c.chat.completions.create(model="stories", messages=MESSAGES, temperature=9),
        "temperature",
        "0 to 5",
    ),
    "an unknown role": (
        lambda c: c.chat.completions.create(model="stories", messages=[{"role": "owner", "content": "a"}]),  # type: ignore[list-item]
        "messages.0.role",
        "assistant",
    ),
    "a picture": (
        lambda c: c.chat.completions.create(
            model="stories",
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
        ),
        "messages.0.content",
        "image_url",
    ),
    "tools": (
        lambda c: c.chat.completions.create(
            model="stories", messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}]
        ),
        "tools",
        "call no tools",
    ),
    "most probable tokens without log-probabilities": (
        lambda c: c.chat.completions.create(model="stories", messages=MESSAGES, top_logprobs=2),
        "top_logprobs",
        "`logprobs` must be true",
    ),
    "too many of the most probable tokens": (
        lambda c: c.completions.create(model="stories", prompt="a", logprobs=6),
        "logprobs",
        "5",
    ),
    "an unknown field": (
        lambda c: c.completions.create(model="stories", prompt="a", extra_body={"temprature": 1}),
        "temprature",
        "temperature",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_without_an_answer_is_refused_with_field_and_hint(client: openai.OpenAI, name: str) -> None:
    request, param, words = REFUSED[name]
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        request(client)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    # The client shows the text of the error alone.
    assert words in str(caught.value)


def test_an_unknown_model_a_wrong_key_and_an_unknown_path_say_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Known: ") as caught:
        client.embeddings.create(model="text-embedding-3-small", input="a")
    assert caught.value.code == "not_found"
    with pytest.raises(openai.AuthenticationError, match="unknown, expired or revoked"):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="There is no path /v1/files"):
        client.files.list()


def test_a_damaged_package_is_not_requested_again(
    api: ApiProcess, client: openai.OpenAI, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with homes.use_home(api.home):
        register(writer(tmp_path_factory.mktemp("damaged") / "damaged"), name="damaged")
        # Ids begin with the time: the last one is the package that was just registered.
        package = max((api.home / "blobs" / "models").iterdir())
        (package / MANIFEST).write_text("{}")
    with pytest.raises(openai.ConflictError) as caught:
        client.completions.create(model="damaged", prompt="a")
    assert caught.value.response.headers["x-should-retry"] == "false"
    # Other files list the models of this service.
    assert api.request("DELETE", "/api/v1/models/damaged")[0] == 204
