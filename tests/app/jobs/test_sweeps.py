"""Sweeps over HTTP: check, space, trials in lists, deletion."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from store import jobs
from store.database import transaction
from tests.app.jobs.test_jobs import finetune, ready_dataset
from tests.support.factories import claim_job


def sweep(**changes: object) -> dict[str, object]:
    return {"kind": "sweep", "job": finetune(), "budget": {"trials": 3}} | changes


def start(client: TestClient, *, trials: int = 2) -> tuple[str, list[str]]:
    """Start a sweep, and its first trials as a worker does."""
    ready_dataset()
    sweep_id = client.post("/api/v1/jobs", json=sweep()).json()["id"]
    claim = claim_job(sweep_id)
    with transaction() as session:
        ids = [
            jobs.submit(
                session, kind="finetune", spec={}, parent_id=sweep_id, trial=number, parameters={"seed": number}
            ).id
            for number in range(trials)
        ]
        jobs.suspend(session, claim)
    return sweep_id, ids


def test_a_check_shows_the_space_and_pins_the_dataset(client: TestClient) -> None:
    ready_dataset()
    response = client.post("/api/v1/jobs?validate_only=true", json=sweep())
    assert response.status_code == 200, response.text
    spec = response.json()["spec"]
    names = {"task": {"name": "image_classification"}, "architecture": {"name": "cnn"}}
    assert spec["job"] == finetune(dataset="shades@1", **names)
    assert spec["space"]["schedule.learning_rate"]["log"]
    assert spec["metric"] == "validation/accuracy"
    assert spec["halving"] == {"factor": 3, "rungs": 2}
    assert client.get("/api/v1/jobs").json()["data"] == []
    job = client.post("/api/v1/jobs", json=sweep()).json()
    assert (job["kind"], job["spec"], job["state"]) == ("sweep", spec, "queued")
    # A resolved spec is a valid request, and so is a clone.
    assert client.post("/api/v1/jobs?validate_only=true", json=spec).json()["spec"] == spec
    changes = {"budget": {"trials": 5}}
    clone = client.post(f"/api/v1/jobs/{job['id']}/clone?validate_only=true", json=changes)
    assert clone.json()["spec"] == spec | changes


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"strategy": "tpee"}, "strategy"),
        ({"job": finetune(dataset="nothing")}, "job.dataset"),
        ({"job": finetune(tuning="lora")}, "job.tuning"),
        ({"space": {"architecture": ["cnn", "bert"]}}, "space.architecture"),
        ({"space": {"schedule.learning_rate": {"low": 2, "high": 1}}}, "space.schedule.learning_rate"),
        ({"budget": {"trails": 3}}, "budget.trails"),
        ({"job": finetune(kind="pretrain")}, "job.kind"),
    ],
)
def test_a_fault_has_a_path(client: TestClient, changes: dict[str, object], path: str) -> None:
    ready_dataset()
    response = client.post("/api/v1/jobs", json=sweep(**changes))
    assert response.status_code == 422, response.text
    assert any((fault["path"] or "").startswith(path) for fault in response.json()["errors"]), response.text


def test_trials_are_listed_under_their_sweep_alone(client: TestClient) -> None:
    sweep_id, trials = start(client)
    assert [job["id"] for job in client.get("/api/v1/jobs").json()["data"]] == [sweep_id]
    listed = client.get(f"/api/v1/jobs?parent={sweep_id}").json()["data"]
    assert [job["id"] for job in listed] == trials[::-1]
    assert [(job["parent"], job["trial"], job["parameters"]) for job in listed] == [
        (sweep_id, 1, {"seed": 1}),
        (sweep_id, 0, {"seed": 0}),
    ]
    assert client.get(f"/api/v1/jobs/{sweep_id}").json()["state"] == "running"


def test_a_sweep_is_deleted_with_its_trials(client: TestClient) -> None:
    sweep_id, trials = start(client)
    assert client.delete(f"/api/v1/jobs/{sweep_id}").status_code == 409
    assert client.post(f"/api/v1/jobs/{sweep_id}/cancel").json()["state"] == "cancelled"
    assert client.get(f"/api/v1/jobs/{trials[0]}").json()["state"] == "cancelled"
    assert "delete that sweep" in client.delete(f"/api/v1/jobs/{trials[0]}").json()["detail"]
    assert client.delete(f"/api/v1/jobs/{sweep_id}").status_code == 204
    assert client.get(f"/api/v1/jobs/{trials[0]}").status_code == 404
