"""Readiness, metrics and system information."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app import main
from app.health import service
from app.settings import AppSettings
from store import workers
from store.database import transaction
from tests.app.conftest import KEY
from tests.support.api_process import ApiProcess
from tests.support.factories import png, queue_job, register, shades


def test_the_api_is_ready_without_broker_and_workers_and_reports_them(client: TestClient) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200, response.text
    parts = response.json()
    assert (parts["database"]["ok"], parts["blobs"]["ok"]) == (True, True)
    assert (parts["broker"]["ok"], parts["workers"]["ok"]) == (False, False)
    assert parts["broker"]["fix"]
    assert parts["workers"]["fix"]


def test_strangers_read_no_path_address_or_host(client: TestClient, home: Path) -> None:
    with transaction() as session:
        workers.heartbeat(session, "host-1", slots=2)
    service.readiness.clear()
    response = client.get("/readyz", headers={"Authorization": ""})
    assert response.status_code == 200
    assert str(home) in service.readiness().model_dump_json()
    assert not [secret for secret in (str(home), "sqlite", "host-1", "GB free") if secret in response.text]
    (home / "blobs").rename(home / "gone")
    (home / "blobs").write_text("in the way")
    service.readiness.clear()
    broken = client.get("/readyz")
    assert broken.status_code == 503
    assert str(home) not in broken.text
    assert broken.json()["blobs"]["detail"] == "not available"


def test_the_api_is_not_ready_without_blobs(client: TestClient, home: Path) -> None:
    shutil.rmtree(home / "blobs", ignore_errors=True)
    (home / "blobs").write_text("in the way")
    service.readiness.clear()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["blobs"]["ok"] is False
    assert response.json()["database"]["ok"] is True


def test_running_workers_are_listed(client: TestClient) -> None:
    with transaction() as session:
        workers.heartbeat(session, "host-1", slots=2)
    service.readiness.clear()
    assert client.get("/readyz").json()["workers"] == {"ok": True, "detail": "available", "fix": None}
    assert client.get("/api/v1/system").json()["workers"][0]["slots"] == 2


def test_metrics_count_requests_predictions_and_jobs(client: TestClient, model: str) -> None:
    queue_job()
    client.post(f"/predict/{model}", content=png(5), headers={"Content-Type": "image/png"})
    client.get("/api/v1/datasets/nothing")
    text = client.get("/metrics").text
    assert 'plinth_http_requests_total{method="GET",route="/api/v1/datasets/{dataset}",status="404"} 1.0' in text
    assert 'plinth_predictions_total{model="shades"} 1.0' in text
    assert 'plinth_jobs{state="queued"} 1.0' in text
    assert "plinth_workers 0.0" in text
    assert float(re.search(r"^plinth_free_bytes (.+)$", text, re.MULTILINE)[1]) > 0
    assert "plinth_loaded_models 1.0" in text
    assert 'plinth_request_duration_seconds_count{model="shades"} 1.0' in text
    assert 'plinth_model_loads_total{model="shades"} 1.0' in text
    assert 'plinth_model_bytes{engine="onnxruntime",model="shades",version="1"}' in text


def test_the_system_has_the_training_device_and_the_reason(client: TestClient) -> None:
    system = client.get("/api/v1/system").json()
    assert system["device"]["device"]
    assert system["device"]["why"]
    assert system["version"]


@pytest.mark.process
def test_serving_a_prediction_imports_neither_torch_nor_rich(home: Path, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"), name="shades")
    (tmp_path / "dark.png").write_bytes(png(5))
    code = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
from app.main import create_app
from app.settings import AppSettings
image = Path({str(tmp_path / "dark.png")!r}).read_bytes()
app = create_app(AppSettings(api_key="0123456789abcdef"))
with TestClient(app, base_url="http://localhost", headers={{"Authorization": "Bearer 0123456789abcdef"}}) as client:
    response = client.post("/predict/shades", content=image, headers={{"Content-Type": "image/png"}})
    assert response.json()["outputs"][0]["label"] == "dark", response.text
assert "onnxruntime" in sys.modules
unwanted = {{"torch", "rich", "pygments"}}
assert not [name for name in sys.modules if name.partition(".")[0] in unwanted or name.startswith("ml.learning")]
# FastAPI imports the API of OpenTelemetry; the SDK and the exporter are imported where traces are sent.
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""
    assert all(importlib.util.find_spec(name) for name in ("torch", "rich", "pygments")), (
        "what is absent proves nothing"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.process
def test_the_process_has_loaded_no_torch_after_a_prediction(home: Path, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"), name="shades")
    with ApiProcess(home) as api:
        status, _, body = api.request("POST", "/predict/shades", headers={"Content-Type": "image/png"}, body=png(5))
        assert status == 200, body
        assert "onnxruntime" in api.maps()
        assert "/torch/" not in api.maps()
        # The process owns 99 MiB; a library that should not be here takes 40 or more (`benchmarks.api_process`).
        assert api.own_bytes() < 130 * 1024**2


def test_a_background_task_may_end_during_shutdown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = main.create_app(AppSettings.model_validate({"api_key": KEY}))
    predict_service = app.state.predict_service

    async def run() -> None:
        wake = asyncio.Event()

        async def work() -> None:
            await wake.wait()
            await predict_service._in_executor(lambda: None)

        monkeypatch.setattr(predict_service, "warm_up", work)
        async with main._lifespan(app):
            await asyncio.sleep(0)
            wake.set()

    asyncio.run(run())
