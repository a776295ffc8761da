"""The service responds to generated requests as its OpenAPI document says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks
from starlette.testclient import TestClient

from app.http.errors import error_media_type
from app.openapi.document import TAGS
from tests.app.conftest import KEY
from tests.app.jobs.test_jobs import ready_dataset
from tests.support.factories import claim_job, queue_job, register, report_steps, shades


def documented_problem_code(ctx: Any, response: Any, case: schemathesis.Case) -> None:
    """The code of a problem is among the examples of its response."""
    media_type = error_media_type(case.path)
    is_own = (case.path, response.status_code) == ("/readyz", 503)
    if response.status_code < 400 or is_own or not response.content:
        return
    assert response.headers["content-type"] == [media_type]
    documented = case.operation.definition.raw["responses"][str(response.status_code)]["content"]
    assert response.json()["code"] in documented[media_type]["examples"], response.text


CHECKS = [
    documented_problem_code,
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]
#: Generated requests per operation, of valid and of invalid ones.
MAX_EXAMPLES = 6

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@pytest.fixture
def client(new_client: Callable[..., TestClient]) -> TestClient:
    return new_client(max_upload_bytes=1_000_000, allowed_hosts="*")


@pytest.fixture
def existing(client: TestClient, tmp_path: Path) -> dict[str, Any]:
    """Values of path parameters that exist, so that responses other than 404 occur."""
    register(shades(tmp_path / "package"), name="shades")
    client.put("/api/v1/models/shades/aliases/production", json={"version": 1})
    ready_dataset("shades")
    job_id = queue_job()
    report_steps(claim_job(job_id), steps=2)
    upload = client.post("/api/v1/uploads", headers={"Upload-Length": "5"}).json()
    names = {"name": "shades", "model": "shades", "dataset": "shades", "version": 1, "alias": "production"}
    return {**names, "job_id": job_id, "upload_id": upload["id"]}


@pytest.mark.parametrize("tag", [tag["name"] for tag in TAGS])
def test_generated_requests_get_documented_responses(client: TestClient, existing: dict[str, Any], tag: str) -> None:
    document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [result.ok() for result in document.include(tag=tag).get_all_operations()]
    assert operations
    for operation in operations:
        _try(operation, GenerationMode.NEGATIVE, {})
        _try(operation, GenerationMode.POSITIVE, {} if operation.method == "delete" else existing)


def _try(operation: Any, mode: GenerationMode, existing: Mapping[str, Any]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: schemathesis.Case) -> None:
        for name in set(case.path_parameters) & set(existing):
            case.path_parameters[name] = existing[name]
        if mode is GenerationMode.POSITIVE:
            case.query.pop("wait", None)  # A generated wait of a minute is valid.
        case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, checks=CHECKS)

    try:
        run()
    except (SkipTest, Unsatisfiable):
        # Some operations have no input that could be invalid.
        assert mode is GenerationMode.NEGATIVE
