"""`/predict` with every form of input, and its errors."""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.http.errors import ProblemError
from app.predict import routes
from app.serving import service
from store import models
from store.blobs import blobs
from store.database import transaction
from tests.support.factories import GRAPH, SIDE, TRUNK, painter, png, register, shades
from tests.support.ml import samples


def labels(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [output["label"] for output in answer.json()["outputs"]]


def test_json_inputs_are_answered_in_their_order(client: TestClient, model: str) -> None:
    dark, light = ({"pixels": [[brightness] * SIDE] * SIDE} for brightness in (10, 250))
    encoded = {"image": base64.b64encode(png(200)).decode()}
    answer = client.post(f"/predict/{model}", json={"inputs": [dark, light, encoded]})
    assert labels(answer) == ["dark", "light", "light"]
    assert answer.json()["model"] == "shades"
    assert answer.json()["version"] == 1
    assert answer.json()["task"] == "image_classification"
    assert set(answer.json()["outputs"][0]["probabilities"]) == {"dark", "light"}


def test_an_input_outside_of_a_list_is_refused_with_the_list(client: TestClient, model: str) -> None:
    answer = client.post(f"/predict/{model}", json={"text": "a lovely evening"})
    assert answer.status_code == 422
    [finding] = [item for item in answer.json()["errors"] if item.get("path") == "inputs"]
    assert '{"inputs": [{"text": "..."}]}' in finding["hint"]


def test_an_image_as_it_is_is_one_input(client: TestClient, model: str) -> None:
    answer = client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"})
    assert labels(answer) == ["dark"]


def test_several_files_are_several_inputs(client: TestClient, model: str) -> None:
    files = [("file", (f"{number}.png", png(brightness), "image/png")) for number, brightness in enumerate((5, 250, 7))]
    assert labels(client.post(f"/predict/{model}", files=files)) == ["dark", "light", "dark"]


def test_the_embedding_is_answered_where_it_is_asked_for(client: TestClient, model: str) -> None:
    inputs = [{"pixels": [[51] * SIDE] * SIDE}]
    answer = client.post(f"/predict/{model}", json={"inputs": inputs, "parameters": {"return": "embedding"}})
    assert answer.json()["outputs"] == [{"embedding": [pytest.approx(0.2)]}]
    form = client.post(
        f"/predict/{model}", files={"file": ("a.png", png(51))}, data={"parameters": '{"return": "embedding"}'}
    )
    assert form.json()["outputs"] == answer.json()["outputs"]


def test_an_answer_that_grows_too_large_is_ended_where_it_does(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_RESPONSE_BYTES", 10_000)
    register(painter(tmp_path / "painter"), name="painter")
    assert client.post("/predict/painter", json={"inputs": [{"seed": 1}] * 20}).status_code == 200
    answer = client.post("/predict/painter", json={"inputs": [{"seed": 1}] * 200})
    assert answer.status_code == 422
    assert "the first 64 of 200 inputs" in answer.json()["detail"]
    assert "Send fewer" in answer.json()["detail"]


def test_a_drawn_image_may_be_answered_as_an_image(client: TestClient, tmp_path: Path) -> None:
    register(painter(tmp_path / "painter"), name="painter")
    request = {"inputs": [{"seed": 1}]}
    as_json = client.post("/predict/painter", json=request).json()["outputs"][0]["image"]
    as_picture = client.post("/predict/painter", json=request, headers={"Accept": "image/png"})
    assert as_picture.headers["content-type"] == "image/png"
    assert as_picture.content == base64.b64decode(as_json)
    assert Image.open(io.BytesIO(as_picture.content)).size == (SIDE, SIDE)
    two = client.post("/predict/painter", json={"inputs": [{}, {}]}, headers={"Accept": "image/png"})
    assert two.status_code == 406


def test_an_audio_clip_may_be_answered_as_an_audio_clip() -> None:
    (sound,) = samples.VALUES["audio"](1)
    output = {"audio": base64.b64encode(sound).decode(), "sample_rate_hz": 4000}

    answer = routes._file_response([output], "audio/wav")

    assert answer.media_type == "audio/wav"
    assert answer.body == sound
    with pytest.raises(ProblemError, match="single output that is an audio clip"):
        routes._file_response([output, output], "audio/wav")


def test_a_bad_input_is_named_by_its_number(client: TestClient, model: str) -> None:
    good = {"pixels": [[1] * SIDE] * SIDE}
    answer = client.post(f"/predict/{model}", json={"inputs": [good, good, {"pixels": [[300]]}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "inputs.2.pixels"
    assert "inputs.2" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"inputs": []}', "application/json", 422),
        (b'{"inputs": [1]}', "application/json", 422),
        (b'{"inputs": [{"pixels": [[NaN]]}]}', "application/json", 422),
        (b'{"inputs": [{"pixels": [[1e999]]}]}', "application/json", 422),
        (b'{"inputs": [{"nothing": 1}]}', "application/json", 422),
        (b'{"inputs": [{"pixels": [[1]]}], "parameters": {"return": "x"}}', "application/json", 422),
        (b'{"inputs": [{"pixels": [[1]]}], "parameter": {}}', "application/json", 422),
        (b"not a picture", "image/png", 422),
        (b"", "image/png", 422),
        (png(3)[:50], "image/png", 422),
        (b"x", "application/octet-stream", 415),
        (b"x", "", 415),
        (b"--b\r\nnonsense", "multipart/form-data; boundary=b", 422),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422),
        (b"x", "multipart/form-data", 400),
    ],
)
def test_a_body_that_cannot_be_read_says_why(
    client: TestClient, model: str, content: bytes, content_type: str, status: int
) -> None:
    answer = client.post(f"/predict/{model}", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 10


def test_an_unknown_model_lists_the_known_ones(client: TestClient, model: str) -> None:
    answer = client.post("/predict/shade", json={"inputs": [{}]})
    assert answer.status_code == 404
    assert "Known: shades. Did you mean 'shades'?" in answer.json()["detail"]


def test_an_unknown_version_lists_those_of_the_model(client: TestClient, model: str, tmp_path: Path) -> None:
    register(shades(tmp_path / "other"), name="other")
    client.put(f"/api/v1/models/{model}/aliases/staging", json={"version": 1})
    for reference in ("shades@7", "shades@production"):
        detail = client.post(f"/predict/{reference}", json={"inputs": [{}]}).json()["detail"]
        assert "Known: shades@1, shades@staging." in detail


@pytest.mark.parametrize("path", ["/predict/shades", "/api/v1/jobs"])
def test_a_packed_body_is_refused_for_that_and_not_for_what_it_looks_like(
    client: TestClient, model: str, path: str
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post(path, content=gzip.compress(b'{"inputs": [{}]}'), headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "identity"
    assert "without 'Content-Encoding: gzip'" in answer.json()["detail"]


def test_the_coding_of_a_request_without_a_body_says_nothing(client: TestClient) -> None:
    assert client.get("/v2", headers={"Content-Encoding": "gzip"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_text_is_utf_8_or_refused_for_what_it_is(client: TestClient, model: str, kind: str) -> None:
    for charset, status in (("UTF-8", 422), ("iso-8859-1", 415), ("utf-16", 415), ("klingon", 415)):
        headers = {"Content-Type": f"{kind}; charset={charset}"}
        answer = client.post(f"/predict/{model}", content=b'{"inputs": []}', headers=headers)
        assert answer.status_code == status
        assert status == 422 or charset in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", "it is empty. Send a JSON object."), (b" \n", "it is empty"), (b"[{}]", "Input should be a JSON object")],
)
def test_bytes_that_are_no_request_are_reported_as_such(
    client: TestClient, model: str, body: bytes, words: str
) -> None:
    answer = client.post(f"/predict/{model}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_mark_that_an_editor_put_before_the_json_is_nothing_to_fail_for(client: TestClient, model: str) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"inputs": [{"pixels": [[5] * SIDE] * SIDE}]}).encode()
    answer = client.post(f"/predict/{model}", content=body, headers={"Content-Type": "application/json"})
    assert labels(answer) == ["dark"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"data": {"return": "embedding"}}, "no form field named 'return'; known: file, parameters. Send each input"),
        ({"data": {"parameter": "{}"}}, "Did you mean 'parameters'?"),
        ({"data": {"parameters": ["{}", "{}"]}}, "parameters 2 times"),
        ({"data": {"parameters": '{"return": NaN}'}}, "parameters is not valid JSON at return"),
        ({"data": {"parameters": "[]"}}, "parameters: Input should be a JSON object"),
        ({"files": [], "data": {"parameters": "{}"}}, "The form has no file. Send each input as a file part"),
    ],
)
def test_nothing_of_a_form_is_passed_over(client: TestClient, model: str, form: dict[str, Any], words: str) -> None:
    files_and_data = {"files": [("file", ("a.png", png(5), "image/png"))], **form}
    if not files_and_data["files"]:
        files_and_data["files"] = [("parameters", ("p.json", b"{}", "application/json"))]
        files_and_data.pop("data")
    answer = client.post(f"/predict/{model}", **files_and_data)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_parameters_of_a_form_may_come_as_a_file(client: TestClient, model: str) -> None:
    value = ("parameters.json", b'{"return": "embedding"}', "application/json")
    answer = client.post(f"/predict/{model}", files={"file": ("a.png", png(51)), "parameters": value})
    assert answer.json()["outputs"] == [{"embedding": [pytest.approx(0.2)]}]


@pytest.mark.parametrize("value", ["1e-9", "0.0000001"])
def test_a_deadline_that_is_over_already_is_reported(client: TestClient, model: str, value: str) -> None:
    inputs = [{"pixels": [[5] * SIDE] * SIDE}]
    answer = client.post(f"/predict/{model}", json={"inputs": inputs}, headers={"X-Timeout-Seconds": value})
    assert answer.status_code == 504
    assert answer.json()["code"] == "deadline_exceeded"


def test_a_name_means_production_and_else_the_latest(client: TestClient, model: str, tmp_path: Path) -> None:
    register(shades(tmp_path / "second", bias=1000), name=model)
    inputs = {"inputs": [{"pixels": [[0] * SIDE] * SIDE}]}
    deadline = time.monotonic() + 5
    while client.post(f"/predict/{model}", json=inputs).json()["version"] != 2:
        assert time.monotonic() < deadline
    assert labels(client.post(f"/predict/{model}", json=inputs)) == ["light"]
    assert labels(client.post(f"/predict/{model}@1", json=inputs)) == ["dark"]
    client.put(f"/api/v1/models/{model}/aliases/production", json={"version": 1})
    assert labels(client.post(f"/predict/{model}", json=inputs)) == ["dark"]
    assert labels(client.post(f"/predict/{model}@production", json=inputs)) == ["dark"]
    assert client.post(f"/predict/{model}@staging", json=inputs).status_code == 404


def test_the_least_recently_used_leaves_when_memory_is_short(
    new_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    packages = {name: shades(tmp_path / name, bias=bias) for bias, name in enumerate(("first", "second", "third"))}
    client = new_client(
        predict_memory_bytes=sum((packages["first"].served_bytes | packages["third"].served_bytes).values())
    )
    for name, package in packages.items():
        register(package, name=name)

    def ask(name: str) -> None:
        answer = client.post(f"/predict/{name}", content=png(5), headers={"Content-Type": "image/png"})
        assert labels(answer) == ["dark"]

    for name in ("first", "second", "first", "third"):
        ask(name)
    loaded = client.get("/api/v1/system").json()["loaded_models"]
    assert [model["name"] for model in loaded] == ["first", "third"]
    ask("second")


def test_files_that_models_share_are_in_memory_once_and_stay_until_the_last_leaves(
    new_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    sisters = {name: shades(tmp_path / name, bias=bias, in_two=True) for bias, name in enumerate(("one", "two", "six"))}
    other = shades(tmp_path / "other", bias=12)
    trunk = sisters["one"].entry(TRUNK).bytes
    head, whole = (sisters["one"].entry(GRAPH).bytes, other.entry(GRAPH).bytes)
    # What the encoder says is the same for all, and of the task, the names of its classes.
    beside = sum(sisters["one"].served_bytes.values()) - trunk - head
    client = new_client(predict_memory_bytes=beside + trunk + 3 * head)
    for name, package in {**sisters, "other": other}.items():
        register(package, name=name)

    def ask(name: str) -> list[str]:
        return labels(client.post(f"/predict/{name}", content=png(5), headers={"Content-Type": "image/png"}))

    def list_loaded() -> tuple[list[str], float]:
        names = [model["name"] for model in client.get("/api/v1/system").json()["loaded_models"]]
        lines = client.get("/metrics").text.splitlines()
        return names, next(float(line.split()[1]) for line in lines if line.startswith("plinth_loaded_models_bytes "))

    for name in sisters:
        assert ask(name) == ["dark"]
    assert list_loaded() == (["one", "two", "six"], beside + trunk + 3 * head)
    serving = {model["model"]: model["serving"] for model in client.get("/predict").json()["data"]}
    assert serving["one"]["bytes"] == beside + trunk + head
    assert ask("other") == ["light"]
    assert list_loaded() == (["six", "other"], beside + trunk + head + whole)
    assert ask("six") == ["dark"]
    # Its trunk was used last, so it is not this sister who leaves for the other.
    assert ask("one") == ["dark"]
    assert list_loaded() == (["six", "one"], beside + trunk + 2 * head)


def test_served_models_are_listed_with_their_inputs(client: TestClient, model: str) -> None:
    (served,) = client.get("/predict").json()["data"]
    assert (served["model"], served["version"], served["task"]) == ("shades", 1, "image_classification")
    assert "pixels" in served["input_schema"]["properties"]
    assert "probabilities" in served["output_schema"]["properties"]


def test_a_model_that_was_deleted_is_no_longer_served(client: TestClient, model: str) -> None:
    assert labels(client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"}))
    assert client.delete(f"/api/v1/models/{model}").status_code == 204
    answer = client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"})
    assert answer.status_code == 404


def test_served_models_are_listed_with_their_load(client: TestClient, model: str) -> None:
    assert client.get("/predict").json()["data"][0]["serving"] is None
    client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"})
    shown = client.get("/predict").json()["data"][0]["serving"]
    assert (shown["engine"], shown["inputs"], shown["batches"], shown["waiting"]) == ("onnxruntime", 1, 1, 0)
    assert shown["bytes"] > 0
    measured = client.get("/metrics").text
    assert f'plinth_batch_inputs_count{{model="{model}"}} 1.0' in measured


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_an_invalid_deadline_is_reported(client: TestClient, model: str, value: str) -> None:
    headers = {"Content-Type": "image/png", "X-Timeout-Seconds": value}
    answer = client.post(f"/predict/{model}", content=png(5), headers=headers)
    assert answer.status_code == 422
    assert "X-Timeout-Seconds" in answer.json()["detail"]
    assert (
        client.post(f"/predict/{model}", content=png(5), headers={**headers, "X-Timeout-Seconds": "30"}).status_code
        == 200
    )


@pytest.mark.parametrize("versions", [1, 2])
def test_a_version_that_another_process_deleted_is_not_there_instead_of_damaged(
    new_client: Callable[..., TestClient], tmp_path: Path, versions: int
) -> None:
    for number in range(versions):
        register(shades(tmp_path / str(number)), name="shades")
    register(shades(tmp_path / "other", bias=1.0), name="other")
    client = new_client(predict_cache_seconds=1, predict_memory_bytes=1)

    def ask(model: str) -> Any:
        return client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"})

    assert ask("shades").json()["version"] == versions
    # There is room for one; the name is still known.
    assert ask("other").status_code == 200
    with transaction() as session:
        doomed = models.delete(session, "shades", versions)
    for key in doomed:
        blobs().delete(key)
    answer = ask("shades")
    if versions == 1:
        assert answer.status_code == 404
        assert "Known: other" in answer.json()["detail"]
    else:
        assert answer.json()["version"] == 1
