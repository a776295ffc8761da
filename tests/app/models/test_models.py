"""Models over HTTP: versions, aliases, files."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ml.package.manifest import Variant
from ml.package.package import ModelPackage
from store import models
from store.blobs import blobs
from tests.app.jobs.test_jobs import ready_dataset
from tests.support.factories import SIDE, change_manifest, register, shades


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return shades(tmp_path / "package")


def test_a_version_has_its_architecture_and_lineage(client: TestClient, package: ModelPackage) -> None:
    register(package)
    register(package)
    version = client.get("/api/v1/models/shades/versions/2").json()
    assert (version["name"], version["version"], version["task"]) == ("shades", 2, "image_classification")
    assert version["architecture"] == {"image": "cnn"}
    assert version["labels"] == ["dark", "light"]
    assert version["formats"] == ["safetensors", "onnx"]
    assert version["lineage"]["job"].startswith("job_")
    assert {file["path"] for file in version["files"]} >= {"model.onnx", "weights.safetensors"}
    listed = client.get("/api/v1/models/shades/versions?limit=1").json()
    assert [version["version"] for version in listed["data"]] == [2]
    second = client.get(f"/api/v1/models/shades/versions?cursor={listed['next_cursor']}").json()
    assert [version["version"] for version in second["data"]] == [1]
    model = client.get("/api/v1/models/shades").json()
    assert (model["latest_version"], model["versions"], model["aliases"]) == (2, 2, {})
    assert client.get("/api/v1/models").json()["data"] == [model]


def test_a_version_has_its_graphs_and_their_parity(client: TestClient, package: ModelPackage, tmp_path: Path) -> None:
    parity = {"rows": 100, "max_abs_difference": 0.2, "labels_changed": 1}
    verdict = {
        "metric": "accuracy",
        "before": 0.9,
        "after": 0.7,
        "speedup": 2.0,
        "served": False,
        "reason": "it is worse",
    }
    variant = Variant.model_validate({"name": "int8", "parity": parity, **verdict})
    graph = package.manifest.graphs["model"].model_copy(update={"variant": variant})
    register(change_manifest(package, graphs={"model": graph}))
    version = client.get("/api/v1/models/shades/versions/1").json()
    assert (version["engine"], version["engine_reason"]) == ("onnxruntime", None)
    graph = version["graphs"]["model"]
    assert graph["parity"] == {"rows": 1, "max_abs_difference": 0.0, "labels_changed": None, "max_abs_output": None}
    assert (graph["variant"]["served"], graph["variant"]["reason"]) == (False, "it is worse")
    register(change_manifest(shades(tmp_path / "bare"), graphs={}, no_graph_reason="dynamo: it loops"))
    version = client.get("/api/v1/models/shades/versions/2").json()
    assert (version["engine"], version["engine_reason"], version["graphs"]) == ("torch", "dynamo: it loops", {})


def test_a_version_has_its_lineage_after_its_parents_are_deleted(client: TestClient, package: ModelPackage) -> None:
    dataset_id = ready_dataset()
    register(package, name="base")
    parent_id = client.get("/api/v1/models/base/versions/1").json()["id"]
    register(package, dataset_id=dataset_id, parent_id=parent_id)
    for path in (f"datasets/{dataset_id}", "models/base/versions/1"):
        assert client.delete(f"/api/v1/{path}").status_code == 204
    lineage = client.get("/api/v1/models/shades/versions/1").json()["lineage"]
    assert lineage["dataset"]["id"] == dataset_id
    assert lineage["parent"] == {"name": "base", "version": 1}


@pytest.mark.parametrize("path", ["nothing", "shades/versions/9", "shades/aliases/none", "shades/versions/9/download"])
def test_unknown_paths_are_not_found(client: TestClient, package: ModelPackage, path: str) -> None:
    register(package)
    assert client.get(f"/api/v1/models/{path}").status_code == 404


def test_an_alias_moves_only_with_its_current_etag(client: TestClient, package: ModelPackage) -> None:
    register(package)
    register(package)
    path = "/api/v1/models/shades/aliases/production"
    created = client.put(path, json={"version": 1})
    assert created.status_code == 200, created.text
    moved = client.put(path, json={"version": 2}, headers={"If-Match": created.headers["etag"]})
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    late = client.put(path, json={"version": 1}, headers={"If-Match": created.headers["etag"]})
    assert late.status_code == 412
    alias = client.get(path)
    assert alias.headers["etag"] == moved.headers["etag"] == moved.json()["etag"]
    assert [change["version"] for change in alias.json()["history"]] == [2, 1]
    assert client.get("/api/v1/models/shades").json()["aliases"] == {"production": 2}
    assert client.get("/api/v1/models/shades/versions/2").json()["aliases"] == ["production"]
    assert client.delete("/api/v1/models/shades/versions/2").status_code == 409
    assert client.delete(path, headers={"If-Match": created.headers["etag"]}).status_code == 412
    assert client.delete(path, headers={"If-Match": moved.headers["etag"]}).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete("/api/v1/models/shades/versions/2").status_code == 204
    assert client.get("/api/v1/models/shades").json()["latest_version"] == 1


def test_an_alias_of_an_unknown_version_is_rejected(client: TestClient, package: ModelPackage) -> None:
    register(package)
    assert client.put("/api/v1/models/shades/aliases/production", json={"version": 9}).status_code == 404
    assert client.put("/api/v1/models/shades/aliases/7", json={"version": 1}).status_code == 422


def test_a_downloaded_zip_is_a_valid_package(client: TestClient, package: ModelPackage, tmp_path: Path) -> None:
    register(package)
    response = client.get("/api/v1/models/shades/versions/1/download")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == 'attachment; filename="shades-1.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "unzipped")
    assert ModelPackage.open(tmp_path / "unzipped").manifest == package.manifest
    assert client.get("/api/v1/models/shades/versions/1/download").content == response.content


def test_one_file_of_a_package_can_be_downloaded(client: TestClient, package: ModelPackage) -> None:
    register(package)
    files = {file["path"]: file for file in client.get("/api/v1/models/shades/versions/1").json()["files"]}
    response = client.get("/api/v1/models/shades/versions/1/download?file=model.onnx")
    assert hashlib.sha256(response.content).hexdigest() == files["model.onnx"]["sha256"]
    assert len(response.content) == files["model.onnx"]["bytes"]
    for name in ("nothing", "../../plinth.db", "/etc/passwd", "encoders/../model.onnx"):
        refused = client.get("/api/v1/models/shades/versions/1/download", params={"file": name})
        assert refused.status_code == 404
    assert "model.onnx" in refused.json()["detail"]


PACKAGE = "/api/v1/models/shades/versions/1/download"


@pytest.mark.parametrize("query", ["", "?file=model.onnx", "?format=onnx"])
def test_a_download_names_its_length_and_resumes_where_it_broke_off(
    client: TestClient, package: ModelPackage, tmp_path: Path, query: str
) -> None:
    register(package)
    model_id = client.get("/api/v1/models/shades/versions/1").json()["id"]
    (tmp_path / "export.zip").write_bytes(bytes(range(256)) * 20_000)
    blobs().put_file(models.export_key(model_id, "onnx"), tmp_path / "export.zip")
    path = PACKAGE + query
    whole = client.get(path)
    length, etag = len(whole.content), whole.headers["etag"]
    assert (whole.headers["content-length"], whole.headers["accept-ranges"]) == (str(length), "bytes")
    head = client.head(path, headers={"Range": "bytes=10-"})
    assert (head.status_code, head.headers["content-length"], head.headers["etag"]) == (200, str(length), etag)
    for requested, start, end in (
        (f"bytes={length // 3}-", length // 3, length),
        ("bytes=0-0", 0, 1),
        ("bytes=-22", length - 22, length),
        (f"bytes=-{length * 2}", 0, length),
        (f"bytes={length - 1}-{length * 2}", length - 1, length),
        (f"bytes={length // 2}-{length // 2 + 99}", length // 2, length // 2 + 100),
    ):
        for headers in ({"Range": requested}, {"Range": requested, "If-Range": etag}):
            part = client.get(path, headers=headers)
            assert part.status_code == 206, requested
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{length}"
            assert part.headers["content-length"] == str(end - start)
            assert part.headers["etag"] == etag
            assert part.content == whole.content[start:end], requested


def test_a_range_counts_only_for_the_content_that_the_client_has(client: TestClient, package: ModelPackage) -> None:
    register(package)
    etag = client.get(PACKAGE).headers["etag"]
    length = len(client.get(PACKAGE).content)
    for condition in ('"other"', f"W/{etag}", "Sat, 28 Nov 2026 12:00:00 GMT"):
        answer = client.get(PACKAGE, headers={"Range": "bytes=10-", "If-Range": condition})
        assert (answer.status_code, len(answer.content)) == (200, length), condition
    for ignored in ("bytes=", "bytes=-", "bytes=9-1", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b"):
        answer = client.get(PACKAGE, headers={"Range": ignored})
        assert (answer.status_code, len(answer.content)) == (200, length), ignored
    for beyond in (f"bytes={length}-", "bytes=-0", f"bytes={10**18}-"):
        refused = client.get(PACKAGE, headers={"Range": beyond})
        assert (refused.status_code, refused.json()["code"]) == (416, "range_not_satisfiable"), beyond
        assert refused.headers["content-range"] == f"bytes */{length}"
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        cached = client.get(PACKAGE, headers={"If-None-Match": condition})
        assert (cached.status_code, cached.content, cached.headers["etag"]) == (304, b"", etag), condition
    assert client.get(PACKAGE, headers={"If-Match": etag}).status_code == 200
    assert client.get(PACKAGE, headers={"If-Match": '"other"'}).status_code == 412


def test_other_content_has_another_entity_tag(client: TestClient, package: ModelPackage, tmp_path: Path) -> None:
    register(package)
    model_id = client.get("/api/v1/models/shades/versions/1").json()["id"]
    tags = {client.head(PACKAGE + query).headers["etag"] for query in ("", "?file=manifest.json", "?file=model.onnx")}
    assert len(tags) == 3
    exported = set()
    for text in ("a", "b"):
        with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("model.onnx"), text * 5_000_000)
        blobs().put_file(models.export_key(model_id, "onnx"), tmp_path / "export.zip")
        exported.add(client.head(f"{PACKAGE}?format=onnx").headers["etag"])
    assert len(exported) == 2
    client.delete("/api/v1/models/shades/versions/1")
    register(package)
    assert client.head(PACKAGE.replace("/1/", "/2/")).headers["etag"] not in tags


def test_the_example_of_a_signature_is_what_the_model_outputs(client: TestClient, package: ModelPackage) -> None:
    register(package)
    signature = client.get("/api/v1/models/shades/versions/1/signature").json()
    assert {"image", "pixels"} <= set(signature["input_schema"]["properties"])
    response = client.post("/predict/shades", json={"inputs": [signature["example"]["input"]]})
    assert response.json()["outputs"] == [signature["example"]["output"]]
    assert client.post("/predict/shades", json={"inputs": [{"pixels": [[0] * SIDE]}]}).status_code == 200


def test_a_model_is_deleted_with_its_files(client: TestClient, package: ModelPackage, home: Path) -> None:
    register(package)
    register(package)
    assert client.delete("/api/v1/models/shades").status_code == 204
    assert client.get("/api/v1/models/shades").status_code == 404
    assert not list((home / "blobs").glob("models/*"))
    assert client.delete("/api/v1/models/shades").status_code == 404
