"""Examples sent to a running service are accepted, and links can be followed."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ml.tasks import TASKS
from store import api_keys, datasets
from store.database import transaction
from store.webhooks import subscriptions
from tests.app.datasets.test_datasets import finish_queued_validation
from tests.app.jobs.test_jobs import ready_dataset
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import change_manifest, register, shades
from tests.support.ml import packages
from tests.support.repository import REPOSITORY

pytestmark = pytest.mark.process

#: The task that reads a raw body of this type; any other body is an image to classify.
RAW_TASKS = {"audio/wav": "speech_recognition", "text/plain": "text_classification"}
KEY_ID, WEBHOOK_ID = "key_example", "whk_example"
UPLOAD_ID = re.compile(r"upl_[0-9a-f]{32}")
#: Examples that need a setting which is off by default; `hub_off` says so.
REFUSED = {
    ("/api/v1/models/import", "hub"): (409, "hub_off"),
    # No job of the fixture was trained.
    ("/api/v1/jobs", "reproduce"): (422, "invalid_spec"),
    # Its model has other labels, and no training rows to which feedback is added.
    ("/api/v1/models/{name}/feedback", "request"): (422, "invalid_spec"),
    ("/api/v1/models/{name}/feedback", "input"): (422, "invalid_spec"),
    ("/api/v1/models/{name}/feedback/dataset", "default"): (409, "conflict"),
}


def bodies(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Path, method, media type and what the document says of it, for each request body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                yield path, method, media_type, body


#: As committed, which `test_snapshot.py` compares with the service.
DOCUMENT: dict[str, Any] = json.loads((REPOSITORY / "docs" / "reference" / "openapi.json").read_text())
EXAMPLES = [
    pytest.param(path, method, media_type, name, id=f"{method} {path} {media_type} {name}")
    for path, method, media_type, body in bodies(DOCUMENT)
    for name in body.get("examples", ())
]


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """A service with every dataset and model that examples name, one model per task."""
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        ready_dataset("mnist")
        for name in ("reviews", "reviews-2", "notes"):
            add_reviews(name)
        add_rejected("rejected")
        add_key_and_webhook()
        register(change_manifest(shades(folder / "base"), task=None, labels=None), name="digits-base")
        register(shades(folder / "digits"), name="digits")
        for task in TASKS:
            register(packages.make_untrained(task, folder / task), name=task)
        register(packages.make_untrained("text_classification", folder / "reviews"), name="reviews")
        register(packages.make_untrained("text_generation", folder / "stories"), name="stories")
    with api:
        yield api


def add_reviews(name: str) -> None:
    """A dataset that has the findings, rows and classes of the examples of `derive`."""
    summary = {
        "format": "csv",
        "task": "text_classification",
        "columns": {"text": "text", "label": "label"},
        "splits": {"train": 30, "validation": 3, "test": 3},
        "classes": ["awful", "bad", "positive", "spam"],
        "flagged_rows": {"near_duplicates_across_splits": 2, "label_probably_wrong": 3},
    }
    with transaction() as session:
        datasets.create(session, name=name, sources=[])
    finish_queued_validation(ready=True, summary=summary)


def add_key_and_webhook() -> None:
    with transaction() as session:
        key, _ = api_keys.create(session, name="example")
        key.id = KEY_ID
        subscriptions.create(session, url="https://example.com/plinth", events=["*"]).id = WEBHOOK_ID


def add_rejected(name: str) -> None:
    with transaction() as session:
        datasets.create(session, name=name, sources=[])
    finish_queued_validation(ready=False)


def send(api: ApiProcess, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
    status, answered, content = api.request(method.upper(), path, headers=dict(headers), body=body)
    return status, answered.get("content-type", "").partition(";")[0], content


def resolve(value: Any) -> Any:
    """The target of a reference within the document."""
    while isinstance(value, Mapping) and "$ref" in value:
        target: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def check(path: str, method: str, status: int, media_type: str, content: bytes) -> None:
    """Assert that the operation documents the status, media type, schema and problem code."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    assert str(status) in responses, (status, content[:500])
    documented = responses[str(status)]["content"]
    assert media_type in documented, media_type
    if not media_type.endswith("json"):
        return
    answer, schema = json.loads(content), documented[media_type]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer)
    if status >= 400:
        assert answer["code"] in documented[media_type]["examples"], answer


def test_every_post_with_a_body_has_a_named_example_for_each_media_type() -> None:
    described = list(bodies(DOCUMENT))
    assert len(described) >= 10
    for path, method, media_type, body in described:
        assert body.get("examples"), (method, path, media_type)
        for name, example in body["examples"].items():
            assert example["summary"], (path, name)
            assert ("value" in example) != ("x-file" in example), (path, name)


def test_every_example_of_a_json_body_fits_its_schema() -> None:
    for path, _, media_type, body in bodies(DOCUMENT):
        if media_type == "application/json":
            validator = Draft202012Validator({**body["schema"], "components": DOCUMENT["components"]})
            for name, example in body["examples"].items():
                assert not list(validator.iter_errors(example["value"])), (path, name)


