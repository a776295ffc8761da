"""Versions, references, and the job that validates."""

from __future__ import annotations

import threading

import pytest

from store import datasets, jobs
from store.database import transaction
from store.errors import Conflict, NotFound
from store.jobs import Claim
from store.tables import Dataset

pytestmark = pytest.mark.usefixtures("database")

SOURCES = [{"key": "uploads/upl_1/a.csv", "filename": "a.csv"}]
SUMMARY = {"format": "csv", "columns": {}, "splits": {"train": 3}}


def created(name: str = "digits") -> Dataset:
    with transaction() as session:
        return datasets.create(session, name=name, sources=SOURCES)


def claim_validation() -> Claim:
    with transaction() as session:
        waiting = jobs.listing(session, states=["queued"], kinds=["validate"], limit=1, cursor=None).items[0]
        claim = jobs.claim(session, waiting.id, worker="w")
    assert claim is not None
    return claim


def judged(*, ready: bool) -> Dataset:
    dataset, claim = created(), claim_validation()
    report = {"errors": [{"code": "one_class", "severity": "error", "count": 1}]}
    with transaction() as session:
        jobs.finish_validation(
            session, claim, ready=ready, report=report, summary=SUMMARY, key=f"datasets/{dataset.id}", size=7
        )
    return seen(dataset.id)


def seen(reference: str) -> Dataset:
    with transaction() as session:
        return datasets.get(session, reference)


def test_a_dataset_goes_from_importing_over_validating_to_ready() -> None:
    dataset = created()
    assert seen(dataset.id).state == "importing"
    claim = claim_validation()
    assert claim.spec["sources"] == SOURCES
    assert seen(dataset.id).state == "validating"
    with transaction() as session:
        jobs.finish_validation(session, claim, ready=True, report={}, summary=SUMMARY, key="datasets/x", size=7)
    assert (seen("digits").state, seen("digits").bytes, seen("digits").summary) == ("ready", 7, SUMMARY)


def test_rejected_data_says_why_and_what_to_do() -> None:
    error = judged(ready=False).error
    assert error is not None
    assert "one_class" in error["message"]
    assert "report" in error["hint"]


def test_a_validator_that_always_dies_rejects_its_dataset() -> None:
    dataset = created()
    for _ in range(3):
        with transaction() as session:
            job = jobs.listing(session, states=["queued"], kinds=["validate"], limit=1, cursor=None).items[0]
            claim = jobs.claim(session, job.id, worker="w")
            assert claim is not None
            jobs.release(session, claim, crashed=True, error={"code": "killed", "message": "it died", "hint": None})
    assert seen(dataset.id).state == "rejected"
    assert "it died" in (seen(dataset.id).error or {})["message"]


def test_a_name_means_its_latest_ready_version() -> None:
    judged(ready=True)
    created()
    assert seen("digits").version == 1
    assert seen("digits@2").state == "importing"


def test_of_eight_uploads_at_once_under_one_name_each_is_its_own_version() -> None:
    gate, made = threading.Barrier(8), []

    def create() -> None:
        gate.wait()
        made.append(created().version)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 9))


@pytest.mark.parametrize("reference", ["other", "digits@2", "digits@x", "digits@99999999999999999999", "ds_0"])
def test_what_is_not_there_is_not_found(reference: str) -> None:
    created()
    with pytest.raises(NotFound):
        seen(reference)


def test_a_dataset_that_a_job_needs_stays() -> None:
    dataset = judged(ready=True)
    with transaction() as session:
        jobs.submit(session, kind="finetune", spec={}, dataset_id=dataset.id)
    with transaction() as session, pytest.raises(Conflict, match="job_"):
        datasets.delete(session, dataset.id)


def test_a_deleted_dataset_is_gone_with_all_its_files_and_its_number_stays_taken() -> None:
    dataset = judged(ready=True)
    with transaction() as session:
        keys = datasets.delete(session, dataset.id)
    assert keys == ["uploads/upl_1/a.csv", f"datasets/{dataset.id}"]
    with pytest.raises(NotFound):
        seen("digits")
    assert created().version == 2
