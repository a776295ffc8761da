"""Typed questions, asked by the clients of both protocols and by jevcompat."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from jevcompat import runner
from typesafe_sdk import Choice, Noul, TypeSafeClient

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import png, register, shades
from tests.support.ml import packages

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("openai (Python)", "openai", "decisions"),
    pytest.mark.client("typesafe-sdk", "typesafe-sdk", "system_one"),
    pytest.mark.client("jevcompat", "jevcompat", "48 rules of System One"),
]

TEXT: Final = "a quiet film"


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        for task, name in (
            ("image_text_matching", "matcher"),
            ("text_classification", "reviews"),
            ("text_regression", "stars"),
            ("multimodal_classification", "messages"),
            ("object_detection", "detector"),
        ):
            register(packages.make_untrained(task, folder / name), name=name)
        register(shades(folder / "shades"), name="shades")
    with api:
        yield api


@pytest.fixture(scope="module")
def client(api: ApiProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{api.port}/v1", api_key=api.key, max_retries=0) as client:
        yield client


def native(api: ApiProcess, model: str, value: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"inputs": [value]}).encode()
    status, _, answer = api.request("POST", f"/predict/{model}", headers=headers, body=body)
    assert status == 200, answer
    output: dict[str, Any] = json.loads(answer)["outputs"][0]
    return output


def ask(api: ApiProcess, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json"}
    status, _, answer = api.request("POST", "/v1/systemone", headers=headers, body=json.dumps(body).encode())
    return status, json.loads(answer)


def test_every_rule_of_jevcompat_holds(api: ApiProcess) -> None:
    report = runner.run(f"http://127.0.0.1:{api.port}", key=api.key, timeout=30)
    failed = {result.id: [item.message for item in result.findings] for result in report.results if result.findings}
    assert failed == {}
    assert report.verdict == "conformant", (report.aborted, report.untested_musts, report.inconclusive)


def test_the_classes_of_a_model_have_its_own_probabilities(client: openai.OpenAI, api: ApiProcess) -> None:
    expected = native(api, "reviews", {"text": TEXT})["probabilities"]
    labels = list(expected)
    choices: list[Any] = [{"value": label} for label in reversed(labels)]
    question: Any = {"type": "choice", "name": "mood", "instructions": "Which class?", "choices": choices}
    decision = client.decisions.create(model="reviews", input=TEXT, questions=[question])
    (answer,) = decision.answers
    assert answer.type == "choice"
    assert {entry.value: entry.probability for entry in answer.probabilities} == pytest.approx(expected)
    assert answer.choice == max(expected, key=expected.__getitem__)
    assert answer.name == "mood"
    assert decision.model == "reviews@1"
    assert decision.usage.input_tokens > 0


def test_some_of_the_classes_are_renormalized_and_the_answer_says_so(api: ApiProcess) -> None:
    expected = native(api, "reviews", {"text": TEXT})["probabilities"]
    criteria = dict.fromkeys(list(expected)[:2])
    question = {"type": "choice", "instructions": "Which?", "criteria": criteria}
    status, body = ask(api, {"model": "reviews", "state": TEXT, "questions": {"q": question}})
    assert status == 200
    answer = body["answers"]["q"]
    total = sum(expected[label] for label in criteria)
    assert answer["probabilities"] == pytest.approx({label: expected[label] / total for label in criteria})
    assert answer["x_source"] == ("classes" if len(expected) == 2 else "some_classes")


def test_unknown_classes_are_a_refusal_in_the_form_of_each_protocol(client: openai.OpenAI, api: ApiProcess) -> None:
    unknown: Any = {"type": "choice", "instructions": "Which?", "choices": [{"value": "cat"}, {"value": "dog"}]}
    label = next(iter(native(api, "reviews", {"text": TEXT})["probabilities"]))
    clear: Any = {"type": "predicate", "instructions": f"Is it {label}?"}
    decision = client.decisions.create(model="reviews", input=TEXT, questions=[unknown, clear])
    assert [answer.type for answer in decision.answers] == ["refusal", "predicate"]
    question = {"type": "choice", "criteria": {"cat": None, "dog": None}}
    status, body = ask(api, {"model": "reviews", "state": TEXT, "questions": {"q": question}})
    assert status == 422
    assert body["detail"][0]["loc"] == ["body", "questions", "q"]
    assert "no class cat, dog" in body["detail"][0]["msg"]


def test_an_unsure_answer_abstains_where_a_precision_is_requested(client: openai.OpenAI, api: ApiProcess) -> None:
    labels = list(native(api, "reviews", {"text": TEXT})["probabilities"])
    question: Any = {"type": "choice", "instructions": "Which?", "choices": [{"value": label} for label in labels]}
    create = client.decisions.create
    sure = create(model="reviews", input=TEXT, questions=[question], extra_body={"precision": 0.01})
    unsure = create(model="reviews", input=TEXT, questions=[question], extra_body={"precision": 1})
    assert [decision.answers[0].type for decision in (sure, unsure)] == ["choice", "refusal"]
    criteria = dict.fromkeys(labels)
    body = {"model": "reviews", "state": TEXT, "questions": {"q": {"type": "choice", "criteria": criteria}}}
    assert ask(api, {**body, "x_precision": 1})[1]["answers"]["q"]["x_abstain"] is True


def test_an_image_is_classified_by_both_protocols(client: openai.OpenAI, api: ApiProcess) -> None:
    image = base64.b64encode(png(250)).decode()
    url = f"data:image/png;base64,{image}"
    expected = native(api, "shades", {"image": image})["probabilities"]
    message: Any = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    choices: list[Any] = [{"value": label} for label in expected]
    question: Any = {"type": "choice", "instructions": "How bright?", "choices": choices}
    (answer,) = client.decisions.create(model="shades", input=[message], questions=[question]).answers
    assert answer.type == "choice"
    assert {entry.value: entry.probability for entry in answer.probabilities} == pytest.approx(expected)
    request = {"type": "choice", "criteria": dict.fromkeys(expected)}
    status, body = ask(api, {"model": "shades", "state": {"image": image}, "questions": {"q": request}})
    assert (status, body["answers"]["q"]["probabilities"]) == (200, pytest.approx(expected))


def test_a_model_of_several_parts_reads_the_image_and_the_text(client: openai.OpenAI, api: ApiProcess) -> None:
    image = base64.b64encode(png(250)).decode()
    both = native(api, "messages", {"image": image, "text": TEXT})["probabilities"]
    url = f"data:image/png;base64,{image}"
    parts = [{"type": "input_text", "text": TEXT}, {"type": "input_image", "image_url": url}]
    message: Any = {"role": "user", "content": parts}
    question: Any = {"type": "choice", "instructions": "Which?", "choices": [{"value": label} for label in both]}
    (answer,) = client.decisions.create(model="messages", input=[message], questions=[question]).answers
    assert answer.type == "choice"
    assert {entry.value: entry.probability for entry in answer.probabilities} == pytest.approx(both, abs=1e-5)

    questions = {"q": {"type": "choice", "criteria": dict.fromkeys(both)}}
    for state in ({"image": url, "text": TEXT}, {"image": url}, TEXT):
        fields = {"text": state} if isinstance(state, str) else {**state, "image": image}
        expected = native(api, "messages", fields)["probabilities"]
        status, body = ask(api, {"model": "messages", "state": state, "questions": questions})
        assert (status, body["answers"]["q"]["probabilities"]) == (200, pytest.approx(expected, abs=1e-5))


def test_a_predicted_number_is_a_score_between_two_levels(client: openai.OpenAI, api: ApiProcess) -> None:
    value = native(api, "stars", {"text": TEXT})["value"]
    low = int(value // 1)
    levels: list[Any] = [{"label": str(low + offset)} for offset in (-1, 0, 1, 2)]
    question: Any = {"type": "score", "instructions": "How many stars?", "levels": levels}
    (answer,) = client.decisions.create(model="stars", input=TEXT, questions=[question]).answers
    assert answer.type == "score"
    assert low - 1 + answer.score == pytest.approx(value, abs=1e-5)


def test_a_detector_gives_the_surest_box_in_fractions_or_says_that_there_is_none(api: ApiProcess) -> None:
    image = base64.b64encode(png(120)).decode()
    body = {"model": "detector", "questions": {"where": {"type": "box", "instructions": "the largest thing"}}}
    objects = native(api, "detector", {"image": image})["objects"]
    status, answer = ask(api, {**body, "state": {"image": image}})
    if objects:
        box = answer["answers"]["where"]["box"]
        assert all(0 <= edge <= 1 for edge in box.values())
    else:
        assert (status, answer["detail"][0]["msg"].startswith("no object was found")) == (422, True)
    status, answer = ask(api, {**body, "state": "a text"})
    assert status == 422


def test_the_client_of_system_one_reads_answers_of_a_trained_classifier(api: ApiProcess) -> None:
    expected = native(api, "reviews", {"text": TEXT})["probabilities"]
    label = next(iter(expected))
    questions = {
        "is": Noul(instructions=f"Is it {label}?"),
        "which": Choice(instructions="Which?", criteria=dict.fromkeys(expected)),
    }
    with TypeSafeClient(api_key=api.key, base_url=f"http://127.0.0.1:{api.port}", timeout=30) as typesafe:
        answers = typesafe.system_one(state=TEXT, questions=questions, model="reviews")
    assert answers.nouls["is"].noul == pytest.approx(expected[label])
    assert answers.choices["which"].probabilities == pytest.approx(expected)


def test_errors_have_the_form_of_the_protocol(client: openai.OpenAI, api: ApiProcess) -> None:
    with pytest.raises(openai.NotFoundError, match="nothing"):
        client.decisions.create(
            model="nothing", input=TEXT, questions=[{"type": "predicate", "instructions": "Is it so?"}]
        )
    status, body = ask(api, {"model": "nothing", "state": "", "questions": {"q": {"type": "noul"}}})
    assert (status, body["detail"]["error_type"]) == (404, "not_found")
    many = {f"q{index}": {"type": "choice", "criteria": dict.fromkeys(map(str, range(255)))} for index in range(20)}
    status, body = ask(api, {"model": "matcher", "state": TEXT, "questions": many})
    assert status == 422
    assert "at most 4,096" in body["detail"][0]["msg"]
