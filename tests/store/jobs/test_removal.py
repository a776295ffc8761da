"""Removal of jobs, filters of their list, and jobs that wait for their dataset."""

from __future__ import annotations

from typing import Any

import pytest

from store import datasets, job_events, jobs
from store.database import transaction
from store.errors import Conflict, NotFound
from store.jobs import Claim, JobFilter
from store.tables import Checkpoint, Dataset, Event, Job, JobKind, MetricPoint
from tests.store.jobs.test_jobs import claim_job, get_job, in_transaction, make_model, submit_job

pytestmark = pytest.mark.usefixtures("database")


def importing_dataset(name: str = "digits") -> Dataset:
    with transaction() as session:
        return datasets.create(session, name=name, sources=[])


def claim_validation() -> Claim:
    with transaction() as session:
        queued = jobs.listing(
            session, matching=JobFilter(states=["queued"], kinds=[JobKind.VALIDATE]), limit=1, cursor=None
        )
        claim = jobs.claim(session, queued.items[0].id, worker="w")
    assert claim is not None
    return claim


def finish(claim: Claim, *, ready: bool) -> None:
    in_transaction(
        jobs.finish_validation,
        claim,
        ready=ready,
        report={},
        summary={"splits": {"train": 3}},
        key=f"datasets/{claim.dataset_id}",
        size=1,
    )


def list_ids(**conditions: Any) -> list[str]:
    return [
        job.id for job in in_transaction(jobs.listing, matching=JobFilter(**conditions), limit=9, cursor=None).items
    ]


def test_an_ended_job_is_removed_with_all_it_wrote_and_named_nowhere() -> None:
    job_id = submit_job()
    claim = claim_job(job_id)
    in_transaction(jobs.report, claim, metrics={"loss": 1.0}, step=1, events=[("log", {"message": "hello"})])
    in_transaction(jobs.add_checkpoint, claim, step=1, key=f"runs/{job_id}/1", digest="0" * 64)
    with pytest.raises(Conflict, match="is running; cancel it first"):
        in_transaction(jobs.remove, job_id)
    in_transaction(jobs.fail, claim, error={"code": "crashed", "message": "it crashed"})
    assert in_transaction(jobs.remove, job_id) == [job_id]
    with transaction() as session:
        assert session.get(Job, job_id).report is None
        for table in (Event, MetricPoint, Checkpoint):
            assert session.query(table).filter_by(job_id=job_id).count() == 0
        assert jobs.count_by_state(session) == {}
        assert job_events.events(session, job_id, limit=9) == []
    assert list_ids() == []
    for verb in (jobs.get, jobs.remove, jobs.cancel, jobs.resume):
        with pytest.raises((NotFound, Conflict)):
            in_transaction(verb, job_id)


def test_a_job_stays_while_its_model_or_dataset_exists() -> None:
    claim = claim_job(submit_job())
    in_transaction(jobs.succeed, claim, model=make_model())
    with pytest.raises(Conflict, match=r"made digits@1.*delete the model first"):
        in_transaction(jobs.remove, claim.job_id)
    dataset = importing_dataset("moods")
    validation = claim_validation()
    finish(validation, ready=True)
    with pytest.raises(Conflict, match=r"made moods@1.*delete the dataset first"):
        in_transaction(jobs.remove, validation.job_id)
    in_transaction(datasets.delete, dataset.id)
    in_transaction(jobs.remove, validation.job_id)


def test_jobs_are_listed_by_model_dataset_state_and_beginning_of_the_id() -> None:
    dataset = importing_dataset()
    finish(claim_validation(), ready=True)
    first = in_transaction(jobs.submit, kind="finetune", spec={}, dataset_id=dataset.id, model_name="digits").id
    second = in_transaction(jobs.submit, kind="finetune", spec={}, model_name="moods").id
    assert list_ids(model="digits") == list_ids(dataset="digits") == list_ids(dataset="digits@1") == [first]
    assert list_ids(dataset=dataset.id) == [first]
    assert list_ids(dataset="digits@2") == list_ids(model="digits@1") == list_ids(model="digit") == []
    in_transaction(jobs.succeed, claim_job(first), model=make_model())
    assert list_ids(model="digits@1") == [first]
    in_transaction(jobs.pause, second)
    third = in_transaction(jobs.submit, kind="finetune", spec={}, model_name="moods").id
    assert list_ids(states=["paused"]) == [second]
    assert list_ids(states=["paused", "succeeded"]) == [second, first]
    assert list_ids(states=["queued"]) == [third, second]
    assert list_ids(id_prefix=second[:-1], model="moods") == [second]
    assert list_ids(id_prefix="job_%") == []


def test_a_job_waits_for_its_dataset_and_starts_when_it_is_ready() -> None:
    dataset = importing_dataset()
    job = in_transaction(jobs.submit, kind="finetune", spec={}, dataset_id=dataset.id, model_name="digits")
    assert job.reason == "waiting for digits@1"
    assert in_transaction(jobs.claim, job.id, worker="w") is None
    validation = claim_validation()
    finish(validation, ready=True)
    assert get_job(job.id).reason is None
    claim = claim_job(job.id)
    assert in_transaction(jobs.waited_for_dataset, claim)
    in_transaction(jobs.save_spec, claim, {"epochs": 3})
    assert get_job(job.id).spec == {"epochs": 3}
    later = in_transaction(jobs.submit, kind="finetune", spec={}, dataset_id=dataset.id, model_name="digits")
    assert not in_transaction(jobs.waited_for_dataset, claim_job(later.id))


@pytest.mark.parametrize("end", ["rejected", "failed", "cancelled"])
def test_a_job_fails_with_its_dataset(end: str) -> None:
    dataset = importing_dataset()
    job = in_transaction(jobs.submit, kind="finetune", spec={}, dataset_id=dataset.id, model_name="digits")
    claim = claim_validation()
    if end == "rejected":
        finish(claim, ready=False)
    elif end == "failed":
        in_transaction(jobs.fail, claim, error={"code": "bad", "message": "bad"})
    else:
        in_transaction(jobs.finish_cancelled, claim)
    failed = get_job(job.id)
    assert (failed.state, failed.error["code"]) == ("failed", "dataset_rejected")
    assert "digits@1 was rejected" in failed.error["message"]
    assert failed.finished_at is not None