@pytest.mark.parametrize(("path", "method", "media_type", "name"), EXAMPLES)
def test_an_example_is_accepted_by_a_running_service(
    api: ApiProcess, path: str, method: str, media_type: str, name: str
) -> None:
    operation = DOCUMENT["paths"][path][method]
    body = operation["requestBody"]["content"][media_type]
    file = "seven.wav" if "audio" in path else "seven.png"
    content, sent_as = encode(api, body, media_type, name, file=file)
    headers = {"Content-Type": sent_as}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "header" and "examples" in parameter["schema"]:
            headers[parameter["name"]] = str(parameter["schema"]["examples"][0])
    status, answered_as, answer = send(api, method, fill(api, path, media_type, name), content, headers)
    if status == 204:
        assert "204" in operation["responses"]
        return
    check(path, method, status, answered_as, answer)
    if (path, name) in REFUSED:
        assert (status, json.loads(answer)["code"]) == REFUSED[path, name]
    else:
        assert status < 300, answer
        links = operation["responses"][str(status)].get("links")
        if method == "post" and links:
            follow_links(api, links, json.loads(answer))


def test_the_form_that_the_page_fills_in_is_accepted_by_predict(api: ApiProcess) -> None:
    schema = DOCUMENT["paths"]["/predict/{model}"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    fields = {"parameters": schema["properties"]["parameters"]["default"]}
    content, sent_as = form(fields, {"file": ("seven.png", sample(api, "/static/samples/seven.png"))})
    status, _, answer = send(api, "post", "/predict/digits", content, {"Content-Type": sent_as})
    assert status == 200, answer


def test_every_create_links_to_the_operations_that_read_it() -> None:
    targets = {
        operation["operationId"]: {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
    }
    linked = {}
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for name, link in response.get("links", {}).items():
                    linked.setdefault(operation["operationId"], set()).add(name)
                    schema = resolve(response["content"]["application/json"]["schema"])
                    needed = {key for key, value in targets[link["operationId"]].items() if value["in"] == "path"}
                    assert set(link["parameters"]) == needed, (operation["operationId"], name)
                    for expression in link["parameters"].values():
                        assert expression.removeprefix("$response.body#/") in schema["required"] or status == "200"
    assert linked["create_dataset"] >= {"dataset", "report"}
    assert linked["create_job"] >= {"job", "events", "report"}
    assert linked["import_model"] >= {"job", "events", "report"}
    assert {"create_upload", "create_key", "set_model_alias", "create_feedback_dataset", "test_webhook"} <= set(linked)


def follow_links(api: ApiProcess, links: Mapping[str, Any], created: Mapping[str, Any]) -> None:
    """Request every linked GET or HEAD; reports and previews may not exist yet."""
    for link in links.values():
        path, method = next(
            (path, method)
            for path, operations in DOCUMENT["paths"].items()
            for method, operation in operations.items()
            if operation["operationId"] == link["operationId"]
        )
        if method not in ("get", "head"):
            continue
        target = path
        for name, expression in link["parameters"].items():
            target = target.replace(f"{{{name}}}", str(created[expression.removeprefix("$response.body#/")]))
        status, answered_as, answer = send(api, method, target, b"", {})
        if method == "get":
            check(path, method, status, answered_as, answer)
        later = link["operationId"] in ("read_job_report", "preview_dataset")
        assert status == 200 or (later and status in (404, 409)), (target, status)


def fill(api: ApiProcess, path: str, media_type: str, name: str) -> str:
    """The path with the names of the model, alias or upload that fit the body."""
    if "{upload_id}" in path:
        return path.replace("{upload_id}", new_upload(api, 11, b""))
    if "{job_id}" in path:
        return path.replace("{job_id}", new_job(api))
    if "{model}" in path:
        task = RAW_TASKS.get(media_type, name if name in TASKS else "digits")
        path = path.replace("{model}", task)
    dataset = "rejected" if name == "leave_out_bad_rows" else "reviews@1"
    path = path.replace("{version}", "1").replace("{pipeline}", "feature-extraction")
    path = path.replace("{key_id}", KEY_ID).replace("{webhook_id}", WEBHOOK_ID)
    return path.replace("{name}", "digits").replace("{alias}", "production").replace("{dataset}", dataset)


def encode(api: ApiProcess, body: Mapping[str, Any], media_type: str, name: str, *, file: str) -> tuple[bytes, str]:
    """An example as bytes with its media type; upload ids become those of new uploads."""
    example = body["examples"][name]
    if "x-file" in example:
        return sample(api, example["x-file"]), media_type
    value = example["value"]
    if media_type == "application/json":
        content = json.dumps(value)
        for upload_id in UPLOAD_ID.findall(content):
            content = content.replace(upload_id, new_upload(api, len(DATA), DATA))
        return content.encode(), media_type
    if media_type == "multipart/form-data":
        return form(value, {"file": (file, sample(api, f"/static/samples/{file}"))})
    return value.encode(), media_type


DATA = b"image,label\n1.png,cat\n"


def new_upload(api: ApiProcess, length: int, data: bytes) -> str:
    headers = {"Upload-Length": str(length), "Tus-Resumable": "1.0.0"}
    if data:
        headers["Content-Type"] = "application/offset+octet-stream"
    status, answered, content = api.request("POST", "/api/v1/uploads", headers=headers, body=data)
    assert status == 201, content
    return answered["location"].rpartition("/")[2]


def new_job(api: ApiProcess) -> str:
    spec = DOCUMENT["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    body = json.dumps(spec["from_scratch"]["value"]).encode()
    status, _, content = api.request("POST", "/api/v1/jobs", headers={"Content-Type": "application/json"}, body=body)
    assert status == 202, content
    return str(json.loads(content)["id"])


def sample(api: ApiProcess, path: str) -> bytes:
    status, _, content = api.request("GET", path)
    assert status == 200, path
    return content


def form(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[bytes, str]:
    """A multipart body and its media type."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, (filename, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
