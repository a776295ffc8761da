"""Disk space over HTTP: measured by kind, and cleaned up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from store import datasets, jobs
from store.blobs import blobs
from store.database import transaction
from store.tables import Dataset, Job
from tests.support.factories import queue_job, register, shades


def put(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    blobs().put_file(key, tmp_path / "file")


@pytest.fixture
def ended_job(client: TestClient, tmp_path: Path) -> str:
    """A job that ended an hour ago, with a checkpoint."""
    job_id = queue_job()
    put(tmp_path, f"runs/{job_id}/1/checkpoint")
    with transaction() as session:
        job = jobs.get(session, job_id)
        job.state, job.finished_at = "failed", datetime.now(UTC) - timedelta(hours=1)
    return job_id


def part(client: TestClient, kind: str, query: str = "") -> dict[str, object]:
    document = client.get(f"/api/v1/disk{query}").json()
    assert document["total_bytes"] > document["free_bytes"] > 0
    return next(part for part in document["kinds"] if part["kind"] == kind)


def test_every_kind_has_its_space_and_its_retention(client: TestClient, ended_job: str, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"))
    checkpoints = part(client, "checkpoints")
    assert (checkpoints["count"], checkpoints["bytes"], checkpoints["expired_count"]) == (1, 5, 0)
    assert (checkpoints["setting"], checkpoints["retention_days"]) == ("PLINTH_CHECKPOINT_RETENTION_DAYS", 1.0)
    assert part(client, "checkpoints", "?older_than_days=0")["expired_bytes"] == 5
    models = part(client, "models", "?older_than_days=0")
    assert (models["count"], models["expired_count"], models["retention_days"]) == (1, 0, None)


def test_a_clean_up_deletes_what_has_expired_and_says_what(client: TestClient, ended_job: str) -> None:
    assert client.post("/api/v1/disk/clean", json={}).json()["bytes"] == 0
    response = client.post("/api/v1/disk/clean", json={"kinds": ["checkpoints"], "older_than_days": 0})
    assert response.status_code == 200, response.text
    assert response.json()["deleted"] == [{"kind": "checkpoints", "count": 1, "bytes": 5}]
    assert part(client, "checkpoints")["count"] == 0


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"kinds": ["checkpoint"]}, "checkpoints"),
        ({"older_than_days": -1}, "greater"),
        ({"days": 1}, "older_than_days"),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_known(client: TestClient, body: dict[str, object], named: str) -> None:
    response = client.post("/api/v1/disk/clean", json=body)
    assert response.status_code == 422
    assert named in response.text


def test_a_rejected_dataset_whose_files_are_deleted_says_so(client: TestClient, tmp_path: Path) -> None:
    put(tmp_path, "uploads/upl_1/pets.zip")
    with transaction() as session:
        source = {"key": "uploads/upl_1/pets.zip", "filename": "pets.zip"}
        row_id = datasets.create(session, name="pets", sources=[source]).id
    with transaction() as session:
        dataset = session.get(Dataset, row_id)
        assert dataset is not None
        dataset.state = "rejected"
        session.query(Job).filter_by(dataset_id=row_id).one().state = "succeeded"
    blobs().delete("uploads/upl_1/pets.zip")
    body = {"operations": [{"operation": "leave_out_bad_rows"}]}
    response = client.post("/api/v1/datasets/pets@1/derive", json=body)
    assert response.status_code == 409, response.text
    assert "PLINTH_UPLOAD_RETENTION_DAYS" in response.json()["detail"]
