"""Faults of requests: their place, and what the field takes."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient


def findings_of(client: TestClient, method: str, path: str, body: Any = None) -> dict[str | None, dict[str, Any]]:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    return {finding.get("path"): finding for finding in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "takes"),
    [
        ("GET", "/api/v1/jobs?limit=0", None, "limit", "limit takes a whole number from 1 to 200."),
        ("GET", "/api/v1/jobs?cursor=x", None, "cursor", "`next_cursor` of the previous page."),
        ("PUT", "/api/v1/models/digits/aliases/production", {}, "version", "version takes a whole number"),
        ("POST", "/api/v1/models/import", {"name": "a", "hub": "a"}, "hub", "`owner/name` on the hub."),
        ("POST", "/api/v1/jobs", {"kind": "finetune"}, "dataset", "dataset takes text. Dataset: its id"),
        ("POST", "/api/v1/webhooks", {"url": "https://a.example", "events": [1]}, "events.0", "events takes"),
    ],
)
def test_a_fault_is_reported_with_what_its_field_takes(
    client: TestClient, method: str, path: str, body: Any, field: str, takes: str
) -> None:
    assert takes in findings_of(client, method, path, body)[field]["hint"]


def test_a_fault_of_a_path_parameter_is_located_though_a_body_was_sent(client: TestClient) -> None:
    finding = findings_of(client, "PUT", "/api/v1/models/digits/aliases/1", {"version": 1})["alias"]
    assert "begins with a-z" in finding["message"]


def test_a_message_of_a_validator_stands_without_the_prefix_of_pydantic(client: TestClient) -> None:
    finding = findings_of(client, "POST", "/api/v1/models/digits/feedback", {"label": "7"})[None]
    assert finding["message"] == "has both or neither of request_id and input; send one of them"
