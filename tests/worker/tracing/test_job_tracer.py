"""Spans of jobs, from their rows and events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import jobs
from store.database import transaction
from store.jobs import Claim
from store.telemetry.current_span import current_span
from store.telemetry.tracer import Tracer
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan
from worker.tracing.job_tracer import JobTracer, open_job_tracer


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        for name, value in receiver.environment().items():
            monkeypatch.setenv(name, value)
        yield receiver


def submit(**options: str) -> str:
    with transaction() as session:
        return jobs.submit(session, kind="finetune", spec={}, model_name="digits", **options).id


def claim_of(job_id: str) -> Claim:
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="tests")
    assert claim is not None
    return claim


def report(claim: Claim, phase: str, epoch: int) -> None:
    with transaction() as session:
        jobs.report(session, claim, progress={"phase": phase, "epoch": epoch})


def spans(receiver: OtlpReceiver, tracer: JobTracer) -> dict[str, ReceivedSpan]:
    tracer.close()
    receiver.wait_for(lambda span: span.name == "job.run")
    return {span.name: span for span in receiver.spans}


def test_a_run_continues_the_trace_of_the_request_that_submitted_it(home: Path, receiver: OtlpReceiver) -> None:
    request = Tracer("api").start("POST /api/v1/jobs")
    token = current_span.set(request)
    job_id = submit()
    current_span.reset(token)
    claim = claim_of(job_id)
    assert claim.traceparent == request.traceparent
    tracer = open_job_tracer("w1")
    assert tracer is not None
    with tracer.trace(claim):
        report(claim, "training", 1)
        report(claim, "training", 2)
        report(claim, "exporting", 2)
        with transaction() as session:
            jobs.succeed(session, claim)
    received = spans(receiver, tracer)
    _, trace_id, span_id, _ = request.traceparent.split("-")
    assert {span.trace_id for span in received.values()} == {trace_id}
    assert received["job.queued"].parent_id == received["job.run"].parent_id == span_id
    assert received["job.queued"].start_ns <= received["job.queued"].end_ns == received["job.run"].start_ns
    for phase in ("starting", "training", "exporting"):
        assert received[f"job.{phase}"].parent_id == received["job.run"].span_id
    assert [span.attributes["plinth.job.epoch"] for span in receiver.spans if span.name == "job.epoch"] == [1, 2]
    assert received["job.epoch"].parent_id == received["job.training"].span_id
    assert received["job.run"].attributes == {
        "plinth.job.id": job_id,
        "plinth.job.kind": "finetune",
        "plinth.job.attempt": 1,
        "plinth.model.name": "digits",
        "plinth.job.worker": "w1",
        "plinth.job.state": "succeeded",
    }
    assert received["job.run"].status == 0


def test_a_failed_run_has_the_code_of_its_error_and_not_the_message(home: Path, receiver: OtlpReceiver) -> None:
    claim = claim_of(submit())
    tracer = JobTracer(Tracer("worker"), worker="w1")
    with tracer.trace(claim), transaction() as session:
        jobs.fail(session, claim, error={"code": "bad_data", "message": "row 7 has 'secret'", "hint": None})
    received = spans(receiver, tracer)
    assert (received["job.run"].status, received["job.run"].attributes["error.type"]) == (2, "bad_data")
    assert not any(b"secret" in body for body in receiver.bodies)


def test_a_job_without_a_cause_begins_a_trace_with_its_time_in_the_queue(home: Path, receiver: OtlpReceiver) -> None:
    claim = claim_of(submit())
    assert claim.traceparent is None
    tracer = JobTracer(Tracer("worker"), worker="w1")
    with tracer.trace(claim):
        pass
    received = spans(receiver, tracer)
    assert received["job.queued"].parent_id == ""
    assert received["job.run"].parent_id == received["job.queued"].span_id


def test_a_crash_is_an_error_and_the_next_attempt_queues_anew(home: Path, receiver: OtlpReceiver) -> None:
    job_id = submit()
    tracer = JobTracer(Tracer("worker"), worker="w1")
    for _ in range(2):
        claim = claim_of(job_id)
        with tracer.trace(claim):
            report(claim, "training", 1)
            with transaction() as session:
                jobs.release(session, claim, crashed=True, error={"code": "killed", "message": "", "hint": None})
    spans(receiver, tracer)
    runs = [span for span in receiver.spans if span.name == "job.run"]
    queues = [span for span in receiver.spans if span.name == "job.queued"]
    assert [(run.attributes["plinth.job.attempt"], run.status) for run in runs] == [(1, 2), (2, 2)]
    assert runs[0].attributes["plinth.job.reason"] == "crashed"
    assert runs[0].attributes["error.type"] == "killed"
    # The second waited since the first was released, and has its own phases alone.
    assert queues[1].start_ns >= queues[0].end_ns
    training = [span.parent_id for span in receiver.spans if span.name == "job.training"]
    assert training == [run.span_id for run in runs]


def test_a_run_that_lost_its_job_says_so(home: Path, receiver: OtlpReceiver) -> None:
    job_id = submit()
    claim = claim_of(job_id)
    tracer = JobTracer(Tracer("worker"), worker="w1")
    with tracer.trace(claim):
        with transaction() as session:
            jobs.release(session, claim, crashed=False)
        claim_of(job_id)
    assert spans(receiver, tracer)["job.run"].attributes["error.type"] == "claim_lost"


def test_trials_have_the_cause_of_their_sweep(home: Path) -> None:
    request = Tracer("api").start("POST /api/v1/jobs")
    token = current_span.set(request)
    sweep_id = submit()
    current_span.reset(token)
    assert claim_of(submit(parent_id=sweep_id)).traceparent == request.traceparent
    assert claim_of(submit()).traceparent is None
