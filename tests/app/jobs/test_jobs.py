"""Jobs over HTTP: validation, progress, control."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from store import datasets, jobs, workers
from store.blobs import blobs
from store.blobs.parts import put_part
from store.database import transaction
from tests.app.datasets.test_datasets import finish_queued_validation
from tests.support.api_process import ApiProcess
from tests.support.factories import claim_job, queue_job, register, report_steps, shades

SUMMARY = {
    "format": "idx",
    "task": "image_classification",
    "columns": {"image": "image", "label": "label"},
    "splits": {"train": 100, "validation": 20, "test": 20},
    "classes": ["dark", "light"],
    "class_counts": {split: {"dark": 10, "light": 10} for split in ("train", "validation", "test")},
    "facts": {"image": {"channels": 1, "min_height": 8, "max_height": 8, "min_width": 8, "max_width": 8}},
    "digest": "0" * 64,
}


def ready_dataset(name: str = "shades") -> str:
    with transaction() as session:
        dataset_id = datasets.create(session, name=name, sources=[]).id
    finish_queued_validation(ready=True, summary=SUMMARY)
    return dataset_id


def finetune(**changes: object) -> dict[str, object]:
    return {
        "kind": "finetune",
        "dataset": "shades",
        "task": "image_classification",
        "architecture": "cnn",
        "model": "shades",
    } | changes


def test_a_job_is_accepted_with_every_default_filled_in(client: TestClient) -> None:
    dataset_id = ready_dataset()
    response = client.post("/api/v1/jobs", json=finetune(schedule={"epochs": 3}))
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["kind"], job["attempt"], job["dataset"]) == ("queued", "finetune", 0, dataset_id)
    assert job["spec"]["dataset"] == "shades@1"
    assert job["spec"]["schedule"]["epochs"] == 3
    assert job["spec"]["schedule"]["optimizer"]
    assert client.get(response.headers["location"]).json() == job
    assert [job["id"] for job in client.get("/api/v1/jobs?state=queued").json()["data"]] == [job["id"]]
    assert client.get("/api/v1/jobs?state=running&state=failed").json()["data"] == []


def test_more_devices_than_any_worker_has_are_refused_at_once(client: TestClient) -> None:
    ready_dataset()
    # Without a worker, nobody knows.
    assert client.post("/api/v1/jobs", json=finetune(devices=9)).status_code == 202
    with transaction() as session:
        workers.heartbeat(session, "small", slots=1, devices=1)
        workers.heartbeat(session, "large", slots=1, devices=4)
    response = client.post("/api/v1/jobs?validate_only=true", json=finetune(devices=9))
    assert response.status_code == 422
    (finding,) = response.json()["errors"]
    assert (finding["path"], finding["expected"]) == ("devices", "at most 4")
    assert finding["message"] == "no worker has 9 devices for one training; the most is 4"
    checked = client.post("/api/v1/jobs?validate_only=true", json=finetune(devices=4))
    assert (checked.status_code, checked.json()["spec"]["devices"]) == (200, 4)
    assert client.post("/api/v1/jobs", json=finetune(devices="all")).status_code == 202


def test_several_machines_are_refused_with_the_field_to_use(client: TestClient) -> None:
    ready_dataset()
    response = client.post("/api/v1/jobs", json=finetune(nodes=2))
    assert response.status_code == 422
    (finding,) = response.json()["errors"]
    assert finding["path"] == "nodes"
    assert "set devices" in finding["message"]


def test_validate_only_checks_everything_and_makes_no_job(client: TestClient) -> None:
    ready_dataset()
    response = client.post("/api/v1/jobs?validate_only=true", json=finetune())
    assert response.status_code == 200, response.text
    assert response.json()["valid"] is True
    assert response.json()["spec"]["architectures"]["image"]["name"] == "cnn"
    assert client.post("/api/v1/jobs?validate_only=true", json=finetune(task="telepathy")).status_code == 422
    assert client.get("/api/v1/jobs").json()["data"] == []


def test_every_fault_of_a_spec_is_reported_at_once(client: TestClient) -> None:
    spec = finetune(dataset="nothing", task="telepathy", architecture="vee", start_from=None, tuning="gently")
    response = client.post("/api/v1/jobs", json=spec)
    assert response.status_code == 422
    problem = response.json()
    paths = {error["path"] for error in problem["errors"]}
    assert {"dataset", "task"} <= paths
    assert any(path.startswith("architecture") for path in paths)
    assert any(path.startswith("tuning") for path in paths)
    assert "image_classification" in problem["detail"]


def test_invalid_fields_are_reported_with_their_path(client: TestClient) -> None:
    ready_dataset()
    response = client.post("/api/v1/jobs", json=finetune(schedule={"epochs": -1, "batch_size": "many"}, seed=-1, zzz=1))
    assert response.status_code == 422
    assert {error["path"] for error in response.json()["errors"]} == {
        "schedule.epochs",
        "schedule.batch_size",
        "seed",
        "zzz",
    }


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (
            {"kind": "summarize"},
            "kind",
            "there is no 'summarize'; known: 'pretrain', 'finetune', 'export', 'evaluate', 'batch_predict', "
            "'reproduce', 'prune', 'recommend', 'sweep'",
        ),
        ({}, "kind", "Field required"),
        ([], None, "Input should be a JSON object"),
        (
            finetune(schedule={"precison": "auto"}),
            "schedule.precison",
            "there is no field named 'precison'; known: accumulate, batch_size, checkpoint_every_seconds, decay, "
            "early_stopping, epochs, gradient_clip_norm, learning_rate, max_steps, min_batches_per_epoch, min_steps, "
            "momentum, nesterov, optimizer, precision, warmup_fraction, weight_decay",
        ),
    ],
)
def test_messages_are_worded_for_json(client: TestClient, body: object, path: str | None, message: str) -> None:
    ready_dataset()
    (item,) = client.post("/api/v1/jobs", json=body).json()["errors"]
    assert (item.get("path"), item["message"]) == (path, message)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"schedule": {"epocs": 3}, "architecture": "cnnn"}, {"schedule.epocs": "epochs", "architecture": "cnn"}),
        ({"architecture": {"name": "cnnn", "confg": {}}}, {"architecture.confg": "config", "architecture": "cnn"}),
        (
            {"schedule": {"early_stopping": {"monitr": "train/loss"}}, "dataset": "shade"},
            {"schedule.early_stopping.monitr": "monitor", "dataset": "shades"},
        ),
        ({"kind": "finetun", "task": "image_clasification"}, {"kind": "finetune", "task": "image_classification"}),
        ({"modl": "x", "model": None, "tuning": "fulll"}, {"modl": "model", "tuning": "full"}),
        ({"tunning": {"name": "ful"}, "seed": -1}, {"tunning": "tuning", "tuning": "full"}),
    ],
)
def test_misspelled_fields_and_unknown_names_are_reported_at_once(
    client: TestClient, changes: dict[str, object], names: dict[str, str]
) -> None:
    ready_dataset()
    sent = {name: value for name, value in finetune(**changes).items() if value is not None}
    response = client.post("/api/v1/jobs", json=sent)
    assert response.status_code == 422
    findings = {item["path"]: item for item in response.json()["errors"]}
    for path, name in names.items():
        assert name in findings[path]["message"], findings
        assert name in findings[path].get("hint", "") or path == "kind"
    assert findings.keys() - names.keys() <= {"seed"}


@pytest.mark.parametrize(
    "body", [finetune(schedule={f"f{number}": 1 for number in range(20_000)}), {"kind": "k" * 1_000_000}]
)
def test_the_size_of_a_response_is_limited_however_many_faults_there_are(client: TestClient, body: object) -> None:
    response = client.post("/api/v1/jobs", json=body)
    assert response.status_code == 422
    assert 1 <= len(response.json()["errors"]) <= 400
    assert len(response.content) < 250_000


def test_an_unknown_dataset_lists_up_to_50_existing_ones(client: TestClient) -> None:
    for number in range(60):
        with transaction() as session:
            datasets.create(session, name=f"set-{number:02}", sources=[])
    (item,) = client.post("/api/v1/jobs", json=finetune(dataset="sett-07")).json()["errors"]
    assert item["path"] == "dataset"
    assert item["message"].startswith("there is no dataset named 'sett-07'; known: set-00, set-01, ")
    assert item["message"].endswith("set-49 and 10 more")
    assert item["hint"] == "Did you mean 'set-07'?"


def test_a_base_model_is_pinned_to_its_version(client: TestClient, tmp_path: Path) -> None:
    ready_dataset()
    register(shades(tmp_path / "package"), name="base")
    response = client.post("/api/v1/jobs", json=finetune(architecture=None, start_from="base"))
    if response.status_code == 202:
        assert response.json()["spec"]["start_from"] == "base@1"
    response = client.post("/api/v1/jobs", json=finetune(architecture=None, start_from={"image": "base"}))
    if response.status_code == 202:
        assert response.json()["spec"]["start_from"] == {"image": "base@1"}
    (error,) = client.post("/api/v1/jobs", json=finetune(architecture=None, start_from={"image": "no"})).json()[
        "errors"
    ]
    assert error["path"] == "start_from.image"
    response = client.post("/api/v1/jobs", json=finetune(architecture=None, start_from="bass"))
    assert response.status_code == 422
    assert "base" in response.json()["detail"]


def test_a_dataset_that_was_rejected_cannot_be_trained_on(client: TestClient) -> None:
    with transaction() as session:
        datasets.create(session, name="shades", sources=[])
    finish_queued_validation(ready=False)
    response = client.post("/api/v1/jobs", json=finetune())
    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "dataset_not_ready"


def test_a_job_sent_twice_runs_once(client: TestClient) -> None:
    ready_dataset()
    first, second = (client.post("/api/v1/jobs", json=finetune(), headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    changed = client.post("/api/v1/jobs", json=finetune(seed=1), headers={"Idempotency-Key": "a"})
    assert changed.json()["code"] == "idempotency_key_reused"
    assert len(client.get("/api/v1/jobs").json()["data"]) == 1


def test_a_job_sent_again_has_its_response_when_its_dataset_is_deleted(client: TestClient) -> None:
    dataset_id, headers = ready_dataset(), {"Idempotency-Key": "a"}
    first = client.post("/api/v1/jobs", json=finetune(), headers=headers)
    client.post(f"/api/v1/jobs/{first.json()['id']}/cancel")
    assert client.delete(f"/api/v1/datasets/{dataset_id}").status_code == 204
    again = client.post("/api/v1/jobs", json=finetune(), headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert client.post("/api/v1/jobs", json=finetune()).status_code == 422


def test_progress_metrics_events_logs_and_checkpoints_can_be_read(client: TestClient) -> None:
    job_id = queue_job()
    claim = claim_job(job_id)
    report_steps(claim, steps=5)
    job = client.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["state"], job["attempt"]) == ("running", 1)
    assert job["progress"]["step"] == 5
    assert job["metrics"] == {"train/loss": pytest.approx(0.2)}
    curves = client.get(f"/api/v1/jobs/{job_id}/metrics").json()
    assert curves["train/loss"][0] == [1, 1.0]
    assert len(client.get(f"/api/v1/jobs/{job_id}/metrics?max_points=2").json()["train/loss"]) == 2
    assert client.get(f"/api/v1/jobs/{job_id}/metrics?name=nothing").json() == {}
    first = client.get(f"/api/v1/jobs/{job_id}/events?limit=4").json()
    second = client.get(f"/api/v1/jobs/{job_id}/events?limit=200&cursor={first['next_cursor']}").json()
    assert [event["id"] for event in first["data"] + second["data"]] == list(range(1, 18))
    assert first["data"][0]["kind"] == "state"
    logs = client.get(f"/api/v1/jobs/{job_id}/logs?limit=2").json()
    assert [line["message"] for line in logs["data"]] == ["step 1", "step 2"]
    logs = client.get(f"/api/v1/jobs/{job_id}/logs?cursor={logs['next_cursor']}").json()
    assert [line["message"] for line in logs["data"]] == ["step 3", "step 4", "step 5"]
    with transaction() as session:
        jobs.add_checkpoint(session, claim, step=5, key="runs/x", digest="1" * 64)
    (checkpoint,) = client.get(f"/api/v1/jobs/{job_id}/checkpoints").json()["data"]
    assert (checkpoint["step"], checkpoint["digest"]) == (5, "1" * 64)
    assert client.get(f"/api/v1/jobs/{job_id}/report").status_code == 404


def test_a_finished_job_names_its_model_and_its_report(client: TestClient, tmp_path: Path) -> None:
    report = {"task": "image_classification", "split": "test", "rows": 20, "metrics": {"accuracy": 1.0}}
    register(shades(tmp_path / "package"), name="shades", report={**report, "warnings": ["it guesses"]})
    (job,) = client.get("/api/v1/jobs?kind=finetune").json()["data"]
    assert (job["state"], job["reason"]) == ("succeeded", "completed")
    assert job["model"] == {"name": "shades", "version": 1}
    assert client.get(f"/api/v1/jobs/{job['id']}/report").json()["metrics"] == {"accuracy": 1.0}
    version = client.get("/api/v1/models/shades/versions/1").json()
    assert job["warnings"] == version["warnings"] == ["it guesses"]


def test_a_failed_job_has_the_reason_and_whether_the_user_caused_it(client: TestClient) -> None:
    claim = claim_job(queue_job())
    error = {"code": "training_diverged", "message": "the loss is NaN", "hint": "Lower it.", "user_fault": True}
    with transaction() as session:
        jobs.fail(session, claim, error=error)
    assert client.get(f"/api/v1/jobs/{claim.job_id}").json()["error"] == error


def test_a_job_can_be_paused_resumed_stopped_and_cancelled(client: TestClient) -> None:
    job_id = queue_job()

    def post(action: str) -> tuple[int, str | None]:
        response = client.post(f"/api/v1/jobs/{job_id}/{action}")
        return response.status_code, response.json().get("requested")

    assert post("resume")[0] == 409
    assert post("pause") == (202, "pause")
    assert post("resume") == (202, None)
    claim_job(job_id)
    assert post("stop") == (202, "stop")
    assert post("pause")[0] == 409
    assert post("cancel") == (202, "cancel")
    second_id = queue_job()
    assert client.post(f"/api/v1/jobs/{second_id}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{second_id}/stop").status_code == 409
    assert client.post("/api/v1/jobs/job_1/cancel").status_code == 404


class Stream:
    """Reads server-sent events from a socket while they arrive."""

    def __init__(self, api: ApiProcess, job_id: str, *, last_event_id: str | None = None) -> None:
        self.events: list[tuple[str | None, str, dict]] = []
        self.head = ""
        self._done = threading.Event()
        resume = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        self._socket = socket.create_connection(("127.0.0.1", api.port), timeout=30)
        self._socket.sendall(
            f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{resume}"
            f"Authorization: Bearer {api.key}\r\nConnection: close\r\n\r\n".encode()
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with self._socket, self._socket.makefile("rb") as lines:
            text = b""
            for line in lines:
                text += line
                if line == b"\r\n" and not self.head:
                    self.head, text = text.decode().lower(), b""
                if line == b"\n":
                    self._record(text.decode())
                    text = b""
        self._done.set()

    def _record(self, text: str) -> None:
        fields = dict(re.findall(r"^(id|event|data): (.*)$", text, re.MULTILINE))
        if "data" in fields:
            self.events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))

    def wait(self) -> None:
        assert self._done.wait(30)
        self._thread.join()

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.events) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.process
def test_events_are_streamed_as_they_happen_and_resume_after_the_last_id(home: Path) -> None:
    with ApiProcess(home) as api:
        job_id = queue_job()
        stream = Stream(api, job_id)
        stream.wait_for(1)
        claim = claim_job(job_id)
        report_steps(claim, steps=3)
        stream.wait_for(8)
        with transaction() as session:
            jobs.succeed(session, claim, reason="completed")
        stream.wait()
        assert "text/event-stream" in stream.head
        assert "x-accel-buffering: no" in stream.head
        *events, (last_id, last_kind, last_data) = stream.events
        assert [number for number, _, _ in events] == [str(number) for number in range(1, len(events) + 1)]
        assert (last_id, last_kind, last_data) == (None, "end", {"state": "succeeded"})
        listed = json.loads(api.request("GET", f"/api/v1/jobs/{job_id}/events?limit=200")[2])["data"]
        assert [data for _, _, data in events] == listed
        resumed = Stream(api, job_id, last_event_id="5")
        resumed.wait()
        assert resumed.events == stream.events[5:]
        assert api.request("GET", "/api/v1/jobs/job_1/events", headers={"Accept": "text/event-stream"})[0] == 404


@pytest.mark.parametrize("path", ["jobs?cursor=7", "jobs/{job}/events?cursor=abc", "jobs/{job}/logs?cursor=-1"])
def test_an_invalid_cursor_is_rejected(client: TestClient, path: str) -> None:
    response = client.get(f"/api/v1/{path.format(job=queue_job())}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "cursor"


def test_an_invalid_metric_query_is_rejected_with_the_parameter(client: TestClient) -> None:
    job_id = queue_job()
    response = client.get(f"/api/v1/jobs/{job_id}/metrics?max_points=1")
    assert response.status_code == 422
    assert "max_points" in response.json()["detail"]


def test_jobs_are_accepted_without_a_broker(client: TestClient) -> None:
    ready_dataset()
    started = time.monotonic()
    assert client.post("/api/v1/jobs", json=finetune()).status_code == 202
    assert time.monotonic() - started < 2.5


def test_a_teacher_is_pinned_to_its_version_and_cannot_be_deleted(client: TestClient, tmp_path: Path) -> None:
    ready_dataset()
    register(shades(tmp_path / "package"), name="base")

    def distill(teacher: str) -> dict[str, object]:
        return finetune(objective={"name": "distillation", "config": {"teacher": teacher}})

    response = client.post("/api/v1/jobs", json=distill("base"))
    assert response.status_code == 202, response.text
    assert response.json()["spec"]["objective"]["config"]["teacher"] == "base@1"
    assert client.delete("/api/v1/models/base/versions/1").status_code == 409
    unknown = client.post("/api/v1/jobs", json=distill("bass"))
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["path"] == "objective.config.teacher"


def test_predictions_are_downloaded_in_ranges_while_they_grow(client: TestClient, tmp_path: Path) -> None:
    job_id = queue_job(kind="batch_predict")
    path, lines = f"/api/v1/jobs/{job_id}/predictions", [b'{"row": 1}\n', b'{"row": 2}\n{"row": 3}\n']
    assert client.get(path).status_code == 409, "there are none yet"
    for start, end, content in ((0, 1, lines[0]), (1, 3, lines[1])):
        (tmp_path / "part").write_bytes(content)
        put_part(blobs(), job_id, tmp_path / "part", start=start, end=end, bad_rows=0)
        whole = client.get(path)
        assert (whole.content, whole.headers["accept-ranges"]) == (b"".join(lines)[: len(whole.content)], "bytes")
        assert int(client.head(path).headers["content-length"]) == len(whole.content)
    for first, last in ((0, 0), (5, 20), (len(lines[0]), 40), (30, 10**6)):
        part = client.get(path, headers={"Range": f"bytes={first}-{last}", "If-Range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[first : last + 1])
    assert client.get(path, headers={"Range": "bytes=33-"}).status_code == 416
    assert client.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
