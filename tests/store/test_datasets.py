"""Versions, references, validation jobs, and deletion of datasets."""

from __future__ import annotations

import threading

import pytest

from store import datasets, jobs
from store.database import transaction
from store.errors import Conflict, NotFound
from store.jobs import Claim, JobFilter
from store.tables import Dataset, JobKind

pytestmark = pytest.mark.usefixtures("database")

SOURCES = [{"key": "uploads/upl_1/a.csv", "filename": "a.csv"}]
SUMMARY = {"format": "csv", "columns": {}, "splits": {"train": 3}}
QUEUED_VALIDATIONS = JobFilter(states=["queued"], kinds=[JobKind.VALIDATE])


def create_dataset(name: str = "digits") -> Dataset:
    with transaction() as session:
        return datasets.create(session, name=name, sources=SOURCES)


def claim_validation() -> Claim:
    with transaction() as session:
        queued = jobs.listing(session, matching=QUEUED_VALIDATIONS, limit=1, cursor=None).items[0]
        claim = jobs.claim(session, queued.id, worker="w")
    assert claim is not None
    return claim


def finish_validation(*, ready: bool) -> Dataset:
    dataset, claim = create_dataset(), claim_validation()
    report = {"errors": [{"code": "one_class", "severity": "error", "count": 1}]}
    with transaction() as session:
        jobs.finish_validation(
            session, claim, ready=ready, report=report, summary=SUMMARY, key=f"datasets/{dataset.id}", size=7
        )
    return get_dataset(dataset.id)


def get_dataset(reference: str) -> Dataset:
    with transaction() as session:
        return datasets.get(session, reference)


def test_a_dataset_is_imported_then_validated_then_ready() -> None:
    dataset = create_dataset()
    assert get_dataset(dataset.id).state == "importing"
    claim = claim_validation()
    assert claim.spec["sources"] == SOURCES
    assert get_dataset(dataset.id).state == "validating"
    with transaction() as session:
        jobs.finish_validation(session, claim, ready=True, report={}, summary=SUMMARY, key="datasets/x", size=7)
    assert (get_dataset("digits").state, get_dataset("digits").bytes, get_dataset("digits").summary) == (
        "ready",
        7,
        SUMMARY,
    )


def test_rejected_data_has_an_error_with_a_hint() -> None:
    error = finish_validation(ready=False).error
    assert error is not None
    assert "one_class" in error["message"]
    assert "report" in error["hint"]


def test_a_validation_that_always_crashes_rejects_its_dataset() -> None:
    dataset = create_dataset()
    for _ in range(3):
        with transaction() as session:
            job = jobs.listing(session, matching=QUEUED_VALIDATIONS, limit=1, cursor=None).items[0]
            claim = jobs.claim(session, job.id, worker="w")
            assert claim is not None
            jobs.release(session, claim, crashed=True, error={"code": "killed", "message": "it died", "hint": None})
    assert get_dataset(dataset.id).state == "rejected"
    assert "it died" in (get_dataset(dataset.id).error or {})["message"]


def test_a_name_refers_to_its_latest_ready_version() -> None:
    finish_validation(ready=True)
    create_dataset()
    assert get_dataset("digits").version == 1
    assert get_dataset("digits@2").state == "importing"


def test_eight_concurrent_uploads_under_one_name_are_eight_versions() -> None:
    barrier, versions = threading.Barrier(8), []

    def create() -> None:
        barrier.wait()
        versions.append(create_dataset().version)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(1, 9))


@pytest.mark.parametrize("reference", ["other", "digits@2", "digits@x", "digits@99999999999999999999", "ds_0"])
def test_an_unknown_reference_is_not_found(reference: str) -> None:
    create_dataset()
    with pytest.raises(NotFound):
        get_dataset(reference)


def test_a_dataset_that_a_job_needs_cannot_be_deleted() -> None:
    dataset = finish_validation(ready=True)
    with transaction() as session:
        jobs.submit(session, kind=JobKind.FINETUNE, spec={}, dataset_id=dataset.id)
    with transaction() as session, pytest.raises(Conflict, match="job_"):
        datasets.delete(session, dataset.id)


def test_deleting_a_dataset_returns_its_blobs_and_never_reuses_its_version() -> None:
    dataset = finish_validation(ready=True)
    with transaction() as session:
        keys = datasets.delete(session, dataset.id)
    assert keys == ["uploads/upl_1/a.csv", f"datasets/{dataset.id}"]
    with pytest.raises(NotFound):
        get_dataset("digits")
    assert create_dataset().version == 2
