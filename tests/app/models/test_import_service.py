"""Imports and exports of models over HTTP; their content is checked by the worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ml.config import Choice
from store import models
from store.blobs import blobs
from tests.support.factories import change_manifest, register, shades

PATH = "/api/v1/models/import"


def import_form(client: TestClient, *, headers: dict[str, str] | None = None, **fields: str):
    files = {"file": ("MiniLM.zip", b"PK...")}
    return client.post(PATH, files=files, data={"name": "minilm", **fields}, headers=headers)


def test_a_file_in_a_form_becomes_a_job(client: TestClient, home: Path) -> None:
    response = import_form(client, task="", labels='["cat", "dog"]')
    assert response.status_code == 202, response.text
    job = response.json()
    assert client.get(response.headers["location"]).json() == job
    assert (job["kind"], job["state"], job["spec"]["model"]) == ("import", "queued", "minilm")
    assert job["spec"]["labels"] == ["cat", "dog"]
    source = job["spec"]["source"]
    assert source["filename"] == "MiniLM.zip"
    with blobs().open(source["key"]) as file:
        assert file.read() == b"PK..."
    assert client.get("/api/v1/jobs?kind=import").json()["data"] == [job]
    assert list((home / "incoming").iterdir()) == []


def test_a_finished_upload_becomes_a_job(client: TestClient) -> None:
    headers = {"Upload-Length": "5", "Upload-Metadata": "filename bW9kZWwub25ueA=="}
    upload = client.post("/api/v1/uploads", headers=headers).json()
    body = {"name": "shades", "upload": upload["id"], "task": "image_classification"}
    assert client.post(PATH, json=body).status_code == 409, "bytes are missing"
    piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Tus-Resumable": "1.0.0"}
    client.patch(f"/api/v1/uploads/{upload['id']}", content=b"model", headers=piece)
    response = client.post(PATH, json=body)
    assert response.status_code == 202, response.text
    spec = response.json()["spec"]
    assert spec["source"] == {"key": f"uploads/{upload['id']}/model.onnx", "filename": "model.onnx"}
    assert (spec["upload"], spec["task"]) == (upload["id"], "image_classification")


def test_the_same_form_sent_twice_is_imported_once(client: TestClient, home: Path) -> None:
    first, second = (import_form(client, headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len(list((home / "blobs" / "imports").iterdir())) == 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": "../up"}, "name"),
        ({"task": "telepathy"}, "task"),
        ({"labels": '["one"]'}, "labels"),
        ({"labels": "one, two"}, "labels"),
        ({"trust_remote_code": "true"}, "trust_remote_code"),
    ],
)
def test_invalid_options_are_rejected_at_once(
    client: TestClient, home: Path, fields: dict[str, str], path: str
) -> None:
    response = import_form(client, **fields)
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [path]
    assert not (home / "blobs" / "imports").exists()
    assert client.get("/api/v1/jobs?kind=import").json()["data"] == []


def test_a_form_has_exactly_one_file(client: TestClient) -> None:
    assert client.post(PATH, files=[("other", (None, "x"))], data={"name": "m"}).status_code == 422
    both = [("file", ("config.json", b"{}")), ("file", ("model.safetensors", b""))]
    response = client.post(PATH, files=both, data={"name": "m"})
    assert response.status_code == 422
    assert "zip" in response.json()["detail"]


def test_an_unknown_upload_is_not_found(client: TestClient) -> None:
    assert client.post(PATH, json={"name": "m", "upload": "upl_1"}).status_code == 404
    assert client.post(PATH, json={"name": "m"}).status_code == 422


def test_the_hub_needs_a_token(new_client: Callable[..., TestClient]) -> None:
    body = {"name": "minilm", "hub": "sentence-transformers/all-MiniLM-L6-v2"}
    refused = new_client().post(PATH, json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "hub_off")
    assert "PLINTH_HUB_TOKEN" in refused.json()["detail"]
    assert "hf download sentence-transformers/all-MiniLM-L6-v2" in refused.json()["detail"]
    client = new_client(hub_token="hf_none")
    assert client.post(PATH, json=body).json()["spec"]["hub"] == body["hub"]
    assert client.post(PATH, json={**body, "hub": "../../etc"}).status_code == 422
    assert client.post(PATH, json={**body, "upload": "upl_1"}).status_code == 422


def test_an_export_is_a_job_whose_model_is_pinned(client: TestClient, tmp_path: Path) -> None:
    register(change_manifest(shades(tmp_path / "package"), architectures={"image": Choice(name="resnet")}))
    body = {"kind": "export", "model": "shades"}
    job = client.post("/api/v1/jobs", json=body).json()
    assert job["spec"] == {"kind": "export", "model": "shades@1", "format": "huggingface"}
    response = client.delete("/api/v1/models/shades/versions/1")
    assert response.status_code == 409
    assert job["id"] in response.json()["detail"]


def test_an_architecture_without_an_export_format_is_rejected_at_once(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"))
    response = client.post("/api/v1/jobs", json={"kind": "export", "model": "shades"})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["path"], error["found"]) == ("model", "cnn")
    assert "resnet" in error["expected"]
    assert client.post("/api/v1/jobs", json={"kind": "export", "model": "nothing"}).status_code == 422


def test_any_model_with_graphs_can_be_exported_to_onnx(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"))
    body = {"kind": "export", "model": "shades", "format": "onnx", "opset": 17}
    assert client.post("/api/v1/jobs", json=body).json()["spec"] == {**body, "model": "shades@1"}
    assert client.post("/api/v1/jobs", json={**body, "format": "huggingface"}).status_code == 422


def test_a_model_without_graphs_is_rejected_with_the_reason(client: TestClient, tmp_path: Path) -> None:
    register(change_manifest(shades(tmp_path / "package"), graphs={}, no_graph_reason="dynamo: it loops"))
    response = client.post("/api/v1/jobs", json={"kind": "export", "model": "shades", "format": "onnx"})
    assert response.status_code == 422
    assert "dynamo: it loops" in response.json()["errors"][0]["message"]


def test_an_export_can_be_downloaded_and_is_deleted_with_its_model(
    client: TestClient, tmp_path: Path, home: Path
) -> None:
    register(shades(tmp_path / "package"))
    path = "/api/v1/models/shades/versions/1/download?format=huggingface"
    early = client.get(path)
    assert early.status_code == 409
    assert '"kind": "export"' in early.json()["detail"]
    (tmp_path / "out.zip").write_bytes(b"PK folder")
    model_id = client.get("/api/v1/models/shades/versions/1").json()["id"]
    blobs().put_file(models.export_key(model_id, "huggingface"), tmp_path / "out.zip")
    response = client.get(path)
    assert (response.status_code, response.content) == (200, b"PK folder")
    assert response.headers["content-disposition"] == 'attachment; filename="shades-1-huggingface.zip"'
    assert client.get("/api/v1/models/shades/versions/1/download?format=pickle").status_code == 422
    assert client.delete("/api/v1/models/shades").status_code == 204
    assert not (home / "blobs" / "exports" / model_id).exists()
