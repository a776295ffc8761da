"""Licenses of datasets and models over HTTP, their lineage, and the gate before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from store import jobs
from store.database import transaction
from store.jobs import JobFilter, claim, finish_validation, listing
from store.tables import Dataset, Model
from tests.app.datasets.test_datasets import upload
from tests.app.jobs.test_jobs import ready_dataset
from tests.support.factories import register, shades
from worker.jobs import registration

SPEC: dict[str, Any] = {
    "kind": "finetune",
    "dataset": "shades",
    "task": "image_classification",
    "architecture": "cnn",
    "model": "tuned",
}


def set_license(table: type[Dataset] | type[Model], name: str, license: str) -> None:
    with transaction() as session:
        for row in session.query(table).filter_by(name=name):
            row.license = license


@pytest.fixture
def shades_client(client: TestClient, tmp_path: Path) -> TestClient:
    ready_dataset("shades")
    register(shades(tmp_path / "package"), name="base")
    return client


def test_a_form_names_the_license_of_a_dataset(client: TestClient) -> None:
    assert upload(client, license="cc-by-nc-4.0").json()["license"] == "CC-BY-NC-4.0"
    assert upload(client, license="our own terms").json()["license"] == "our own terms"
    assert upload(client).json()["license"] is None
    assert upload(client, license="x" * 300).status_code == 422


@pytest.mark.parametrize(("named", "expected"), [(None, "MIT"), ("Apache-2.0", "Apache-2.0")])
def test_a_license_in_the_upload_counts_if_the_request_names_none(
    client: TestClient, named: str | None, expected: str
) -> None:
    upload(client, **({"license": named} if named else {}))
    with transaction() as session:
        [job] = listing(session, matching=JobFilter(states=["queued"], kinds=["validate"]), limit=1, cursor=None).items
        job_claim = claim(session, job.id, worker="tester")
        assert job_claim is not None
        summary = {"format": "idx", "columns": {}, "splits": {"train": 3}}
        finish_validation(
            session, job_claim, ready=True, report={}, summary=summary, key="datasets/x", size=1, license="MIT"
        )
    assert client.get("/api/v1/datasets/digits").json()["license"] == expected


def test_a_derived_dataset_has_the_licenses_of_all_its_rows(client: TestClient) -> None:
    for name, license in (("one", "MIT"), ("two", "CC-BY-NC-4.0")):
        ready_dataset(name)
        set_license(Dataset, name, license)
    response = client.post(
        "/api/v1/datasets/one/derive", json={"operations": [{"operation": "join", "dataset": "two"}]}
    )
    assert response.json()["license"] == "MIT AND CC-BY-NC-4.0"


def test_training_on_a_noncommercial_license_is_refused_on_request(shades_client: TestClient) -> None:
    set_license(Dataset, "shades", "CC-BY-NC-4.0")
    assert shades_client.post("/api/v1/jobs?validate_only=true", json=SPEC).status_code == 200
    refused = shades_client.post("/api/v1/jobs", json={**SPEC, "allow_noncommercial": False})
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert (error["code"], error["path"], error["found"]) == ("noncommercial_license", "dataset", "CC-BY-NC-4.0")
    assert "dataset shades@1 has the license CC-BY-NC-4.0" in error["message"]
    assert shades_client.get("/api/v1/jobs?state=queued").json()["data"] == []


def test_a_service_refuses_noncommercial_licenses_whatever_the_job_says(
    new_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = new_client(allow_noncommercial=False)
    ready_dataset("shades")
    assert client.post("/api/v1/jobs?validate_only=true", json=SPEC).status_code == 200
    set_license(Dataset, "shades", "for research purposes only")
    for spec in (SPEC, {**SPEC, "allow_noncommercial": True}):
        assert client.post("/api/v1/jobs", json=spec).json()["errors"][0]["code"] == "noncommercial_license"


def test_a_license_is_carried_through_the_lineage(shades_client: TestClient, tmp_path: Path) -> None:
    set_license(Dataset, "shades", "CC-BY-4.0")
    set_license(Model, "base", "cc-by-nc-4.0")
    with transaction() as session:
        spec = {**SPEC, "dataset": "shades@1", "start_from": "base@1"}
        dataset = session.query(Dataset).filter_by(name="shades").one()
        job_id = jobs.submit(session, kind="finetune", spec=spec, dataset_id=dataset.id, model_name="tuned").id
    licenses = shades_client.get(f"/api/v1/jobs/{job_id}").json()["licenses"]
    expected = [
        {"kind": "dataset", "reference": "shades@1", "license": "CC-BY-4.0", "noncommercial": False},
        {"kind": "model", "reference": "base@1", "license": "cc-by-nc-4.0", "noncommercial": True},
    ]
    assert licenses == expected

    register(shades(tmp_path / "tuned"), name="tuned")
    with transaction() as session:
        model = session.query(Model).filter_by(name="tuned").one()
        model.job_id, model.dataset_id = job_id, dataset.id
    version = shades_client.get("/api/v1/models/tuned/versions/1").json()
    assert version["license"] is None
    assert version["licenses"] == expected

    again = {**SPEC, "start_from": "tuned", "model": "third", "allow_noncommercial": False}
    again.pop("architecture")
    errors = shades_client.post("/api/v1/jobs", json=again).json()["errors"]
    assert [(error["code"], error["path"]) for error in errors] == [("noncommercial_license", "start_from")]
    assert "model base@1" in errors[0]["message"], "the base of the base counts"


@pytest.mark.parametrize("in_a_sweep", [False, True])
def test_a_check_lists_the_licenses_that_the_job_would_have(shades_client: TestClient, in_a_sweep: bool) -> None:
    unlicensed = shades_client.post("/api/v1/jobs?validate_only=true", json=SPEC).json()
    assert unlicensed["licenses"] == []
    set_license(Dataset, "shades", "CC-BY-4.0")
    set_license(Model, "base", "cc-by-nc-4.0")
    spec = {name: value for name, value in SPEC.items() if name != "architecture"} | {"start_from": "base"}
    if in_a_sweep:
        spec = {"kind": "sweep", "job": spec, "budget": {"trials": 2}}
    checked = shades_client.post("/api/v1/jobs?validate_only=true", json=spec).json()
    assert [(part["reference"], part["noncommercial"]) for part in checked["licenses"]] == [
        ("shades@1", False),
        ("base@1", True),
    ]
    assert shades_client.get("/api/v1/jobs?state=queued").json()["data"] == [], "nothing was started"
    assert shades_client.post("/api/v1/jobs", json=spec).json()["licenses"] == checked["licenses"]


def test_the_manifest_of_a_trained_model_lists_the_licenses_of_all_it_was_made_of(
    shades_client: TestClient, tmp_path: Path
) -> None:
    set_license(Dataset, "shades", "CC-BY-4.0")
    set_license(Model, "base", "cc-by-nc-4.0")
    with transaction() as session:
        dataset = session.query(Dataset).filter_by(name="shades").one()
        spec = {**SPEC, "start_from": "base@1"}
        job_id = jobs.submit(session, kind="finetune", spec=spec, dataset_id=dataset.id, model_name="tuned").id
    with transaction() as session:
        job_claim = claim(session, job_id, worker="tester")
    assert job_claim is not None
    package = shades(tmp_path / "tuned")
    registration.register(package, job_claim, parent_id=None, report={}, reason="completed", license="mit")

    content = shades_client.get("/api/v1/models/tuned/versions/1/download?file=manifest.json").json()
    assert content["source"]["licenses"] == [
        {"kind": "model", "reference": "tuned", "license": "MIT"},
        {"kind": "dataset", "reference": "shades@1", "license": "CC-BY-4.0"},
        {"kind": "model", "reference": "base@1", "license": "cc-by-nc-4.0"},
    ]


def test_a_pruned_model_carries_the_license_of_the_original(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"), name="restricted")
    set_license(Model, "restricted", "cc-by-nc-4.0")
    spec = {"kind": "prune", "model": "restricted@1", "dataset": "shades@1", "result": "smaller"}
    with transaction() as session:
        job_id = jobs.submit(session, kind="prune", spec=spec, dataset_id=None, model_name="smaller").id

    (part,) = client.get(f"/api/v1/jobs/{job_id}").json()["licenses"]
    assert (part["reference"], part["license"], part["noncommercial"]) == ("restricted@1", "cc-by-nc-4.0", True)
