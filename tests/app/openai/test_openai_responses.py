"""Responses by the newest client of the OpenAI protocol, unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import openai
import pytest

from app.http.errors import ProblemError
from app.openai.responses.answer import ResponseAnswer
from app.openai.responses.events import ResponseEvents
from app.openai.responses.schemas import ResponseRequest
from app.serving.types import ServedVersion
from tests.app.openai.conftest import native
from tests.support.api_process import ApiProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("openai (Python, responses)", "openai", "responses.create, responses.stream"),
]

FIELDS: Final[dict[str, Any]] = {"model": "stories", "max_output_tokens": 12, "temperature": 0}
#: The network of `writer` generates this, whatever the prompt.
GENERATED: Final = "aé世aé世"
BEGIN: Final = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
]
END: Final = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


def predict(api: ApiProcess, messages: list[dict[str, str]], **parameters: Any) -> dict[str, Any]:
    parameters = {"max_new_tokens": 12, "temperature": 0, **parameters}
    return native(api, "stories", {"inputs": [{"messages": messages}], "parameters": parameters})[0]


def test_a_response_is_the_reply_of_predict_with_its_usage(client: openai.OpenAI, api: ApiProcess) -> None:
    answer = client.responses.create(**FIELDS, input="Who are you?", instructions="Be brief.", metadata={"a": "b"})
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]
    expected = predict(api, messages)
    assert answer.output_text == expected["text"] == GENERATED
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (expected["prompt_tokens"], 12)
    assert answer.usage.total_tokens == answer.usage.input_tokens + 12
    assert (answer.model, answer.instructions, answer.metadata) == ("stories@1", "Be brief.", {"a": "b"})
    assert (answer.temperature, answer.max_output_tokens, answer.previous_response_id) == (0, 12, None)
    assert answer.id.startswith("resp_")


def test_a_text_that_reaches_the_limit_is_incomplete_and_another_is_complete(client: openai.OpenAI) -> None:
    cut = client.responses.create(**FIELDS, input="Who are you?")
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    whole = client.responses.create(**FIELDS, input="Who are you?", extra_body={"stop": "世"})
    assert (whole.status, whole.incomplete_details, whole.output_text) == ("completed", None, "aé")


def test_a_conversation_continues_with_the_output_of_an_earlier_response(
    client: openai.OpenAI, api: ApiProcess
) -> None:
    first = client.responses.create(**FIELDS, input="Who are you?")
    turns: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Who are you?"}]},
        *first.output,
        {"role": "user", "content": "And now?"},
    ]
    answer = client.responses.create(**FIELDS, input=turns)
    expected = predict(
        api,
        [
            {"role": "user", "content": "Who are you?"},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "And now?"},
        ],
    )
    assert answer.output_text == expected["text"]
    assert answer.usage is not None
    assert answer.usage.input_tokens == expected["prompt_tokens"]


def test_a_stream_has_every_event_in_order_and_ends_with_the_whole_response(client: openai.OpenAI) -> None:
    whole = client.responses.create(**FIELDS, input="Who are you?")
    events: list[Any] = list(client.responses.create(**FIELDS, input="Who are you?", stream=True))
    kinds = [event.type for event in events]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert kinds == [*BEGIN, *["response.output_text.delta"] * len(deltas), *END, "response.incomplete"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(deltas) > 1
    assert "".join(deltas) == events[-4].text == events[-3].part.text == whole.output_text
    assert (events[0].response.status, events[0].response.output) == ("in_progress", [])
    last = events[-1].response
    assert (last.output_text, last.usage, last.status) == (whole.output_text, whole.usage, "incomplete")
    assert last.id == events[0].response.id
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {last.output[0].id}


def test_the_helper_for_streams_collects_the_response(client: openai.OpenAI) -> None:
    with client.responses.stream(**FIELDS, input="Who are you?", extra_body={"stop": "世"}) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_response()
    assert (answer.output_text, answer.status) == ("aé", "completed")
    assert "response.completed" in kinds


def test_the_asynchronous_client_gets_the_same(api: ApiProcess) -> None:
    async def reply() -> str:
        url = f"http://127.0.0.1:{api.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=api.key) as client:
            stream = await client.responses.create(**FIELDS, input="Who are you?", stream=True)
            return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    assert asyncio.run(reply()) == GENERATED


REFUSED: Final[dict[str, tuple[Callable[[openai.OpenAI], object], str, str]]] = {
    "an earlier response": (
        lambda c: c.responses.create(**FIELDS, input="a", previous_response_id="resp_1"),
        "previous_response_id",
        "Responses are not stored: send the whole conversation",
    ),
    "a stored conversation": (
        lambda c: c.responses.create(**FIELDS, input="a", conversation="conv_1"),
        "conversation",
        "not stored",
    ),
    "work in the background": (
        lambda c: c.responses.create(**FIELDS, input="a", background=True),
        "background",
        "wait",
    ),
    "tools": (
        lambda c: c.responses.create(**FIELDS, input="a", tools=[{"type": "web_search"}]),
        "tools",
        "call no tools",
    ),
    "a form of the reply": (
        lambda c: c.responses.create(**FIELDS, input="a", text={"format": {"type": "json_object"}}),
        "text.format.type",
        "no fixed form",
    ),
    "reasoning": (
        lambda c: c.responses.create(**FIELDS, input="a", reasoning={"effort": "high"}),
        "reasoning",
        "do not reason",
    ),
    "an image": (
        lambda c: c.responses.create(
            **FIELDS,
            input=[{"role": "user", "content": [{"type": "input_image", "image_url": "data:,", "detail": "low"}]}],
        ),
        "input.0.content",
        "input_image",
    ),
    "the output of a tool": (
        lambda c: c.responses.create(
            **FIELDS, input=[{"type": "function_call_output", "call_id": "call_1", "output": "a"}]
        ),
        "input",
        "function_call_output",
    ),
    "no message": (lambda c: c.responses.create(**FIELDS, input=[]), "input", "at least 1"),
    "an unknown role": (
        lambda c: c.responses.create(**FIELDS, input=[{"role": "owner", "content": "a"}]),  # type: ignore[list-item]
        "input.0.role",
        "assistant",
    ),
    "too many tokens": (
        lambda c: c.responses.create(model="stories", input="a", max_output_tokens=10**6),
        "max_output_tokens",
        "4,096",
    ),
    "a heat out of range": (
        lambda c: c.responses.create(model="stories", input="a", temperature=9),
        "temperature",
        "0 to 5",
    ),
    "a model that generates no text": (
        lambda c: c.responses.create(model="reviews", input="a"),
        "model",
        "text_classification",
    ),
    "an unknown field": (
        lambda c: c.responses.create(**FIELDS, input="a", extra_body={"temprature": 1}),
        "temprature",
        "temperature",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_without_an_answer_is_refused_with_field_and_hint(
    client: openai.OpenAI, name: str, stream: bool
) -> None:
    request, param, words = REFUSED[name]
    if stream:
        create = client.responses.create

        class Streaming:
            responses = type("Responses", (), {"create": staticmethod(lambda **fields: create(**fields, stream=True))})

        with pytest.raises(openai.UnprocessableEntityError) as caught:
            request(Streaming)  # type: ignore[arg-type]  # has the one method that is called
    else:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            request(client)
    assert caught.value.param == param
    assert words in str(caught.value)


def test_a_fault_in_a_message_is_located_where_the_client_sent_it(client: openai.OpenAI) -> None:
    too_long = "a" * 1_000_001
    turns: list[Any] = [{"role": "user", "content": "a"}, {"role": "user", "content": too_long}]
    for instructions in (None, "Be brief."):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            client.responses.create(**FIELDS, input=turns, instructions=instructions)
        assert caught.value.param == "input.1.content"
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.responses.create(**FIELDS, input="a", instructions=too_long)
    assert caught.value.param == "instructions"


def test_a_failure_in_a_stream_has_the_member_for_which_the_client_raises() -> None:
    served = ServedVersion(id="m", name="stories", version=1, task="text_generation", key="k", manifest_sha256="s")
    request = ResponseRequest.model_validate({"model": "stories", "input": "a"})
    events = ResponseEvents(ResponseAnswer(request, served, request_id="1"))
    events.start()
    name, data = events.error(ProblemError(500, "internal_error", "Generation failed. Retry.")).splitlines()[:2]
    assert name == b"event: error"
    error = json.loads(data.removeprefix(b"data: "))
    assert error["error"]["message"] == error["message"] == "Generation failed. Retry."
    assert error["sequence_number"] == 4
