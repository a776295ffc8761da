"""The plan says how long a training takes where an earlier one tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from store.database import transaction
from store.tables import Job
from tests.app.jobs.test_jobs import finetune, ready_dataset


def plan(client: TestClient, **changes: object) -> dict[str, object]:
    response = client.post("/api/v1/jobs?validate_only=true", json=finetune(**changes))
    assert response.status_code == 200, response.text
    return response.json()


def succeed(job_id: str, *, steps: int, seconds: float) -> None:
    with transaction() as session:
        job = session.get(Job, job_id)
        assert job is not None
        job.state, job.progress = "succeeded", {"step": steps, "steps": steps, "epoch": 4, "epochs": 4}
        job.finished_at = datetime.now(UTC)
        job.started_at = job.finished_at - timedelta(seconds=seconds)


def test_the_time_is_that_of_the_newest_training_of_the_same_network(client: TestClient) -> None:
    ready_dataset()
    assert plan(client)["expected_seconds"] is None
    job_id = client.post("/api/v1/jobs", json=finetune(schedule={"epochs": 4, "batch_size": 2})).json()["id"]
    assert plan(client)["expected_seconds"] is None  # nothing has ended
    succeed(job_id, steps=20, seconds=30.0)
    once = plan(client, schedule={"epochs": 1, "batch_size": 2})
    longer = plan(client, schedule={"epochs": 8, "batch_size": 2})
    assert once["expected_from"] == longer["expected_from"] == job_id
    assert longer["expected_seconds"] == pytest.approx(8 * once["expected_seconds"])
    assert plan(client, architecture="resnet")["expected_seconds"] is None
