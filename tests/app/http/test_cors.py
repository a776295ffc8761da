"""Web pages of other origins: nothing by default, and what `PLINTH_CORS_ORIGINS` allows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from app.settings import AppSettings
from tests.app.uploads.test_uploads import metadata

ORIGIN = "https://page.example.com"
PATHS = ["/predict/any", "/api/v1/uploads", "/api/v1/uploads/upl_1", "/api/v1/datasets", "/healthz", "/nowhere"]


def preflight(client: TestClient, path: str, *, origin: str = ORIGIN, method: str = "POST"):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,tus-resumable,upload-length",
        "Authorization": "",
    }
    return client.options(path, headers=headers)


@pytest.mark.parametrize("path", PATHS)
def test_without_the_setting_a_preflight_names_the_setting(client: TestClient, path: str) -> None:
    refused = preflight(client, path)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert "PLINTH_CORS_ORIGINS" in refused.json()["detail"]
    assert not [name for name in refused.headers if name.startswith("access-control-")]
    answer = client.get("/healthz", headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-") or name == "vary"]


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_of_an_allowed_origin_needs_no_key(new_client: Callable[..., TestClient], path: str) -> None:
    client = new_client(cors_origins=f"http://localhost:3000, {ORIGIN}")
    allowed = preflight(client, path, method="PATCH")
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in allowed.headers["access-control-allow-methods"].split(", ")
    assert allowed.headers["access-control-allow-headers"] == "authorization,content-type,tus-resumable,upload-length"
    assert "Origin" in allowed.headers["vary"]
    assert "access-control-allow-credentials" not in allowed.headers
    for other in ("https://evil.example", "null", "https://page.example.com.evil.example", "http://page.example.com"):
        refused = preflight(client, path, origin=other)
        assert refused.status_code == 403, other
        assert "access-control-allow-origin" not in refused.headers


def test_a_page_uploads_and_can_read_the_headers_of_tus(new_client: Callable[..., TestClient]) -> None:
    client = new_client(cors_origins=ORIGIN)
    headers = {"Origin": ORIGIN, "Upload-Length": "5", "Upload-Metadata": metadata("a.csv"), "Tus-Resumable": "1.0.0"}
    created = client.post("/api/v1/uploads", headers=headers)
    assert (created.status_code, created.headers["access-control-allow-origin"]) == (201, ORIGIN)
    exposed = created.headers["access-control-expose-headers"].lower().split(", ")
    sent = [name for name in created.headers if name.startswith(("tus-", "upload-", "location"))]
    assert len(sent) == 3
    assert set(sent) <= set(exposed)
    head = client.head(created.headers["location"], headers={"Origin": ORIGIN})
    assert {name for name in head.headers if name.startswith(("tus-", "upload-"))} <= set(exposed)
    described = client.options("/api/v1/uploads", headers={"Origin": ORIGIN})
    assert described.headers["tus-version"] == "1.0.0", "not a preflight"


@pytest.mark.parametrize("key", ["", "Bearer wrong"])
def test_a_page_can_read_errors(new_client: Callable[..., TestClient], key: str) -> None:
    client = new_client(cors_origins=ORIGIN)
    refused = client.get("/api/v1/models", headers={"Origin": ORIGIN, "Authorization": key})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
    other = client.get("/api/v1/models", headers={"Origin": "https://evil.example"})
    assert (other.status_code, other.headers["vary"]) == (200, "Origin")
    assert "access-control-allow-origin" not in other.headers


def test_every_origin_may_be_allowed_but_never_with_credentials(new_client: Callable[..., TestClient]) -> None:
    client = new_client(cors_origins="*")
    for answer in (preflight(client, "/predict/any"), client.get("/api/v1/models", headers={"Origin": ORIGIN})):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


def test_a_preflight_to_an_unknown_host_is_rejected(new_client: Callable[..., TestClient]) -> None:
    client = new_client(cors_origins="*")
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Host": "evil.example"}
    assert client.options("/predict/any", headers=headers).json()["code"] == "unknown_host"


@pytest.mark.parametrize(
    "value",
    ["page.example.com", "https://page.example.com/", "https://Page.example.com", "null", "https://*.example.com"],
)
def test_a_value_that_is_no_origin_is_rejected_at_the_start(value: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin"):
        AppSettings(cors_origins=value)


def test_origins_may_have_ports_and_addresses() -> None:
    settings = AppSettings(cors_origins="http://localhost:3000,http://[::1]:8080, tauri://localhost,https://10.0.0.1")
    assert len(settings.allowed_origins()) == 4
