"""Derived datasets over HTTP: requests, their faults, and what a report suggests."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from store import datasets
from store.blobs import blobs
from store.database import transaction
from store.jobs import JobFilter, listing
from tests.app.datasets.test_datasets import finish_queued_validation, upload

SUMMARY = {
    "format": "csv",
    "task": "text_classification",
    "columns": {"text": "text", "label": "label"},
    "splits": {"train": 30, "validation": 3, "test": 3},
    "classes": ["bad", "good"],
    "flagged_rows": {"duplicate_rows": 4, "conflicting_labels": 2},
}
DEDUPE = {"operation": "dedupe"}


@pytest.fixture
def reviews(client: TestClient) -> TestClient:
    upload(client, name="reviews")
    finish_queued_validation(ready=True, summary=SUMMARY)
    return client


def derive(client: TestClient, *operations: dict[str, Any], reference: str = "reviews", **body: Any):
    return client.post(f"/api/v1/datasets/{reference}/derive", json={"operations": list(operations), **body})


def test_a_derived_dataset_is_the_next_version_with_its_origin(reviews: TestClient) -> None:
    response = derive(reviews, DEDUPE)
    assert response.status_code == 202, response.text
    dataset = response.json()
    assert (dataset["name"], dataset["version"], dataset["state"]) == ("reviews", 2, "importing")
    assert dataset["origin"] == {"dataset": "reviews@1", "operations": [DEDUPE]}
    assert reviews.get(response.headers["location"]).json() == dataset
    assert reviews.get("/api/v1/datasets/reviews@1").json()["origin"] is None
    [job] = reviews.get("/api/v1/jobs?kind=derive").json()["data"]
    assert (job["dataset"], job["spec"]["dataset"]) == (dataset["id"], "reviews@1")
    assert reviews.get("/api/v1/jobs").json()["data"] == [], "jobs that make datasets are listed on request"


def test_a_derived_dataset_may_have_a_name_of_its_own(reviews: TestClient) -> None:
    dataset = derive(reviews, {"operation": "sample", "fraction": 0.5}, name="small").json()
    assert (dataset["name"], dataset["version"]) == ("small", 1)


def test_a_joined_dataset_is_pinned_and_not_deleted_before_it_is_read(reviews: TestClient) -> None:
    upload(reviews, name="more")
    finish_queued_validation(ready=True, summary=SUMMARY)
    origin = derive(reviews, {"operation": "join", "dataset": "more"}).json()["origin"]
    assert origin["operations"] == [{"operation": "join", "dataset": "more@1"}]
    assert reviews.delete("/api/v1/datasets/more").status_code == 409
    assert reviews.delete("/api/v1/datasets/reviews@1").status_code == 409
    with transaction() as session:
        [job] = listing(session, matching=JobFilter(states=["queued"], kinds=["derive"]), limit=1, cursor=None).items
    reviews.post(f"/api/v1/jobs/{job.id}/cancel")
    assert reviews.get("/api/v1/datasets/reviews@2").json()["state"] == "rejected"
    assert reviews.delete("/api/v1/datasets/more").status_code == 204


def test_every_fault_of_the_operations_is_listed(reviews: TestClient) -> None:
    response = derive(
        reviews,
        {"operation": "drop_rows", "finding": "duplicate_row"},
        {"operation": "join", "dataset": "nothing"},
        {"operation": "drop_rows", "rows": {"test": [3]}},
    )
    assert response.status_code == 422, response.text
    errors = {error["path"]: error for error in response.json()["errors"]}
    assert set(errors) == {"operations.0.finding", "operations.1.dataset", "operations.2.rows.test"}
    assert errors["operations.0.finding"]["hint"] == "Did you mean 'duplicate_rows'?"
    assert errors["operations.2.rows.test"]["expected"] == "0 to 2"


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ({"operation": "drop"}, "operations.0.operation"),
        ({"operation": "drop_rows"}, "operations.0"),
        ({"operation": "drop_rows", "rows": {"train": [-1]}}, "operations.0.rows.train.0"),
        ({"operation": "drop_rows", "rows": {"trian": [1]}}, "operations.0.rows.trian"),
        ({"operation": "sample", "fraction": 2}, "operations.0.fraction"),
        ({"operation": "filter"}, "operations.0"),
        ({"operation": "filter", "classes": []}, "operations.0.classes"),
        ({"operation": "filter", "min_characters": 9, "max_characters": 3}, "operations.0"),
        ({"operation": "sample", "fraction": 0.5, "splits": []}, "operations.0.splits"),
        ({"operation": "drop_rows", "rows": {"train": [1]}, "splits": ["test"]}, "operations.0"),
        ({"operation": "relabel", "labels": {"train": {"1": "bad"}}, "splits": ["test"]}, "operations.0"),
        ({"operation": "filter", "max_character": 3}, "operations.0.max_character"),
    ],
)
def test_a_wrong_operation_is_named(reviews: TestClient, operation: dict[str, Any], path: str) -> None:
    response = derive(reviews, operation)
    assert response.status_code == 422, response.text
    assert path in [error["path"] for error in response.json()["errors"]]


def test_a_dataset_that_is_not_checked_yet_cannot_be_derived_from(client: TestClient) -> None:
    upload(client, name="reviews")
    response = derive(client, DEDUPE)
    assert response.status_code == 409
    assert "reviews@1 is importing" in response.json()["detail"]
    assert derive(client, DEDUPE, reference="nothing").status_code == 404


def test_a_rejected_dataset_is_read_again_without_its_bad_rows(client: TestClient) -> None:
    upload(client, name="reviews")
    error = {"code": "ragged_row", "count": 2, "severity": "error", "hint": "", "sample": []}
    finish_queued_validation(ready=False, report={"rows": 30, "rejected": 2, "errors": [error]})
    [fix] = client.get("/api/v1/datasets/reviews/report").json()["fixes"]
    assert (fix["operation"], fix["rows"], fix["is_default"]) == ({"operation": "leave_out_bad_rows"}, 2, True)
    response = derive(client, DEDUPE)
    assert response.json()["errors"][0]["expected"] == "leave_out_bad_rows"
    assert derive(client, fix["operation"], DEDUPE).status_code == 202


def test_an_upload_rejected_as_a_whole_has_no_fix(client: TestClient) -> None:
    upload(client, name="reviews")
    errors = [{"code": code, "count": 1, "severity": "error", "hint": "", "sample": []} for code in ("ragged_row", "x")]
    finish_queued_validation(ready=False, report={"rows": 30, "rejected": 1, "errors": errors})
    assert client.get("/api/v1/datasets/reviews/report").json()["fixes"] == []


def test_a_report_suggests_operations_that_derive_accepts(reviews: TestClient) -> None:
    fixes = reviews.get("/api/v1/datasets/reviews/report").json()["fixes"]
    assert [(fix["finding"], fix["rows"], fix["is_default"]) for fix in fixes] == [
        ("duplicate_rows", 4, True),
        ("conflicting_labels", 2, False),
    ]
    assert derive(reviews, *[fix["operation"] for fix in fixes]).status_code == 202


def test_a_finding_without_rows_lists_those_that_have_rows(reviews: TestClient) -> None:
    response = reviews.get("/api/v1/datasets/reviews/findings/tiny_dataset")
    assert response.status_code == 404
    assert "duplicate_rows" in response.json()["detail"]


AGAIN = {"operation": "read_again", "columns": {"text": "body"}}


def test_an_upload_is_read_again_with_other_columns_and_again_from_the_result(reviews: TestClient) -> None:
    dataset = derive(reviews, {**AGAIN, "task": "text_generation"}).json()
    assert (dataset["version"], dataset["task"], dataset["format"]) == (2, "text_generation", None)
    with transaction() as session:
        upload_spec = datasets.import_spec(session, reviews.get("/api/v1/datasets/reviews@1").json()["id"])
        spec = datasets.import_spec(session, dataset["id"])
    assert upload_spec is not None
    assert spec == {**upload_spec, "task": "text_generation", "format": None, "columns": {"text": "body"}}
    [job] = reviews.get("/api/v1/jobs?kind=derive").json()["data"]
    reviews.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert derive(reviews, AGAIN, reference="reviews@2").status_code == 202


def test_reading_again_needs_an_upload_names_that_exist_and_no_other_operation(reviews: TestClient) -> None:
    response = derive(reviews, {**AGAIN, "task": "text_clasification", "format": "cvs"})
    errors = {error["path"]: error for error in response.json()["errors"]}
    assert errors["operations.0.task"]["hint"] == "Did you mean 'text_classification'?"
    assert set(errors) == {"operations.0.task", "operations.0.format"}
    [error] = derive(reviews, AGAIN, DEDUPE).json()["errors"]
    assert (error["code"], error["path"]) == ("invalid_order", "operations")
    derive(reviews, DEDUPE)
    [job] = reviews.get("/api/v1/jobs?kind=derive").json()["data"]
    reviews.post(f"/api/v1/jobs/{job['id']}/cancel")
    [error] = derive(reviews, AGAIN, reference="reviews@2").json()["errors"]
    assert error["code"] == "no_upload"


def test_an_upload_whose_files_were_deleted_is_not_read_again(reviews: TestClient) -> None:
    with transaction() as session:
        spec = datasets.import_spec(session, reviews.get("/api/v1/datasets/reviews@1").json()["id"])
    assert spec is not None
    for source in spec["sources"]:
        blobs().delete(source["key"])
    response = derive(reviews, AGAIN)
    assert response.status_code == 409
    assert "upload them again" in response.json()["detail"]
