"""Scopes of keys: no route is forgotten, and every protocol refuses in its own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from app.browser import PageRoute
from app.client_protocols import protocol_of
from app.http.authorization.scopes import RULES, rule_of
from app.http.middleware import OPEN_PATHS, OPEN_PREFIX
from app.main import create_app
from app.settings import AppSettings
from store.database import transaction
from store.tables import ApiKey
from tests.app.conftest import KEY
from tests.support.factories import register, shades

PIXELS = {"inputs": [{"pixels": [[7] * 8] * 8}]}
TEXTS = {"model": "reviews", "input": "a film", "inputs": "a film", "questions": []}


def all_routes() -> Iterator[tuple[str, str, str]]:
    """Yield method, path and name of every route that needs a key."""
    for route in create_app(AppSettings.model_validate({"api_key": KEY})).routes:
        if isinstance(route, PageRoute):
            continue
        contexts = route.effective_route_contexts() if hasattr(route, "effective_route_contexts") else [route]
        for context in contexts:
            if context.path in OPEN_PATHS or context.path.startswith(OPEN_PREFIX.rstrip("/")):
                continue
            for method in context.methods:
                yield method, context.path, context.name


def with_values(path: str) -> str:
    return path.replace("{version}", "1").replace("{", "").replace("}", "")


#: The scope of every route by its name: a route that is added must be added here, too.
SCOPES = {
    "predict": {
        "chat_with_model",
        "compare_texts",
        "complete_with_model",
        "create_chat_completion",
        "create_completion",
        "create_decision",
        "create_embeddings",
        "create_images",
        "create_moderation",
        "create_response",
        "create_speech",
        "create_system_one_answers",
        "create_transcription",
        "embed_texts",
        "embed_with_model",
        "infer",
        "infer_version",
        "invoke",
        "invoke_endpoint",
        "list_inference_models",
        "list_model_aliases",
        "list_model_versions",
        "list_models",
        "list_openai_models",
        "list_served",
        "load_inference_model",
        "predict",
        "predict_instances",
        "predict_instances_by_version",
        "predict_one",
        "predict_one_by_put",
        "predict_one_by_version",
        "predict_texts",
        "read_catalog",
        "read_inference_config",
        "read_inference_model",
        "read_inference_model_readiness",
        "read_inference_model_statistics",
        "read_inference_model_version",
        "read_inference_server",
        "read_inference_statistics",
        "read_inference_version_config",
        "read_inference_version_readiness",
        "read_inference_version_statistics",
        "read_metrics",
        "read_model",
        "read_model_alias",
        "read_model_health",
        "read_model_signature",
        "read_model_version",
        "read_openai_model",
        "read_serving_metadata",
        "read_serving_version_metadata",
        "read_system",
        "read_text_embeddings_info",
        "rerank_documents",
        "rerank_documents_of_cohere",
        "rerank_texts",
        "run_named_pipeline",
        "run_pipeline",
        "tokenize_texts",
        "unload_inference_model",
    },
    "admin": {
        "change_webhook",
        "clean_disk",
        "create_key",
        "create_webhook",
        "delete_webhook",
        "list_keys",
        "list_webhook_deliveries",
        "list_webhooks",
        "read_disk",
        "read_webhook",
        "read_webhook_delivery",
        "retry_webhook_delivery",
        "revoke_key",
        "rotate_key",
        "update_key",
        "test_webhook",
    },
}


def test_every_route_has_a_scope_and_none_is_forgotten() -> None:
    routes = list(all_routes())
    assert len(routes) > 70
    for method, path, name in routes:
        rule = rule_of(method, with_values(path))
        assert rule is not None, f"{method} {path} is in no rule of app/http/authorization/scopes.py"
        listed = next((scope for scope, names in SCOPES.items() if name in names), "train")
        assert rule.scope == listed, (method, path, name)
    assert SCOPES["predict"] | SCOPES["admin"] <= {name for _, _, name in routes}


def test_every_rule_has_a_route() -> None:
    used = {id(rule_of(method, with_values(path))) for method, path, _ in all_routes()}
    assert [rule.path.pattern for rule in RULES if id(rule) not in used] == []


def test_keys_for_some_models_reach_only_paths_that_check_the_model() -> None:
    rules = {path: rule_of(method, with_values(path)) for method, path, _ in all_routes()}
    unchecked = {path for path, rule in rules.items() if rule and rule.scope == "predict" and not rule.checks_models}
    assert unchecked == {"/metrics", "/api/v1/system"}


@pytest.fixture
def new_key(client: TestClient) -> Callable[..., dict[str, str]]:
    """Creates keys; returns their header."""

    def create(**options: Any) -> dict[str, str]:
        response = client.post("/api/v1/keys", json={"name": "tests", **options})
        assert response.status_code == 201, response.text
        return {"Authorization": f"Bearer {response.json()['secret']}"}

    return create


@pytest.mark.parametrize("scope", ["predict", "train", "admin"])
def test_a_key_reaches_the_routes_of_its_scope_alone(
    client: TestClient, new_key: Callable[..., dict[str, str]], scope: str
) -> None:
    key = new_key(scope=scope)
    reached = {"predict": {"predict"}, "train": {"predict", "train"}, "admin": {"predict", "train", "admin"}}[scope]
    for method, path, name in all_routes():
        rule = rule_of(method, with_values(path))
        assert rule is not None
        response = client.request(method, with_values(path), headers=key)
        if rule.scope in reached:
            assert response.status_code != 403, (method, path, name)
            continue
        assert response.status_code == 403, (method, path, name)
        assert f'error="insufficient_scope", scope="{rule.scope}"' in response.headers["www-authenticate"]
        if method != "HEAD":
            assert response.json()["code"] == "insufficient_scope"


def test_an_existing_key_keeps_everything(client: TestClient) -> None:
    (key,) = client.get("/api/v1/keys").json()["data"]
    assert (key["scope"], key["models"], key["requests_per_minute"], key["expires_at"]) == ("admin", None, None, None)


def test_paths_and_methods_that_do_not_exist_are_answered_as_before(
    client: TestClient, new_key: Callable[..., dict[str, str]]
) -> None:
    key = new_key(scope="predict")
    assert client.get("/api/v1/nowhere", headers=key).status_code == 404
    assert client.put("/predict/shades", headers=key).status_code == 405


@pytest.mark.parametrize("path", ["/api/v1/keys/", "//api/v1/keys", "/api/v1/models/../keys", "/api/v1/keys%2f"])
def test_no_other_way_of_writing_a_path_gets_around_its_scope(
    client: TestClient, new_key: Callable[..., dict[str, str]], path: str
) -> None:
    assert client.get(path, headers=new_key(scope="predict")).status_code in (403, 404)


def test_a_method_override_gets_around_no_scope(client: TestClient, new_key: Callable[..., dict[str, str]]) -> None:
    headers = {**new_key(scope="predict"), "X-HTTP-Method-Override": "PATCH"}
    assert client.post("/api/v1/uploads/upl_1", headers=headers).status_code == 403


def test_pages_need_the_scope_train(client: TestClient, new_key: Callable[..., dict[str, str]]) -> None:
    for scope, status in (("predict", 403), ("train", 200)):
        headers = new_key(scope=scope) | {"Accept": "text/html"}
        assert client.get("/models", headers=headers).status_code == status


_CHOICE = {"type": "choice", "instructions": "Which?"}
_OPTIONS = [{"value": "0"}, {"value": "1"}]

#: Calls of every protocol that name the model: method, path, body, and where the error is for its clients.
CALLS: dict[str, tuple[str, str, Any, Callable[[Any], str]]] = {
    "native": ("POST", "/predict/{model}", PIXELS, lambda body: body["detail"]),
    "openai": (
        "POST",
        "/v1/embeddings",
        {"model": "{model}", "input": "a film"},
        lambda body: body["error"]["message"],
    ),
    "openai models": ("GET", "/v1/models/{model}", None, lambda body: body["error"]["message"]),
    "decisions": (
        "POST",
        "/v1/decisions",
        {"model": "{model}", "input": "x", "questions": [{"name": "a", **_CHOICE, "choices": _OPTIONS}]},
        lambda body: body["error"]["message"],
    ),
    "system one": (
        "POST",
        "/v1/systemone",
        {"model": "{model}", "state": "x", "questions": {"a": {**_CHOICE, "criteria": {"0": "x", "1": "y"}}}},
        lambda body: body["detail"]["message"],
    ),
    "inference protocol": ("GET", "/v2/models/{model}", None, lambda body: body["error"]),
    "inference protocol load": ("POST", "/v2/repository/models/{model}/load", {}, lambda body: body["error"]),
    "hugging face": ("POST", "/hf/{model}", {"inputs": "a film"}, lambda body: body["error"]),
    "hugging face info": ("GET", "/hf/{model}/info", None, lambda body: body["error"]),
    "tf serving": ("POST", "/v1/models/{model}:predict", {"instances": [{}]}, lambda body: body["error"]),
    "torchserve": ("POST", "/predictions/{model}", {}, lambda body: body["error"]),
    "versions": ("GET", "/api/v1/models/{model}/versions/1", None, lambda body: body["detail"]),
}  # fmt: skip


@pytest.fixture
def two_models(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "a"), name="shades")
    register(shades(tmp_path / "b"), name="secret-plans")


@pytest.mark.usefixtures("two_models")
@pytest.mark.parametrize("protocol", CALLS)
def test_every_protocol_refuses_other_models_in_its_own_form(
    client: TestClient, new_key: Callable[..., dict[str, str]], protocol: str
) -> None:
    method, path, body, message_of = CALLS[protocol]
    headers = new_key(scope="predict", models=["shade*"]) | {"Content-Type": "application/json"}

    def call(reference: str) -> Any:
        content = None if body is None else json.dumps(body).replace("{model}", reference)
        return client.request(method, path.format(model=reference), content=content, headers=headers)

    versions = () if protocol == "versions" else ("secret-plans@1", "secret-plans@production")
    for reference in ("secret-plans", "nowhere", *versions):
        response = call(reference)
        assert response.status_code == 403, response.text
        assert response.json()["code"] == "model_not_allowed"
        assert f"not for '{reference.partition('@')[0]}'" in message_of(response.json())
    # With the model that the key is for, the same call is not refused for the model.
    assert call("shades").status_code != 403


@pytest.mark.usefixtures("two_models")
def test_sagemaker_refuses_the_model_of_its_header(client: TestClient, new_key: Callable[..., dict[str, str]]) -> None:
    headers = new_key(scope="predict", models=["shades"])
    target = {"X-Amzn-SageMaker-Target-Model": "secret-plans"}
    refused = client.post("/invocations", json={"instances": [PIXELS["inputs"][0]]}, headers=headers | target)
    assert (refused.status_code, refused.json()["code"]) == (403, "model_not_allowed")
    # The only model that the key is for needs no name.
    only = client.post("/invocations", json={"instances": [PIXELS["inputs"][0]]}, headers=headers)
    assert only.status_code == 200, only.text


@pytest.mark.usefixtures("two_models")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/models"),
        ("GET", "/predict"),
        ("GET", "/v1/models"),
        ("POST", "/v2/repository/index"),
        ("GET", "/api/v1/models/shades9"),
        ("GET", "/v1/models/shades9"),
        ("POST", "/predict/shades9"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/system"),
        ("GET", "/api/v1/catalog"),
    ],
)
def test_names_of_other_models_occur_nowhere(
    client: TestClient, new_key: Callable[..., dict[str, str]], method: str, path: str
) -> None:
    headers = new_key(scope="predict", models=["shades*"])
    response = client.request(method, path, headers=headers, json=PIXELS if path.startswith("/predict/") else None)
    assert "secret-plans" not in response.text
    if response.status_code == 200 and path != "/api/v1/catalog":
        assert "shades" in response.text
    assert "secret-plans" in client.get("/api/v1/models").text


@pytest.mark.usefixtures("two_models")
def test_an_id_stands_for_no_other_model(client: TestClient, new_key: Callable[..., dict[str, str]]) -> None:
    """A pattern that matches ids must not open the model of an id."""
    version = client.get("/api/v1/models/secret-plans/versions/1").json()
    model_id, job_id = version["id"], version["lineage"]["job"]
    headers = new_key(scope="predict", models=[f"{model_id[:2]}*", "job*"])
    for reference in (model_id, job_id):
        assert client.post(f"/predict/{reference}", json=PIXELS, headers=headers).status_code == 403
    assert client.get(f"/v1/models/{model_id}", headers=headers).status_code == 403


@pytest.mark.usefixtures("two_models")
def test_a_session_may_do_what_its_key_may(client: TestClient, new_key: Callable[..., dict[str, str]]) -> None:
    key = new_key(scope="train")
    link = client.post("/login/links", headers=key).json()["path"]
    with TestClient(client.app, base_url="http://localhost") as browser:
        assert browser.get(link, follow_redirects=False).status_code == 303
        assert browser.get("/api/v1/models").status_code == 200
        assert browser.get("/api/v1/keys").status_code == 403


@pytest.mark.parametrize(
    "path", ["/predict/shades", "/v1/embeddings", "/hf/shades", "/v2/models/shades", "/v1/systemone"]
)
def test_a_rate_counts_the_requests_of_all_protocols(
    client: TestClient, new_key: Callable[..., dict[str, str]], path: str
) -> None:
    headers = new_key(scope="predict", requests_per_minute=2)
    first, second = (client.get("/api/v1/catalog", headers=headers) for _ in range(2))
    assert first.headers["ratelimit-policy"] == '"key";q=2;w=60'
    assert first.headers["ratelimit"] == '"key";r=1;t=30'
    assert second.headers["ratelimit"].startswith('"key";r=0')
    third = client.request("GET" if "/v2" in path else "POST", path, headers=headers)
    assert (third.status_code, third.json()["code"]) == (429, "rate_limited")
    assert 25 <= int(third.headers["retry-after"]) <= 30
    if protocol_of(path) is not None:
        assert "2 requests a minute" in json.dumps(third.json().get("error", third.json()["detail"]))
    assert "ratelimit" not in client.get("/api/v1/catalog").headers


def test_an_expired_key_is_rejected(new_client: Callable[..., TestClient]) -> None:
    client = new_client(key_cache_seconds=0)
    soon = datetime.now(UTC) + timedelta(hours=1)
    key = client.post("/api/v1/keys", json={"name": "short", "expires_at": soon.isoformat()}).json()
    headers = {"Authorization": f"Bearer {key['secret']}"}
    assert client.get("/api/v1/keys", headers=headers).status_code == 200
    with transaction() as session:
        values = {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}
        session.execute(update(ApiKey).where(ApiKey.id == key["id"]).values(**values))
    assert client.get("/api/v1/keys", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"scope": "root"}, "'predict', 'train' or 'admin'"),
        ({"models": ["digits*"]}, "cannot be limited to models"),
        ({"scope": "train", "models": ["digits*"]}, "cannot be limited to models"),
        ({"scope": "predict", "models": ["[a-z]"]}, "pattern"),
        ({"scope": "predict", "models": []}, "at least 1 item"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "which has passed"),
        ({"expires_at": "9999-12-31T23:59:59.999999Z"}, "leave it out"),
        ({"expires_at": "2099-01-01T00:00:00"}, "timezone"),
        ({"requests_per_minute": 0}, "greater than or equal to 1"),
    ],
)
def test_a_key_that_cannot_be_is_refused_with_the_reason(client: TestClient, body: dict[str, Any], words: str) -> None:
    response = client.post("/api/v1/keys", json={"name": "a", **body})
    assert response.status_code == 422
    assert words in response.json()["detail"]
