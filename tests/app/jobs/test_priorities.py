"""Owners, priorities and quotas of jobs over HTTP."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from store import jobs
from store.database import transaction
from tests.app.jobs.test_jobs import finetune, ready_dataset
from tests.support.factories import claim_job

FILES = {"file": ("rows.csv", b"text,label\na,b\n")}


def new_key(client: TestClient, name: str, **options: object) -> tuple[str, dict[str, str]]:
    key = client.post("/api/v1/keys", json={"name": name, **options}).json()
    return key["id"], {"Authorization": f"Bearer {key['secret']}"}


def test_a_job_has_its_owner_and_priority(client: TestClient) -> None:
    ready_dataset()
    key_id, ann = new_key(client, "ann", scope="train")
    job = client.post("/api/v1/jobs?priority=low", json=finetune(), headers=ann).json()
    assert (job["owner"], job["priority"], job["queue_position"]) == ({"id": key_id, "name": "ann"}, "low", 1)
    urgent = client.post("/api/v1/jobs?priority=high", json=finetune()).json()
    assert (urgent["owner"]["name"], urgent["priority"], urgent["queue_position"]) == ("first", "high", 1)
    assert client.get(f"/api/v1/jobs/{job['id']}").json() == job | {"queue_position": 2}
    listed = client.get("/api/v1/jobs").json()["data"]
    assert [(row["owner"]["name"], row["queue_position"]) for row in listed] == [("first", 1), ("ann", 2)]
    with transaction() as session:
        own = jobs.submit(session, kind="finetune", spec={}).id
    assert client.get(f"/api/v1/jobs/{own}").json()["owner"] is None


def test_uploads_and_imports_have_owners_too(client: TestClient) -> None:
    key_id, ann = new_key(client, "ann", scope="train")
    response = client.post("/api/v1/datasets", data={"name": "rows"}, files=FILES, headers=ann)
    assert response.status_code == 202, response.text
    (job,) = client.get("/api/v1/jobs?kind=validate").json()["data"]
    assert job["owner"]["id"] == key_id


def test_high_needs_the_scope_admin(client: TestClient) -> None:
    ready_dataset()
    _, ann = new_key(client, "ann", scope="train")
    response = client.post("/api/v1/jobs?priority=high", json=finetune(), headers=ann)
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert "normal or low" in response.json()["detail"]
    assert client.post("/api/v1/jobs?priority=urgent", json=finetune()).status_code == 422
    assert client.get("/api/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(("headers", "expected"), [("first", "high"), ("ann", "normal")])
def test_a_retry_keeps_the_priority_as_far_as_its_key_may(client: TestClient, headers: str, expected: str) -> None:
    ready_dataset()
    _, ann = new_key(client, "ann", scope="train")
    job_id = client.post("/api/v1/jobs?priority=high", json=finetune()).json()["id"]
    with transaction() as session:
        jobs.cancel(session, job_id)
    sender = ann if headers == "ann" else None
    assert client.post(f"/api/v1/jobs/{job_id}/retry", headers=sender).json()["priority"] == expected
    clone = client.post(f"/api/v1/jobs/{job_id}/clone?priority=low", json={}, headers=sender).json()
    assert clone["priority"] == "low"


def test_an_idempotency_key_with_another_priority_is_refused(client: TestClient) -> None:
    ready_dataset()
    headers = {"Idempotency-Key": "once"}
    first, second = (
        client.post("/api/v1/jobs?priority=low", json=finetune(), headers=headers).json()["id"] for _ in range(2)
    )
    assert first == second
    assert client.post("/api/v1/jobs?priority=high", json=finetune(), headers=headers).status_code == 422


def test_a_reached_quota_is_a_429_that_loses_nothing(client: TestClient) -> None:
    ready_dataset()
    key_id, ann = new_key(client, "ann", scope="train", max_jobs=1)
    first = client.post("/api/v1/jobs", json=finetune(), headers=ann).json()["id"]
    refused = client.post("/api/v1/jobs", json=finetune(), headers={**ann, "Idempotency-Key": "later"})
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_reached")
    assert "'ann' has 1 job queued or running (quota 1)" in refused.json()["detail"]
    assert "retry-after" not in refused.headers
    # The check alone needs no room, and an upload that is refused leaves nothing behind.
    assert client.post("/api/v1/jobs?validate_only=true", json=finetune(), headers=ann).status_code == 200
    assert client.post("/api/v1/datasets", data={"name": "rows"}, files=FILES, headers=ann).status_code == 429
    assert [row["name"] for row in client.get("/api/v1/datasets").json()["data"]] == ["shades"]
    # An end of the job makes room, and the same request is then accepted.
    claim = claim_job(first)
    with transaction() as session:
        jobs.succeed(session, claim)
    assert client.post("/api/v1/jobs", json=finetune(), headers={**ann, "Idempotency-Key": "later"}).status_code == 202
    changed = client.patch(f"/api/v1/keys/{key_id}", json={"max_jobs": 2}).json()
    assert changed["max_jobs"] == 2
    assert client.post("/api/v1/jobs", json=finetune(), headers=ann).status_code == 202


def test_used_cpu_time_is_a_429_with_the_time_to_wait(client: TestClient) -> None:
    ready_dataset()
    _, ann = new_key(client, "ann", scope="train", cpu_seconds_per_day=10)
    claim = claim_job(client.post("/api/v1/jobs", json=finetune(), headers=ann).json()["id"])
    with transaction() as session:
        jobs.report(session, claim, progress={"cpu_seconds": 11.2})
    refused = client.post("/api/v1/jobs", json=finetune(), headers=ann)
    assert refused.json()["code"] == "quota_reached"
    assert 86_300 < int(refused.headers["retry-after"]) <= 86_400


def test_the_priority_of_a_queued_job_changes_its_place(client: TestClient) -> None:
    ready_dataset()
    _, ann = new_key(client, "ann", scope="train")
    first, second = (client.post("/api/v1/jobs", json=finetune()).json()["id"] for _ in range(2))
    assert client.patch(f"/api/v1/jobs/{first}", json={"priority": "low"}, headers=ann).json()["queue_position"] == 2
    refused = client.patch(f"/api/v1/jobs/{first}", json={"priority": "high"}, headers=ann)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    raised = client.patch(f"/api/v1/jobs/{first}", json={"priority": "high"}).json()
    assert (raised["priority"], raised["queue_position"]) == ("high", 1)
    assert client.get(f"/api/v1/jobs/{second}").json()["queue_position"] == 2


def test_the_priority_of_an_ended_job_and_of_none_is_refused(client: TestClient) -> None:
    ready_dataset()
    job_id = client.post("/api/v1/jobs", json=finetune()).json()["id"]
    assert client.patch(f"/api/v1/jobs/{job_id}", json={"priority": "urgent"}).status_code == 422
    client.post(f"/api/v1/jobs/{job_id}/cancel")
    refused = client.patch(f"/api/v1/jobs/{job_id}", json={"priority": "low"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert client.patch("/api/v1/jobs/job_none", json={"priority": "low"}).status_code == 404


def test_a_sweep_changes_priority_with_its_trials(client: TestClient) -> None:
    with transaction() as session:
        sweep = jobs.submit(session, kind="sweep", spec={}).id
        trial = jobs.submit(session, kind="finetune", spec={}, parent_id=sweep, trial=0).id
    refused = client.patch(f"/api/v1/jobs/{trial}", json={"priority": "low"})
    assert refused.status_code == 409
    assert sweep in refused.json()["detail"]
    client.patch(f"/api/v1/jobs/{sweep}", json={"priority": "low"})
    assert [client.get(f"/api/v1/jobs/{job_id}").json()["priority"] for job_id in (sweep, trial)] == ["low", "low"]


def test_jobs_are_listed_by_owner(client: TestClient) -> None:
    ready_dataset()
    key_id, ann = new_key(client, "ann", scope="train")
    client.post("/api/v1/jobs", json=finetune())
    own = client.post("/api/v1/jobs", json=finetune(), headers=ann).json()["id"]
    for owner in ("ann", key_id):
        assert [job["id"] for job in client.get("/api/v1/jobs", params={"owner": owner}).json()["data"]] == [own]
    assert client.get("/api/v1/jobs?owner=nobody").json()["data"] == []
