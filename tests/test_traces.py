"""One trace from a request to the phases of its job, through the whole service."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tests.support.otlp_receiver import OtlpReceiver
from tests.support.stack import plinth_up

TRACE, CAUSE = "ab" * 16, "cd" * 8
TABLE = b"size,label\n" + b"\n".join(b"%d.5,%s" % (row, b"x" if row % 2 else b"y") for row in range(60))
SPEC = {
    "kind": "finetune",
    "dataset": "table",
    "task": "tabular_classification",
    "model": "table",
    "schedule": {"epochs": 2},
}


@pytest.mark.process
def test_a_trace_goes_from_a_request_through_the_queue_to_the_phases_of_the_run(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver, plinth_up(tmp_path, **receiver.environment()) as stack:
        traced = {"Authorization": f"Bearer {stack.api_key}", "traceparent": f"00-{TRACE}-{CAUSE}-01"}
        with httpx2.Client(base_url=stack.url, headers=traced, timeout=60) as client:
            form = {"name": "table", "task": "tabular_classification"}
            uploaded = client.post("/api/v1/datasets", files={"file": ("table.csv", TABLE)}, data=form)
            assert uploaded.status_code == 202, uploaded.text
            submitted = client.post("/api/v1/jobs", json=SPEC)
            assert submitted.status_code == 202, submitted.text
            job_id = submitted.json()["id"]
            ended = client.get(f"/api/v1/jobs/{job_id}", params={"wait": 50}).json()
            assert ended["state"] == "succeeded", ended
            answered = client.post("/predict/table", json={"inputs": [{"size": 1.5}]})
            assert answered.status_code == 200, answered.text
        run = receiver.wait_for(lambda span: span.name == "job.run" and span.attributes["plinth.job.id"] == job_id)
        post = receiver.wait_for(lambda span: span.name == "POST /api/v1/jobs")
        receiver.wait_for(lambda span: span.name == "POST /predict/{model}")
    own = [span for span in receiver.spans if span.attributes.get("plinth.job.id") == job_id]
    assert {span.trace_id for span in own} == {TRACE}
    assert (post.service, post.parent_id) == ("plinth-api", CAUSE)
    (queued,) = [span for span in own if span.name == "job.queued"]
    assert {queued.parent_id, run.parent_id} == {post.span_id}
    assert (queued.service, run.service) == ("plinth-worker", "plinth-worker")
    assert post.start_ns <= run.start_ns == queued.end_ns <= run.end_ns
    phases = [span for span in receiver.spans if span.parent_id == run.span_id]
    assert [span.name.removeprefix("job.") for span in sorted(phases, key=lambda span: span.start_ns)] == [
        *("starting", "preparing", "training", "evaluating", "exporting", "registering")
    ]
    assert all(run.start_ns <= span.start_ns <= span.end_ns <= run.end_ns for span in phases)
    # The job of the upload has a trace of its request, too.
    validation = next(span for span in receiver.spans if span.attributes.get("plinth.job.kind") == "validate")
    assert validation.trace_id == TRACE
    assert stack.api_key.encode() not in b"".join(receiver.bodies)
