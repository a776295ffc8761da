"""Spans of requests, as a collector receives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from store.database import reading
from store.tables import Job
from tests.support.api_process import ApiProcess
from tests.support.factories import png, register, shades
from tests.support.otlp_receiver import OtlpReceiver

CAUSE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def traced(
    receiver: OtlpReceiver, new_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """A client of an application that sends its traces to the receiver."""
    for name, value in receiver.environment().items():
        monkeypatch.setenv(name, value)
    return new_client()


def test_a_request_continues_the_trace_of_its_client_and_its_job_has_the_span(
    traced: TestClient, receiver: OtlpReceiver
) -> None:
    table = b"size,label\n" + b"\n".join(b"%d,%s" % (row, b"ab"[row % 2 : row % 2 + 1]) for row in range(20))
    files, form = {"file": ("t.csv", table)}, {"name": "t", "task": "tabular_classification"}
    response = traced.post("/api/v1/datasets", files=files, data=form, headers={"traceparent": CAUSE})
    assert response.status_code == 202, response.text
    with reading() as session:
        (job,) = session.query(Job).all()
    span = receiver.wait_for(lambda span: span.name == "POST /api/v1/datasets")
    assert job.traceparent == f"00-{'ab' * 16}-{span.span_id}-01"
    assert (span.service, span.trace_id, span.parent_id) == ("plinth-api", "ab" * 16, "cd" * 8)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v1/datasets",
        "http.response.status_code": 202,
        "plinth.request.id": response.headers["x-request-id"],
        "plinth.key.id": span.attributes["plinth.key.id"],
        "plinth.job.id": job.id,
    }
    assert span.status == 0


def test_a_prediction_has_its_model_and_its_time_in_the_queue(
    traced: TestClient, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    register(shades(tmp_path / "package"), name="shades")
    response = traced.post("/predict/shades", content=png(5), headers={"content-type": "image/png"})
    assert response.status_code == 200
    span = receiver.wait_for(lambda span: span.name == "POST /predict/{model}")
    assert span.attributes["plinth.model.name"] == "shades"
    assert span.attributes["plinth.model.version"] == 1
    assert span.attributes["plinth.predict.inputs"] == 1
    assert 0 <= span.attributes["plinth.predict.queue_seconds"] * 1e9 <= span.end_ns - span.start_ns


def test_refused_requests_have_spans_and_only_ours_are_errors(traced: TestClient, receiver: OtlpReceiver) -> None:
    assert traced.get("/api/v1/jobs", headers={"Authorization": "Bearer nobody"}).status_code == 401
    refused = receiver.wait_for(lambda span: span.attributes["http.response.status_code"] == 401)
    assert (refused.name, refused.status) == ("GET", 0)
    assert "plinth.key.id" not in refused.attributes
    # Probes come every few seconds.
    assert traced.get("/healthz").status_code == 200

    def fail() -> None:
        raise RuntimeError("with 'a secret'")

    traced.app.add_api_route("/api/v1/fails", fail)
    assert traced.get("/api/v1/fails").status_code == 500
    failed = receiver.wait_for(lambda span: span.attributes["http.response.status_code"] == 500)
    assert (failed.status, failed.attributes["error.type"]) == (2, "500")
    assert not any("healthz" in span.name for span in receiver.spans)
    assert not any(b"a secret" in body for body in receiver.bodies)


def test_no_secret_is_in_a_span(traced: TestClient, receiver: OtlpReceiver) -> None:
    key = traced.headers["authorization"].removeprefix("Bearer ")
    traced.get("/login?token=secret-token-of-a-link")
    traced.get(f"/api/v1/jobs/{key}?cursor={key}", headers={"cookie": "plinth_session=secret-session"})
    traced.get("/last")
    receiver.wait_for(lambda span: span.name == "GET" and span.attributes["http.response.status_code"] == 404)
    sent = b"".join(receiver.bodies)
    for secret in (key.encode(), b"secret-token", b"secret-session"):
        assert secret not in sent


def test_a_client_that_is_not_sampled_gets_no_spans(traced: TestClient, receiver: OtlpReceiver) -> None:
    traced.get("/api/v1/jobs", headers={"traceparent": CAUSE[:-1] + "0"})
    traced.get("/api/v1/models", headers={"traceparent": CAUSE})
    receiver.wait_for(lambda span: span.name == "GET /api/v1/models")
    assert [span.name for span in receiver.spans] == ["GET /api/v1/models"]


def test_without_a_collector_jobs_have_no_cause(client: TestClient) -> None:
    files, form = {"file": ("t.csv", b"a,label\n1,x\n2,y\n")}, {"name": "t", "task": "tabular_classification"}
    assert client.post("/api/v1/datasets", files=files, data=form, headers={"traceparent": CAUSE}).status_code == 202
    with reading() as session:
        assert [job.traceparent for job in session.query(Job)] == [None]


@pytest.mark.process
def test_the_fast_path_takes_traced_requests_and_the_last_spans_are_sent_at_the_end(
    home: Path, tmp_path: Path, receiver: OtlpReceiver
) -> None:
    register(shades(tmp_path / "package"), name="shades")
    api = ApiProcess(home)
    # Nothing is sent by the clock.
    api.environment |= {**receiver.environment(), "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    headers = {"Content-Type": "image/png", "traceparent": CAUSE, "tracestate": "vendor=1"}
    with api:
        for number in range(3):
            named = {**headers, "X-Request-Id": f"request-{number}"}
            assert api.request("POST", "/predict/shades", headers=named, body=png(5))[0] == 200
        # The first one loads the model, which is not the business of the fast path.
        metrics = api.request("GET", "/metrics")[2].decode()
        assert 'plinth_fast_path_requests_total{model="shades"} 2.0' in metrics
        assert receiver.spans == []
    first, _, last = [span for span in receiver.spans if span.name == "POST /predict/{model}"]
    assert first.attributes.keys() == last.attributes.keys()
    assert last.attributes["plinth.request.id"] == "request-2"
    assert (last.trace_id, last.parent_id) == ("ab" * 16, "cd" * 8)
    assert last.attributes["plinth.model.name"] == "shades"
    assert 0 <= last.attributes["plinth.predict.queue_seconds"] * 1e9 <= last.end_ns - last.start_ns
    assert api.key.encode() not in b"".join(receiver.bodies)
