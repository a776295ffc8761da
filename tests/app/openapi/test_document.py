"""The API reference page and its document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from app.http.errors import Problem, error_media_type
from app.http.problem_codes import BEFORE_ROUTING, PROBLEMS, ProblemCode
from app.openapi.document import TAGS
from ml.data.formats import FORMATS
from ml.data.importing.splits import SplitPlan
from ml.tasks import TASKS
from store.tables import JobKind


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_page_names_no_other_host_and_runs_no_inline_script(client: TestClient) -> None:
    page = client.get("/docs")
    assert not re.findall(r"https?://", page.text)
    assert not re.findall(r"<script>", page.text)
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "http" not in policy
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 4
    for file in files:
        assert client.get(f"/{file}").status_code == 200, file
    assert "openapi.json" in client.get("/static/docs.js").text


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/"}]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert "itemSchema" not in str(document)
    assert "contentMediaType" not in str(document)
    assert "HTTPValidationError" not in str(document)


def test_every_operation_says_what_it_does_and_how_to_call_it(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for path, method, operation in operations(document):
        assert operation["tags"][0] in [tag["name"] for tag in TAGS], path
        assert re.fullmatch(r"[a-z_]+", operation["operationId"]), path
        assert re.search(r"```sh\ncurl .*", operation["description"]), (method, path)
        assert operation["description"][0].isupper(), (method, path)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                assert parameter["schema"].get("examples"), (path, parameter["name"])


def test_errors_have_one_form(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            own = (path, status) == ("/readyz", "503")
            if status >= "400" and method != "head" and not own:
                assert list(response["content"]) == [error_media_type(path)], (path, status)


def test_every_problem_code_has_an_example_in_an_operation_that_returns_it(document: dict[str, Any]) -> None:
    assert set(get_args(ProblemCode.__value__)) == set(PROBLEMS)
    assert document["components"]["schemas"]["ProblemCode"]["enum"] == sorted(PROBLEMS)
    documented = set()
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {}) if status >= "400" else {}
            for code in content.get(error_media_type(path), {}).get("examples", {}):
                assert str(PROBLEMS[code].status) == status, (path, code)
                documented.add(code)
    assert documented == set(PROBLEMS) - BEFORE_ROUTING
    for code, example in document["components"]["examples"].items():
        assert Problem.model_validate(example["value"]).code == code


def test_enums_are_named_schemas(document: dict[str, Any]) -> None:
    named = {name for name, schema in document["components"]["schemas"].items() if "enum" in schema}
    assert named >= {"JobKind", "JobState", "JobRequest", "EventKind", "DatasetState", "Task", "ProblemCode"}
    assert document["components"]["schemas"]["Task"]["enum"] == sorted(TASKS)
    assert document["components"]["schemas"]["DatasetFormat"]["enum"] == sorted(FORMATS)
    assert document["components"]["schemas"]["JobKind"]["enum"] == list(JobKind)
    parts = [document["paths"], document["components"]]
    enums = [schema for schema in walk(parts) if len(schema.get("enum", ())) > 1]
    assert len(enums) == len(named), "an enum of two or more values is written out at its place"


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value; examples are values of users, not schemas."""
    if isinstance(value, dict):
        yield value
        for key, item in value.items():
            if key != "examples":
                yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def test_files_are_binary_so_that_the_page_offers_a_file_picker(document: dict[str, Any]) -> None:
    form = document["paths"]["/api/v1/datasets"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["items"] == {"type": "string", "format": "binary"}


def test_the_values_that_the_page_fills_in_are_accepted(client: TestClient, document: dict[str, Any]) -> None:
    form = document["paths"]["/api/v1/datasets"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    texts = {name: field for name, field in form["properties"].items() if field["type"] == "string"}
    filled = {name: (field.get("examples") or [field.get("default", "string")])[0] for name, field in texts.items()}
    response = client.post("/api/v1/datasets", data=filled, files={"file": ("digits.zip", b"PK")})
    assert response.status_code == 202, response.text


def test_the_example_of_splits_is_valid(document: dict[str, Any]) -> None:
    form = document["paths"]["/api/v1/datasets"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    _, example, _ = form["properties"]["splits"]["description"].split("`")
    assert SplitPlan.from_request(json.loads(example)).fractions is not None


def test_tags_come_in_the_order_of_work(document: dict[str, Any]) -> None:
    order = [tag["name"] for tag in document["tags"]]
    assert order[:1] == ["datasets"]
    assert order.index("catalog") < order.index("jobs") < order.index("models") < order.index("predict")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "no_such_path"),
        ("GET", "/api/v1/jobs/", 404, "no_such_path"),
        ("GET", "/static/nothing.js", 404, "no_such_path"),
        ("GET", "/static/../settings.py", 404, "no_such_path"),
        ("PUT", "/api/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/api/v1/jobs", 422, "invalid_request"),
    ],
)
def test_unknown_paths_get_a_problem_document(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


def test_the_response_to_a_wrong_method_lists_the_allowed_ones(client: TestClient) -> None:
    assert client.put("/api/v1/jobs").headers["allow"] == "POST, GET, HEAD"


def test_a_body_of_another_type_is_rejected(client: TestClient) -> None:
    response = client.post("/api/v1/jobs", content=b"kind: finetune", headers={"Content-Type": "application/yaml"})
    assert response.status_code == 415


def test_a_request_keeps_its_id(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert client.get("/healthz", headers={"X-Request-Id": "no good\x1b"}).headers["x-request-id"] != "no good\x1b"
