"""Retry, clone, deletion, waiting and filters of jobs over HTTP."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from store import datasets, jobs
from store.blobs import blobs
from store.database import transaction
from tests.app.datasets.test_datasets import finish_queued_validation, upload
from tests.app.jobs.test_jobs import SUMMARY, finetune, ready_dataset
from tests.support.factories import claim_job, queue_job, register, report_steps, shades


def start(client: TestClient, **changes: object) -> str:
    response = client.post("/api/v1/jobs", json=finetune(**changes))
    assert response.status_code == 202, response.text
    return response.json()["id"]


def fail(job_id: str) -> None:
    with transaction() as session:
        jobs.fail(session, jobs.claim(session, job_id, worker="w"), error={"code": "crashed", "message": "it crashed"})


def test_a_failed_job_is_retried_as_a_new_job_with_the_same_spec(client: TestClient) -> None:
    ready_dataset()
    job_id = start(client, schedule={"epochs": 3})
    assert client.post(f"/api/v1/jobs/{job_id}/retry").status_code == 409
    fail(job_id)
    ready_dataset()  # A second version, which the retry must not take.
    headers = {"Idempotency-Key": "again"}
    response = client.post(f"/api/v1/jobs/{job_id}/retry", headers=headers)
    assert response.status_code == 202, response.text
    retried, first = response.json(), client.get(f"/api/v1/jobs/{job_id}").json()
    assert (retried["state"], retried["origin"]) == ("queued", job_id)
    assert retried["spec"] == first["spec"]
    assert retried["spec"]["dataset"] == "shades@1"
    assert client.post(f"/api/v1/jobs/{job_id}/retry", headers=headers).json()["id"] == retried["id"]
    assert len(client.get("/api/v1/jobs").json()["data"]) == 2


def test_a_retry_says_what_is_gone_and_what_else_to_do(client: TestClient, tmp_path: Path) -> None:
    dataset_id = ready_dataset()
    job_id = start(client)
    fail(job_id)
    assert client.delete(f"/api/v1/datasets/{dataset_id}").status_code == 204
    gone = client.post(f"/api/v1/jobs/{job_id}/retry")
    assert (gone.status_code, gone.json()["errors"][0]["path"]) == (422, "dataset")
    register(shades(tmp_path / "package"), name="other")
    (done,) = (job["id"] for job in client.get("/api/v1/jobs?model=other").json()["data"])
    assert "clone it" in client.post(f"/api/v1/jobs/{done}/retry").json()["detail"]
    upload(client)
    (validation,) = client.get("/api/v1/jobs?kind=validate&state=queued").json()["data"]
    fail(validation["id"])
    assert "upload the data again" in client.post(f"/api/v1/jobs/{validation['id']}/retry").json()["detail"]
    assert client.post("/api/v1/jobs/job_0/retry").status_code == 404


def test_an_import_is_retried_while_its_file_exists(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    blobs().put_file("imports/upl_1/model.onnx", tmp_path / "model.onnx")
    spec = {"kind": "import", "model": "brought", "source": {"key": "imports/upl_1/model.onnx", "filename": "m"}}
    with transaction() as session:
        job_id = jobs.submit(session, kind="import", spec=spec, model_name="brought").id
    fail(job_id)
    assert client.post(f"/api/v1/jobs/{job_id}/retry").json()["spec"] == spec
    blobs().delete("imports/upl_1")
    assert "import it again" in client.post(f"/api/v1/jobs/{job_id}/retry").json()["detail"]
    assert client.post(f"/api/v1/jobs/{job_id}/clone", json={}).status_code == 409


def test_a_clone_merges_changes_into_the_request_and_fills_defaults_anew(client: TestClient) -> None:
    ready_dataset()
    job_id = start(client, schedule={"epochs": 3, "learning_rate": 0.5}, seed=7)
    changes = {"schedule": {"epochs": 4, "learning_rate": None}, "model": "shades2"}
    checked = client.post(f"/api/v1/jobs/{job_id}/clone?validate_only=true", json=changes)
    assert checked.status_code == 200, checked.text
    assert len(client.get("/api/v1/jobs").json()["data"]) == 1
    response = client.post(f"/api/v1/jobs/{job_id}/clone", json=changes)
    assert response.status_code == 202, response.text
    clone = response.json()
    assert clone["spec"] == checked.json()["spec"]
    assert (clone["origin"], clone["spec"]["seed"], clone["spec"]["model"]) == (job_id, 7, "shades2")
    assert clone["spec"]["schedule"]["epochs"] == 4
    assert clone["spec"]["schedule"]["learning_rate"] not in (0.5, None)
    assert clone["spec"]["dataset"] == "shades@1"


def test_a_clone_keeps_the_version_of_its_data_unless_another_is_named(client: TestClient) -> None:
    ready_dataset()
    job_id = start(client)
    ready_dataset()
    assert client.post(f"/api/v1/jobs/{job_id}/clone", json={}).json()["spec"]["dataset"] == "shades@1"
    assert client.post(f"/api/v1/jobs/{job_id}/clone", json={"dataset": "shades"}).json()["spec"]["dataset"] == (
        "shades@2"
    )


def test_faults_of_a_clone_are_reported_by_their_path(client: TestClient) -> None:
    ready_dataset()
    job_id = start(client)
    response = client.post(f"/api/v1/jobs/{job_id}/clone", json={"schedule": {"epocs": 3}, "task": "telepathy"})
    assert response.status_code == 422
    assert {item["path"] for item in response.json()["errors"]} == {"schedule.epocs", "task"}
    assert client.post(f"/api/v1/jobs/{job_id}/clone", json=[]).status_code == 422


def test_a_job_from_before_requests_were_stored_is_cloned_from_its_spec(client: TestClient) -> None:
    ready_dataset()
    job_id = start(client, schedule={"epochs": 3})
    with transaction() as session:
        jobs.get(session, job_id).request = None
    clone = client.post(f"/api/v1/jobs/{job_id}/clone", json={"seed": 1}).json()
    assert (clone["spec"]["seed"], clone["spec"]["schedule"]["epochs"]) == (1, 3)


def test_an_ended_job_is_deleted_with_its_logs_and_checkpoints(client: TestClient, home: Path, tmp_path: Path) -> None:
    job_id = queue_job()
    claim = claim_job(job_id)
    report_steps(claim, steps=2)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights").write_bytes(b"w")
    blobs().put_tree(f"runs/{job_id}/1", tmp_path / "checkpoint")
    log = home / "logs" / f"{job_id}.log"
    log.parent.mkdir(exist_ok=True)
    log.touch()
    refused = client.delete(f"/api/v1/jobs/{job_id}")
    assert refused.status_code == 409
    assert "cancel it first" in refused.json()["detail"]
    with transaction() as session:
        jobs.finish_cancelled(session, claim)
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    for path in ("", "/events", "/metrics", "/logs", "/report", "/checkpoints"):
        assert client.get(f"/api/v1/jobs/{job_id}{path}").status_code == 404, path
    assert client.get("/api/v1/jobs").json()["data"] == []
    assert list(blobs().keys(f"runs/{job_id}")) == []
    assert not log.exists()


def test_a_job_that_made_a_model_is_deleted_after_it(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"), name="shades")
    (job_id,) = (job["id"] for job in client.get("/api/v1/jobs?model=shades@1").json()["data"])
    assert "delete the model first" in client.delete(f"/api/v1/jobs/{job_id}").json()["detail"]
    assert client.delete("/api/v1/models/shades").status_code == 204
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204


def test_a_job_is_accepted_while_its_dataset_is_validated(client: TestClient) -> None:
    with transaction() as session:
        datasets.create(session, name="shades", sources=[])
    response = client.post("/api/v1/jobs", json=finetune())
    assert response.status_code == 202, response.text
    assert (response.json()["state"], response.json()["reason"]) == ("queued", "waiting for shades@1")
    finish_queued_validation(ready=True, summary=SUMMARY)
    job = client.get(f"/api/v1/jobs/{response.json()['id']}").json()
    assert (job["state"], job["reason"]) == ("queued", None)


def test_a_read_waits_for_the_final_state(client: TestClient) -> None:
    job_id = queue_job()
    began = time.monotonic()
    assert client.get(f"/api/v1/jobs/{job_id}?wait=0.4").json()["state"] == "queued"
    assert 0.4 <= time.monotonic() - began < 5
    client.post(f"/api/v1/jobs/{job_id}/cancel")
    began = time.monotonic()
    assert client.get(f"/api/v1/jobs/{job_id}?wait=30").json()["state"] == "cancelled"
    ready_dataset()
    assert client.get("/api/v1/datasets/shades?wait=30").json()["state"] == "ready"
    assert time.monotonic() - began < 10
    assert client.get(f"/api/v1/jobs/{job_id}?wait=61").status_code == 422
    assert client.get("/api/v1/jobs/job_0?wait=1").status_code == 404


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/api/v1/jobs?stat=running", "Did you mean 'state'?"),
        ("/api/v1/datasets?limt=3", "Did you mean 'limit'?"),
        ("/api/v1/catalog?task=x", None),
        ("/api/v1/models?cursr=x", "Did you mean 'cursor'?"),
        ("/api/v1/system?verbose=1", None),
        ("/predict?limi=1", "Did you mean 'limit'?"),
    ],
)
def test_unknown_query_parameters_are_rejected_with_the_known_ones(
    client: TestClient, path: str, hint: str | None
) -> None:
    response = client.get(path)
    assert response.status_code == 422
    (item,) = response.json()["errors"]
    assert item["path"] == path.partition("?")[2].partition("=")[0]
    assert item.get("hint") == hint
    assert "known: " in item["message"]


def test_unknown_query_parameters_of_requests_with_a_body_are_rejected(client: TestClient) -> None:
    ready_dataset()
    assert client.post("/api/v1/jobs?validate=true", json=finetune()).status_code == 422
    assert client.get("/api/v1/jobs").json()["data"] == []


def test_jobs_are_filtered_by_model_dataset_and_paused_state(client: TestClient) -> None:
    ready_dataset()
    job_id = start(client)
    other = queue_job(model="other")
    client.post(f"/api/v1/jobs/{other}/pause")
    assert [job["id"] for job in client.get("/api/v1/jobs?model=shades").json()["data"]] == [job_id]
    assert [job["id"] for job in client.get("/api/v1/jobs?dataset=shades@1").json()["data"]] == [job_id]
    assert [job["id"] for job in client.get("/api/v1/jobs?state=paused").json()["data"]] == [other]
    assert [job["id"] for job in client.get(f"/api/v1/jobs?id_prefix={other[:30]}").json()["data"]] == [other]
    assert client.get("/api/v1/jobs?state=pausd").status_code == 422
