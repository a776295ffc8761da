"""Parts of a dataset over HTTP: what they are appended to, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from store.blobs import blobs
from store.database import transaction
from store.jobs import JobFilter, claim, finish_validation, listing
from tests.app.datasets.test_datasets import finish_queued_validation, upload
from tests.app.datasets.test_derivation import SUMMARY, derive

LOG = {"format": "interactions", "task": "recommendation", "columns": {"history": "items"}, "splits": {"train": 9}}
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def reviews(client: TestClient) -> TestClient:
    upload(client, name="reviews", columns='{"text": "message"}', license="MIT")
    finish_queued_validation(ready=True, summary=SUMMARY)
    return client


def send(client: TestClient, content: bytes = b"text,label\n", *, length: int | None = None) -> str:
    headers = {**TUS, "Upload-Length": str(len(content) if length is None else length)}
    response = client.post("/api/v1/uploads", content=content, headers=headers)
    assert response.status_code == 201, response.text
    return response.headers["location"].rpartition("/")[2]


def create(client: TestClient, *uploads: str, **options: Any):
    return client.post("/api/v1/datasets", json={"name": "reviews", "upload": list(uploads), **options})


def newest_spec(client: TestClient) -> dict[str, Any]:
    spec: dict[str, Any] = client.get("/api/v1/jobs?kind=validate").json()["data"][0]["spec"]
    return spec


def test_uploads_are_appended_as_they_were_read_before(reviews: TestClient) -> None:
    response = create(reviews, send(reviews), send(reviews), append=True, license="CC0-1.0")
    assert response.status_code == 202, response.text
    dataset, spec = response.json(), newest_spec(reviews)
    assert (dataset["version"], dataset["license"]) == (2, "MIT AND CC0-1.0")
    assert dataset["origin"]["dataset"] == "reviews@1"
    assert [operation["operation"] for operation in dataset["origin"]["operations"]] == ["append"]
    first = reviews.get("/api/v1/datasets/reviews@1").json()
    assert (spec["earlier"], spec["earlier_name"], len(spec["sources"])) == (first["id"], "reviews@1", 2)
    assert (spec["task"], spec["columns"]) == ("text_classification", {"text": "message"})
    assert reviews.delete("/api/v1/datasets/reviews@1").status_code == 409, "its rows are being read"


def test_columns_and_quoting_outlast_operations_between_two_parts(client: TestClient) -> None:
    upload(client, name="reviews", columns='{"text": "message"}', quoting="none")
    finish_queued_validation(ready=True, summary=SUMMARY)
    for _ in range(2):
        derive(client, {"operation": "dedupe"})
        finish_queued_derivation(SUMMARY)
    create(client, send(client), append=True)
    spec = newest_spec(client)
    assert (spec["earlier_name"], spec["columns"], spec["quoting"]) == ("reviews@3", {"text": "message"}, "none")
    finish_queued_validation(ready=True, summary=SUMMARY)
    create(client, send(client), append=True, columns={"text": "body"})
    assert (newest_spec(client)["columns"], newest_spec(client)["quoting"]) == ({"text": "body"}, "none")


def test_rows_appended_beside_an_operation_on_the_version_before_are_not_lost(reviews: TestClient) -> None:
    create(reviews, send(reviews), append=True)
    finish_queued_validation(ready=True, summary=SUMMARY)
    derive(reviews, {"operation": "dedupe"}, reference="reviews@1")
    finish_queued_derivation(SUMMARY)
    part = send(reviews)
    response = create(reviews, part, append=True)
    assert (response.status_code, "delete reviews@3" in response.json()["detail"]) == (409, True), response.text
    reviews.delete("/api/v1/datasets/reviews@3")
    assert create(reviews, part, append=True).json()["origin"]["dataset"] == "reviews@2"


@pytest.mark.parametrize("reference", ["reviews", "reviews@1"])
def test_nothing_is_derived_beside_rows_that_are_being_appended(reviews: TestClient, reference: str) -> None:
    create(reviews, send(reviews), append=True)
    response = derive(reviews, {"operation": "dedupe"}, reference=reference)
    assert response.status_code == 409, response.text
    assert "reviews@2 is importing with appended rows" in response.json()["detail"]
    copy = derive(reviews, {"operation": "dedupe"}, reference=reference, name="copy")
    assert (copy.status_code, copy.json()["origin"]["dataset"]) == (202, "reviews@1")
    finish_queued_validation(ready=True, summary=SUMMARY)
    assert derive(reviews, {"operation": "dedupe"}).json()["origin"]["dataset"] == "reviews@2"


def test_nothing_is_derived_beside_appended_rows_that_are_being_repaired(reviews: TestClient) -> None:
    create(reviews, send(reviews), append=True)
    finish_queued_validation(ready=False)
    derive(reviews, {"operation": "leave_out_bad_rows"}, reference="reviews@2")
    response = derive(reviews, {"operation": "dedupe"})
    assert (response.status_code, "reviews@3 is importing" in response.json()["detail"]) == (409, True), response.text
    finish_queued_derivation(SUMMARY)
    assert derive(reviews, {"operation": "dedupe"}).json()["origin"]["dataset"] == "reviews@3"


def test_a_repaired_part_is_not_appended_to_while_it_lacks_a_later_part(reviews: TestClient) -> None:
    create(reviews, send(reviews), append=True)
    finish_queued_validation(ready=False)
    create(reviews, send(reviews), append=True)
    finish_queued_validation(ready=True, summary=SUMMARY)
    derive(reviews, {"operation": "leave_out_bad_rows"}, reference="reviews@2")
    assert reviews.delete("/api/v1/datasets/reviews@1").status_code == 409, "its rows are read again"
    finish_queued_derivation(SUMMARY)
    response = create(reviews, send(reviews), append=True)
    assert (response.status_code, "reviews@3 has rows" in response.json()["detail"]) == (409, True), response.text
    derive(reviews, {"operation": "dedupe"}, reference="reviews@3")
    finish_queued_derivation(SUMMARY)
    response = create(reviews, send(reviews), append=True)
    assert "reviews@4 has rows" in response.json()["detail"], "the repaired part has rows of its own"
    reviews.delete("/api/v1/datasets/reviews@4")
    assert create(reviews, send(reviews), append=True).json()["origin"]["dataset"] == "reviews@5"


def test_an_upload_of_its_own_replaces_all_versions_before(reviews: TestClient) -> None:
    create(reviews, send(reviews), append=True)
    finish_queued_validation(ready=True, summary=SUMMARY)
    create(reviews, send(reviews))
    finish_queued_validation(ready=True, summary=SUMMARY)
    assert create(reviews, send(reviews), append=True).json()["origin"]["dataset"] == "reviews@3"


def test_parts_of_deleted_versions_are_in_those_that_were_made_of_them(reviews: TestClient) -> None:
    for version in (1, 2):
        create(reviews, send(reviews), append=True)
        finish_queued_validation(ready=True, summary=SUMMARY)
        reviews.delete(f"/api/v1/datasets/reviews@{version}")
    assert create(reviews, send(reviews), append=True).json()["origin"]["dataset"] == "reviews@3"


def test_a_form_is_appended_to_the_latest_ready_version(reviews: TestClient) -> None:
    upload(reviews, name="reviews")
    finish_queued_validation(ready=False)
    assert upload(reviews, name="reviews", append="true").json()["origin"]["dataset"] == "reviews@1"


def test_nothing_is_appended_while_a_version_is_checked_so_that_no_part_is_lost(reviews: TestClient) -> None:
    create(reviews, send(reviews), append=True)
    part = send(reviews)
    response = create(reviews, part, append=True)
    assert response.status_code == 409
    assert "reviews@2 is importing" in response.json()["detail"]
    finish_queued_validation(ready=True, summary=SUMMARY)
    assert create(reviews, part, append=True).json()["origin"]["dataset"] == "reviews@2"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"name": "other"}, 404, "known: reviews"),
        ({"task": "translation"}, 422, "reviews@1 is for text_classification"),
    ],
)
def test_files_that_cannot_be_appended_are_refused_before_they_are_read(
    reviews: TestClient, options: dict[str, str], status: int, message: str
) -> None:
    part = send(reviews)
    response = create(reviews, part, append=True, **options)
    assert (response.status_code, message in response.text) == (status, True), response.text
    assert create(reviews, part, append=True).status_code == 202, "the upload is still there"


def test_a_name_without_a_ready_version_has_nothing_to_append_to(client: TestClient) -> None:
    upload(client, name="reviews")
    finish_queued_validation(ready=False)
    response = create(client, send(client), append=True)
    assert (response.status_code, "no version of reviews is ready" in response.json()["detail"]) == (409, True)


def test_uploads_that_are_no_parts_are_refused_and_the_others_remain(client: TestClient) -> None:
    part = send(client)
    twice = create(client, part, part)
    assert (twice.status_code, f"{part} is named twice" in twice.text) == (422, True)
    unknown = create(client, part, "upl_" + "0" * 32)
    assert (unknown.status_code, "upl_000" in unknown.json()["detail"]) == (404, True)
    incomplete = create(client, part, send(client, b"text", length=9))
    assert (incomplete.status_code, "4 of 9 bytes" in incomplete.json()["detail"]) == (409, True)
    assert create(client, part).status_code == 202


def test_an_upload_that_was_deleted_with_its_dataset_is_refused(client: TestClient) -> None:
    part = send(client)
    create(client, part)
    create(client, part, name="twin")
    for _ in range(2):
        finish_queued_validation(ready=True, summary=SUMMARY)
    client.delete("/api/v1/datasets/reviews")
    [source] = client.get("/api/v1/jobs?kind=validate").json()["data"][0]["spec"]["sources"]
    assert blobs().exists(source["key"]), "the twin still needs it"
    client.delete("/api/v1/datasets/twin")
    response = create(client, part)
    assert (response.status_code, "upload the file again" in response.json()["detail"]) == (409, True)


def test_a_log_is_read_again_with_the_new_events_as_its_rows_have_no_times(client: TestClient) -> None:
    create(client, send(client), format="interactions")
    finish_queued_validation(ready=True, summary=LOG)
    create(client, send(client), append=True)
    spec = newest_spec(client)
    assert (len(spec["sources"]), spec.get("earlier"), spec["format"]) == (2, None, "interactions")
    finish_queued_validation(ready=True, summary=LOG)
    client.delete("/api/v1/datasets/reviews@1")
    assert all(blobs().exists(source["key"]) for source in spec["sources"]), "version 2 needs both"
    blobs().delete(spec["sources"][0]["key"])
    response = create(client, send(client), append=True)
    assert (response.status_code, "upload them again" in response.json()["detail"]) == (409, True)


def upload_logs(client: TestClient, splits: dict[str, str]) -> None:
    """Make a dataset of one log per name in `splits`."""
    files = [("file", (name, b"user,item\n")) for name in splits]
    data = {"name": "reviews", "splits": json.dumps(splits)}
    assert client.post("/api/v1/datasets", files=files, data=data).status_code == 202
    finish_queued_validation(ready=True, summary=LOG)


def append_log(client: TestClient, filename: str, splits: dict[str, Any]):
    data = {"name": "reviews", "append": "true", "splits": json.dumps(splits) if splits else ""}
    return client.post("/api/v1/datasets", files={"file": (filename, b"user,item\n")}, data=data)


def test_logs_that_are_read_again_stay_in_the_splits_they_were_named_for(client: TestClient) -> None:
    upload_logs(client, {"old.csv": "train", "held.csv": "test"})
    assert append_log(client, "may.csv", {}).status_code == 202
    assert newest_spec(client)["splits"] == {"old.csv": "train", "held.csv": "test"}
    finish_queued_validation(ready=True, summary=LOG)
    assert append_log(client, "june.csv", {"june.csv": "validation"}).status_code == 202
    assert newest_spec(client)["splits"] == {"old.csv": "train", "held.csv": "test", "june.csv": "validation"}


@pytest.mark.parametrize(
    ("filename", "splits"),
    [
        ("held-1.csv", {"held-1.csv": "train"}),
        ("held-2.csv", {"held-2.csv": "train"}),
        ("may.csv", {"o*": "test"}),
        ("may.csv", {"train": 0.8, "test": 0.2}),
    ],
)
def test_no_request_moves_an_earlier_log_to_another_split(
    client: TestClient, filename: str, splits: dict[str, Any]
) -> None:
    upload_logs(client, {"held-1.csv": "test", "held-*.csv": "test"})
    append_log(client, "old.csv", {})
    finish_queued_validation(ready=True, summary=LOG)
    response = append_log(client, filename, splits)
    assert (response.status_code, "rename" in response.json()["detail"]) == (409, True), response.text


def test_a_log_is_not_appended_to_derived_histories(client: TestClient) -> None:
    create(client, send(client))
    finish_queued_validation(ready=True, summary=LOG)
    derive(client, {"operation": "dedupe"})
    finish_queued_derivation(LOG)
    response = create(client, send(client), append=True)
    assert (response.status_code, "upload all logs together" in response.json()["detail"]) == (409, True)


def finish_queued_derivation(summary: dict[str, Any]) -> None:
    """End a derivation, as a worker does."""
    with transaction() as session:
        (job,) = listing(session, matching=JobFilter(states=["queued"], kinds=["derive"]), limit=1, cursor=None).items
        job_claim = claim(session, job.id, worker="tester")
        assert job_claim is not None
        key = f"datasets/{job.dataset_id}"
        finish_validation(session, job_claim, ready=True, report={}, summary=summary, key=key, size=10)
